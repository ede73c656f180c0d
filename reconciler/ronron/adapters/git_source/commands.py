"""Runs git without prompts and without the user's configuration, with a deadline, and leaves no process."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM
from uuid import uuid4

from ronron.adapters.git_source.address import SCHEMES, Address
from ronron.core.errors import SourceError
from ronron.ports import Processes
from ronron.process_runner.runner import (
    OUTPUT_LIMIT,
    Command,
    OutputLimitError,
    ProcessRunner,
    StartError,
    Stop,
)

OLDEST = (2, 32)
"""The first git that lets the environment replace the user's configuration (GIT_CONFIG_GLOBAL)."""

STOP = (Stop(SIGTERM, timedelta(seconds=1), group=True),)
"""Git removes its lock files when it gets a SIGTERM; what is left of its session is killed after it."""

INHERITED = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "USER"),
        *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
        *("all_proxy", "https_proxy", "http_proxy", "no_proxy"),
        *("GIT_PROXY_SSL_CAINFO", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY"),
        *("SSL_CERT_DIR", "SSL_CERT_FILE"),
    }
)
"""The variables of ours that git sees: paths, proxies, certificates and the ssh agent."""

CONFIG_PLACES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "XDG_CONFIG_HOME")
"""The variables that name the user's configuration; it is read only for `USER_HTTP` and safe.directory."""

USER_HTTP = frozenset({"proxy", "proxysslcainfo", "sslcainfo", "sslcapath", "sslcert", "sslkey"})
"""What is used of the user's `http.*` configuration: files and a proxy, no command."""

CONFIG = {
    "core.attributesFile": os.devnull,
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "fetch.writeCommitGraph": "false",
    # Objects of a running checkout stay, and no background process outlives a command.
    "gc.auto": "0",
    "gc.autoDetach": "false",
    "maintenance.auto": "false",
    "submodule.recurse": "false",
}


class GitFailedError(Exception):
    """Git ended with a status that is not 0; `errors` is its standard error, not redacted."""

    def __init__(self, status: int, errors: str) -> None:
        super().__init__(f"git ended with status {status}")
        self.status = status
        self.errors = errors


class GitTimeoutError(Exception):
    """Git timed out, and was stopped with all its children."""

    def __init__(self, timeout: timedelta) -> None:
        super().__init__(f"git was stopped after {timeout.total_seconds():g} s")
        self.timeout = timeout


class GitCommands:
    """Runs git commands for one repository address.

    Args:
        address: whose credentials and `http.*` configuration git gets.
        home: a directory of ours in which commands run; made when needed.
        processes: finds what a stopped command left.
        timeout: of a command that names no other.
        environment: more variables for git, such as GIT_SSL_CAINFO; cannot loosen what is set here.
    """

    def __init__(
        self,
        address: Address,
        home: Path,
        processes: Processes,
        timeout: timedelta,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._address = address
        self._home = home
        self._runner = ProcessRunner(processes)
        self._timeout = timeout
        self._extra = dict(environment or {})
        self._prepared: dict[str, str] | None = None
        self._is_checked = False

    def run(
        self,
        *arguments: str,
        timeout: timedelta | None = None,
        environment: Mapping[str, str] | None = None,
        keep_open: tuple[int, ...] = (),
        started: Callable[[int], None] | None = None,
    ) -> bytes:
        """Run one git command; returns its standard output.

        Args:
            *arguments: after `git`; never from a shell.
            timeout: until it and all its children are stopped.
            environment: more variables for this command.
            keep_open: file descriptors that it inherits.
            started: called with its process ID, which is also its process group.

        Raises:
            GitFailedError, GitTimeoutError: see there.
            SourceError: git is missing or too old, or its output is larger than 64 MiB.
        """
        prepared = self._prepare()
        try:
            return self._execute(
                arguments, {**prepared, **(environment or {})}, timeout or self._timeout, keep_open, started
            )
        except GitFailedError:
            # The fix may be a line in the user's configuration; it counts from the next command on.
            self._prepared = None
            raise

    def _execute(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        timeout: timedelta,
        keep_open: tuple[int, ...] = (),
        started: Callable[[int], None] | None = None,
    ) -> bytes:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        seen = {"LANGUAGE": "C", "LC_ALL": "C", **inherited, **environment}
        executable = shutil.which("git", path=seen.get("PATH", os.defpath))
        if executable is None:
            raise SourceError("cannot find git on this machine", hint="install it: `apt-get install git`")
        command = Command(
            argv=[executable, *arguments],
            cwd=self._home,
            environment=seen,
            deadline=timeout,
            stop=STOP,
            keep_open=keep_open,
        )
        try:
            with self._runner.invocation() as invocation:
                ended = self._runner.run(invocation, command, started)
        except StartError as error:
            raise error.cause from error
        except OutputLimitError as error:
            raise SourceError(
                f"cannot read git's answer: it is larger than {OUTPUT_LIMIT >> 20} MiB",
                hint="delete branches and tags that nobody needs: `git push origin --delete NAME`",
            ) from error
        if ended is None or ended.timed_out:
            raise GitTimeoutError(timeout)
        if ended.code != 0:
            raise GitFailedError(ended.code, ended.stderr.decode(errors="replace"))
        return ended.stdout

    def _prepare(self) -> dict[str, str]:
        """The environment of every command, made once: it takes two reads of the user's configuration."""
        prepared = self._prepared
        # The state directory may have been removed while we run.
        if prepared is None or not self._home.is_dir():
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_version()
            config, trusted = self._user_config()
            mine = self._home / "gitconfig"
            # Git takes safe.directory from files only (where it serves a local path), so it needs one.
            lines = "".join(f"\tdirectory = {_quoted(value)}\n" for value in trusted)
            _write(mine, f"[safe]\n{lines}" if lines else "")
            prepared = {
                **self._extra,
                **locked_down(self._timeout),
                "GIT_CEILING_DIRECTORIES": str(self._home.resolve().parent),
                "GIT_CONFIG_GLOBAL": str(mine),
                **as_variables({**CONFIG, **http_config(self._address, self._timeout), **config}),
            }
            self._prepared = prepared
        return prepared

    def _check_version(self) -> None:
        if self._is_checked:
            return
        answer = self._execute(["--version"], {}, self._timeout).decode(errors="replace")
        found = re.search(r"(\d+)\.(\d+)", answer)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            shown = answer.strip().removeprefix("git version ") or "of an unknown version"
            raise SourceError(
                f"cannot use git {shown}: {'.'.join(map(str, OLDEST))} or newer is needed",
                hint="upgrade it: `apt-get install git`",
            )
        self._is_checked = True

    def _user_config(self) -> tuple[dict[str, str], list[str]]:
        """What is used of the user's and the system's configuration: `http.*` and safe.directory."""
        where = {name: os.environ[name] for name in CONFIG_PLACES if name in os.environ}
        plain = {"GIT_CEILING_DIRECTORIES": str(self._home.resolve().parent), **where, **self._extra}

        def ask(*arguments: str) -> list[str]:
            try:
                answer = self._execute(["config", "--null", *arguments], plain, self._timeout)
            except GitFailedError:
                # Status 1 is "not set"; a configuration that git cannot read counts as empty.
                return []
            return [entry for entry in os.fsdecode(answer).split("\0") if entry]

        http: dict[str, str] = {}
        if self._address.origin:
            for entry in ask("--get-urlmatch", "http", self._address.url):
                name, _, value = entry.partition("\n")
                if name.partition(".")[2].lower() in USER_HTTP:
                    http[name] = value
        trusted = ask("--get-all", "safe.directory") if self._address.path else []
        return http, trusted


def locked_down(timeout: timedelta) -> dict[str, str]:
    """The variables that prevent prompts, configured commands and endless waiting.

    Args:
        timeout: of a connection without data.
    """
    seconds = max(1, int(timeout.total_seconds()))
    ssh = [
        *("ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={seconds}"),
        # A master in the background would keep our pipes open.
        *("-o", "ControlMaster=no", "-o", "ControlPersist=no"),
        *("-o", f"ServerAliveInterval={max(1, seconds // 3)}", "-o", "ServerAliveCountMax=2"),
    ]
    return {
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "GIT_ASKPASS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        # Git hands this to a shell, so it is quoted for one; there is no variable that takes a list.
        "GIT_SSH_COMMAND": shlex.join(ssh),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
    }


def http_config(address: Address, timeout: timedelta) -> dict[str, str]:
    """Git configuration for an HTTP address: its credentials as a header, and a timeout without data.

    A header is not an argument, which every user of the machine could read. With one, redirects are not
    followed: git would send it to the address of the redirect.
    """
    if not address.origin:
        return {}
    config = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": str(max(1, int(timeout.total_seconds())))}
    if address.authorization:
        config[f"http.{address.origin}.extraHeader"] = address.authorization
        config["http.followRedirects"] = "false"
    return config


def as_variables(config: Mapping[str, str]) -> dict[str, str]:
    """Git configuration as the variables that outrank every file; see git-config(1), GIT_CONFIG_COUNT."""
    variables = {"GIT_CONFIG_COUNT": str(len(config))}
    for index, (key, value) in enumerate(config.items()):
        variables[f"GIT_CONFIG_KEY_{index}"] = key
        variables[f"GIT_CONFIG_VALUE_{index}"] = value
    return variables


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _write(path: Path, text: str) -> None:
    """Replace a small file in one step: another process may read it at this moment."""
    staged = path.with_name(f"{path.name}.{uuid4().hex}")
    staged.write_text(text)
    staged.replace(path)
