"""Every bad input at a cluster, provoked on the fake one: one message each, with the key and the remedy."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from chatons.declaration.resolved import Declaration
from chatons.proxmox.api import ProxmoxApi
from chatons.proxmox.preflight import answers, checks
from chatons.schema.checks import CheckResult, blocking
from chatons.schema.problems import Problem
from chatons.schema.proxmox_models import Proxmox
from tests.support.declarations import DATA, Document, proxmox_declaration
from tests.support.fake_proxmox import PRIVILEGES, FakeProxmox, fake_proxmox

LINE = "Made by Ronron: ronron-local-vm01"
SNIPPET = "local:snippets/first-boot.yaml"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeProxmox]:
    with fake_proxmox(tmp_path_factory.mktemp("proxmox")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: FakeProxmox, monkeypatch: pytest.MonkeyPatch) -> FakeProxmox:
    monkeypatch.setenv("SSL_CERT_FILE", str(shared.ca))
    return shared


def declared(cluster: FakeProxmox, machine: Document | None = None, **edits: Any) -> Declaration:
    """One machine with a data disk on that cluster."""
    found: dict[Any, object] = {("proxmox", "endpoint"): cluster.endpoint}
    found |= {("proxmox", *key.split("__")): value for key, value in edits.items()}
    return proxmox_declaration(found, machines={"vm01": {"data": DATA, **(machine or {})}})


def found(
    cluster: FakeProxmox,
    declaration: Declaration,
    *,
    last: object = None,
    token: str | None = None,
    knock: Callable[[str], bool] = lambda _: False,
) -> list[Problem]:
    """What stands in the way; what was looked at tells no secret."""
    said = checks(declaration, SecretStr(token or cluster.token), last, knock=knock)
    assert (token or cluster.token).partition("=")[2] not in repr(said)
    assert said
    return [check.problem for check in said if check.problem is not None and check.stops]


def test_a_cluster_that_is_as_declared_has_no_problem(cluster: FakeProxmox) -> None:
    assert found(cluster, declared(cluster)) == []


def test_all_of_it_is_looked_at_within_a_second(cluster: FakeProxmox) -> None:
    machines = {
        f"vm{number:02}": {"vm_id": 200 + number, "address": f"192.0.2.{100 + number}/24"}
        for number in range(1, 9)
    }
    declaration = proxmox_declaration({("proxmox", "endpoint"): cluster.endpoint}, machines=machines)
    started = time.monotonic()
    assert blocking(checks(declaration, SecretStr(cluster.token), None, knock=lambda _: False)) == []
    assert time.monotonic() - started < 1


def test_nothing_is_asked_to_change(cluster: FakeProxmox) -> None:
    cluster.forget_requests()
    found(cluster, declared(cluster))
    assert cluster.requests
    assert cluster.changes == []


Row = tuple[str, Document, str, str, str]
VM = "ronron:machines.vm01.proxmox."
ROWS: list[Row] = [
    ("wrong token", {}, "ronron:proxmox-token", "is refused", "pveum user token add ronron@pve"),
    ("no such token", {}, "ronron:proxmox-token", "is not known", "pveum user token add ronron@pve ronron"),
    ("expired token", {}, "ronron:proxmox-token", "has expired", "--expire 0"),
    (
        "missing privilege",
        {"privilege": "VM.Allocate"},
        "ronron:proxmox-token",
        "lacks VM.Allocate on /vms",
        'pveum role modify RonronMachines --append 1 --privs "VM.Allocate"',
    ),
    ("taken", {"vm_id": 101}, VM + "vm_id", "101 is taken: it is other on alice", LINE),
    ("taken", {"vm_id": 1101}, VM + "data.vm_id", "1101 is taken", f"{LINE}-data"),
    (
        "no content type",
        {"storage": "local", "content": "import"},
        VM + "image_datastore",
        "may not hold the content `import`",
        "pvesm set local --content iso,vztmpl,snippets,import",
    ),
    (
        "no content type",
        {"storage": "local-lvm", "content": "images"},
        VM + "datastore",
        "may not hold the content `images`",
        "pvesm set local-lvm --content rootdir,images",
    ),
    (
        "no content type",
        {"storage": "vault", "content": "backup"},
        "ronron:proxmox.backups.storage",
        "may not hold the content `backup`",
        "pvesm set vault --content backup",
    ),
    ("full storage", {"storage": "local-lvm"}, VM + "datastore", "0 GiB free", "make room"),
    ("full storage", {"storage": "local"}, VM + "image_datastore", "0 GiB free", "make room"),
    ("no quorum", {}, "ronron:proxmox.endpoint", "lost its quorum", "pvecm status"),
    ("offline", {"node": "alice"}, VM + "node", "the node alice is offline", "bring it back"),
]


@pytest.mark.parametrize(("fault", "where", "key", "said", "remedy"), ROWS, ids=lambda each: str(each)[:40])
def test_what_is_wrong_at_the_cluster_is_one_message(
    cluster: FakeProxmox, fault: Any, where: Document, key: str, said: str, remedy: str
) -> None:
    with cluster.fault(fault, **where):
        (problem,) = found(cluster, declared(cluster))
    assert problem.key == key
    assert said in problem.problem
    assert remedy in problem.remedy
    assert found(cluster, declared(cluster)) == []


EDITS: list[tuple[Document, str, str]] = [
    ({"node": "carol"}, "node", "the cluster has no node carol"),
    ({"bridge": "vmbr9"}, "bridge", "alice has no bridge vmbr9"),
    ({"datastore": "ceph"}, "datastore", "alice has no storage ceph"),
    ({"image_datastore": "vault"}, "image_datastore", "may not hold the content `import`"),
    ({"pool": "asso"}, "pool", "the cluster has no pool asso"),
    ({"user_data": SNIPPET}, "user_data", f"alice has no snippet {SNIPPET}"),
    ({"user_data": "vault:snippets/a.yaml"}, "user_data", "may not hold the content `snippets`"),
]


@pytest.mark.parametrize(("edit", "key", "said"), EDITS, ids=lambda each: str(each)[:40])
def test_what_is_declared_and_not_there_is_one_message(
    cluster: FakeProxmox, edit: Document, key: str, said: str
) -> None:
    (problem,) = found(cluster, declared(cluster, edit))
    assert problem.key == f"ronron:machines.vm01.proxmox.{key}"
    assert said in problem.problem
    assert problem.remedy


@pytest.mark.parametrize("privilege", sorted(set(PRIVILEGES) - {"Pool.Allocate", "Pool.Audit", "VM.Backup"}))
def test_every_privilege_that_is_lacking_is_named_alone_with_its_command(
    cluster: FakeProxmox, privilege: str
) -> None:
    with cluster.fault("missing privilege", privilege=privilege):
        (problem,) = found(cluster, declared(cluster))
    assert f"lacks {privilege} on /" in problem.problem
    assert f'--append 1 --privs "{privilege}"' in problem.remedy
    assert f"--users ronron@pve --tokens '{cluster.token_id}'" in problem.remedy


def test_a_machine_that_is_ours_is_found_again_by_its_notes_or_by_the_last_inventory(tmp_path: Path) -> None:
    with fake_proxmox(tmp_path) as own, ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(own.ca))
        own.add_vm(101, "vm01", description=f"{LINE}\n")
        own.add_vm(1101, "vm01-data", description=f"{LINE}-data")
        assert found(own, declared(own), knock=lambda _: True) == []
        own.set(101, description="moved by hand")
        (problem,) = found(own, declared(own))
        assert "101 is taken" in problem.problem
        last = {"machines": {"vm01": {"proxmox": {"node": "alice", "vm_id": 101.0}}}}
        assert found(own, declared(own), last=last) == []
        with own.fault("locked", vm_id=101):
            (problem,) = found(own, declared(own), last=last)
        assert problem.key == "ronron:machines.vm01.proxmox.vm_id"
        assert problem.problem == "virtual machine 101 is locked: backup"
        assert "qm unlock 101" in problem.remedy


def test_a_machine_in_no_backup_job_is_told_and_stops_nothing(tmp_path: Path) -> None:
    with fake_proxmox(tmp_path) as own, ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("SSL_CERT_FILE", str(own.ca))
        own.add_vm(101, "vm01", description=LINE)

        def told() -> list[CheckResult]:
            return checks(declared(own), SecretStr(own.token), None, knock=lambda _: False)

        (check,) = [each for each in told() if each.problem is not None]
        assert check.name == "backup of vm01"
        assert check.problem is not None
        assert "vm01 (101) is in no backup job" in check.problem.problem
        assert check.stops is False
        with ProxmoxApi(own.endpoint, own.token) as api:
            api.post("/cluster/backup", id="ronron-local", storage="vault", schedule="02:30", vmid="101,1101")
        assert [each for each in told() if each.problem is not None] == []


def test_an_address_that_answers_already_is_one_message(cluster: FakeProxmox) -> None:
    (problem,) = found(cluster, declared(cluster), knock=lambda address: address == "192.0.2.11")
    assert problem.key == "ronron:machines.vm01.proxmox.address"
    assert problem.problem == "192.0.2.11 answers already, and vm01 is not made yet"


@pytest.mark.parametrize(
    ("greeting", "is_there"), [(b"SSH-2.0-OpenSSH_10.0\r\n", True), (b"HTTP/1.1 400 Bad Request\r\n", False)]
)
def test_only_who_speaks_ssh_has_an_address_for_sure(greeting: bytes, is_there: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]

        def greet() -> None:
            with server.accept()[0] as there:
                there.sendall(greeting)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        assert answers("127.0.0.1", port) is is_there
        thread.join(10)
    assert answers("127.0.0.1", port) is False


def test_a_machine_that_is_left_out_is_not_looked_at(cluster: FakeProxmox) -> None:
    declaration = declared(cluster)
    with cluster.fault("offline", node="alice"):
        assert blocking(checks(declaration, SecretStr(cluster.token), None, without={"vm01"})) == []


# The endpoint itself: nothing else is asked then.


def test_a_certificate_of_an_authority_of_its_own_is_told_with_the_way_to_trust_it(
    shared: FakeProxmox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    (problem,) = found(shared, declared(shared))
    assert problem.key == "ronron:proxmox.endpoint"
    assert "certificate" in problem.problem
    assert "/etc/pve/pve-root-ca.pem" in problem.remedy
    assert "`insecure: true`" in problem.remedy
    assert found(shared, declared(shared, insecure=True)) == []


def test_a_port_where_nothing_listens(cluster: FakeProxmox) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        endpoint = f"https://127.0.0.1:{bound.getsockname()[1]}/"
        (problem,) = found(cluster, declared(cluster, endpoint=endpoint))
    assert problem.key == "ronron:proxmox.endpoint"
    assert problem.problem == f"nothing listens at {endpoint}"


def test_a_host_that_nobody_knows(cluster: FakeProxmox) -> None:
    (problem,) = found(cluster, declared(cluster, endpoint="https://nowhere.invalid:8006/"))
    assert problem.key == "ronron:proxmox.endpoint"
    assert "nobody knows the host" in problem.problem


@contextmanager
def another_server(
    place: Path, answer: bytes = b"", name: str = "127.0.0.1", not_after: datetime | None = None
) -> Iterator[str]:
    """Something that speaks TLS and gives one answer; its authority is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(place / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, not_after=not_after).configure_cert(context)
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SSL_CERT_FILE", str(place / "ca.pem"))
        server = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

        def serve() -> None:
            with (
                server.accept()[0] as plain,
                suppress(OSError),
                context.wrap_socket(plain, server_side=True) as tls,
            ):
                tls.recv(65_536)
                tls.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
        b'HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{"data":{"name":"a b"}}',
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_10.0\r\n",
    ],
    ids=["a page", "another API", "nothing there", "no HTTP"],
)
def test_what_answers_and_is_no_proxmox_ve(tmp_path: Path, cluster: FakeProxmox, answer: bytes) -> None:
    with another_server(tmp_path, answer) as endpoint:
        (problem,) = found(cluster, declared(cluster, endpoint=endpoint))
    assert problem.key == "ronron:proxmox.endpoint"
    assert "no Proxmox VE" in problem.problem
    assert "8006" in problem.remedy


def test_a_certificate_for_another_name(tmp_path: Path, cluster: FakeProxmox) -> None:
    with another_server(tmp_path, name="pve.test.example") as endpoint:
        (problem,) = found(cluster, declared(cluster, endpoint=endpoint))
    assert problem.problem == f"the certificate of {endpoint} is made for another name"


def test_a_certificate_that_has_expired(tmp_path: Path, cluster: FakeProxmox) -> None:
    past = datetime(2024, 5, 1, tzinfo=UTC)
    with another_server(tmp_path, not_after=past) as endpoint:
        (problem,) = found(cluster, declared(cluster, endpoint=endpoint))
    assert problem.problem == f"the certificate of {endpoint} has expired"


def test_an_endpoint_that_is_silent_is_given_up(cluster: FakeProxmox) -> None:
    def connect(declared: Proxmox, token: str) -> ProxmoxApi:
        return ProxmoxApi(declared.endpoint, token, deadline=0.3)

    with cluster.fault("slow", seconds=1.0):
        (problem,) = blocking(checks(declared(cluster), SecretStr(cluster.token), None, connect))
    assert problem.key == "ronron:proxmox.endpoint"
    assert "is silent: no answer to /version within 0.3 s" in problem.problem
