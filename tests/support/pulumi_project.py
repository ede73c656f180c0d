"""A tiny Pulumi project for the real engine: its resources are files, so nothing else is needed.

A dynamic provider makes `world/<name>`. It writes `<name>.begun` first and, where there is a `<name>.hold`,
goes on only when that is gone: so a test can stand in the middle of an update without sleeping.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.engine import PulumiEngine
from ronron.core.model import ProcessMark, Revision
from ronron.ports import Processes, Program
from ronron.settings import EngineSettings
from ronron.testing import Thing

PASSPHRASE = "correct horse battery"
COMMIT = "a" * 40
PATIENCE = 60.0
"""Seconds after which something that a test waits for will never come."""

PROGRAM = """
import json, os, pathlib, sys, time
import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

class Files(ResourceProvider):
    def make(self, props):
        import pathlib, time
        file = pathlib.Path(props["file"])
        file.with_suffix(".begun").write_text(str(len(props)))
        until = time.monotonic() + 60
        while file.with_suffix(".hold").exists() and time.monotonic() < until:
            time.sleep(0.02)
        if props["fails"]:
            raise Exception(props["fails"])
        with file.open("a") as made:
            made.write("made\\n")
        return {**props, "made": str(time.time())}

    def create(self, props):
        return CreateResult(props["file"], outs=self.make(props))

    def diff(self, id_, old, new):
        import json
        differ = [key for key in new if key not in ("__provider", "fails") and old.get(key) != new[key]]
        return DiffResult(
            changes=bool(differ),
            replaces=[key for key in differ if key in json.loads(new["replaceOn"])],
            delete_before_replace=False,
        )

    def update(self, id_, old, new):
        return UpdateResult(outs=self.make(new))

    def delete(self, id_, props):
        import pathlib
        pathlib.Path(props["file"]).unlink(missing_ok=True)
        pathlib.Path(props["file"]).with_suffix(".deleted").touch()

class File(Resource):
    pass

declared = json.loads(pathlib.Path("declared.json").read_text())

def refuse(args):
    raise Exception(declared["hook"])

refusing = None
if declared["hook"]:
    refusing = pulumi.ResourceHookBinding(before_delete=[pulumi.ResourceHook("refuses", refuse)])
exec(declared["before"])
made, ways = {}, {}
for thing in declared["things"]:
    machine = thing["machine"]
    if machine and machine not in ways:
        ways[machine] = pulumi.ProviderResource("pulumi-python", machine, {})
    opts = pulumi.ResourceOptions(
        parent=made.get(thing["parent"]), provider=ways.get(machine), protect=thing["protected"] or None,
        retain_on_delete=thing["retained"] or None, hooks=refusing if thing["refuses"] else None,
    )
    if thing["custom"]:
        props = {**thing["inputs"], "file": thing["file"], "fails": thing["fails"],
                 "replaceOn": json.dumps(thing["replace_on"])}
        made[thing["name"]] = File(Files(), thing["name"], props, opts)
    else:
        made[thing["name"]] = pulumi.ComponentResource(thing["type"], thing["name"], {}, opts)
if declared["inventory"] is not None:
    pulumi.export("inventory", declared["inventory"])
exec(declared["after"])
"""


class PulumiProject:
    """A checkout, a backend and the world below one directory.

    Args:
        root: an empty directory.
    """

    def __init__(self, root: Path) -> None:
        self._place(root)
        for directory in (self.checkout / "stacks", self.world, self._bin):
            directory.mkdir(parents=True)
        (self.checkout / "Pulumi.yaml").write_text("name: tiny\nruntime: python\nstackConfigDir: stacks\n")
        (self.checkout / "__main__.py").write_text(PROGRAM)
        # The SDK's provider of dynamic resources, which the official engine brings along.
        provider = self._bin / "pulumi-resource-pulumi-python"
        provider.write_text(f'#!/bin/sh\nexec "{sys.executable}" -u -m pulumi.dynamic "$@"\n')
        provider.chmod(0o755)
        self.declare()

    @classmethod
    def at(cls, root: Path) -> PulumiProject:
        """One that another process has made there."""
        project = cls.__new__(cls)
        project._place(root)
        return project

    def _place(self, root: Path) -> None:
        self.root = root
        self.checkout = root / "checkout"
        self.world = root / "world"
        self.work = root / "work"
        self.state = root / "state"
        self._bin = root / "bin"
        self._hook = ""

    def declare(
        self,
        *things: Thing,
        inventory: object | None = None,
        before: str = "",
        after: str = "",
    ) -> None:
        """Say what the program makes, and what else it does before and after.

        Its hook is registered from the first thing on that has one: the state names it.
        """
        self._hook = next((thing.refuses for thing in things if thing.refuses), self._hook)
        document = {
            "things": [
                {
                    "name": thing.name,
                    "inputs": dict(thing.inputs),
                    "type": thing.type,
                    "custom": thing.custom,
                    "parent": thing.parent,
                    "replace_on": sorted(thing.replace_on),
                    "fails": thing.fails,
                    "machine": thing.machine,
                    "protected": thing.protected,
                    "retained": thing.retained,
                    "refuses": thing.refuses,
                    # Relative to the checkout, so that a state can be copied with its world.
                    "file": f"../world/{thing.name}",
                }
                for thing in things
            ],
            "inventory": inventory,
            "before": before,
            "after": after,
            "hook": self._hook,
        }
        (self.checkout / "declared.json").write_text(json.dumps(document))

    def settings(self, *, passphrase: str | None = PASSPHRASE, **changes: object) -> EngineSettings:
        """Settings of an engine whose state and home are below this directory."""
        settings = EngineSettings(
            home=self.root / "pulumi-home",
            backend_url=f"file://{self.state}",
            passphrase=None if passphrase is None else SecretStr(passphrase),
        )
        return settings.with_(**changes)

    def inherited(self) -> dict[str, str]:
        """The environment of the tests, with the provider of dynamic resources on PATH."""
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "VIRTUAL_ENV": sys.prefix,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def engine(
        self,
        settings: EngineSettings | None = None,
        *,
        processes: Processes | None = None,
        grace: timedelta = timedelta(seconds=PATIENCE),
        inherited: Mapping[str, str] | None = None,
    ) -> PulumiEngine:
        """An engine on this backend, as another process would have it."""
        return PulumiEngine(
            settings or self.settings(),
            processes or LinuxProcesses(),
            grace=grace,
            inherited=self.inherited() if inherited is None else inherited,
        )

    def program(
        self,
        *,
        stack: str = "dev",
        commit: str = COMMIT,
        create_stack: bool = False,
        work: str = "work",
        excluded: tuple[str, ...] = (),
    ) -> Program:
        """The checkout as the port takes it."""
        return Program(
            directory=self.checkout,
            stack=stack,
            work=self.root / work,
            revision=Revision(reference="main", commit=commit),
            digest="d" * 64,
            create_stack=create_stack,
            excluded=excluded,
        )

    def hold(self, name: str) -> None:
        """Let the making of a thing wait."""
        (self.world / f"{name}.hold").touch()
        (self.world / f"{name}.begun").unlink(missing_ok=True)

    def let_go(self, name: str) -> None:
        """Let it go on."""
        (self.world / f"{name}.hold").unlink(missing_ok=True)

    def begun(self, name: str) -> bool:
        """Whether the making of a thing has begun since `hold`."""
        return (self.world / f"{name}.begun").exists()

    def await_begun(self, name: str) -> None:
        """Wait until it has."""
        until(lambda: self.begun(name), f"the making of {name}")

    def left(self) -> list[int]:
        """Processes that live and were started by an engine of this project, however far removed."""
        mark = f"PULUMI_HOME={self.root / 'pulumi-home'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            # One that goes away while it is looked at is not left.
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return [pid for pid in found if LinuxProcesses().mark_of(pid) is not None]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The engine by hand, as a maintainer has it in a clone."""
        pulumi = shutil.which("pulumi")
        assert pulumi is not None, "no engine on PATH: `make test` sets one up"
        self.state.mkdir(mode=0o700, exist_ok=True)
        return subprocess.run(
            [pulumi, *arguments, "--non-interactive", "--color", "never"],
            cwd=self.checkout,
            env={
                **self.inherited(),
                "PULUMI_HOME": str(self.root / "pulumi-home"),
                "PULUMI_BACKEND_URL": f"file://{self.state}",
                "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )

    def locks(self) -> list[Path]:
        """The lock files of the backend."""
        return sorted((self.state / ".pulumi" / "locks").rglob("*.json"))


def nothing(_: ProcessMark) -> None:
    """What an owner does with a mark that it will not need."""


def until(true: Callable[[], object], what: str) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)
