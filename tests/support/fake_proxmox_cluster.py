"""Answers of `fake_proxmox.py` that fakepve lacks or simplifies, as a real node gives them.

fakepve stores the state and validates each request with the schema of the real API. Texts and rules here come
from Proxmox VE 9, from the file that a docstring names (https://git.proxmox.com).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from fakepve import FakePve, PveError, TaskError
from fakepve import schema as pve_schema
from fakepve.lxc import format_size
from fakepve.qemu import DRIVE_KEY, drives_of, join_drive, split_drive, volume_ref, with_mac
from fakepve.server import USER, ok, params

from tests.support.fake_proxmox_jobs import Jobs

Form = Mapping[str, Any]
Request = web.Request
GIB = 1024**3
IMAGE_DISK = 3 * GIB
"""Bytes of the disk in an image, as Debian 13's genericcloud image has it."""
QEMU = "/nodes/{node}/qemu/{vmid}"
CLOUD_INIT = {
    "cicustom", "cipassword", "citype", "ciuser", "ciupgrade", "nameserver", "searchdomain", "sshkeys",
}  # fmt: skip


class Cluster(Jobs, FakePve):  # type: ignore[misc]  # fakepve has no types
    """A cluster in one thread; `FakeProxmox` drives it."""

    def __init__(self) -> None:
        super().__init__(host="127.0.0.1", port=0)
        self.jobs = {}
        self.bridges = ["vmbr0"]
        self.images: dict[str, bytes] = {}
        self.addresses: dict[int, list[str]] = {}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.rules: list[Rule] = []
        self.expired = False
        self.held: set[int] = set()
        self.seconds = 0.0

    def _routes_more(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/nodes/{node}/network", self._network),
            ("GET", "/nodes/{node}/query-url-metadata", self._url_metadata),
            ("PUT", f"{QEMU}/resize", self._resize),
        ]

    def _register_stateful(self, router: Any, prefixes: Any) -> None:
        """Ignore a slash at the end of a path, as a node does."""
        super()._register_stateful(router, prefixes)
        tables = [getattr(self, name)() for name in sorted(dir(self)) if name.startswith("_routes_")]
        for method, template, handler in (row for table in tables for row in table):
            for prefix in prefixes:
                router.add_route(method, f"{prefix}{template}/", self._stateful_handler(template, handler))

    def _authenticate(self, request: Request) -> Any:
        """PVE::AccessControl::verify_token (pve-access-control)."""
        given = request.headers.get("Authorization", "").removeprefix("PVEAPIToken=")
        token, _, value = given.partition("=")
        if given and self.expired:
            raise PveError(401, "token expired")
        if given and token not in self.apitokens:
            user, _, name = token.partition("!")
            raise PveError(401, f"no such token '{name}' for user '{user}'")
        if given and self.apitokens[token] != value:
            raise PveError(401, "invalid token value!")
        return super()._authenticate(request)

    async def _answer(self, request: Request, handler: Any, generic: Any, path_node: Any) -> Any:
        """Record the request, and fail it if a test has injected a fault."""
        path = request.path.removeprefix("/api2/json")
        form = await params(request)
        self.asked.append((request.method, path.rstrip("/"), form))
        await asyncio.sleep(self.seconds)
        for rule in self.rules:
            if rule.meets(request.method, path.rstrip("/")):
                if rule.status:
                    return web.json_response({"data": None}, status=rule.status, reason=rule.text)
                match = generic or self.resolve(request, "/api2/json")
                return ok(await self._failed_task(request, path_node, rule.text, match))
        # A download writes to a storage and not to /etc/pve, all else that changes something does.
        if request.method != "GET" and not self.quorate and not path.endswith("/download-url"):
            return web.json_response({"data": None}, status=500, reason="cluster not ready - no quorum?")
        return await super()._answer(request, handler, generic, path_node)

    # --- nodes -------------------------------------------------------------------------------------------

    async def _network(self, asked: Form, _: str) -> list[dict[str, Any]]:
        wanted = asked.get("type")
        port = {"iface": "eno1", "type": "eth", "method": "manual", "method6": "manual", "active": 1,
                "exists": 1, "priority": 3, "families": ["inet"]}  # fmt: skip
        found = [port] + [
            {"iface": bridge, "type": "bridge", "method": "manual", "method6": "manual", "active": 1,
             "autostart": 1, "bridge_ports": "eno1", "bridge_stp": "off", "bridge_fd": "0",
             "bridge_vlan_aware": 1, "priority": 4 + number, "families": ["inet"]}
            for number, bridge in enumerate(self.bridges)
        ]  # fmt: skip
        return [each for each in found if wanted in (None, each["type"], f"any_{each['type']}")]

    async def _url_metadata(self, asked: Form, _: str) -> dict[str, Any]:
        """PVE/API2/Nodes.pm (pve-manager)."""
        image = self.images.get(asked["url"])
        if image is None:
            raise PveError(500, "invalid server response: '404 Not Found'")
        return {
            "filename": asked["url"].rsplit("/", 1)[1],
            "size": len(image),
            "mimetype": "application/octet-stream",
        }

    async def _download_url(self, request: Request) -> Any:
        """PVE/API2/Storage/Status.pm (pve-storage), PVE::Tools::download_file_from_url (pve-common)."""
        name, store = self._file_storage(request, "download")
        user, asked = request[USER], self._verify(request, await params(request))
        self.require(user, f"/storage/{name}", "Datastore.AllocateTemplate")
        if not self.allowed(user, f"/nodes/{request.match_info['node']}", "Sys.AccessNetwork"):
            self.require(user, "/", "Sys.Audit")
            self.require(user, "/", "Sys.Modify")
        content, filename, url = asked["content"], asked["filename"], asked["url"]
        if content not in store["content"].split(","):
            raise PveError(500, f"storage '{name}' is not configured for content-type '{content}'")
        volume = f"{content}/{filename}"

        async def body() -> str | None:
            image = self.images.get(url)
            wanted = str(asked.get("checksum", "")).lower()
            algorithm = asked.get("checksum-algorithm", "sha256")
            there = store["volumes"].get(volume)
            if there is not None:
                if wanted and there["sums"](algorithm) == wanted:
                    return "OK, got correct file already, no need to download"
                raise TaskError(f"refusing to override existing file '{self._path_of(name, volume)}'")
            if image is None:
                raise TaskError("download failed: 404 Not Found")
            got = hashlib.new(algorithm, image).hexdigest()
            if wanted and got != wanted:
                raise TaskError(f"checksum mismatch: got '{got}' != expect '{wanted}'")
            self.store_file(name, filename, len(image), content)
            store["volumes"][volume]["sums"] = lambda sum_: hashlib.new(sum_, image).hexdigest()
            return None

        log = [f"downloading {url} to {self._path_of(name, volume)}"]
        return ok(await self.task(request.match_info["node"], "download", name, user, body, log=log))

    def _path_of(self, storage: str, volume: str) -> str:
        return str(self._volume_path(storage, volume, volume.partition("/")[0]))

    # --- guests ------------------------------------------------------------------------------------------

    async def _qm_create(self, v: Form, user: str) -> Any:
        if int(v["vmid"]) in self.held:
            lock = f"/var/lock/qemu-server/lock-{v['vmid']}.conf"
            raise PveError(500, f"unable to create VM {v['vmid']} - can't lock file '{lock}' - got timeout")
        self._check_bridges(v, user)
        return await super()._qm_create(v, user)

    async def _qm_destroy(self, v: Form, user: str) -> Any:
        """Delete the disks that the guest owns and no others: PVE::QemuServer::destroy_vm."""
        vm = self.find(v["node"], v["vmid"])
        own = str(vm.vmid)
        borrowed = {key: vm.config[key] for key, volume, _ in drives_of(vm.config) if _owner(volume) != own}
        for key in borrowed:
            del vm.config[key]
        try:
            upid = await super()._qm_destroy(v, user)
        finally:
            if vm in self.vms:
                vm.config.update(borrowed)
        if v.get("purge") and vm not in self.vms:
            self.purge(vm.vmid)
        return upid

    def _qm_new_drive(self, vmid: int, key: str, value: str, default: str | None) -> Any:
        """Create a disk: imported, the cloud-init drive with its own name, or as fakepve does."""
        volume, options = split_drive(value)
        source = options.pop("import-from", None)
        if volume.endswith(":cloudinit"):
            storage = volume_ref(volume)[0]
            name, kind = f"vm-{vmid}-cloudinit", "raw"
            if self.storages[storage]["type"] == "dir":
                name, kind = f"{vmid}/{name}.qcow2", "qcow2"
            volumes = self.storages[storage].setdefault("volumes", {})
            volumes[name] = {
                "content": "images",
                "format": kind,
                "size": 4 * 1024**2,
                "vmid": vmid,
                "ctime": 0,
            }
            self.storages[storage]["avail"] -= 4 * 1024**2
            volid = f"{storage}:{name}"
            return join_drive(volid, {"media": "cdrom", "size": "4M"}), [volid]
        if source is None:
            return super()._qm_new_drive(vmid, key, value, default)
        storage, name = volume_ref(source)
        if storage not in self.storages or name not in self._volumes(storage):
            raise PveError(500, f"volume '{source}' does not exist")
        volid, _ = self._qm_alloc(volume_ref(volume)[0], vmid, options.pop("format", None), IMAGE_DISK)
        return join_drive(volid, {**options, "size": format_size(IMAGE_DISK)}), [volid]

    def _check_bridges(self, asked: Form, user: str) -> None:
        """PVE::RPCEnvironment::check_sdn_bridge (pve-access-control)."""
        for key, value in asked.items():
            bridge = re.search(r"bridge=([^,]+)", str(value))
            if re.fullmatch(r"net\d+", key) and bridge:
                self.require(user, f"/sdn/zones/localnetwork/{bridge.group(1)}", "SDN.Use")

    def _config_priv(self, key: str) -> Any:
        """check_vm_modify_config_perm of PVE/API2/Qemu.pm (qemu-server)."""
        if key in CLOUD_INIT or re.fullmatch(r"ipconfig\d+", key):
            return "VM.Config.Cloudinit"
        return super()._config_priv(key)

    async def _apply_config(self, vm: Any, user: str, p: Form) -> None:
        """Add types of the schema and creation of disks; refuse to detach a disk of a protected guest."""
        typed, _ = pve_schema.validate(pve_schema.load().paths[QEMU + "/config"]["PUT"]["parameters"], p)
        self._check_bridges(typed, user)
        for key in str(typed.get("delete") or "").split(","):
            if DRIVE_KEY.match(key) and vm.config.get("protection"):
                raise PveError(500, f"can't remove drive '{key}' - protection mode enabled")
        for key in [key for key in typed if DRIVE_KEY.match(key)]:
            volume, options = split_drive(typed[key])
            now, before = split_drive(vm.config.get(key, "none"))
            if volume == now:
                typed[key] = join_drive(volume, {**options, "size": before.get("size", "0")})
            elif not (volume.endswith(":cloudinit") and now.endswith("-cloudinit")):
                self._check_lock(vm)
                self._qm_check_drive(user, vm.vmid, vm.pool, key, typed[key], None)
                typed[key], _ = self._qm_new_drive(vm.vmid, key, typed[key], None)
                vm.config[key] = typed[key]
            else:
                del typed[key]
        for key in [key for key in typed if re.fullmatch(r"net\d+", key)]:
            typed[key] = with_mac(typed[key])
        if typed.get("tags"):
            typed["tags"] = ";".join(sorted(set(re.split(r"[;, ]+", str(typed["tags"]).lower()))))
        known = {**vm.config, **vm.pending}
        deleted = [key for key in str(typed.pop("delete", "")).split(",") if key in known]
        await super()._apply_config(vm, user, {**typed, **({"delete": ",".join(deleted)} if deleted else {})})
        # An unchanged value is not pending: PVE::QemuConfig->cleanup_pending.
        vm.pending = {
            key: value for key, value in vm.pending.items() if str(value) != str(vm.config.get(key))
        }

    async def _config_get(self, request: Request) -> Any:
        """Include pending changes unless the request has `current`; values have the types of the schema."""
        vm = self._vm(request, "VM.Audit")
        config = dict(vm.config)
        if not int(request.query.get("current", "0")):
            for key, value in vm.pending.items():
                config.pop(key, None)
                config.update({} if value is None else {key: value})
        typed, _ = pve_schema.validate(pve_schema.load().paths[QEMU + "/config"]["PUT"]["parameters"], config)
        shown = {key: int(value) if isinstance(value, bool) else value for key, value in typed.items()}
        if "memory" in shown:
            shown["memory"] = str(shown["memory"])
        return ok({**shown, "digest": vm.digest()})

    async def _resize(self, v: Form, user: str) -> Any:
        """PUT resize of PVE/API2/Qemu.pm (qemu-server)."""
        vm = self.find(v["node"], v["vmid"])
        self._check_lock(vm)
        key, wanted = v["disk"], str(v["size"])
        if key not in vm.config:
            raise PveError(400, "Parameter verification failed.", {"disk": f"no disk '{key}' here"})
        volume, options = split_drive(vm.config[key])
        self._check_access(user, volume_ref(volume)[0], "images", int(_owner(volume) or vm.vmid), volume)

        async def body() -> None:
            storage, name = volume_ref(volume)
            store, kept = self.storages[storage], self.storages[storage]["volumes"][name]
            size = _bytes(wanted.lstrip("+")) + (_bytes(options["size"]) if wanted.startswith("+") else 0)
            if size < _bytes(options["size"]):
                raise TaskError("shrinking disks is not supported")
            if size - kept["size"] > store.get("avail", size):
                raise TaskError(f"unable to write to storage '{storage}': No space left on device")
            store["avail"] -= size - kept["size"]
            kept["size"] = size
            vm.config[key] = join_drive(volume, {**options, "size": format_size(size)})

        return await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm)

    async def _agent_call(self, match: Any, values: Form) -> Any:
        """The agent reports the addresses of the test, besides those that each guest has."""
        vm = self.find(values["node"], values["vmid"])
        if vm.vmid in self.addresses and str(vm.config.get("agent", "0")).split(",")[0] in ("1", "enabled=1"):
            mac = re.search(r"=([0-9A-F:]{17})", str(vm.config.get("net0", "")))
            vm.agent = {
                "interfaces": [
                    _interface("lo", "00:00:00:00:00:00", ["127.0.0.1"], 8),
                    _interface("eth0", mac.group(1).lower() if mac else "", self.addresses[vm.vmid], 24),
                    _interface("docker0", "02:42:00:00:00:01", ["172.17.0.1"], 16),
                ]
            }
        return await super()._agent_call(match, values)


class Rule:
    """A fault for some requests.

    Args:
        method: of the request.
        path: how the path of the request ends.
        text: what is said.
        status: of the answer; 0 lets the task of the request fail instead.
        times: after how many requests all is well again.
    """

    def __init__(self, method: str, path: str, text: str, status: int, times: int) -> None:
        self.method, self.path, self.text, self.status, self.times = method, path, text, status, times

    def meets(self, method: str, path: str) -> bool:
        """Whether the fault applies to this request."""
        if self.times < 1 or method != self.method or not path.endswith(self.path):
            return False
        self.times -= 1
        return True


def _owner(volume: str) -> str | None:
    """The id of the guest that owns a volume, from the name of the volume."""
    found = re.search(r"(?:vm|base)-(\d+)-", volume)
    return found.group(1) if found else None


def _bytes(size: str) -> int:
    factor: int = 1024 ** " KMGT".index(size[-1]) if size[-1].isalpha() else 1
    return int(size.rstrip("KMGT")) * factor


def _interface(name: str, mac: str, addresses: list[str], prefix: int) -> dict[str, Any]:
    kinds = {True: "ipv6", False: "ipv4"}
    return {
        "name": name,
        "hardware-address": mac,
        "ip-addresses": [
            {"ip-address": each, "ip-address-type": kinds[":" in each], "prefix": prefix}
            for each in addresses
        ],
    }
