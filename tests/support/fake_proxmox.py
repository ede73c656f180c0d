"""A fake Proxmox VE for tests: fakepve behind real TLS on a loopback port, with faults on demand.

    with fake_proxmox(tmp_path) as proxmox:
        proxmox.endpoint                   # "https://127.0.0.1:41231/"
        proxmox.token                      # "ronron@pve!ronron=..."; has PRIVILEGES on /
        proxmox.ca                         # PEM; trusted only through SSL_CERT_FILE=...
        proxmox.agent_addresses(101, ["192.0.2.11"])    # before or after the guest is created
        with proxmox.fault("full storage", storage="local-lvm"):
            ...                            # see FAULTS
        proxmox.vm(101).config["cores"]    # a copy of the current guest; None without a guest
        proxmox.requests                   # [("POST", "/nodes/alice/qemu", {"vmid": "101", ...}), ...]

Nodes `alice` and `bob` have the bridges `vmbr0` and `vmbr1`, and the storages `local` (import, snippets),
`local-lvm` (images) and `vault` (backup). `IMAGE` can be downloaded with the checksum `IMAGE_CHECKSUM`;
`image()` adds more. A task is finished when its request is answered. Clients that do not trust `ca` see an
untrusted certificate.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import trustme

from tests.support.fake_proxmox_cluster import GIB, Cluster, Rule

T = TypeVar("T")
Saved = dict[str, Any]
"""The attributes of a cluster that requests and tests change."""

NODES = ("alice", "bob")
IMAGE = "https://images.test.example/debian-13-genericcloud-amd64-20261103-2290.qcow2"
_IMAGE = b"QFI\xfb" + b"\0" * 2048
IMAGE_CHECKSUM = f"sha512:{hashlib.sha512(_IMAGE).hexdigest()}"
PRIVILEGES = (
    "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
    "Pool.Allocate", "Pool.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify", "VM.Allocate", "VM.Audit",
    "VM.Backup", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
    "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.GuestAgent.Audit",
    "VM.Migrate", "VM.PowerMgmt",
)  # fmt: skip

FAULTS = Literal[
    "wrong token",  # 401 invalid token value!
    "no such token",  # 401 no such token 'ronron' for user 'ronron@pve'
    "expired token",  # 401 token expired
    "missing privilege",  # privilege=: 403 Permission check failed (/..., VM.Allocate)
    "taken",  # vm_id=, name="other", node="alice": a foreign guest has the id
    "no content type",  # storage=, content=
    "full storage",  # storage=
    "locked",  # vm_id=, lock="backup"; without such a guest, its lock file is locked
    "no quorum",  # 500 cluster not ready - no quorum?
    "offline",  # node=: 595 No route to host
    "slow",  # seconds= before each answer
    "task",  # method=, path= (its end), text=, times=1: the task of the request fails
    "answer",  # method=, path=, text=, status=500, times=1: the request itself fails
]


@dataclass(frozen=True)
class Guest:
    """The state of a guest.

    Attributes:
        config: the active configuration.
        pending: changes that take effect at the next start.
    """

    vm_id: int
    name: str
    node: str
    status: str
    lock: str | None
    pool: str | None
    config: dict[str, Any] = field(repr=False)
    pending: dict[str, Any] = field(repr=False)


class FakeProxmox:
    """The interface of the fake for tests; safe for use from any thread."""

    nodes = NODES

    def __init__(self, place: Path) -> None:
        self._secret = str(uuid.uuid4())
        self.token_id = "ronron@pve!ronron"
        self.ca = place / "proxmox-ca.pem"
        self._cluster = _cluster(self.token_id, self._secret)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca)
        key = place / "proxmox-key.pem"
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(key)
        self._thread.start()
        self._await(self._cluster.start(key, key))

    @property
    def endpoint(self) -> str:
        """The endpoint, as in a declaration."""
        return f"https://127.0.0.1:{self._cluster.port}/"

    @property
    def token(self) -> str:
        """A token with `PRIVILEGES`."""
        return f"{self.token_id}={self._secret}"

    @property
    def requests(self) -> list[tuple[str, str, dict[str, Any]]]:
        """All requests with a valid token: method, path below /api2/json, parameters."""
        return self.do(lambda cluster: copy.deepcopy(cluster.asked))

    @property
    def changes(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The requests that change something."""
        return [each for each in self.requests if each[0] != "GET"]

    @property
    def guests(self) -> list[Guest]:
        """All guests, by id."""
        return sorted(self.do(lambda cluster: [_guest(vm) for vm in cluster.vms]), key=lambda vm: vm.vm_id)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """All backup jobs by id."""
        return self.do(lambda cluster: copy.deepcopy(cluster.jobs))

    def vm(self, vm_id: int) -> Guest | None:
        """A guest, or None."""
        return next((guest for guest in self.guests if guest.vm_id == vm_id), None)

    def storage(self, name: str) -> dict[str, Any] | None:
        """A storage, or None: its options, and its `volumes` by name."""
        return self.do(lambda cluster: dict(cluster.storages[name]) if name in cluster.storages else None)

    def image(self, url: str, content: bytes) -> str:
        """Offer a file for download; its checksum as `sha512:<hex>`."""
        self.do(lambda cluster: cluster.images.update({url: content}))
        return f"sha512:{hashlib.sha512(content).hexdigest()}"

    def agent_addresses(self, vm_id: int, addresses: list[str]) -> None:
        """Set the addresses that the agent of a running guest reports."""
        self.do(lambda cluster: cluster.addresses.update({vm_id: list(addresses)}))

    def add_vm(self, vm_id: int, name: str, node: str = "alice", **config: Any) -> None:
        """Add an existing guest."""
        self.do(lambda cluster: cluster.add_vm(vm_id, name, node=node, status="running", config=config))

    def set(self, vm_id: int, **config: Any) -> None:
        """Change a guest directly, without the API; None removes a key."""

        def change(cluster: Any) -> None:
            vm = cluster.vm(vm_id)
            vm.config.update(config)
            vm.config = {key: value for key, value in vm.config.items() if value is not None}

        self.do(change)

    def stop(self, vm_id: int) -> None:
        """Power a guest off."""

        def change(cluster: Any) -> None:
            vm = cluster.vm(vm_id)
            vm.status = vm.qmpstatus = "stopped"

        self.do(change)

    def forget_requests(self) -> None:
        """Clear `requests`."""
        self.do(lambda cluster: cluster.asked.clear())

    @contextmanager
    def fault(self, kind: FAULTS, **where: Any) -> Iterator[None]:
        """Inject a fault inside the `with` block; see FAULTS."""
        repair = self.do(lambda cluster: _break(cluster, kind, self.token_id, where))
        try:
            yield
        finally:
            self.do(lambda _: repair())

    def save(self) -> Saved:
        """The state of the cluster, without its address and its certificates."""
        return self.do(lambda cluster: copy.deepcopy(_what_changes(cluster)))

    def put_back(self, saved: Saved) -> None:
        """Restore a state of `save`."""
        # A copy: the saved state may be restored again.
        self.do(lambda cluster: vars(cluster).update(copy.deepcopy(saved)))

    def do(self, act: Callable[[Any], T]) -> T:
        """Run a function on the cluster between two requests."""

        async def inside() -> T:
            return act(self._cluster)

        done: T = self._await(inside())
        return done

    def close(self) -> None:
        """Stop listening."""
        self._await(self._cluster.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


@contextmanager
def fake_proxmox(place: Path) -> Iterator[FakeProxmox]:
    """A cluster inside the `with` block; its certificates are files in `place`."""
    fake = FakeProxmox(place)
    try:
        yield fake
    finally:
        fake.close()


def _what_changes(cluster: Cluster) -> Saved:
    listens = {"host", "port", "runner"}
    return {name: value for name, value in vars(cluster).items() if name not in listens}


def _cluster(token_id: str, secret: str) -> Cluster:
    cluster = Cluster()
    cluster.nodes = {name: {"online": True} for name in NODES}
    cluster.bridges = ["vmbr0", "vmbr1"]
    cluster.cluster_name = "picasoft"
    cluster.storages = {
        "local": _storage("dir", "iso,vztmpl,import,snippets", path="/var/lib/vz"),
        "local-lvm": _storage("lvmthin", "images,rootdir", vgname="pve", thinpool="data"),
        "vault": _storage(
            "nfs", "backup", path="/mnt/pve/vault", server="192.0.2.9", export="/srv", shared=1
        ),
    }
    cluster.apitokens[token_id] = secret
    cluster.images[IMAGE] = _IMAGE
    cluster.grant(token_id, "/", *PRIVILEGES)
    return cluster


def _storage(type_: str, content: str, **options: Any) -> dict[str, Any]:
    return {"type": type_, "content": content, "active": 1, "files": set(), "volumes": {}, "avail": 500 * GIB,
            "total": 1000 * GIB, **options}  # fmt: skip


def _guest(vm: Any) -> Guest:
    return Guest(vm_id=vm.vmid, name=vm.name, node=vm.node, status=vm.status, lock=vm.lock, pool=vm.pool,
                 config=dict(vm.config), pending=dict(vm.pending))  # fmt: skip


def _break(cluster: Any, kind: FAULTS, token_id: str, where: dict[str, Any]) -> Callable[[], Any]:
    """Inject a fault; the function that removes it."""
    if kind in ("wrong token", "no such token"):
        secret = cluster.apitokens.pop(token_id)
        if kind == "wrong token":
            cluster.apitokens[token_id] = "another"
        return lambda: cluster.apitokens.update({token_id: secret})
    if kind == "expired token":
        return _put(cluster, "expired", True)
    if kind == "missing privilege":
        held = [(path, privileges - {where["privilege"]}) for path, privileges in cluster.acl[token_id]]
        return _put(cluster.acl, token_id, held)
    if kind == "taken":
        other = cluster.add_vm(where["vm_id"], where.get("name", "other"), node=where.get("node", "alice"))
        return lambda: cluster.vms.remove(other) if other in cluster.vms else None
    if kind == "no content type":
        store = cluster.storages[where["storage"]]
        left = [each for each in store["content"].split(",") if each != where["content"]]
        return _put(store, "content", ",".join(left) or "none")
    if kind == "full storage":
        return _put(cluster.storages[where["storage"]], "avail", 0)
    if kind == "locked":
        return _lock(cluster, where["vm_id"], where.get("lock", "backup"))
    if kind == "no quorum":
        return _put(cluster, "quorate", False)
    if kind == "offline":
        return _put(cluster.nodes[where["node"]], "online", False)
    if kind == "slow":
        return _put(cluster, "seconds", float(where["seconds"]))
    status = 0 if kind == "task" else where.get("status", 500)
    rule = Rule(where["method"], where["path"], where["text"], status, where.get("times", 1))
    cluster.rules.append(rule)
    return lambda: cluster.rules.remove(rule)


def _lock(cluster: Any, vm_id: int, lock: str) -> Callable[[], Any]:
    if cluster.vm(vm_id) is None:
        cluster.held.add(vm_id)
        return lambda: cluster.held.discard(vm_id)
    cluster.snapshot_lock(vm_id, lock)
    return lambda: cluster.unlock(vm_id) if cluster.vm(vm_id) else None


def _put(target: Any, key: str, value: Any) -> Callable[[], Any]:
    """Set an entry or an attribute; the function that restores the old value."""
    if isinstance(target, dict):
        before = target[key]
        target[key] = value
        return lambda: target.update({key: before})
    before = getattr(target, key)
    setattr(target, key, value)
    return lambda: setattr(target, key, before)
