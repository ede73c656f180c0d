"""Where a stack named `dev` is kept: by the engine in memory, and by Pulumi itself. For tests of both."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ronron.adapters.processes import LinuxProcesses
from ronron.adapters.pulumi_engine.events import belongs_to_pulumi
from ronron.core.errors import EngineError
from ronron.core.model import Preview, ProcessMark, Revision, Updated
from ronron.core.status import CheckResult
from ronron.ports import Engine, Program
from ronron.testing import EngineKilled, FakeEngine, FakeProcesses, Thing
from tests.support.pulumi_project import COMMIT, PASSPHRASE, PulumiProject, until

RED = Thing("shelf", {"colour": "red"})


def resources_in(engine: Engine, program: Program) -> int:
    """How many resources of its program's own a stack has, by its exported state."""
    document = json.loads(engine.export(program) or "{}")
    if "things" in document:
        return len(document["things"])
    found = (document.get("deployment") or {}).get("resources") or []
    return sum(not one.get("delete") and not belongs_to_pulumi(one["type"]) for one in found)


class World(Protocol):
    """Where a stack named `dev` is kept, and what its program makes."""

    @property
    def engine(self) -> Engine: ...
    def another_engine(self, passphrase: str = ...) -> Engine: ...
    def engine_elsewhere(self) -> Engine: ...
    def declare(self, *things: Thing, inventory: object | None = None, raises: str = "") -> None: ...
    def find(self, *findings: CheckResult) -> None: ...
    def program(
        self, *, create_stack: bool = False, commit: str = COMMIT, excluded: tuple[str, ...] = ()
    ) -> Program: ...
    def live(self, *more: Thing) -> None: ...
    def update(
        self,
        preview: Preview,
        *,
        during: str = "",
        then: Callable[[], None] = lambda: None,
        excluded: tuple[str, ...] = (),
    ) -> Updated: ...
    def in_the_world(self, name: str) -> bool: ...
    def kill_engine(self) -> None: ...
    def leave_lock(self, owner: str) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.processes = FakeProcesses()
        self.engine = FakeEngine(self.processes, passphrase=PASSPHRASE)
        self._work = Path("/nonexistent")
        self._elsewhere: FakeEngine | None = None

    def another_engine(self, passphrase: str = PASSPHRASE) -> Engine:
        return FakeEngine(self.processes, stacks=self.engine.stacks, passphrase=passphrase)

    def engine_elsewhere(self) -> Engine:
        if self._elsewhere is None:
            self._elsewhere = FakeEngine(self.processes, passphrase=PASSPHRASE)
            self._elsewhere.declare(COMMIT, RED, inventory={"version": 1})
        return self._elsewhere

    def declare(self, *things: Thing, inventory: object | None = None, raises: str = "") -> None:
        self.engine.declare(COMMIT, *things, inventory=inventory, raises=raises)

    def find(self, *findings: CheckResult) -> None:
        self.engine.set_checks(COMMIT, *findings)

    def program(
        self, *, create_stack: bool = False, commit: str = COMMIT, excluded: tuple[str, ...] = ()
    ) -> Program:
        return Program(
            directory=self._work,
            stack="dev",
            work=self._work,
            revision=Revision(reference="main", commit=commit),
            digest="d" * 64,
            create_stack=create_stack,
            excluded=excluded,
        )

    def live(self, *more: Thing) -> None:
        self.declare(RED, *more, inventory={"version": 1})
        self.update(self.engine.preview(self.program(create_stack=True)))

    def update(
        self,
        preview: Preview,
        *,
        during: str = "",
        then: Callable[[], None] = lambda: None,
        excluded: tuple[str, ...] = (),
    ) -> Updated:
        if during:
            self.engine.at(during, then)
        return self.engine.update(self.program(excluded=excluded), preview, lambda _: None)

    def in_the_world(self, name: str) -> bool:
        stack = self.engine.stacks["dev"]
        return name in stack.things or name in stack.left

    def kill_engine(self) -> None:
        raise EngineKilled

    def leave_lock(self, owner: str) -> None:
        mark = self.processes.spawn("pulumi")
        if owner != "alive":
            self.processes.end(mark)
        if owner == "elsewhere":
            mark = mark.with_(host="elsewhere.example")
        self.engine.stacks["dev"].lock = mark


class RealWorld:
    def __init__(self, root: Path, template: Path) -> None:
        self.project = PulumiProject(root)
        self.engine = self.project.engine()
        self._template = template
        self._mark: ProcessMark | None = None
        self._strangers: list[subprocess.Popen[bytes]] = []

    def another_engine(self, passphrase: str = PASSPHRASE) -> Engine:
        return self.project.engine(self.project.settings(passphrase=passphrase))

    def engine_elsewhere(self) -> Engine:
        """One on a backend that is empty at first, with a home of its own: a new machine."""
        home = self.project.root / "elsewhere"
        settings = self.project.settings(home=home / "pulumi-home", backend_url=f"file://{home}/state")
        return self.project.engine(settings)

    def declare(self, *things: Thing, inventory: object | None = None, raises: str = "") -> None:
        after = f"raise ValueError({raises!r})" if raises else ""
        self.project.declare(*things, inventory=inventory, after=after)

    def find(self, *findings: CheckResult) -> None:
        told = [json.dumps(finding.model_dump()) for finding in findings]
        self.project.declare(
            before='import os, sys\nif os.environ.get("RONRON_CHECK") == "1":\n'
            f'    for finding in {told!r}:\n        pulumi.log.info("ronron check: " + finding)\n'
            "    sys.exit(32)\n"
        )

    def program(
        self, *, create_stack: bool = False, commit: str = COMMIT, excluded: tuple[str, ...] = ()
    ) -> Program:
        return self.project.program(create_stack=create_stack, commit=commit, excluded=excluded)

    def live(self, *more: Thing) -> None:
        # Bringing it up takes some seconds, so that is done once, and the state is copied.
        things = (RED, *more)
        self.declare(*things, inventory={"version": 1})
        kept = self._template / "-".join(thing.name for thing in things)
        if not kept.exists():
            self.update(self.engine.preview(self.program(create_stack=True)))
            shutil.copytree(self.project.state, kept)
        shutil.copytree(kept, self.project.state, dirs_exist_ok=True)

    def update(
        self,
        preview: Preview,
        *,
        during: str = "",
        then: Callable[[], None] = lambda: None,
        excluded: tuple[str, ...] = (),
    ) -> Updated:
        """Update in a thread, and do something in the middle of making a thing."""
        ended: list[Updated | EngineError] = []

        def work() -> None:
            try:
                ended.append(self.engine.update(self.program(excluded=excluded), preview, self._note))
            except EngineError as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        if during:
            self.project.hold(during)
        thread.start()
        try:
            if during:
                until(lambda: self.project.begun(during) or not thread.is_alive(), f"the making of {during}")
                then()
        finally:
            self.project.let_go(during)
            thread.join()
        if isinstance(ended[0], EngineError):
            raise ended[0]
        return ended[0]

    def _note(self, mark: ProcessMark) -> None:
        self._mark = mark

    def in_the_world(self, name: str) -> bool:
        # A copied state comes without the files of its world.
        return not (self.project.world / f"{name}.deleted").exists()

    def kill_engine(self) -> None:
        assert self._mark is not None
        os.kill(self._mark.pid, signal.SIGKILL)

    def leave_lock(self, owner: str) -> None:
        # An engine is known by its name alone, so anything under that name is one.
        engine = self.project.root / "pulumi-engine"
        engine.symlink_to("/bin/sleep")
        stranger = subprocess.Popen([engine, "600"])
        self._strangers.append(stranger)
        until(lambda: LinuxProcesses().name_of(stranger.pid) == engine.name, "the other engine")
        if owner != "alive":
            stranger.kill()
            stranger.wait()
        lock = {
            "pid": stranger.pid,
            "username": "tech",
            "hostname": "elsewhere.example" if owner == "elsewhere" else socket.gethostname(),
            "timestamp": "2026-11-25T03:49:26.572069695Z",
        }
        directory = self.project.state / ".pulumi/locks/organization/tiny/dev"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "86c2fc7c-36b3-445c-acef-0e27124321c7.json").write_text(json.dumps(lock))

    def close(self) -> None:
        for stranger in self._strangers:
            stranger.kill()
            stranger.wait()
