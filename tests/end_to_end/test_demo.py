from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from demo.pad import Pad
from demo.story import KEEPSAKE, NEW_TITLE, WRITTEN
from tests.support.collectives import PROJECT
from tests.support.ports import free_port


@dataclass
class Demo:
    """A demo beside the one that somebody may have running: its own place, name and port."""

    root: Path
    name: str
    port: int

    def run(self, word: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "RONRON_DEMO": str(self.root),
            "RONRON_DEMO_NAME": self.name,
            "RONRON_DEMO_PORT": str(self.port),
        }
        return subprocess.run(
            [sys.executable, "-m", "demo", word],
            cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    def things(self) -> list[str]:
        """Names of its containers, networks and volumes."""
        with closing(docker.from_env()) as engine:
            names = [str(each.name) for each in engine.containers.list(all=True, ignore_removed=True)]
            names += [str(each.name) for each in engine.networks.list()]
            names += [str(each.name) for each in engine.volumes.list()]
        return [name for name in names if name.startswith(f"{self.name}-")]

    def processes(self) -> list[str]:
        """Command lines of the processes that know its place."""
        found = []
        for each in Path("/proc").glob("[0-9]*"):
            try:
                words = (each / "cmdline").read_bytes() + (each / "environ").read_bytes()
            except OSError:
                continue
            if str(self.root).encode() in words and int(each.name) != os.getpid():
                found.append((each / "cmdline").read_text())
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path / "demo", f"ronron-test-{secrets.token_hex(4)}", free_port())
    yield made
    made.run("down")


@pytest.mark.timeout(600)
def test_the_demo_runs_and_demo_down_removes_everything(demo: Demo) -> None:
    """Takes over a minute: it is all of `make demo`, with two updates and a drill, and `make demo-down`."""
    up = demo.run("up")
    assert up.returncode == 0, up.stdout + up.stderr
    second = up.stdout.partition("Push a commit")[2]
    for step in ("preview: 1 to replace", "verdict: allowed", "probe: pad healthy", "updated in"):
        assert step in second, up.stdout
    proven = up.stdout.partition("Take a backup")[2]
    for step in (
        "ronron backup now local",
        "ronron drill local",
        "ronron backup status local",
        "ronron status",
    ):
        _, found, proven = proven.partition(f"$ {step}")
        assert found, up.stdout
    assert "drill passed: pad" in up.stdout
    pad = Pad("pad.localhost", demo.port, f"{demo.name}-local-pad")
    assert pad.title() == NEW_TITLE
    assert pad.text(KEEPSAKE).strip() == WRITTEN
    assert not demo.processes(), "the services run in containers; no process is left"

    # By hand, in the shell environment that the demo prints, `pulumi preview` has nothing to do.
    preview = subprocess.run(
        ["sh", "-c", 'eval "$1" && exec pulumi preview --expect-no-changes', "sh", demo.run("env").stdout],
        cwd=demo.root / "collective", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert preview.returncode == 0, preview.stdout + preview.stderr

    assert demo.things()
    with closing(docker.from_env()) as engine:
        # As a killed drill leaves it.
        engine.volumes.create(f"{demo.name}-left", labels={"ronron.drill": f"{demo.name}-local-pad"})
    down = demo.run("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert not demo.things()
    assert not demo.root.exists()
    assert "there is no demo" in demo.run("down").stdout


def test_the_demo_prints_its_environment_in_a_bare_shell(tmp_path: Path) -> None:
    # As README has it: eval "$(make -s demo-env)".
    bare = {"PATH": os.defpath, "HOME": os.environ["HOME"], "RONRON_DEMO": str(tmp_path / "demo")}
    printed = subprocess.run(
        [sys.executable, "-m", "demo", "env"],
        cwd=PROJECT, env=bare, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert f"export RONRON_STATE={tmp_path / 'demo' / 'state'}" in printed.stdout
    assert "export PULUMI_STACK=local" in printed.stdout
