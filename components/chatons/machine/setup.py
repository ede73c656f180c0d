"""A machine that is made ready for Docker by a script of ours: `machine_setup.sh` says what is done there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from chatons.machine.remote import (
    Answer,
    Deadline,
    MachineError,
    Reached,
    forget_connection,
    login_refused,
    run,
    shell,
)
from chatons.machine.tracebacks import without_traceback

_SCRIPT = Path(__file__).with_suffix(".sh")
_SETUP_SECONDS = 1800.0
"""The first start may take 15 minutes, see the script; packages (150 MB) from a slow mirror 10."""
_ANSWER_SECONDS = 60.0
_SSH_FAILED = 255
_STEP = "== ronron: "
_CHANGED = "changed: "
_DONE = "done"

_DECIDE = (
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
"""Inputs that are looked at; the engine adds one of its own."""

_FAILED = {
    "": (
        "the setup did not begin",
        "its user has to be allowed `sudo` without a password; the user that cloud-init makes is",
    ),
    "first boot": (
        "cloud-init failed, or did not end",
        "look at /var/log/cloud-init-output.log there; where its `user_data` is the cause, mend that file "
        "and make the machine anew (`replace`), else `sudo cloud-init clean --reboot` lets it begin again",
    ),
    "packages": (
        "Debian's packages could not be installed",
        "see whether the machine reaches its mirror (`sudo apt-get update` there): gateway, DNS, firewall",
    ),
    "ssh server": ("sshd does not take the settings", "look at /etc/ssh/sshd_config there: `sudo sshd -T`"),
    "firewall": (
        "the firewall could not be loaded",
        "run `sudo nft --check --file /etc/ronron/firewall.nft` there",
    ),
    "data disk": (
        "the data disk cannot be used",
        "look at it there (`lsblk -f`); only a disk that holds nothing at all is formatted: wipe it with "
        "`sudo wipefs -a` if what is on it may go",
    ),
    "docker": (
        "Docker could not be installed or started",
        "look at `systemctl status docker` and /etc/docker/daemon.json there",
    ),
    "answer": ("Docker does not answer", "look at `sudo journalctl -u docker` there"),
}
_ANY = ("a step failed", "look at it there, and update again: what is done already is not done twice")

Props = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MachineSetupArgs:
    """Arguments of a MachineSetup."""

    address: pulumi.Input[str]
    """An IP."""
    port: int
    user: str
    host_key: pulumi.Input[str]
    """The only one that is trusted."""
    data_serial: str | None
    """Serial of the disk that Docker keeps everything on; None: the system's own."""
    open_ports: Sequence[int]
    """TCP ports that strangers may reach, besides that of ssh."""
    identity: pulumi.Input[str] = ""
    """Another one when the machine was made anew, and has to be set up again."""


class SetupProvider(ResourceProvider):
    """What is done for a MachineSetup. Keeps nothing: the state refers to this class by name."""

    serialize_as_secret_always = False

    @without_traceback(MachineError)
    def create(self, props: dict[str, Any]) -> CreateResult:
        """Set the machine up."""
        return CreateResult(Reached.of(props).address, outs=set_up(props))

    @without_traceback(MachineError)
    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """What differs. Another script is run over the machine that is there."""
        return DiffResult(changes=any(olds.get(key) != news.get(key) for key in _DECIDE), replaces=[])

    @without_traceback(MachineError)
    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Set it up again: what is there already stays."""
        return UpdateResult(outs=set_up(news))


def set_up(props: Props) -> dict[str, Any]:
    """Run the script there, to its end, and see that the user reaches Docker.

    Returns:
        What the state keeps.

    Raises:
        MachineError: a step failed; with its name and the last lines that it wrote.
    """
    reached, host_key = Reached.of(props), str(props["host_key"])
    ran = run_script(reached, host_key, props)
    problem = failure(reached, ran)
    if problem is not None:
        raise problem
    # Ronron's own shared connection may be older than the user's group.
    forget_connection(reached, host_key)
    _await_docker(reached, host_key)
    return {key: props.get(key) for key in _DECIDE}


def run_script(reached: Reached, host_key: str, props: Props) -> Answer:
    """Run the script on the machine."""
    ports = " ".join(str(int(port)) for port in props["open_ports"])
    serial = str(props.get("data_serial") or "")
    command = shell("sudo", "-n", "sh", "-s", "--", reached.user, str(reached.port), serial, ports)
    return run(reached, host_key, command, seconds=_SETUP_SECONDS, script=_SCRIPT.read_text())


def failure(reached: Reached, ran: Answer) -> MachineError | None:
    """What is wrong where the script did not come to its end. Pure."""
    marks = [line for line in ran.said.splitlines() if line.startswith(_STEP)]
    step = marks[-1].removeprefix(_STEP).strip() if marks else ""
    if ran.code == 0 and step == _DONE:
        return None
    if ran.code == _SSH_FAILED and not marks:
        return login_refused(reached, ran)
    said = Answer(ran.code, ran.said.rpartition(_STEP)[2].partition("\n")[2] if marks else ran.said)
    what, remedy = _FAILED.get(step, _ANY)
    at = f" (step `{step}`)" if step else ""
    return MachineError(f"{reached}: {what}{at}:\n{said.last_lines}", remedy)


def changes(ran: Answer) -> list[str]:
    """What was not as it should be, and is now."""
    return [line.removeprefix(_CHANGED) for line in ran.said.splitlines() if line.startswith(_CHANGED)]


def _await_docker(reached: Reached, host_key: str) -> None:
    deadline = Deadline(_ANSWER_SECONDS)
    command = shell("docker", "version", "--format", "{{.Server.Version}}")
    while (answer := run(reached, host_key, command, seconds=30)).code != 0:
        if not deadline.pause():
            raise MachineError(
                f"{reached} has no Docker that answers {reached.user}:\n{answer.last_lines}",
                f"run `docker version` there as {reached.user}, who has to be in the group docker",
            )


def script_version() -> str:
    """Another one for another script: the machines that are there get that one, too."""
    return hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()[:16]


class MachineSetup(Resource, module="chatons", name="MachineSetup"):
    """A machine with Docker answering on it."""

    docker: pulumi.Output[str]
    """`ssh://user@address`; comes when Docker answers."""

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
        # By the id and what is declared: a preview of another script then still knows where Docker is, and
        # what changes on it.
        self.docker = pulumi.Output.all(self.id, args.address).apply(
            lambda known: Reached(name=name, address=str(known[1]), port=args.port, user=args.user).docker
        )
