"""A machine that is being made ready, reached by ssh: waiting for it, its host key, and scripts run there.

Runs inside the engine's process for dynamic resources, where blocking is fine.
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
_BOOTING = ("System is booting up", "pam_nologin")
_SSH_FAILED = 255
_MOST_LINES = 15
_LONGEST_LINE = 300

_ALONE = ["-o", "ControlMaster=no", "-o", "ControlPath=none"]
"""A shared connection has the groups of when it was opened, and would hide a host key that changed since."""


class MachineError(ChatonsError):
    """A machine is not as it has to be: what did not come, and what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How a machine is reached.

    Attributes:
        name: for messages.
        address: an IP.
    """

    name: str
    address: str
    port: int
    user: str

    @classmethod
    def of(cls, props: Mapping[str, Any]) -> Self:
        """As the inputs of a dynamic resource have it; numbers come back from the engine as floats."""
        return cls(
            name=str(props["machine"]),
            address=str(props["address"]),
            port=int(props["port"]),
            user=str(props["user"]),
        )

    @property
    def docker(self) -> str:
        """The same as an address of Docker."""
        host = f"[{self.address}]" if ipaddress.ip_address(self.address).version == 6 else self.address
        return f"ssh://{self.user}@{host}" + ("" if self.port == 22 else f":{self.port}")

    @property
    def ssh(self) -> SshAddress:
        """The same for `ssh_options`."""
        return SshAddress(user=self.user, host=self.address, port=self.port)

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


@dataclass
class Deadline:
    """How long one waits.

    Attributes:
        seconds: from the making of this on.
    """

    seconds: float
    _end: float = field(init=False)

    def __post_init__(self) -> None:
        self._end = time.monotonic() + self.seconds

    @property
    def left(self) -> float:
        """Seconds, 0 when it is over."""
        return max(0.0, self._end - time.monotonic())

    def pause(self) -> bool:
        """Wait a little; False when the time is over."""
        if not self.left:
            return False
        time.sleep(min(_PAUSE_SECONDS, self.left))
        return True

    def __str__(self) -> str:
        return f"{self.seconds / 60:.0f} minutes" if self.seconds >= 120 else f"{self.seconds:.0f} seconds"


@dataclass(frozen=True)
class Answer:
    """What a command said: exit code, and its output with its errors in between."""

    code: int
    said: str

    @property
    def last_lines(self) -> str:
        """The end of it, indented."""
        lines = [line.rstrip()[:_LONGEST_LINE] for line in self.said.splitlines() if line.strip()]
        return "\n".join(f"    {line}" for line in lines[-_MOST_LINES:])


def shown_key(reached: Reached) -> str | None:
    """The ed25519 host key that is shown there now, as `ssh-ed25519 AAAA...`; None where nobody answers."""
    try:
        done = subprocess.run(
            [
                "ssh-keyscan",
                "-t",
                "ed25519",
                "-T",
                str(_SCAN_SECONDS),
                "-p",
                str(reached.port),
                reached.address,
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
            "there is no program `ssh-keyscan` here", "install it: apt install openssh-client"
        ) from error
    except subprocess.TimeoutExpired:
        return None
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "ssh-ed25519":
            return " ".join(words[1:3])
    return None


def await_key(reached: Reached, deadline: Deadline) -> str:
    """The host key, as soon as the machine shows one.

    Raises:
        MachineError: it does not within the time; with the step that did not come.
    """
    while True:
        trouble = _no_connection(reached)
        if trouble is None and (key := shown_key(reached)) is not None:
            return key
        if not deadline.pause():
            break
    if trouble is None:
        raise MachineError(
            f"{reached} listens on port {reached.port} and shows no ed25519 host key",
            "look at its console whether sshd runs; `ssh-keygen -A` there makes the keys",
        )
    if trouble.errno == errno.ECONNREFUSED:
        raise MachineError(
            f"{reached} is there and has no ssh: port {reached.port} was refused for {deadline}",
            "look at its console whether it has started and sshd runs (`systemctl status ssh`); an image "
            "without sshd cannot be used",
        )
    raise MachineError(
        f"{reached} has no address that answers: {_words(trouble)}, for {deadline}",
        "look at its console (`ip addr` there): address, gateway, bridge and VLAN have to be those of the "
        "network, and a firewall has to let ssh from here through",
    )


def _no_connection(reached: Reached) -> OSError | None:
    try:
        socket.create_connection((reached.address, reached.port), _CONNECT_SECONDS).close()
    except OSError as error:
        return error
    return None


def _words(error: OSError) -> str:
    return "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()


def await_login(reached: Reached, host_key: str, deadline: Deadline) -> None:
    """Wait until the user is let in: cloud-init makes it after sshd is there.

    Raises:
        MachineError: it is not, or another host key is shown.
    """
    own = Deadline(min(_LOGIN_SECONDS, max(deadline.left, 1)))
    while True:
        answer = run(reached, host_key, "true", seconds=30)
        if answer.code == 0:
            return
        # That the machine still starts takes as long as it takes.
        waiting = deadline if any(words in answer.said for words in _BOOTING) else own
        if not waiting.pause():
            raise login_refused(reached, answer)


def login_refused(reached: Reached, answer: Answer) -> MachineError:
    """Ssh itself failed, after a key was seen."""
    if "Permission denied" in answer.said:
        return MachineError(
            f"{reached} lets nobody in as {reached.user}: {_last(answer)}",
            "one of the keys that `ssh-add -L` lists here has to be among its `keys`, which it takes when it "
            "starts, and SSH_AUTH_SOCK has to be set for whoever updates",
        )
    return MachineError(
        f"{reached} cannot be reached by ssh as {reached.user}: {_last(answer)}",
        f"try it by hand: ssh {reached.user}@{reached.address}",
    )


def key_changed(reached: Reached, pinned: str, shown: str, *, declared: bool) -> MachineError:
    """Another host key than the one that is known."""
    known = "declared" if declared else "pinned at its first contact"
    return MachineError(
        f"the host key of {reached} changed: it shows {shown}, and {pinned} is {known}",
        "if you rebuilt it, compare the new key with its console (`cat /etc/ssh/ssh_host_ed25519_key.pub`) "
        "and declare it as its `host_key`; if nobody did, somebody may stand in between: do not connect",
    )


def run(
    reached: Reached, host_key: str, command: str, *, seconds: float, script: str | None = None
) -> Answer:
    """Run a command of the machine's shell, on a connection of its own, and wait for its end.

    Args:
        reached: where.
        host_key: the only one that is trusted.
        command: read by a shell there.
        seconds: after which it is given up.
        script: its input.

    Returns:
        What it said; code 255 where ssh itself failed, or the time was over.
    """
    try:
        done = subprocess.run(
            [*_ssh(reached, host_key, _ALONE), command],
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
            "there is no program `ssh` here", "install it: apt install openssh-client"
        ) from error
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        text = said if isinstance(said, str) else bytes(said).decode(errors="replace")
        return Answer(_SSH_FAILED, f"{text}\nno end within {seconds:.0f} seconds")
    return Answer(done.returncode, done.stdout)


def forget_connection(reached: Reached, host_key: str) -> None:
    """End a shared connection, if there is one: who uses it again has the groups of today."""
    subprocess.run(
        _ssh(reached, host_key, ["-O", "exit"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=30,
    )


def _ssh(reached: Reached, host_key: str, first: list[str]) -> list[str]:
    # Without that directory ssh complains, and a shared connection has no place.
    Path.home().joinpath(".ssh").mkdir(mode=0o700, exist_ok=True)
    options = [*first, *ssh_options(reached.ssh, host_key)]
    return ["ssh", *options, "-l", reached.user, "-p", str(reached.port), "--", reached.address]


def shell(*words: str) -> str:
    """A command line of these words."""
    return shlex.join(words)


def _last(answer: Answer) -> str:
    lines = [line.strip() for line in answer.said.splitlines() if line.strip()]
    return lines[-1][:_LONGEST_LINE] if lines else "ssh said nothing"
