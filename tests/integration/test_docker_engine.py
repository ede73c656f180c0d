"""Starting a Docker engine: a second real one, beside that of the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain import docker_engine

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("dockerd") is None,
    reason="only root starts an engine, and only where one is installed",
)

START = """
import sys
from pathlib import Path
from toolchain import docker_engine
found = docker_engine.start(sys.argv[3:], sys.argv[1], log=Path(sys.argv[2]))
print(found.host, found.version)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ronron-test-"))  # a socket's path has to be short
    yield folder
    pid = folder / "pid"
    if pid.exists():
        number = int(pid.read_text())
        os.kill(number, signal.SIGTERM)
        end = time.monotonic() + 30
        while Path(f"/proc/{number}").exists() and time.monotonic() < end:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.05)
    shutil.rmtree(folder)


def test_an_engine_that_was_started_answers_and_outlives_whoever_started_it(place: Path) -> None:
    host = f"unix://{place}/sock"
    words = [
        # A network of its own: a starting engine would remove the bridge of the machine's.
        "unshare", "--net", "--",
        "dockerd", "--host", host, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec",
        "--pidfile", f"{place}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", START, host, f"{place}/log", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == host
    answer = docker_engine.ask(host)
    assert isinstance(answer, docker_engine.Answer)
    assert answer.version == done.stdout.split()[1]
    assert os.getsid(int((place / "pid").read_text())) != os.getsid(0)
