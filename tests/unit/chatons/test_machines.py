"""The machines of a declaration, from the image to the Docker host."""

from __future__ import annotations

import pytest

from chatons.declaration.resolved import Declaration
from chatons.machines import open_ports
from tests.support.declarations import DATA, HOST_KEY, VM, declaration, proxmox_declaration
from tests.support.programs import PROVIDER, Program, Registered, run, secret
from tests.support.programs import VM as VM_TYPE

NAME = "vm01"
PLAIN = {"docker": "ssh://tech@old.test.example", "host_key": HOST_KEY}
EVERYBODY = "0.0.0.0"  # noqa: S104
CLUSTER = "pulumi:providers:proxmoxve"


@pytest.fixture(scope="module")
def program() -> Program:
    return run(proxmox_declaration())


def test_docker_hosts_have_stable_names() -> None:
    """Another name would replace everything on the host."""
    found = run(declaration())
    host = found.one("chatons:index:DockerHost", "here")
    assert host.urn.endswith("pulumi:Stack$chatons:index:DockerHost::here")
    provider = found.one(PROVIDER, "here")
    assert provider.urn.endswith("::chatons:index:DockerHost$pulumi:providers:docker::here")
    assert provider.inputs["host"] == "unix:///var/run/docker.sock"


def test_without_a_virtual_machine_nothing_of_a_cluster_is_registered() -> None:
    found = run(declaration())
    assert not [each for each in found.resources if "proxmox" in each.type or "dynamic" in each.type]


def test_the_provider_has_the_token_as_a_secret_and_no_ssh(program: Program) -> None:
    found = program.one(CLUSTER, "proxmox")
    assert found.inputs["endpoint"] == "https://alice.test.example:8006/"
    assert found.inputs["apiToken"] == secret("proxmox-token")
    assert ("apiToken",) in found.secrets
    assert "ssh" not in found.inputs


def test_every_resource_of_the_cluster_uses_the_declared_provider(program: Program) -> None:
    cluster = program.one(CLUSTER, "proxmox").urn
    for each in program.resources:
        if each.type.startswith("proxmoxve:"):
            assert each.request.provider.startswith(cluster), each.name


def test_services_run_on_a_virtual_machine(program: Program) -> None:
    names = {each.name for each in program.containers}
    assert {"pad", "team", "board", "wiki", f"edge-{NAME}"} <= names


def test_docker_is_reached_at_the_declared_address_and_not_at_one_from_the_agent(program: Program) -> None:
    inputs = " ".join(str(each.inputs) for each in program.resources if each.name == NAME)
    assert "192.0.2.11" in inputs
    assert "ipv4Addresses" not in inputs


def test_a_virtual_machine_without_services_is_registered() -> None:
    found = run(proxmox_declaration(machines={NAME: {}, "vm02": {"vm_id": 102, "address": "192.0.2.12/24"}}))
    assert {each.name for each in found.of(VM_TYPE)} == {NAME, "vm02"}


def test_an_image_is_downloaded_once_for_each_node() -> None:
    other = {"vm_id": 102, "address": "192.0.2.12/24"}
    images = "proxmoxve:download/file:File"
    assert len(run(proxmox_declaration(machines={NAME: {}, "vm02": other})).of(images)) == 1
    elsewhere = proxmox_declaration(machines={NAME: {}, "vm02": {**other, "node": "bob"}})
    first, second = run(elsewhere).of(images)
    assert first.inputs["fileName"] != second.inputs["fileName"]


def test_no_machine_depends_on_another() -> None:
    """A machine that fails or is excluded does not block the others."""
    found = run(proxmox_declaration(machines={NAME: {}, "vm02": {"vm_id": 102, "address": "192.0.2.12/24"}}))
    for name, other in ((NAME, "vm02"), ("vm02", NAME)):
        waits = " ".join(found.one(VM_TYPE, name).request.dependencies)
        assert other not in waits


def test_the_backup_job_has_every_machine_and_no_holder_of_a_data_disk(program: Program) -> None:
    jobs: list[Registered] = [each for each in program.resources if "MachineBackup$" in each.urn]
    (job,) = jobs
    assert job.inputs["settings"]["vmid"] == str(VM["vm_id"])
    assert str(DATA["vm_id"]) not in str(job.inputs)


@pytest.mark.parametrize(
    ("edits", "ports"),
    [
        ({}, []),
        ({("edge", "bind"): EVERYBODY}, [8080]),
        ({("edge", "bind"): EVERYBODY, ("edge", "tls"): "internal"}, [443, 8080]),
        ({("edge", "bind"): EVERYBODY, ("services",): {}}, []),
    ],
)  # fmt: skip
def test_only_the_ports_of_a_public_edge_are_open(edits: dict[object, object], ports: list[int]) -> None:
    declared: Declaration = proxmox_declaration(edits)
    assert open_ports(declared, NAME) == ports
