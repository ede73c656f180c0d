"""Access to a machine by ssh: wait for it, read its host key, run commands on it.

Runs in the engine's process for dynamic resources, which may block.
"""

from __future__ import annotations

import errno
import ipaddress
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chatons.machine.ssh import SshAddress, ssh_options
from chatons.schema.errors import ChatonsError

_CONNECT_SECONDS = 5.0
_SCAN_SECONDS = 5
_LOGIN_SECONDS = 60.0
_PAUSE_SECONDS = 2.0
_STILL_BOOTING = ("System is booting up", "pam_nologin")
_SSH_FAILED = 255
_MOST_LINES = 15
_LONGEST_LINE = 300

_NO_SHARED_CONNECTION = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
"""A shared connection keeps the groups of the time when it was opened, and hides a changed host key."""


class MachineError(ChatonsError):
    """A machine cannot be reached, or its setup failed; the text says what failed and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")


@dataclass(frozen=True, kw_only=True)
class RemoteMachine:
    """A machine and how to reach it by ssh.

    Attributes:
        name: for messages.
        address: IP address.
    """

    name: str
    address: str
    port: int
    user: str

    @classmethod
    def of(cls, props: Mapping[str, Any]) -> Self:
        """Read it from the inputs of a dynamic resource. The engine hands numbers back as floats."""
        return cls(
            name=str(props["machine"]),
            address=str(props["address"]),
            port=int(props["port"]),
            user=str(props["user"]),
        )

    @property
    def docker(self) -> str:
        """The address of its Docker, as `ssh://user@host:port`."""
        host = f"[{self.address}]" if ipaddress.ip_address(self.address).version == 6 else self.address
        return f"ssh://{self.user}@{host}" + ("" if self.port == 22 else f":{self.port}")

    @property
    def ssh(self) -> SshAddress:
        """The address that `ssh_options` takes."""
        return SshAddress(user=self.user, host=self.address, port=self.port)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


@dataclass
class Deadline:
    """The end of a wait.

    Attributes:
        seconds: length of the wait, counted from the creation of this object.
    """

    seconds: float
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds that are left; 0 after the end."""
        return max(0.0, self._end - time.monotonic())

    def pause(self) -> bool:
        """Sleep before the next try; False when no time is left."""
        if not self.left:
            return False
        time.sleep(min(_PAUSE_SECONDS, self.left))
        return True

    def __str__(self) -> str:
        return f"{self.seconds / 60:.0f} minutes" if self.seconds >= 120 else f"{self.seconds:.0f} seconds"


@dataclass(frozen=True)
class CommandResult:
    """The exit code of a command, and its standard output and standard error together."""

    code: int
    output: str

    @property
    def last_lines(self) -> str:
        """The last lines of the output, indented."""
        lines = [line.rstrip()[:_LONGEST_LINE] for line in self.output.splitlines() if line.strip()]
        return "\n".join(f"    {line}" for line in lines[-_MOST_LINES:])


def current_host_key(machine: RemoteMachine) -> str | None:
    """The ed25519 host key that the machine has now, as `ssh-ed25519 AAAA...`; None without an answer."""
    try:
        done = subprocess.run(
            [
                "ssh-keyscan",
                "-t",
                "ed25519",
                "-T",
                str(_SCAN_SECONDS),
                "-p",
                str(machine.port),
                machine.address,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=4 * _SCAN_SECONDS,
        )
    except FileNotFoundError as error:
        raise MachineError(
            "cannot find the program `ssh-keyscan`", "install it: apt install openssh-client"
        ) from error
    except subprocess.TimeoutExpired:
        return None
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "ssh-ed25519":
            return " ".join(words[1:3])
    return None


def wait_for_host_key(machine: RemoteMachine, deadline: Deadline) -> str:
    """Wait until the machine sends a host key, and return the key.

    Raises:
        MachineError: no host key before the deadline; the text names the step that failed.
    """
    while True:
        error = _connection_error(machine)
        if error is None and (key := current_host_key(machine)) is not None:
            return key
        if not deadline.pause():
            break
    if error is None:
        raise MachineError(
            f"{machine} listens on port {machine.port} but sends no ed25519 host key",
            "check on its console that sshd runs; `ssh-keygen -A` there creates missing keys",
        )
    if error.errno == errno.ECONNREFUSED:
        raise MachineError(
            f"{machine} has no ssh server: connection refused on port {machine.port} for {deadline}",
            "check on its console that it has started and that sshd runs (`systemctl status ssh`); an image "
            "without sshd cannot be used",
        )
    raise MachineError(
        f"{machine} is unreachable: {_reason(error)} for {deadline}",
        "check on its console (`ip addr`) that address, gateway, bridge and VLAN match the network, and that "
        "no firewall blocks ssh from here",
    )


def _connection_error(machine: RemoteMachine) -> OSError | None:
    try:
        socket.create_connection((machine.address, machine.port), _CONNECT_SECONDS).close()
    except OSError as error:
        return error
    return None


def _reason(error: OSError) -> str:
    return "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()


def wait_for_login(machine: RemoteMachine, host_key: str, deadline: Deadline) -> None:
    """Wait until the user can log in: cloud-init creates the user after sshd has started.

    Raises:
        MachineError: the login was refused until the deadline, or the host key is another one.
    """
    login = Deadline(min(_LOGIN_SECONDS, max(deadline.left, 1)))
    while True:
        result = run(machine, host_key, "true", seconds=30)
        if result.code == 0:
            return
        # A machine that is still booting may use the whole deadline.
        waiting = deadline if any(text in result.output for text in _STILL_BOOTING) else login
        if not waiting.pause():
            raise login_failed(machine, result)


def login_failed(machine: RemoteMachine, result: CommandResult) -> MachineError:
    """The error for a failed ssh connection to a machine whose host key is known."""
    if "Permission denied" in result.output:
        return MachineError(
            f"{machine} refuses the login as {machine.user}: {_last_line(result)}",
            "declare one of the keys that `ssh-add -L` lists here among its `keys` (the machine reads them "
            "when it starts), and set SSH_AUTH_SOCK in the environment of the update",
        )
    return MachineError(
        f"{machine} is unreachable by ssh as {machine.user}: {_last_line(result)}",
        f"run it by hand: ssh {machine.user}@{machine.address}",
    )


def host_key_changed(machine: RemoteMachine, expected: str, current: str, *, declared: bool) -> MachineError:
    """The error for a machine with another host key than the expected one."""
    origin = "declared" if declared else "pinned at the first contact"
    return MachineError(
        f"the host key of {machine} changed: it is {current}, but {expected} is {origin}",
        "if you rebuilt the machine, compare the new key on its console "
        "(`cat /etc/ssh/ssh_host_ed25519_key.pub`) and declare it as its `host_key`; if nobody did, do not "
        "connect: this may be a man-in-the-middle attack",
    )


def run(
    machine: RemoteMachine, host_key: str, command: str, *, seconds: float, script: str | None = None
) -> CommandResult:
    """Run a shell command on the machine, on a connection of its own, and wait for its end.

    Args:
        machine: where to run it.
        host_key: the only trusted host key.
        command: a line for the shell there.
        seconds: timeout.
        script: text for the standard input.

    Returns:
        The result; code 255 when ssh itself failed or the command timed out.
    """
    try:
        done = subprocess.run(
            [*_ssh(machine, host_key, _NO_SHARED_CONNECTION), command],
            input=script or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except FileNotFoundError as error:
        raise MachineError(
            "cannot find the program `ssh`", "install it: apt install openssh-client"
        ) from error
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output if isinstance(output, str) else bytes(output).decode(errors="replace")
        return CommandResult(_SSH_FAILED, f"{text}\ntimed out after {seconds:.0f} seconds")
    return CommandResult(done.returncode, done.stdout)


def close_shared_connection(machine: RemoteMachine, host_key: str) -> None:
    """Close the shared connection, if it is open. The next one has the current groups of the user."""
    subprocess.run(
        _ssh(machine, host_key, ["-O", "exit"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )


def _ssh(machine: RemoteMachine, host_key: str, more: list[str]) -> list[str]:
    # The sockets of shared connections are in this directory, and ssh warns when it is missing.
    Path.home().joinpath(".ssh").mkdir(mode=0o700, exist_ok=True)
    options = [*more, *ssh_options(machine.ssh, host_key)]
    return ["ssh", *options, "-l", machine.user, "-p", str(machine.port), "--", machine.address]


def shell(*words: str) -> str:
    """Quote words as one line for a shell."""
    return shlex.join(words)


def _last_line(result: CommandResult) -> str:
    lines = [line.strip() for line in result.output.splitlines() if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else "ssh printed nothing"
