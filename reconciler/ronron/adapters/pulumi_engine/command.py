"""Runs commands of the engine, one after the other, within one call of its port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ronron.adapters.pulumi_engine.process_runner import GRACE, Children, Command, Turn, read_back

_ALWAYS = ("--non-interactive", "--color", "never")


@dataclass(frozen=True)
class Finished:
    """How one command of the engine ended.

    Args:
        command: its words without options, such as `stack export`.
        code: exit code; negative for the signal that killed it; None for one that was not even begun,
            since we had been asked to stop.
        stdout, stderr: what it said, long ones without their middle.
        timed_out: its deadline passed, so it was asked to stop.
        interrupted: somebody asked us to stop.
        log: path of the whole output, without the endings `.out` and `.err`.
    """

    command: str
    code: int | None
    stdout: str
    stderr: str
    timed_out: bool
    interrupted: bool
    log: Path


class EngineCommand:
    """Runs the engine within one turn; see `pulumi_children` for how.

    Args:
        executable: the engine.
        environment: all that it may see.
        children: where it runs.
        turn: the call of the port that it runs for.
        work: private directory for its output, numbered by command.
        deadline: of each command.
        grace: from the deadline's SIGINT to the hard one.
    """

    def __init__(
        self,
        executable: Path,
        environment: Mapping[str, str],
        children: Children,
        turn: Turn,
        work: Path,
        *,
        deadline: timedelta,
        grace: timedelta = GRACE,
    ) -> None:
        self.executable = str(executable)
        self._environment = environment
        self._children = children
        self._turn = turn
        self._work = work
        self._deadline = deadline
        self._grace = grace

    def next_log(self, command: str) -> Path:
        """A path for the files of the next command that no earlier one has used, without an ending."""
        number = sum(1 for _ in self._work.glob("*.err")) + 1
        return self._work / f"{number:02d}-{command.replace(' ', '-')}"

    def launch(
        self,
        command: str,
        *options: str,
        cwd: Path,
        deadline: timedelta | None = None,
        started: Callable[[int], None] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run a command to its end, whatever that is; the caller looks at how it ended.

        Args:
            command: its words without options, such as `stack export`.
            options: the rest.
            cwd: where.
            deadline: another one than usual.
            started: called with the process id before the engine itself begins; where it raises, the
                engine never does.
            more: variables on top of the environment.
        """
        log = self.next_log(command)
        ended = self._children.run(
            self._turn,
            Command(
                argv=[self.executable, *command.split(), *_ALWAYS, *options],
                cwd=cwd,
                environment={**self._environment, **(more or {}), "PULUMI_AUTOMATION_API": "true"},
                log=log,
                deadline=self._deadline if deadline is None else deadline,
                grace=self._grace,
            ),
            started,
        )
        return Finished(
            command=command,
            code=ended.code if ended else None,
            stdout=read_back(Path(f"{log}.out")),
            stderr=read_back(Path(f"{log}.err")),
            timed_out=ended.timed_out if ended else False,
            interrupted=ended.interrupted if ended else True,
            log=log,
        )
