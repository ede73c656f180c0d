"""Virtual environments by uv: what is in them, and that none is half made."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.virtual_environments.environments import WHOLE, UvEnvironments
from ronron.core.errors import EngineInterruptedError, PackagesError, PackagesUnavailableError
from ronron.testing import RecordingProgress
from tests.support.wheels import lock_of, tiny_wheel


class Machine:
    """A machine with a directory of wheels and no network, and a project whose lock file pins one of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = root / "environments"
        self.wheels, self.project = root / "wheels", root / "project"
        self.project.mkdir()
        (self.project / "Pulumi.yaml").write_text("name: tiny\nruntime: python\n")
        self.wheel = tiny_wheel(self.wheels, "tiny", "1.0")
        self.lock(lock_of(self.wheel))
        self.progress = RecordingProgress()

    def lock(self, text: str) -> None:
        (self.project / "requirements.lock").write_text(text)

    def environments(self, **more: str) -> UvEnvironments:
        """As another process would have them."""
        return UvEnvironments(
            *(self.places, LinuxProcesses(), self.progress),
            find_links=str(self.wheels),
            inherited={
                **os.environ,
                "UV_OFFLINE": "1",
                "UV_CACHE_DIR": str(self.root / "cache"),
                "RONRON_FORGE_TOKEN": "sesame",
                **more,
            },
        )

    def version(self, environments: UvEnvironments | None = None) -> str:
        """The version of `tiny` that a program of the project would import."""
        with (environments or self.environments()).of(self.project) as found:
            assert found is not None
            python = found.programs / "python"
            return run(python, "-c", "import tiny; print(tiny.VERSION)")

    def installed(self) -> int:
        """How often something was installed."""
        return sum("installing" in line for line in self.progress.of("packages"))


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_has_what_the_lock_file_pins_and_nothing_of_the_reconciler(machine: Machine) -> None:
    assert machine.version() == "1.0"
    (place,) = (each for each in machine.places.iterdir() if each.is_dir())
    assert stat.S_IMODE(machine.places.stat().st_mode) == 0o700
    assert json.loads((place / WHOLE).read_text())["packages"] == {"tiny": "1.0"}
    found = run(place / "bin" / "python", "-c", "import importlib.util as u; print(u.find_spec('ronron'))")
    assert found == "None"
    # The engine's programs write no bytecode, so that it has to be here.
    assert list(place.glob("lib/*/site-packages/__pycache__/tiny.*.pyc"))
    assert machine.version() == "1.0"
    assert machine.installed() == 1


def test_a_wheel_that_was_changed_is_refused(machine: Machine) -> None:
    tiny_wheel(machine.wheels, "tiny", "1.0", "CHANGED = True\n")
    with pytest.raises(PackagesError, match=r"tiny==1\.0: what was found does not have the hash") as refused:
        machine.version()
    assert refused.value.retryable is False
    assert not list(machine.places.glob(f"*/{WHOLE}"))


def test_a_wheel_that_is_not_there_yet_may_come(machine: Machine) -> None:
    machine.wheel.rename(machine.root / machine.wheel.name)
    tiny_wheel(machine.wheels, "tiny", "0.9")
    with pytest.raises(PackagesUnavailableError, match=r"cannot find tiny==1\.0"):
        machine.version()
    (machine.root / machine.wheel.name).rename(machine.wheel)
    assert machine.version() == "1.0"


def test_a_state_directory_that_cannot_be_written_is_an_error_with_a_place(machine: Machine) -> None:
    machine.places.write_text("in the way")
    with pytest.raises(PackagesUnavailableError) as refused:
        machine.version()
    assert str(machine.places) in refused.value.hint


def test_many_at_once_make_it_once(machine: Machine) -> None:
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: machine.version(), range(4)))
    assert versions == ["1.0"] * 4
    assert machine.installed() == 1


MAKER = """
import os, sys
from pathlib import Path
from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.virtual_environments.environments import UvEnvironments
from ronron.testing import RecordingProgress
root = Path(sys.argv[1])
found = UvEnvironments(
    *(root / "environments", LinuxProcesses(), RecordingProgress()),
    find_links=str(root / "wheels"),
    inherited={**os.environ, "UV_OFFLINE": "1", "UV_CACHE_DIR": str(root / "cache")},
)
with found.of(root / "project"):
    pass
"""


def test_one_that_was_killed_while_it_was_made_is_not_taken_for_whole(machine: Machine) -> None:
    """uv is held in the middle by a wheel that is a pipe nobody writes into; then its owner is killed."""
    content = machine.wheel.read_bytes()
    machine.wheel.unlink()
    os.mkfifo(machine.wheel)
    maker = subprocess.Popen([sys.executable, "-c", textwrap.dedent(MAKER), str(machine.root)])
    # It has the file open for reading: uv is in the middle of installing.
    pipe = os.open(machine.wheel, os.O_WRONLY)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    (place,) = (each for each in machine.places.iterdir() if each.is_dir())
    assert (place / "bin" / "python").exists()
    assert not (place / WHOLE).exists()

    # The orphaned uv still works there: it has the lock until it ends.
    descriptor = os.open(machine.places / f"{place.name}.lock", os.O_RDWR)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert machine.environments().remove(place.name) is False
    finally:
        os.close(descriptor)
    machine.wheel.unlink()
    machine.wheel.write_bytes(content)
    os.close(pipe)
    assert machine.version() == "1.0"


def test_it_stops_when_it_is_interrupted_and_goes_on_later(machine: Machine) -> None:
    content = machine.wheel.read_bytes()
    machine.wheel.unlink()
    os.mkfifo(machine.wheel)
    environments = machine.environments()
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(machine.version, environments)
        pipe = os.open(machine.wheel, os.O_WRONLY)
        environments.interrupt()
        with pytest.raises(EngineInterruptedError):
            making.result(timeout=60)
    os.close(pipe)
    machine.wheel.unlink()
    machine.wheel.write_bytes(content)
    assert machine.version() == "1.0"


def test_whoever_inherits_it_keeps_it_in_use(machine: Machine) -> None:
    """An engine that outlives a killed reconciler needs its packages to the end."""
    environments = machine.environments()
    with environments.of(machine.project) as found:
        assert found is not None
        engine = subprocess.Popen(["sleep", "60"], pass_fds=(found.in_use,))
    try:
        assert environments.remove(found.directory.name) is False
    finally:
        engine.kill()
        engine.wait()
    assert environments.remove(found.directory.name) is True


def test_one_whose_python_is_gone_is_made_again(machine: Machine) -> None:
    assert machine.version() == "1.0"
    (place,) = (each for each in machine.places.iterdir() if each.is_dir())
    python = place / "bin" / "python"
    python.unlink()
    python.symlink_to(machine.root / "removed")
    assert machine.version() == "1.0"
    assert machine.installed() == 2


def test_uv_sees_how_packages_are_reached_and_no_token(machine: Machine, tmp_path: Path) -> None:
    """A source distribution that writes down its environment while it is built."""
    seen = tmp_path / "seen.json"
    backend = (
        "import json, os, pathlib\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(dict(os.environ)))\n"
        "raise SystemExit('seen')\n"
    )
    source = tmp_path / "seer-1.0"
    source.mkdir()
    (source / "backend.py").write_text(backend)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "seer"\ndynamic = ["version"]\n'
    )
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: seer\nVersion: 1.0\n")
    archive = machine.wheels / "seer-1.0.tar.gz"
    run("tar", "-C", tmp_path, "-czf", archive, source.name)
    machine.lock(lock_of(archive).replace("1.0.tar.gz", "1.0"))
    with pytest.raises(PackagesUnavailableError, match=r"cannot build seer"):
        machine.version(machine.environments(HTTPS_PROXY="http://proxy.example:3128"))
    environment = json.loads(seen.read_text())
    assert environment["UV_OFFLINE"] == "1"
    assert environment["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert "sesame" not in environment.values()


def test_nothing_is_kept_where_nothing_was_made(machine: Machine) -> None:
    assert machine.environments().kept() == ()
    assert machine.environments().remove("anything") is False
