"""Virtual environments below the state directory, one for each lock file."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from signal import SIGINT

from ronron.adapters.virtual_environments.causes import explain
from ronron.core.errors import (
    EngineInterruptedError,
    EngineMissingError,
    PackagesError,
    PackagesUnavailableError,
)
from ronron.core.packages import (
    LOCK_FILE,
    PROGRAM,
    KeptEnvironment,
    VirtualEnvironment,
    compile_command,
    environment_name,
    pinned,
    runs_by_lock_file,
)
from ronron.core.redact import is_secret_name
from ronron.policy.yaml_text import read_yaml
from ronron.ports import Processes, Progress
from ronron.process_runner.runner import Command, Ended, Invocation, ProcessRunner, StartError, Stop

WHOLE = "ronron.json"
"""Written into a virtual environment at the end: one without it was never finished. Its time is that of the
last use."""

_PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "NETRC"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_HOME"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_PASSED_ON_PREFIXES = ("UV_", "PIP_")
"""How this machine reaches packages. Nothing else of the reconciler's environment reaches uv or a build."""

_RETRY_AFTER = 0.1
_STOP = (Stop(SIGINT, timedelta(seconds=10)),)


class UvEnvironments:
    """See ports.VirtualEnvironments; made by uv, from the machine's own Python.

    Each has a lock file of the kernel's beside it: locked by everyone who uses it, and alone by whoever makes
    or removes it. It is never removed, so that all lock the same file.

    Args:
        root: directory of them all.
        processes: for the process runner.
        progress: is told when one is made, which takes seconds to minutes.
        find_links: a directory or URL with wheels, besides the package index; None for none.
        deadline: after this uv is stopped, and so is waiting for another process that makes the same one.
        inherited: the reconciler's own environment, of which uv sees how packages are reached.
    """

    def __init__(
        self,
        root: Path,
        processes: Processes,
        progress: Progress,
        *,
        find_links: str | None = None,
        deadline: timedelta = timedelta(minutes=10),
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._progress = progress
        self._find_links = find_links
        self._deadline = deadline
        self._inherited = os.environ if inherited is None else inherited
        self._runner = ProcessRunner(processes)

    @contextmanager
    def of(self, project: Path) -> Iterator[VirtualEnvironment | None]:
        """See ports.VirtualEnvironments."""
        lock = _lock_file(project)
        if lock is None:
            yield None
            return
        name = environment_name(lock, python=_python_version(), uv=_uv_version())
        descriptor = self._opened(name)
        try:
            self._use(name, descriptor, lock)
            yield VirtualEnvironment(directory=self._root / name, in_use=descriptor)
        finally:
            os.close(descriptor)

    def kept(self) -> tuple[KeptEnvironment, ...]:
        """See ports.VirtualEnvironments."""
        if not self._root.is_dir():
            return ()
        found = []
        for place in sorted(each for each in self._root.iterdir() if each.is_dir()):
            marked = place / WHOLE if (place / WHOLE).is_file() else place
            with suppress(FileNotFoundError):  # another process has just removed it
                used = datetime.fromtimestamp(marked.stat().st_mtime, UTC)
                found.append(KeptEnvironment(name=place.name, used=used))
        return tuple(found)

    def remove(self, name: str) -> bool:
        """See ports.VirtualEnvironments."""
        place = self._root / name
        if not place.is_dir():
            return False
        descriptor = self._opened(name)
        try:
            if not _try_lock(descriptor, fcntl.LOCK_EX):
                return False
            (place / WHOLE).unlink(missing_ok=True)
            place.with_name(f"{name}.txt").unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            return not place.exists()
        finally:
            os.close(descriptor)

    def interrupt(self) -> None:
        """See ports.VirtualEnvironments."""
        self._runner.interrupt()

    # -- using and making ----------------------------------------------------------------------------

    def _use(self, name: str, descriptor: int, lock: str) -> None:
        """Lock a virtual environment for use; make it first where it is not whole."""
        place = self._root / name
        until = time.monotonic() + self._deadline.total_seconds()
        waited = False
        with self._runner.invocation() as invocation:
            while True:
                if _try_lock(descriptor, fcntl.LOCK_SH) and _is_whole(place):
                    os.utime(place / WHOLE)
                    return
                # Nobody who uses it would be disturbed: it is not whole, or somebody else makes it.
                if _try_lock(descriptor, fcntl.LOCK_EX):
                    # Another process may have made it before we had the lock.
                    if not _is_whole(place):
                        self._make(invocation, place, descriptor, lock)
                    continue
                _unlock(descriptor)
                if not waited:
                    self._progress.log("packages", f"waiting: those of {LOCK_FILE} are being installed")
                    waited = True
                if invocation.interrupted:
                    raise _interrupted()
                if time.monotonic() >= until:
                    raise PackagesUnavailableError(
                        f"cannot install what it pins: another process has been at it for "
                        f"{self._deadline.total_seconds():.0f} s",
                        where=LOCK_FILE,
                        hint=f"find that process with `fuser -v {place}.lock`",
                    )
                time.sleep(_RETRY_AFTER)

    def _make(self, invocation: Invocation, place: Path, descriptor: int, lock: str) -> None:
        packages = pinned(lock)
        if not packages:
            raise PackagesError(
                "cannot install what it pins: it names no package with a version",
                where=LOCK_FILE,
                hint=f"write it again: {compile_command(lock, self._find_links)}",
            )
        named = f"{len(packages)} packages"
        if PROGRAM in packages:
            named = f"{PROGRAM} {packages[PROGRAM]} and {len(packages) - 1} more packages"
        self._progress.log("packages", f"installing {named} of {LOCK_FILE}")
        begun = time.monotonic()
        written = place.with_name(f"{place.name}.txt")
        try:
            shutil.rmtree(place, ignore_errors=True)
            written.write_bytes(lock.encode())
            self._uv(
                invocation,
                descriptor,
                lock,
                "venv",
                "--quiet",
                "--clear",
                "--no-project",
                "--python",
                _python(),
                str(place),
            )
            self._uv(
                *(invocation, descriptor, lock, "pip", "sync", "--no-progress"),
                *("--python", str(place / "bin" / "python"), "--require-hashes"),
                *(("--find-links", self._find_links) if self._find_links else ()),
                str(written),
            )
            # What is written here must not be on the disk before the packages are.
            os.sync()
            facts = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "packages": packages}
            unfinished = place / f"{WHOLE}.part"
            unfinished.write_text(json.dumps(facts, indent=1) + "\n")
            unfinished.rename(place / WHOLE)
        except OSError as error:
            raise self._no_room(error) from error
        finally:
            written.unlink(missing_ok=True)
        self._progress.log("packages", f"installed in {time.monotonic() - begun:.0f} s")

    def _uv(self, invocation: Invocation, descriptor: int, lock: str, *words: str) -> None:
        environment = {
            name: value
            for name, value in self._inherited.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        secrets = {value for name, value in environment.items() if is_secret_name(name)}
        # Nothing is compiled later: the engine's programs write nothing. Where uv's cache is on another file
        # system it copies, without a word about it.
        environment |= {"UV_COMPILE_BYTECODE": "1", "NO_COLOR": "1", "UV_NO_MANAGED_PYTHON": "1"}
        command = Command(
            argv=[_uv_program(), *words],
            # No pyproject.toml or uv.toml of the project counts here, only this machine's settings.
            cwd=self._root,
            environment=environment,
            deadline=self._deadline,
            stop=_STOP,
            # If we are killed, uv goes on for a moment; until it ends, nobody else makes the same one.
            keep_open=(descriptor,),
        )
        try:
            ended = self._runner.run(invocation, command)
        except StartError as error:
            raise error.cause from None
        if ended is None or ended.interrupted:
            raise _interrupted()
        if ended.code != 0:
            raise self._failed(ended, lock, secrets)

    def _failed(self, ended: Ended, lock: str, secrets: set[str]) -> PackagesError:
        if ended.timed_out:
            return PackagesUnavailableError(
                f"cannot install what it pins: uv did not end within {self._deadline.total_seconds():.0f} s",
                where=LOCK_FILE,
                hint="check the network and UV_DEFAULT_INDEX, or raise RONRON_PREVIEW_DEADLINE",
            )
        printed = ended.stderr.decode(errors="replace")
        return explain(printed, lock=lock, find_links=self._find_links, secrets=secrets)

    def _no_room(self, error: OSError) -> PackagesUnavailableError:
        return PackagesUnavailableError(
            f"cannot install what it pins: {error.strerror}",
            where=LOCK_FILE,
            hint=f"check room and permissions of {self._root}",
        )

    def _opened(self, name: str) -> int:
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._root / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._no_room(error) from error


def _lock_file(project: Path) -> str | None:
    """The text of the lock file that the program of a project runs by; None where it runs without."""
    file = project / LOCK_FILE
    if not file.is_file():
        return None
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        if (project / name).is_file():
            runtime = read_yaml((project / name).read_text(errors="replace"), file=name).values.get("runtime")
            by_lock = runs_by_lock_file(runtime, brings_program=(project / PROGRAM).exists())
            return file.read_bytes().decode(errors="replace") if by_lock else None
    return None


def _is_whole(place: Path) -> bool:
    # Its Python is a link to that of the machine, which may have been removed since.
    return (place / WHOLE).is_file() and os.access(place / "bin" / "python", os.X_OK)


def _python() -> str:
    """The machine's own Python, not that of the virtual environment in which this runs."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _python_version() -> str:
    return f"{sys.implementation.name}-{platform.python_version()}"


def _uv_version() -> str:
    try:
        return metadata.version("uv")
    except metadata.PackageNotFoundError:
        raise _no_uv() from None


def _uv_program() -> str:
    import uv

    try:
        return uv.find_uv_bin()
    except FileNotFoundError:
        raise _no_uv() from None


def _no_uv() -> EngineMissingError:
    return EngineMissingError(
        "cannot find uv, which installs the packages of a program",
        hint="install Ronron again: uv is one of its dependencies",
    )


def _interrupted() -> EngineInterruptedError:
    return EngineInterruptedError(
        "stopped while the packages of the program were installed", hint="run the command again"
    )


def _try_lock(descriptor: int, kind: int) -> bool:
    """Lock an open file, alone or with others; false where that is not possible now (flock(2))."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_UN)
