"""A machine that has just been made becomes one with Docker, on a real systemd, sshd, apt and Docker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chatons.machine.access import first_contact
from chatons.machine.remote import MachineError, Reached
from chatons.machine.setup import changes, failure, run_script, set_up
from ronron.adapters.pulumi_engine.environment import environment
from ronron.settings import EngineSettings
from tests.support.containers import Containers, containers_of_a_test
from tests.support.guest import USER, Guest, guest
from tests.support.ssh_to_docker import new_key, ssh_agent
from toolchain.image_recipes import DEBIAN

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
SERIAL, OPEN, CLOSED = "ronron-data", 80, 8080
OWN_SETTING = {"labels": ["looked-after-by=people"]}

PROGRAM = """
import json, pathlib
import pulumi
from chatons.machine.access import MachineAccess, MachineAccessArgs
from chatons.machine.setup import MachineSetup, MachineSetupArgs

given = json.loads(pathlib.Path("declared.json").read_text())
where = {key: given[key] for key in ("address", "port", "user")}
access = MachineAccess(
    "vm01", MachineAccessArgs(**where, host_key=given["host_key"], identity=given["identity"])
)
setup = MachineSetup(
    "vm01",
    MachineSetupArgs(
        **where, host_key=access.host_key, data_serial=given["data_serial"], open_ports=given["open_ports"],
        identity=given["identity"],
    ),
    opts=pulumi.ResourceOptions(parent=access),
)
pulumi.export("docker", setup.docker)
pulumi.export("host_key", access.host_key)
"""

LISTENER = (
    "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1);"
    'while (my $c = $s->accept) { print $c "purr"; close $c }'
)


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    """Bare at first. The tests below go in the order of its life."""
    for here in containers_of_a_test():
        with (
            tempfile.TemporaryDirectory(prefix="ronron-test-") as place,
            guest(here, Path(place)) as made,
            ssh_agent(Path(place), made.key) as agent,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("SSH_AUTH_SOCK", str(agent))
            made.put("/etc/cloud-init-fails", "")
            made.runs("rm", "/etc/cloud-init-fails")
            yield made


@pytest.fixture
def here() -> Iterator[Containers]:
    yield from containers_of_a_test()


def inputs(machine: Guest, **changed: Any) -> dict[str, Any]:
    """Of both resources."""
    return {
        "machine": "vm01",
        "address": machine.address,
        "port": 22,
        "user": USER,
        "declared_key": None,
        "host_key": machine.host_key,
        "identity": "101/a",
        "data_serial": SERIAL,
        "open_ports": [OPEN],
        **changed,
    }


def reached(machine: Guest) -> Reached:
    return Reached(name="vm01", address=machine.address, port=22, user=USER)


# What can go wrong at the first contact, each with one message.


def test_a_machine_where_nobody_listens(machine: Guest) -> None:
    first_contact(inputs(machine), None, 60)  # it has started
    with pytest.raises(MachineError, match="has no ssh: port 2223 was refused for 1 seconds") as refused:
        first_contact(inputs(machine, port=2223), None, 1)
    assert "systemctl status ssh" in str(refused.value)


def test_a_machine_without_an_address_that_answers(machine: Guest) -> None:
    nobody = str(ip_network(f"{machine.address}/{machine.prefix}", strict=False).broadcast_address - 5)
    with pytest.raises(MachineError, match=r"no address that answers: .*, for 1 seconds") as refused:
        first_contact(inputs(machine, address=nobody), None, 1)
    assert "bridge and VLAN" in str(refused.value)


def test_a_machine_that_lets_the_user_not_in(machine: Guest) -> None:
    with pytest.raises(MachineError, match=r"lets nobody in as stranger: .*Permission denied") as refused:
        first_contact(inputs(machine, user="stranger"), None, 1)
    assert "ssh-add -L" in str(refused.value)


def test_another_host_key_than_the_declared_one(machine: Guest, tmp_path: Path) -> None:
    other = " ".join(new_key(tmp_path / "other").with_suffix(".pub").read_text().split()[:2])
    with pytest.raises(MachineError, match=r"the host key of vm01 .* changed: .* is declared") as refused:
        first_contact(inputs(machine, declared_key=other), None, 30)
    assert machine.host_key in str(refused.value)
    with pytest.raises(MachineError, match=r"changed: .* is pinned at its first contact"):
        first_contact(inputs(machine), other, 30)


# What can go wrong while it is set up.


def test_a_first_boot_that_failed_shows_its_last_lines(machine: Guest) -> None:
    machine.put("/etc/cloud-init-fails", "detail: no such module: frobnicate\n")
    machine.put("/var/log/cloud-init-output.log", "Cloud-init v. 22.4.2 running\nrun-parts failed: purr.sh\n")
    with pytest.raises(MachineError, match=r"cloud-init failed, or did not end \(step `first boot`\)") as bad:
        set_up(inputs(machine))
    assert "status: error" in str(bad.value)
    assert "run-parts failed: purr.sh" in str(bad.value)
    machine.runs("rm", "/etc/cloud-init-fails")


def test_packages_that_cannot_be_had(machine: Guest) -> None:
    machine.put("/etc/apt/sources.list.d/broken.list", "deb nonsense\n")
    with pytest.raises(MachineError, match=r"packages could not be installed \(step `packages`\)") as bad:
        set_up(inputs(machine))
    assert "Malformed" in str(bad.value)
    assert "gateway, DNS, firewall" in str(bad.value)
    machine.runs("rm", "/etc/apt/sources.list.d/broken.list")


def test_a_user_who_may_not_do_everything(machine: Guest) -> None:
    machine.runs("mv", f"/etc/sudoers.d/{USER}", "/root/sudoers")
    with pytest.raises(MachineError, match="the setup did not begin") as bad:
        set_up(inputs(machine))
    assert "a password is required" in str(bad.value)
    machine.runs("mv", "/root/sudoers", f"/etc/sudoers.d/{USER}")


# The whole way, on the engine.


@dataclass
class Project:
    """A checkout with a program of one machine; its state is beside it."""

    root: Path
    declared: dict[str, Any]
    checkout: str = "checkout"
    settings: EngineSettings = field(init=False)

    def __post_init__(self) -> None:
        (self.root / "state").mkdir()
        self.settings = EngineSettings(
            home=self.root / "home",
            backend_url=f"file://{self.root / 'state'}",
            passphrase=SecretStr("correct horse battery"),
        )
        self.move(self.checkout)
        assert self.pulumi("stack", "init", "dev").returncode == 0

    def move(self, checkout: str) -> None:
        """Be in another directory, as each revision is."""
        self.checkout = checkout
        place = self.root / checkout
        place.mkdir()
        (place / "chatons").symlink_to(ROOT / "components" / "chatons")
        (place / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        (place / "__main__.py").write_text(PROGRAM)

    def pulumi(self, *words: str) -> subprocess.CompletedProcess[str]:
        place = self.root / self.checkout
        (place / "declared.json").write_text(json.dumps(self.declared))
        return subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=place,
            # What the reconciler's engine has, and nothing more.
            env=environment(self.settings, os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def up(self) -> dict[str, Any]:
        """Update; the outputs."""
        ran = self.pulumi("up", "--yes", "--skip-preview", "--stack", "dev")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        outputs: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--stack", "dev").stdout
        )
        return outputs

    def preview(self) -> list[tuple[str, str]]:
        """What an update would do."""
        ran = self.pulumi("preview", "--json", "--stack", "dev")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return [
            (step["op"], step["urn"].split("::")[2].rpartition(":")[2])
            for step in json.loads(ran.stdout)["steps"]
            if step["op"] != "same"
        ]


@pytest.fixture(scope="module")
def project(machine: Guest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"), inputs(machine, host_key=None))


def test_bare_debian_becomes_a_docker_that_answers(machine: Guest, project: Project) -> None:
    """Takes over a minute: apt-get installs Docker and the firewall, as on a new machine."""
    machine.shell("mkdir -p /etc/docker")
    machine.put("/etc/docker/daemon.json", json.dumps(OWN_SETTING))
    machine.data_disk(SERIAL)
    outputs = project.up()
    assert outputs == {"docker": f"ssh://{USER}@{machine.address}", "host_key": machine.host_key}
    found = machine.docker_client().info()
    assert found["DockerRootDir"] == "/srv/ronron-data/docker"
    assert found["Driver"] == "overlay2"
    assert found["LiveRestoreEnabled"]
    assert found["Labels"] == OWN_SETTING["labels"]
    assert json.loads(machine.runs("cat", "/etc/docker/daemon.json"))["log-opts"]["max-size"] == "10m"
    assert "srv/ronron-data ext4" in machine.runs("cat", "/etc/fstab")
    assert "passwordauthentication no" in machine.runs("sshd", "-T")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in machine.runs("apt-config", "dump")


def test_nothing_changes_the_second_time_nor_from_another_directory(machine: Guest, project: Project) -> None:
    project.up()
    assert project.preview() == []
    project.move("another-checkout")
    assert project.preview() == []
    kept = project.pulumi("stack", "export", "--stack", "dev").stdout
    assert str(project.root) not in kept
    assert "PRIVATE" not in kept
    ran = run_script(reached(machine), machine.host_key, inputs(machine))
    assert failure(reached(machine), ran) is None
    assert changes(ran) == []


def test_another_set_of_open_ports_is_a_change_in_place(machine: Guest, project: Project) -> None:
    project.declared["open_ports"] = []
    assert project.preview() == [("update", "MachineSetup")]
    project.declared["open_ports"] = [OPEN]


def test_a_host_key_that_changed_is_an_error_before_anything_happens(
    machine: Guest, project: Project
) -> None:
    machine.shell("mkdir /root/keys; cp -p /etc/ssh/ssh_host_ed25519_key* /root/keys/")
    pinned = machine.host_key
    machine.new_host_key()
    ran = project.pulumi("preview", "--stack", "dev")
    assert ran.returncode != 0
    assert "the host key of vm01" in ran.stdout + ran.stderr
    assert f"{pinned} is pinned at its first contact" in ran.stdout + ran.stderr
    # A machine that was made anew shows another one by right.
    project.declared["identity"] = "101/b"
    assert project.up()["host_key"] == machine.host_key
    machine.shell("cp -p /root/keys/* /etc/ssh/; systemctl restart ssh")
    project.declared["host_key"] = pinned
    assert project.up()["host_key"] == pinned


# What is open, and what stays.


@contextmanager
def published(machine: Guest, *ports: int) -> Iterator[None]:
    """Containers that answer whoever reaches them."""
    machine.load([DEBIAN.tag])
    made = [
        machine.docker_client().containers.run(
            DEBIAN.tag, ["perl", "-e", LISTENER], detach=True, init=True, ports={"80/tcp": port}
        )
        for port in ports
    ]
    try:
        yield
    finally:
        for one in made:
            one.remove(force=True)


def answers(machine: Guest, port: int) -> bool:
    try:
        with socket.create_connection((machine.address, port), 2) as opened:
            opened.settimeout(2)
            return opened.recv(16) == b"purr"
    except OSError:
        return False


def test_only_ssh_and_the_doors_that_are_declared_are_open(machine: Guest) -> None:
    with published(machine, OPEN, CLOSED):
        assert answers(machine, OPEN)
        assert not answers(machine, CLOSED)
        machine.shell("systemd-run --quiet --unit listener python3 -m http.server 9000")
        with pytest.raises(OSError, match="timed out"):
            socket.create_connection((machine.address, 9000), 2)
        machine.runs("systemctl", "restart", "docker")
        assert answers(machine, OPEN)
        assert not answers(machine, CLOSED)


def test_a_disk_that_holds_something_is_not_touched(machine: Guest) -> None:
    device = machine.data_disk("full-data", 20)
    machine.shell(f"echo 'label: gpt' | sfdisk --quiet {device}")
    before = machine.runs("sha256sum", "/disk-full-data.img")
    with pytest.raises(MachineError, match=r"the data disk cannot be used \(step `data disk`\)") as refused:
        set_up(inputs(machine, data_serial="full-data"))
    assert "holds something else and is not touched: gpt" in str(refused.value)
    assert machine.runs("sha256sum", "/disk-full-data.img") == before
    with pytest.raises(MachineError, match="no disk has the serial missing"):
        set_up(inputs(machine, data_serial="missing"))


def test_a_docker_that_does_not_start_is_told_in_its_own_words(machine: Guest) -> None:
    good = machine.runs("cat", "/etc/docker/daemon.json")
    machine.put("/etc/docker/daemon.json", json.dumps({**json.loads(good), "no-such-option": True}))
    with pytest.raises(MachineError, match="Docker could not be installed or started") as bad:
        set_up(inputs(machine))
    assert "no-such-option" in str(bad.value)
    machine.put("/etc/docker/daemon.json", "{")
    with pytest.raises(MachineError, match="is no JSON"):
        set_up(inputs(machine))
    machine.put("/etc/docker/daemon.json", good)
    machine.shell("systemctl reset-failed docker")
    set_up(inputs(machine))


def test_a_machine_that_restarts_without_its_disk_runs_no_docker_and_is_mended(machine: Guest) -> None:
    machine.docker_client().volumes.create("precious")
    machine.restart()
    # Nothing tells its systemd of disks (there is no udev), so that it starts as one that lost its disk.
    first_contact(inputs(machine), machine.host_key, 120)
    assert machine.shell("systemctl is-active docker || true").strip() != "active"
    machine.data_disk(SERIAL)
    assert "policy drop" in machine.runs("nft", "list", "table", "inet", "ronron")
    set_up(inputs(machine))
    assert machine.docker_client().volumes.get("precious").name == "precious"
