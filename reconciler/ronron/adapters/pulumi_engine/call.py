"""One call of the engine's port: the commands on one stack of one checkout, and what they left."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from ronron.adapters.pulumi_engine.command import EngineCommand, Finished
from ronron.adapters.pulumi_engine.errors import explain
from ronron.adapters.pulumi_engine.events import EventLog, read_events
from ronron.adapters.pulumi_engine.process_runner import written
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.errors import ConfigError, EngineError, StackNotFoundError
from ronron.core.redact import redact, shorten
from ronron.policy.yaml_text import read_yaml
from ronron.ports import Program

SHORT = timedelta(minutes=2)
"""Deadline of commands that only ask the backend; each takes about 0.1 s where that is a directory."""

_MOST_MESSAGES = 50
_LONGEST_MESSAGE = 500
_SECRETS_PROVIDER = re.compile(r"^secretsprovider:\s*['\"]?(?P<url>[^'\"\s#]+)", re.M)
_BROKEN_STACK_FILE = re.compile(r"stack configuration(?: for new stack)?: invalid YAML file")
_PLUGIN_FROM_PATH = re.compile(r"^using pulumi-\S+ from \$PATH at ")


class Call:
    """The commands of one call.

    The stack file is copied and the engine told to use the copy: it writes a salt into one that has
    none, and nothing is written into a checkout.

    Args:
        program: what it is about; its work directory is made.
        command: runs them.
        secrets: values that no message may show.
        copies_config: false for a backend that keeps secrets itself, and refuses to be given a file.
    """

    def __init__(
        self, program: Program, command: EngineCommand, secrets: Iterable[str], *, copies_config: bool
    ) -> None:
        self.program = program
        self.stack = program.stack
        self._command = command
        self._secrets = tuple(secrets)
        self._copies_config = copies_config
        self._excluded: list[str] = []
        with written(program.work):
            program.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.project, directory = _project(program.directory)
        self._stack_file = f"Pulumi.{self.stack.rpartition('/')[2]}"
        self._config = program.work / f"{self._stack_file}.yaml"
        self._original = program.directory / directory

    def copy_config(self) -> None:
        """Take the stack file as it is in the checkout now."""
        original = self._stack_file_in_checkout()
        with written(self.program.work):
            self._config.touch(mode=0o600)
            self._config.write_bytes(b"" if original is None else original.read_bytes())

    def leave_out(self, exported: ExportedState | None) -> None:
        """Touch nothing on the machines that the program does without, in every preview and update from here.

        What is excluded is what goes through the machine's provider: a component's exclusion does not reach
        that. The engine excludes nothing, and says nothing, where a name is not there.

        Raises:
            EngineError: nothing in the state is made through a provider of such a name.
        """
        found: list[str] = []
        for machine in self.program.excluded:
            ways = exported.ways_to(machine) if exported is not None else ()
            if exported is None or not ways:
                raise EngineError(
                    f"cannot update without {machine}: the stack has no provider of that name",
                    where=f"stack {self.stack}",
                    hint=f"let the program name the provider of {machine} as the machine, or bring it back",
                )
            found += ways
            # What an update would take for done otherwise; it is mended once the machine is back.
            found += sorted({*exported.half_made()} - {*exported.half_made(but_on=(machine,))})
        self._excluded = [word for urn in found for word in ("--exclude", urn)]
        self._excluded += ["--exclude-dependents"] if found else []

    def preview(self) -> tuple[Finished, EventLog, Path]:
        """Run a preview; the path is that of its plan."""
        plan = Path(f"{self._command.next_log('preview')}.plan.json")
        finished, log = self._run("preview", "--save-plan", str(plan), *self._excluded)
        return finished, log, plan

    def up(self, plan: Path, started: Callable[[int], None]) -> tuple[Finished, EventLog]:
        """Carry out a plan."""
        if not self._config.is_file():
            self.copy_config()
        return self._run(
            "up",
            *("--yes", "--skip-preview", "--suppress-progress", "--plan", str(plan)),
            *("--message", self.program.revision.short),
            *self._excluded,
            started=started,
        )

    def refresh(self, urns: Iterable[str]) -> tuple[Finished, EventLog]:
        """Read what is really there into the state, of some resources; the program is not run."""
        targets = (word for urn in urns for word in ("--target", urn))
        if not self._config.is_file():
            self.copy_config()
        return self._run("refresh", "--yes", "--skip-preview", "--suppress-progress", *targets)

    def create(self) -> None:
        """Make the stack, with the secrets provider of the stack file.

        It is made from a directory of its own, since `stack init` takes no other stack file than the one
        beside the project, and writes a salt into it.

        Raises:
            EngineError: it cannot be made.
        """
        place = self.program.work / "project"
        provider = None
        if self._copies_config:
            with written(place):
                place.mkdir(mode=0o700, exist_ok=True)
                (place / "Pulumi.yaml").write_text(json.dumps({"name": self.project, "runtime": "python"}))
                shutil.copyfile(self._config, place / self._config.name)
            found = _SECRETS_PROVIDER.search(self._config.read_text(errors="replace"))
            provider = found["url"] if found and found["url"] not in {"default", "passphrase"} else None
        else:
            place = self.program.directory
        from ronron.adapters.pulumi_engine.automation import make_stack

        failure = make_stack(self._command, place, self.stack, provider)
        if failure is not None:
            raise self.error(failure, EventLog())

    def export(self) -> ExportedState | None:
        """The stack's state; None where there is no such stack.

        Raises:
            EngineError: the backend does not give it.
        """
        text = self.export_text()
        return None if text is None else ExportedState(text)

    def export_text(self) -> str | None:
        """The same as the engine writes it."""
        file = Path(f"{self._command.next_log('stack export')}.state.json")
        finished = self._command.launch(
            "stack export",
            *("--stack", self.stack, "--file", str(file)),
            cwd=self.program.directory,
            deadline=SHORT,
        )
        try:
            if finished.code == 0:
                return file.read_text(errors="replace")
        except FileNotFoundError:
            pass
        finally:
            file.unlink(missing_ok=True)
        error = self.error(finished, EventLog())
        if isinstance(error, StackNotFoundError):
            return None
        raise error

    def import_text(self, state: str) -> None:
        """Put an exported state into the stack, which is there.

        Raises:
            EngineError: the backend does not take it.
        """
        file = Path(f"{self._command.next_log('stack import')}.state.json")
        with written(self.program.work):
            file.touch(mode=0o600)
            file.write_text(state)
        try:
            finished = self._command.launch(
                "stack import",
                *("--stack", self.stack, "--file", str(file)),
                cwd=self.program.directory,
                deadline=SHORT,
            )
        finally:
            file.unlink(missing_ok=True)
        if finished.code != 0:
            raise self.error(finished, EventLog())

    def cancel(self) -> None:
        """Remove all locks of the stack; only for a backend that is no directory, and only with proof.

        Raises:
            EngineError: they cannot be removed.
        """
        finished = self._command.launch(
            "cancel", *("--yes", "--stack", self.stack), cwd=self.program.directory, deadline=SHORT
        )
        if finished.code != 0:
            raise self.error(finished, EventLog())

    def error(self, finished: Finished, log: EventLog) -> EngineError:
        """Why a command did not do what it should; files are named from the top of the project.

        Raises:
            ConfigError: the stack file is no YAML; the engine says so too, but does not name it.
        """
        original = self._stack_file_in_checkout()
        # Asked only now: the engine reads more than we do, anchors for instance.
        if original is not None and _BROKEN_STACK_FILE.search(finished.stderr):
            read_yaml(original.read_text(errors="replace"), file=self._named(original))
        return explain(finished, log, self.stack, self._secrets, directory=str(self.program.directory))

    def messages(self, log: EventLog) -> tuple[str, ...]:
        """Warnings and errors in a log, each once, redacted."""
        said = (
            shorten(redact(one.message.strip(), self._secrets), _LONGEST_MESSAGE)
            for one in log.diagnostics
            if one.severity in {"warning", "error"} and not _PLUGIN_FROM_PATH.match(one.message)
        )
        return tuple(dict.fromkeys(text for text in said if text))[:_MOST_MESSAGES]

    def _stack_file_in_checkout(self) -> Path | None:
        files = (self._original / f"{self._stack_file}.{ending}" for ending in ("yaml", "yml"))
        return next((file for file in files if file.is_file()), None)

    def _named(self, file: Path) -> str:
        """A file as people know it: from the top of the project, where it is below that."""
        top = self.program.directory
        return str(file.relative_to(top)) if file.is_relative_to(top) else file.name

    def _run(
        self, command: str, *options: str, started: Callable[[int], None] | None = None
    ) -> tuple[Finished, EventLog]:
        events = Path(f"{self._command.next_log(command)}.events.jsonl")
        config = ("--config-file", str(self._config)) if self._copies_config else ()
        finished = self._command.launch(
            command,
            *("--stack", self.stack, "--suppress-outputs", "--event-log", str(events)),
            *config,
            *options,
            cwd=self.program.directory,
            started=started,
        )
        return finished, read_events(events)


def _project(directory: Path) -> tuple[str, str]:
    """The project's name and the directory of its stack files; of one that is broken the engine speaks."""
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        file = directory / name
        if file.is_file():
            try:
                values = read_yaml(file.read_text(errors="replace"), file=name).values
            except ConfigError:
                break
            return str(values.get("name", "")), str(values.get("stackConfigDir", "."))
    return "", "."
