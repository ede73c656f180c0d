"""Which packages the program of a revision runs with: what its lock file pins. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ronron.core.value import Instant, Value

LOCK_FILE = "requirements.lock"
"""Beside Pulumi.yaml: what the program runs with, each package with its version and hashes."""

UNUSED_FOR = timedelta(days=14)
"""How long a virtual environment stays that no live revision needs: a way back does not need the network."""

PROGRAM = "chatons"
"""The package that a collective's program is made of."""

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE
)
_OWN_PYTHON = {"virtualenv", "toolchain"}
"""Options of Pulumi's Python runtime by which a project names its own."""


class VirtualEnvironment(Value):
    """A virtual environment in use.

    Args:
        directory: where it is.
        in_use: a file descriptor that is open as long as it is in use; a process that inherits it keeps it
            in use.
    """

    directory: Path
    in_use: int

    @property
    def programs(self) -> Path:
        """The directory of its `python`, which comes first on PATH."""
        return self.directory / "bin"


class KeptEnvironment(Value):
    """A virtual environment on this machine.

    Args:
        name: see `environment_name`.
        used: when it was last used.
    """

    name: str
    used: Instant


def runs_by_lock_file(runtime: object, *, brings_program: bool) -> bool:
    """Whether the program of a project with a lock file runs with what that pins.

    Not so for a project that names its own Python, is in another language, or brings the package `chatons`
    itself: that is a clone of Ronron, whose lock file is for its development.

    Args:
        runtime: the key of Pulumi.yaml: a name, or a mapping with `name` and `options`.
        brings_program: whether a package `chatons` is beside Pulumi.yaml.
    """
    if brings_program:
        return False
    if not isinstance(runtime, Mapping):
        return runtime == "python"
    options = runtime.get("options")
    named = set(options) if isinstance(options, Mapping) else set()
    return runtime.get("name") == "python" and not named & _OWN_PYTHON


def pinned(lock: str) -> Mapping[str, str]:
    """The version of each package that a lock file pins, by its name in lower case with dashes."""
    return {re.sub(r"[-_.]+", "-", found["name"]).lower(): found["version"] for found in _PIN.finditer(lock)}


def compile_command(lock: str, find_links: str | None = None) -> str:
    """The command that writes a lock file again, with the versions that there are now.

    Args:
        lock: the text, which may be broken.
        find_links: where the operator's wheels are; None for none.
    """
    packages = pinned(lock)
    wanted = f"{PROGRAM}=={packages[PROGRAM]}" if PROGRAM in packages else PROGRAM
    links = f" --find-links {find_links}" if find_links else ""
    options = f"--no-header --generate-hashes --no-emit-index-url{links}"
    return f"echo {wanted} | uv pip compile {options} - --output-file {LOCK_FILE}"


def lock_digest(lock: str) -> str:
    """The digest of a lock file: 32 hexadecimal digits."""
    return hashlib.sha256(lock.encode()).hexdigest()[:32]


def environment_name(lock: str, *, python: str, uv: str) -> str:
    """The name of the virtual environment that is made from a lock file: another one for each of these.

    Args:
        lock: the text.
        python: implementation and version, such as `cpython-3.11.2`.
        uv: the version.
    """
    return f"{lock_digest(lock)}-{python}-uv-{uv}"


def unneeded(kept: Iterable[KeptEnvironment], needed: Collection[str], now: datetime) -> tuple[str, ...]:
    """Names of the virtual environments to remove: unused for a while, and needed by no live revision.

    Of those that were made from one needed lock file, the one that was used last stays.

    Args:
        kept: all on this machine.
        needed: digests of lock files; see `lock_digest`.
        now: the time.
    """
    by_use = sorted(kept, key=lambda one: one.used)
    # The last one of each lock file: after an upgrade of Python or uv there are several.
    newest = {each.name.partition("-")[0]: each.name for each in by_use}
    stay = {newest[lock] for lock in needed if lock in newest}
    return tuple(
        sorted(each.name for each in by_use if each.name not in stay and now - each.used >= UNUSED_FOR)
    )
