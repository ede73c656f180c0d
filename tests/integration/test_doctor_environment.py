"""`ronron doctor ENV` on the real engine, a real Docker and a cluster of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.collectives import Collective, Sealed, web
from tests.support.declarations import PROXMOX, VM
from tests.support.fake_proxmox import FakeProxmox, fake_proxmox

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeProxmox]:
    with fake_proxmox(tmp_path_factory.mktemp("proxmox")) as found:
        yield found


@pytest.fixture
def on_proxmox(
    found: Callable[[], Collective], sealed: Sealed, images: Mapping[str, str], cluster: FakeProxmox
) -> Collective:
    """A collective with a service on this machine, and a machine that is still to be made."""
    collective = found()
    collective.policy(local={})
    more: dict[str, Any] = {"proxmox-token": {"secure": encrypted(sealed, cluster.token)}}
    collective.declare(
        {"site": web(images, "Hello")},
        proxmox={**PROXMOX, "endpoint": cluster.endpoint},
        machines={
            "here": {"docker": "unix:///var/run/docker.sock"},
            "vm01": {"proxmox": {**VM, "address": "198.18.255.250/24", "gateway": "198.18.255.1"}},
        },
        **more,
    )
    collective.push()
    return collective


def encrypted(sealed: Sealed, clear: str) -> str:
    """A secret under the passphrase of `sealed`, as a stack file holds it."""
    place = sealed.passphrase.parent
    subprocess.run(
        ["pulumi", "config", "set", "--secret", "seal:token", "--stack", "seal", "--non-interactive"],
        cwd=place,
        env={
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{place / 'state'}",
            "PULUMI_HOME": str(place / "home"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(sealed.passphrase),
        },
        input=clear,
        text=True,
        check=True,
        capture_output=True,
        timeout=60,
    )
    document = YAML(typ="safe").load((place / "Pulumi.seal.yaml").read_text())
    return str(document["config"]["seal:token"]["secure"])


def findings(collective: Collective, cluster: FakeProxmox) -> tuple[int, dict[str, Any], str]:
    ran = collective.ronron("doctor", "local", "--json", SSL_CERT_FILE=str(cluster.ca))
    return ran.code, {each["name"]: each for each in ran.json()["findings"]}, ran.said


def test_the_cluster_and_each_docker_are_in_the_same_table_as_this_machine(
    on_proxmox: Collective, cluster: FakeProxmox
) -> None:
    cluster.forget_requests()
    _, found, said = findings(on_proxmox, cluster)
    names = list(found)
    own = names[names.index("environment local") :]
    assert [name for name in own if not found[name]["good"]] == []
    assert found["Proxmox VE"]["version"].startswith("9.")
    assert {
        *("Proxmox VE", "privileges", "quorum", "node alice", "bridge vmbr0 on alice", "machine vm01"),
        *("storage local on alice", "storage local-lvm on alice", "storage vault on alice"),
        *("address of vm01", "Docker on here"),
    } <= set(own)
    assert found["Docker on here"]["version"]
    assert cluster.changes == []
    assert cluster.token.partition("=")[2] not in said


def test_what_is_wrong_there_is_told_with_its_remedy_and_ends_with_1(
    on_proxmox: Collective, cluster: FakeProxmox
) -> None:
    with cluster.fault("offline", node="alice"):
        code, found, _ = findings(on_proxmox, cluster)
        plain = on_proxmox.ronron("doctor", "local", SSL_CERT_FILE=str(cluster.ca))
    assert (code, plain.code) == (1, 1)
    assert found["node alice"]["good"] is False
    assert found["node alice"]["origin"] == "the node alice is offline"
    assert found["node alice"]["remedy"].startswith("ronron:machines.vm01.proxmox.node: start it again")
    assert "the node alice is offline" in " ".join(plain.out.split())


def test_a_declaration_that_cannot_be_used_is_a_finding(
    on_proxmox: Collective, cluster: FakeProxmox, tmp_path: Path
) -> None:
    file = on_proxmox.tree / "stacks/Pulumi.local.yaml"
    file.write_text(file.read_text().replace("bridge: vmbr0", "brigde: vmbr0"))
    on_proxmox.push()
    code, found, _ = findings(on_proxmox, cluster)
    assert code == 1
    assert found["environment local"]["good"] is False
    assert "brigde" in found["environment local"]["origin"]
