"""Git sources in tests: in this process, and in processes of their own that are killed and looked at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import SourceError
from tests.support.repositories import git

PROJECT = Path(__file__).resolve().parents[2]

BEGIN = """
import sys
from datetime import timedelta
from pathlib import Path
from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import SourceError
source = GitSource(sys.argv[1], Path(sys.argv[2]), LinuxProcesses())
print("ready", flush=True)
"""

LOOK = BEGIN + "source.refresh()\n"

TELL = (
    BEGIN
    + """
try:
    source.refresh()
    for name in sorted(source.entries(source.resolve("main"), "")):
        print(name)
except SourceError as error:
    print(type(error).__name__, error, error.hint, sep="\\n")
"""
)

CHECK_OUT = (
    BEGIN
    + """
source.refresh()
with source.checkout(source.resolve("main")) as directory:
    print(directory, flush=True)
    sys.stdin.read()
"""
)


@contextmanager
def running(
    code: str, url: str, state: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it is ready and goes on with its code; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, url, str(state)],
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def tell(url: str, state: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """What is at the top of `main`, or the error and its hint, line by line, as another process sees it."""
    with running(TELL, url, state, environment) as process:
        # Not `communicate`: it would miss the lines that came together with "ready".
        assert process.stdout is not None
        return process.stdout.read().splitlines()


def working_in(directory: Path) -> dict[int, str]:
    """Every process whose working directory is below `directory`: its id and its arguments."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            place = (process / "cwd").readlink()
            if place.is_relative_to(directory.resolve()):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def kill_all(directory: Path) -> None:
    """Kill whatever works below a directory, as `kill -9` does."""
    for process in working_in(directory):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def source(url: str | Path, state: Path, *, timeout: timedelta = timedelta(seconds=30)) -> GitSource:
    return GitSource(str(url), state, LinuxProcesses(), timeout=timeout, transfer=timeout)


def refusal(look: Callable[[], object], kind: type[SourceError]) -> SourceError:
    """The error that a look raises: of exactly this kind, on one line, with a remedy."""
    with pytest.raises(SourceError) as caught:
        look()
    assert type(caught.value) is kind
    assert "\n" not in f"{caught.value}{caught.value.hint}"
    assert "`" in caught.value.hint
    return caught.value


def ends(holds: Callable[[], bool]) -> bool:
    """Whether something that happens on its own has happened, at the latest in ten seconds."""
    deadline = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def is_whole(state: Path) -> bool:
    """Whether the mirror has every object that its references need, by git's own check."""
    mirror = (state / "mirror").resolve()
    git("fsck", "--strict", "--connectivity-only", at=mirror)
    return not [path for path in mirror.rglob("*") if path.suffix == ".lock" or path.name.startswith("tmp_")]
