"""Runs restic and classifies its errors: written for 0.14 (Debian 12), and knows later exit codes.

0.14 exits with 1 for every error, so its text has to be read; 0.17 and later exit with 10 (no repository),
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

from . import idle
from .configuration import Configuration, Places, Secrets, Ssh
from .errors import AgentError, NoRepositoryError, redacted, shortened
from .processes import Ended, IdleError, Process, StalledError

NO_REPOSITORY = 10
LOCKED = 11
WRONG_PASSWORD = 12
UNREADABLE_SOURCES = 3

QUICK_SECONDS = 120.0
"""Timeout of commands that read a few small files of a repository."""

LONG_SECONDS = 12 * 3600.0
"""Timeout of commands that transfer all data of a service over a slow line."""

ROOM = 64 * 1024 * 1024
"""Bytes that must be free for the packs of 16 MiB that restic writes at once."""

_HOST_ALIAS = "ronron-repository"

_ABSENT = re.compile(
    r"unable to open config file:.*(no such file|does not exist|file not found|NoSuchKey|key does not exist"
    r"|\b404\b)",
    re.IGNORECASE | re.DOTALL,
)
# A refusal does not mean that it does not exist: some servers answer 404 for that, others 403 for both.
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
        "wrong repository password",
        "set the secret ronron:backup.password to the one that it was created with, and update",
    ),
    "full": (
        "no space left at the repository",
        "free space there, or retain fewer snapshots (ronron:backup.keep); existing snapshots stay readable",
    ),
    "locked": (
        "another process has locked the repository",
        "wait until it has ended, and run this again; the agent removes locks older than 30 minutes",
    ),
    "corrupt": (
        "the repository is damaged",
        "restore it from its second copy, or move it away and create a new one: ronron backup now",
    ),
    "unreachable": (
        "the repository is unreachable",
        "check the network, the address and the login of the repository, and run this again",
    ),
    "source-unreadable": (
        "some files of the service cannot be read",
        "check the files above: they were deleted during the backup, or their disk fails",
    ),
    "failed": ("restic failed", "read its error, and run this again: ronron backup now"),
}


def meaning(code: int, stderr: str) -> str | None:
    """The agent's error code for an exit of restic; None: the repository does not exist.

    Args:
        code: exit code of restic.
        stderr: standard error of restic.
    """
    if code == WRONG_PASSWORD:
        return "wrong-password"
    if code == LOCKED:
        return "locked"
    if code == NO_REPOSITORY or _ABSENT.search(stderr):
        return None
    found = next((sign for sign, pattern in _SIGNS if pattern.search(stderr)), "failed")
    return "source-unreadable" if found == "failed" and code == UNREADABLE_SOURCES else found


def failure(verb: str, code: int, stderr: str, words: Sequence[str]) -> AgentError:
    """The error of a failed restic.

    Args:
        verb: what failed, such as `read the snapshots`.
        code: exit code of restic.
        stderr: standard error of restic.
        words: secrets that must not be shown.
    """
    found = meaning(code, stderr)
    text = shortened(redacted(cause(stderr), words))
    if found is None:
        return NoRepositoryError(
            "unreachable",
            f"cannot {verb}: the repository does not exist ({text})",
            "mount its disk or start its server; where it moved, or starts empty, say so with `moved` in "
            "ronron:backup: docs/operations.md, Move the backups to another repository",
        )
    why, hint = _WORDS[found]
    return AgentError(found, f"cannot {verb}: {why}" + (f" ({text})" if text else ""), hint)


def cause(stderr: str) -> str:
    """The lines of restic's standard error with the cause."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    lines = [
        line
        for line in lines
        if not line.startswith(("Is there a repository at", "the `unlock` command", "goroutine ", "\t"))
    ]
    fatal = [line for line in lines if line.startswith(("Fatal:", "error:", "Load", "Save", "{"))]
    return " ".join((fatal or lines)[-4:])


def environment(secrets: Secrets, *, repository: str, temporary: Path) -> dict[str, str]:
    """All environment variables of restic; secrets are in them or in files, never among the arguments."""
    login = secrets.repository_login
    found = {
        "PATH": os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": str(temporary),
        "TMPDIR": str(temporary),
        "LC_ALL": "C.UTF-8",
        "RESTIC_REPOSITORY": with_login(repository, login),
        "RESTIC_PASSWORD_FILE": str(secrets.repository_password),
        # One status line a minute: they are not read.
        "RESTIC_PROGRESS_FPS": "0.016",
        # The agent has little memory, and the machine has other work.
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
    """The repository with its login: 0.14 accepts the login of a REST server in no other way."""
    if login is None or not repository.startswith("rest:"):
        return repository
    scheme, separator, rest = repository.partition("://")
    user, password = (quote(word, safe="") for word in login)
    return f"{scheme}{separator}{user}:{password}@{rest}"


def options(repository: str, ssh: Ssh | None, key: Path | None, known_hosts: Path) -> list[str]:
    """Options of restic for an sftp repository: the ssh command, with the only host key that it accepts."""
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
    """Content of the known_hosts file for `options`."""
    return f"{_HOST_ALIAS} {ssh.host_key.strip()}\n"


class Restic:
    """Restic on one repository.

    Args:
        configuration: of the agent.
        secrets: of the agent.
        places: of the agent; the cache is on its volume.
        inherit: descriptors that every restic inherits, so that the agent's lock is released after its end.
        repository: another repository than the service's.
        idle_seconds: timeout of an idle restic.
    """

    def __init__(
        self,
        configuration: Configuration,
        secrets: Secrets,
        places: Places,
        *,
        inherit: Sequence[int] = (),
        repository: str | None = None,
        idle_seconds: float = idle.LONGEST,
    ) -> None:
        self._idle_seconds = idle_seconds
        self.repository = repository or configuration.repository
        self.words = secrets.words
        self._inherit = inherit
        self._folder = places.stage if _writable(places.stage) else places.temporary
        self._environment = environment(secrets, repository=self.repository, temporary=places.temporary)
        hosts = places.temporary / "known_hosts"
        if configuration.ssh is not None:
            hosts.write_text(known_hosts(configuration.ssh))
        self._global = options(self.repository, configuration.ssh, secrets.ssh_key, hosts)
        cached = _writable(places.state)
        self._global += ["--cache-dir", str(places.state / "cache")] if cached else ["--no-cache"]

    def start(self, *words: str, stdin: bool | int = False, pipe: bool = False) -> Process:
        """Start restic; the caller ends it."""
        return Process(
            self._command(words),
            self._environment,
            self._folder,
            stdin=stdin,
            pipe=pipe,
            inherit=self._inherit,
        )

    def ended(self, *words: str, seconds: float = QUICK_SECONDS, verb: str) -> Ended:
        """Run restic, also where it fails.

        Raises:
            AgentError: `unreachable`, `full`: it timed out, or was idle.
        """
        with self.start(*words) as child:
            return self.end_of(child, seconds, verb=verb)

    def end_of(self, child: Process, seconds: float, *, verb: str) -> Ended:
        """Wait for the end of a started restic, also where it fails.

        Raises:
            AgentError: `unreachable`, `full`: it timed out, or was idle.
        """
        try:
            return child.wait(seconds, idle_seconds=self._idle_seconds)
        except StalledError as error:
            # An idle restic prints no cause; the free space of a local repository shows one.
            full = isinstance(error, IdleError) and _has_no_room(self.repository)
            code = "full" if full else "unreachable"
            why, hint = _WORDS[code]
            raise AgentError(code, f"cannot {verb}: {why} ({error})", hint) from error

    def output(self, *words: str, seconds: float = QUICK_SECONDS, verb: str) -> bytes:
        """The standard output of restic.

        Raises:
            AgentError: it failed.
        """
        ended = self.ended(*words, seconds=seconds, verb=verb)
        if ended.code != 0:
            raise self.failure(verb, ended)
        return ended.output

    def failure(self, verb: str, ended: Ended) -> AgentError:
        """The error of a restic that failed."""
        return failure(verb, ended.code, ended.stderr, self.words)

    def _command(self, words: Sequence[str]) -> list[str]:
        return ["restic", *self._global, *words]


def summary(output: bytes) -> Mapping[str, Any] | None:
    """The summary at the end of `restic backup --json`; None where it has none."""
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
    except OSError:  # gone, or not a local path
        return False
    return about.f_bavail * about.f_frsize < ROOM
