"""How restic is called and what its words mean: written for 0.14 (Debian 12), and knows later exit codes.

0.14 ends with 1 whatever is wrong, so its text has to be read; 0.17 and later say it by 10 (no repository),
11 (locked) and 12 (wrong password). Source: restic's documentation, Scripting, Exit codes; for the texts, its
source at v0.14.0.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import standstill
from .children import Child, Ended, StalledError, StandsStillError
from .configuration import Configuration, Places, Secrets, Ssh
from .errors import AgentError, NoRepositoryError, redacted, shortened

NO_REPOSITORY = 10
LOCKED = 11
WRONG_PASSWORD = 12
UNREADABLE_SOURCES = 3

QUICK_SECONDS = 120.0
"""For what reads a few small files of a repository."""

LONG_SECONDS = 12 * 3600.0
"""For what moves a service's whole content over a slow line."""

ROOM = 64 * 1024 * 1024
"""Bytes: less than this is too little for the packs of 16 MiB that restic writes at once."""

_HOST_ALIAS = "ronron-repository"

_ABSENT = re.compile(
    r"unable to open config file:.*(no such file|does not exist|file not found|NoSuchKey|key does not exist"
    r"|\b404\b)",
    re.IGNORECASE | re.DOTALL,
)
# A refusal is not an absence: some servers answer 404 only for what is not there, others 403 for both.
_SIGNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("wrong-password", re.compile(r"wrong password or no key found", re.IGNORECASE)),
    (
        "full",
        re.compile(
            r"no space left on device|disk quota exceeded|insufficient storage|\b507\b|quota ?exceeded"
            r"|storage ?full|SSH_FX_FAILURE",
            re.IGNORECASE,
        ),
    ),
    ("locked", re.compile(r"already locked|unable to create lock", re.IGNORECASE)),
    (
        "corrupt",
        re.compile(
            r"ciphertext verification failed|invalid data returned|repository contains errors"
            r"|does not match id|pack id does not match|hash mismatch|not found in (?:repository|index)"
            r"|unable to load (?:index|tree)|config or key .* is damaged|invalid (?:pack )?header"
            r"|unexpected EOF",
            re.IGNORECASE,
        ),
    ),
    (
        "unreachable",
        re.compile(
            r"dial tcp|connection refused|connection reset|connection closed|no such host|i/o timeout"
            r"|no route to|network is unreachable|could not resolve|ssh: |host key verification failed"
            r"|permission denied|unauthorized|forbidden|access ?denied|\b40[13]\b|\b50[0-46]\b"
            r"|unable to open config file|unable to open repository|unable to start the sftp session"
            r"|deadline exceeded|x509:|tls:",
            re.IGNORECASE,
        ),
    ),
)
_WORDS = {
    "wrong-password": (
        "the repository does not open with this password",
        "Set the password that it was made with: pulumi config set --secret --path 'ronron:backup.password'",
    ),
    "full": (
        "the place of the repository is full",
        "Free space there, or keep fewer snapshots (ronron:backup.keep); the snapshots in it stay readable",
    ),
    "locked": (
        "another process works in the repository",
        "Wait until it has ended, and run it again; locks older than 30 minutes are removed by themselves",
    ),
    "corrupt": (
        "the repository is damaged",
        "Restore it from its second copy, or move it away and let a new one be made: ronron backup now",
    ),
    "unreachable": (
        "the repository does not answer",
        "Check the network, the address and the login of the repository, and run it again",
    ),
    "source-unreadable": (
        "some files of the service cannot be read",
        "Look at the names above: they have vanished while they were read, or their disk fails",
    ),
    "failed": ("restic failed", "Read what it says, and run it again: ronron backup now"),
}


def meaning(code: int, said: str) -> str | None:
    """The error code for how restic ended; None: there is no repository at this place.

    Args:
        code: its exit code.
        said: what it wrote on its standard error.
    """
    if code == WRONG_PASSWORD:
        return "wrong-password"
    if code == LOCKED:
        return "locked"
    if code == NO_REPOSITORY or _ABSENT.search(said):
        return None
    found = next((sign for sign, pattern in _SIGNS if pattern.search(said)), "failed")
    return "source-unreadable" if found == "failed" and code == UNREADABLE_SOURCES else found


def failure(verb: str, code: int, said: str, words: Sequence[str]) -> AgentError:
    """What a person is told of a restic that failed.

    Args:
        verb: what cannot be done now, such as `read the snapshots`.
        code: its exit code.
        said: its standard error.
        words: secrets that must not be shown.
    """
    found = meaning(code, said)
    text = shortened(redacted(telling(said), words))
    if found is None:
        return NoRepositoryError(
            "unreachable",
            f"cannot {verb}: there is no repository at its place ({text})",
            "Bring its disk or server back; to begin a new one: docker exec <its agent> rm "
            "/var/lib/ronron-agent/journal.sqlite",
        )
    why, hint = _WORDS[found]
    return AgentError(found, f"cannot {verb}: {why}" + (f" ({text})" if text else ""), hint)


def telling(said: str) -> str:
    """The lines of restic's standard error that say what is wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    kept = [
        line
        for line in lines
        if not line.startswith(("Is there a repository at", "the `unlock` command", "goroutine ", "\t"))
    ]
    fatal = [line for line in kept if line.startswith(("Fatal:", "error:", "Load", "Save", "{"))]
    return " ".join((fatal or kept)[-4:])


def environment(secrets: Secrets, *, repository: str, temporary: Path) -> dict[str, str]:
    """The whole environment of restic: secrets are in it or in files, and never among its arguments."""
    login = secrets.repository_login
    found = {
        "PATH": os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LC_ALL": "C.UTF-8",
        "RESTIC_REPOSITORY": with_login(repository, login),
        "RESTIC_PASSWORD_FILE": str(secrets.repository_password),
        # A status line a minute: nobody looks.
        "RESTIC_PROGRESS_FPS": "0.016",
        # The agent's memory is small, and its machine has other work.
        "GOGC": "20",
        "GOMEMLIMIT": "96MiB",
        "GOMAXPROCS": "2",
    }
    if login is not None and repository.startswith("s3:"):
        found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"] = login
    for name in (
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
    ):
        if name in os.environ:
            found[name] = os.environ[name]
    return found


def with_login(repository: str, login: tuple[str, str] | None) -> str:
    """The repository as restic gets it: 0.14 takes the login of a REST server in no other way."""
    if login is None or not repository.startswith("rest:"):
        return repository
    scheme, separator, rest = repository.partition("://")
    user, password = (quote(word, safe="") for word in login)
    return f"{scheme}{separator}{user}:{password}@{rest}"


def options(repository: str, ssh: Ssh | None, key: Path | None, known_hosts: Path) -> list[str]:
    """Options of the backend: the ssh that reaches an sftp repository, and the one host key it accepts."""
    if ssh is None or not repository.startswith("sftp:"):
        return []
    words = ["ssh", "-F", "/dev/null", "-p", str(ssh.port), "-l", ssh.user]
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": _HOST_ALIAS,
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
    }
    if key is not None:
        words += ["-i", str(key)]
        settings["IdentitiesOnly"] = "yes"
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    command = shlex.join([*words, ssh.host, "-s", "sftp"])
    return ["-o", f"sftp.command={command}"]


def known_hosts(ssh: Ssh) -> str:
    """The file of host keys for `options`."""
    return f"{_HOST_ALIAS} {ssh.host_key.strip()}\n"


class Restic:
    """Restic on one repository.

    Args:
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent; the cache is on its volume.
        keep: descriptors that every child gets, so that the agent's lock lives as long as they do.
        repository: another one than the service's own.
        still: seconds for which it may do nothing at all.
    """

    def __init__(
        self,
        configuration: Configuration,
        secrets: Secrets,
        places: Places,
        *,
        keep: Sequence[int] = (),
        repository: str | None = None,
        still: float = standstill.LONGEST,
    ) -> None:
        self._still = still
        self.repository = repository or configuration.repository
        self.words = secrets.words
        self._keep = keep
        self._folder = places.stage if _writable(places.stage) else places.temporary
        self._environment = environment(secrets, repository=self.repository, temporary=places.temporary)
        hosts = places.temporary / "known_hosts"
        if configuration.ssh is not None:
            hosts.write_text(known_hosts(configuration.ssh))
        self._global = options(self.repository, configuration.ssh, secrets.ssh_key, hosts)
        cached = _writable(places.state)
        self._global += ["--cache-dir", str(places.state / "cache")] if cached else ["--no-cache"]

    def start(self, *words: str, stdin: bool | int = False, pipe: bool = False) -> Child:
        """Start it; the caller ends it."""
        return Child(
            self._command(words), self._environment, self._folder, stdin=stdin, pipe=pipe, keep=self._keep
        )

    def ended(self, *words: str, seconds: float = QUICK_SECONDS, verb: str) -> Ended:
        """Run it to its end, whatever that is.

        Raises:
            AgentError: `unreachable`, `full`: it did not end in time, or stood still.
        """
        with self.start(*words) as child:
            return self.end_of(child, seconds, verb=verb)

    def end_of(self, child: Child, seconds: float, *, verb: str) -> Ended:
        """Wait for the end of one that was started, whatever that is.

        Raises:
            AgentError: `unreachable`, `full`: it did not end in time, or stood still.
        """
        try:
            return child.wait(seconds, still=self._still)
        except StalledError as error:
            # What it stands still over it does not say; of a place of our own the room can be seen.
            full = isinstance(error, StandsStillError) and _has_no_room(self.repository)
            code = "full" if full else "unreachable"
            why, hint = _WORDS[code]
            raise AgentError(code, f"cannot {verb}: {why} ({error})", hint) from error

    def output(self, *words: str, seconds: float = QUICK_SECONDS, verb: str) -> bytes:
        """What it writes on its standard output.

        Raises:
            AgentError: it failed.
        """
        ended = self.ended(*words, seconds=seconds, verb=verb)
        if ended.code != 0:
            raise self.failure(verb, ended)
        return ended.output

    def failure(self, verb: str, ended: Ended) -> AgentError:
        """What a person is told of this end."""
        return failure(verb, ended.code, ended.said, self.words)

    def _command(self, words: Sequence[str]) -> list[str]:
        return ["restic", *self._global, *words]


def summary(output: bytes) -> Mapping[str, Any] | None:
    """The summary that `restic backup --json` ends with; None where there is none."""
    for line in reversed(output.splitlines()):
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("message_type") == "summary":
            return message
    return None


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK)


def _has_no_room(repository: str) -> bool:
    try:
        about = os.statvfs(repository)
    except OSError:  # gone, or not a place on this machine
        return False
    return about.f_bavail * about.f_frsize < ROOM
