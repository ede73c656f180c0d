"""The setup of a machine for Docker. The script `setup.sh` runs on the machine and documents each step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from chatons.machine.remote import (
    CommandResult,
    Deadline,
    MachineError,
    RemoteMachine,
    close_shared_connection,
    login_failed,
    run,
    shell,
)
from chatons.machine.tracebacks import without_traceback

_SCRIPT = Path(__file__).with_suffix(".sh")
_SETUP_SECONDS = 1800.0
"""The first boot may take 15 minutes (see the script), packages (150 MB) from a slow mirror 10 minutes."""
_DOCKER_SECONDS = 60.0
_SSH_FAILED = 255
_STEP = "== ronron: "
_DONE = "done"

_COMPARED = (
    "machine",
    "address",
    "port",
    "user",
    "host_key",
    "identity",
    "data_serial",
    "open_ports",
    "script",
)
"""Inputs that `diff` compares. The engine adds an input of its own."""

_FAILED = {
    "": (
        "the setup did not start",
        "allow its user `sudo` without a password; the user that cloud-init creates has this permission",
    ),
    "first boot": (
        "cloud-init failed or timed out",
        "read /var/log/cloud-init-output.log there; if its `user_data` is the cause, fix that file and "
        "replace the machine (`replace`), else run `sudo cloud-init clean --reboot` there to start again",
    ),
    "packages": (
        "cannot install Debian's packages",
        "check that the machine reaches its mirror (`sudo apt-get update` there): gateway, DNS, firewall",
    ),
    "ssh server": ("sshd rejects the settings", "check /etc/ssh/sshd_config there: `sudo sshd -T`"),
    "firewall": (
        "cannot load the firewall",
        "run `sudo nft --check --file /etc/ronron/firewall.nft` there",
    ),
    "data disk": (
        "cannot use the data disk",
        "check it there with `lsblk -f`; Ronron formats only an empty disk: wipe it with `sudo wipefs -a` if "
        "nothing on it is needed",
    ),
    "docker": (
        "cannot install or start Docker",
        "check `systemctl status docker` and /etc/docker/daemon.json there",
    ),
    "docker check": ("Docker does not answer", "read `sudo journalctl -u docker` there"),
}
_OTHER_STEP = ("a step failed", "fix the cause there, then update again: completed steps are not repeated")

Props = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MachineSetupArgs:
    """Arguments of a MachineSetup."""

    address: pulumi.Input[str]
    """IP address."""
    port: int
    user: str
    host_key: pulumi.Input[str]
    """The only trusted host key."""
    data_serial: str | None
    """Serial of the disk for all of Docker's data; None uses the system disk."""
    open_ports: Sequence[int]
    """TCP ports that the firewall opens besides that of ssh."""
    identity: pulumi.Input[str]
    """Changes when the machine is replaced: a new machine needs the setup again."""


class SetupProvider(ResourceProvider):
    """The provider of MachineSetup. It has no attributes: the state refers to this class by name."""

    serialize_as_secret_always = False

    @without_traceback(MachineError)
    def create(self, props: dict[str, Any]) -> CreateResult:
        """Set the machine up."""
        return CreateResult(RemoteMachine.of(props).address, outs=set_up(props))

    @without_traceback(MachineError)
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare the inputs. A new version of the script runs on the existing machine."""
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in _COMPARED), replaces=[])

    @without_traceback(MachineError)
    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Run the setup again: completed steps are not repeated."""
        return UpdateResult(outs=set_up(news))


def set_up(props: Props) -> dict[str, Any]:
    """Run the script on the machine and check that the user can use Docker.

    Returns:
        The outputs for the state.

    Raises:
        MachineError: a step failed; the text has its name and the last lines of its output.
    """
    machine, host_key = RemoteMachine.of(props), str(props["host_key"])
    error = failure(machine, run_script(machine, host_key, props))
    if error is not None:
        raise error
    # The shared connection may be older than the user's membership in the group docker.
    close_shared_connection(machine, host_key)
    _wait_for_docker(machine, host_key)
    return {key: props.get(key) for key in _COMPARED}


def run_script(machine: RemoteMachine, host_key: str, props: Props) -> CommandResult:
    """Run the script on the machine; its result."""
    ports = " ".join(str(int(port)) for port in props["open_ports"])
    serial = str(props.get("data_serial") or "")
    command = shell("sudo", "-n", "sh", "-s", "--", machine.user, str(machine.port), serial, ports)
    return run(machine, host_key, command, seconds=_SETUP_SECONDS, script=_SCRIPT.read_text())


def failure(machine: RemoteMachine, result: CommandResult) -> MachineError | None:
    """The error of a script that did not complete; None when it did. Pure."""
    marks = [line for line in result.output.splitlines() if line.startswith(_STEP)]
    step = marks[-1].removeprefix(_STEP).strip() if marks else ""
    if result.code == 0 and step == _DONE:
        return None
    if result.code == _SSH_FAILED and not marks:
        return login_failed(machine, result)
    output = CommandResult(
        result.code, result.output.rpartition(_STEP)[2].partition("\n")[2] if marks else result.output
    )
    problem, remedy = _FAILED.get(step, _OTHER_STEP)
    at = f" (step `{step}`)" if step else ""
    return MachineError(f"{machine}: {problem}{at}:\n{output.last_lines}", remedy)


def _wait_for_docker(machine: RemoteMachine, host_key: str) -> None:
    deadline = Deadline(_DOCKER_SECONDS)
    command = shell("docker", "version", "--format", "{{.Server.Version}}")
    while (result := run(machine, host_key, command, seconds=30)).code != 0:
        if not deadline.pause():
            raise MachineError(
                f"{machine.user} cannot use Docker on {machine}:\n{result.last_lines}",
                f"run `docker version` there as {machine.user}; the user must be in the group docker",
            )


def script_version() -> str:
    """A hash of the script. A changed script runs on existing machines too."""
    return hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()[:16]


class MachineSetup(Resource, module="chatons", name="MachineSetup"):
    """A machine that is set up for Docker."""

    docker: pulumi.Output[str]
    """`ssh://user@address`; resolved when Docker answers."""

    def __init__(self, name: str, args: MachineSetupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {
            "machine": name,
            "address": args.address,
            "port": args.port,
            "user": args.user,
            "host_key": args.host_key,
            "identity": args.identity,
            "data_serial": args.data_serial,
            "open_ports": list(args.open_ports),
            "script": script_version(),
        }
        super().__init__(SetupProvider(), name, props, opts)
        # From the id and the declaration, not from an output: a preview of a changed script then still knows
        # the address of Docker and shows the changes on it.
        self.docker = pulumi.Output.all(self.id, args.address).apply(
            lambda known: (
                RemoteMachine(name=name, address=str(known[1]), port=args.port, user=args.user).docker
            )
        )
