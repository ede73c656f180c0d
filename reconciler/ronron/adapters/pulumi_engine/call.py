"""One call of the engine's port: the commands on one stack of one checkout, and what they left."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

from ronron.adapters.pulumi_engine.errors import explain
from ronron.adapters.pulumi_engine.events import EventLog, read_events
from ronron.adapters.pulumi_engine.finished import Finished, finished
from ronron.adapters.pulumi_engine.follow import following
from ronron.adapters.pulumi_engine.stack_secrets import decrypted, secrets_of_config, secrets_of_state
from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.adapters.pulumi_engine.stops import cannot_start, note_stop, stop_steps, writing
from ronron.core.errors import ConfigError, EngineError, StackNotFoundError
from ronron.core.redact import redact, shorten
from ronron.policy.yaml_text import read_yaml
from ronron.ports import Follow, Program
from ronron.process_runner.runner import Command, Invocation, ProcessRunner, StartError

SHORT = timedelta(minutes=2)
"""Deadline of commands that only ask the backend; each takes about 0.1 s where that is a directory."""

_ALWAYS = ("--non-interactive", "--color", "never")
_MOST_MESSAGES = 50
_LONGEST_MESSAGE = 500
_SECRETS_PROVIDER = re.compile(r"^secretsprovider:\s*['\"]?(?P<url>[^'\"\s#]+)", re.M)
_BROKEN_STACK_FILE = re.compile(r"stack configuration(?: for new stack)?: invalid YAML file")
_STACK_EXISTS = re.compile(r"stack.*already exists")
_PLUGIN_FROM_PATH = re.compile(r"^using pulumi-\S+ from \$PATH at ")


class Call:
    """One call of the engine's port: the engine's commands on one stack of one checkout.

    The stack file is copied, and the engine is told to use the copy: it writes a salt into a stack file
    that has none, and nothing is written into a checkout.

    Args:
        program: what it is about; its work directory is made.
        runner: runs the commands.
        invocation: what they are interrupted with.
        executable: the engine.
        environment: all variables that it sees.
        secrets: values that no message may show.
        deadline: of each command.
        grace: from the first SIGINT to the second.
        copies_config: false for a backend that keeps secrets itself, and refuses a stack file.
        keep_open: file descriptors that the engine inherits.
        not_found: makes the error of a stack that the backend does not have.
    """

    def __init__(
        self,
        program: Program,
        runner: ProcessRunner,
        invocation: Invocation,
        *,
        executable: Path,
        environment: Mapping[str, str],
        secrets: Iterable[str],
        deadline: timedelta,
        grace: timedelta,
        copies_config: bool,
        not_found: Callable[[Call], StackNotFoundError],
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self.program = program
        self.stack = program.stack
        self._runner = runner
        self._invocation = invocation
        self._executable = executable
        self._environment = environment
        self._secrets = tuple(secrets)
        self._deadline = deadline
        self._grace = grace
        self._copies_config = copies_config
        self._keep_open = keep_open
        self._not_found = not_found
        self._excluded: list[str] = []
        with writing(program.work):
            program.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.project, directory = _project(program.directory)
        self._stack_file = f"Pulumi.{self.stack.rpartition('/')[2]}"
        self._config = program.work / f"{self._stack_file}.yaml"
        self._original = program.directory / directory

    def copy_config(self) -> None:
        """Take the stack file as it is in the checkout now."""
        original = self._stack_file_in_checkout()
        with writing(self.program.work):
            self._config.touch(mode=0o600)
            self._config.write_bytes(b"" if original is None else original.read_bytes())

    def exclude(self, exported: ExportedState | None) -> None:
        """Exclude the machines that the program excludes from every later preview and update of this call.

        Everything that goes through the machine's provider is excluded: excluding a component would not
        reach it. Where the state has no such provider the engine would exclude nothing, without a message.

        Raises:
            EngineError: the state has no provider of such a name.
        """
        found: list[str] = []
        for machine in self.program.excluded:
            providers = exported.providers_of(machine) if exported is not None else ()
            if exported is None or not providers:
                raise EngineError(
                    f"cannot exclude {machine}: the stack has no provider of that name",
                    where=f"stack {self.stack}",
                    hint=f"name the provider after the machine {machine}, or make the machine reachable",
                )
            found += providers
            # Resources with init errors, which an update would otherwise take for done. They are refreshed
            # once the machine is reachable.
            found += sorted({*exported.init_errors()} - {*exported.init_errors(but_on=(machine,))})
        self._excluded = [word for urn in found for word in ("--exclude", urn)]
        self._excluded += ["--exclude-dependents"] if found else []

    def preview(self) -> tuple[Finished, EventLog, Path]:
        """Run a preview; the path is that of its plan."""
        plan = Path(f"{self._next_log('preview')}.plan.json")
        ended, log = self._run("preview", "--save-plan", str(plan), *self._excluded, *self._replaced())
        return ended, log, plan

    def up(
        self, plan: Path, started: Callable[[int], None], follow: Follow | None = None
    ) -> tuple[Finished, EventLog]:
        """Run an update by a saved plan; `follow` as in `ports.Engine.update`."""
        if not self._config.is_file():
            self.copy_config()
        return self._run(
            "up",
            *("--yes", "--skip-preview", "--suppress-progress", "--plan", str(plan)),
            *("--message", self.program.revision.short),
            *self._excluded,
            *self._replaced(),
            started=started,
            follow=follow,
        )

    def _replaced(self) -> tuple[str, ...]:
        return tuple(word for urn in self.program.replace for word in ("--replace", urn))

    def refresh(self, urns: Iterable[str]) -> tuple[Finished, EventLog]:
        """Refresh some resources in the state; the program does not run."""
        targets = (word for urn in urns for word in ("--target", urn))
        if not self._config.is_file():
            self.copy_config()
        return self._run("refresh", "--yes", "--skip-preview", "--suppress-progress", *targets)

    def create(self) -> None:
        """Create the stack, with the secrets provider of the stack file.

        The command runs in a directory of its own: `stack init` takes only the stack file beside the
        project, and writes a salt into it.

        Raises:
            EngineError: it cannot be created.
        """
        place = self.program.work / "project"
        provider = None
        if self._copies_config:
            with writing(place):
                place.mkdir(mode=0o700, exist_ok=True)
                (place / "Pulumi.yaml").write_text(json.dumps({"name": self.project, "runtime": "python"}))
                shutil.copyfile(self._config, place / self._config.name)
            found = _SECRETS_PROVIDER.search(self._config.read_text(errors="replace"))
            provider = found["url"] if found and found["url"] not in {"default", "passphrase"} else None
        else:
            place = self.program.directory
        chosen = ("--secrets-provider", provider) if provider else ()
        ended = self._launch("stack init", self.stack, *chosen, cwd=place)
        # Another process may have created it meanwhile.
        if ended.code != 0 and not _STACK_EXISTS.search(ended.stderr):
            raise self.error(ended, EventLog())

    def export(self) -> ExportedState | None:
        """The exported state; None where there is no such stack.

        Raises:
            EngineError: it cannot be exported.
        """
        text = self.export_text()
        return None if text is None else ExportedState(text)

    def export_text(self) -> str | None:
        """The exported state as the engine writes it; see `export`."""
        file = Path(f"{self._next_log('stack export')}.state.json")
        ended = self._launch(
            "stack export",
            *("--stack", self.stack, "--file", str(file)),
            cwd=self.program.directory,
            deadline=SHORT,
        )
        try:
            if ended.code == 0:
                return file.read_text(errors="replace")
        except FileNotFoundError:
            pass
        finally:
            file.unlink(missing_ok=True)
        error = self.error(ended, EventLog())
        if isinstance(error, StackNotFoundError):
            return None
        raise error

    def import_text(self, state: str) -> None:
        """Import a state into the stack, which exists.

        Raises:
            EngineError: it cannot be imported.
        """
        file = Path(f"{self._next_log('stack import')}.state.json")
        with writing(self.program.work):
            file.touch(mode=0o600)
            file.write_text(state)
        try:
            ended = self._launch(
                "stack import",
                *("--stack", self.stack, "--file", str(file)),
                cwd=self.program.directory,
                deadline=SHORT,
            )
        finally:
            file.unlink(missing_ok=True)
        if ended.code != 0:
            raise self.error(ended, EventLog())

    def unprotect(self, urn: str) -> None:
        """Unprotect a resource of the state.

        Raises:
            EngineError: it cannot be unprotected.
        """
        ended = self._launch(
            "state unprotect",
            *(urn, "--yes", "--stack", self.stack),
            cwd=self.program.directory,
            deadline=SHORT,
        )
        if ended.code != 0:
            raise self.error(ended, EventLog())

    def cancel(self) -> None:
        """Remove all locks of the stack; not for file backends, and only when their owners are proven dead.

        Raises:
            EngineError: they cannot be removed.
        """
        ended = self._launch(
            "cancel", *("--yes", "--stack", self.stack), cwd=self.program.directory, deadline=SHORT
        )
        if ended.code != 0:
            raise self.error(ended, EventLog())

    def error(self, ended: Finished, log: EventLog) -> EngineError:
        """The error for a command that failed; paths are relative to the project.

        Raises:
            ConfigError: the stack file is not YAML; the engine does not name the line.
        """
        original = self._stack_file_in_checkout()
        # Only after the engine failed: it reads more than we do, anchors for instance.
        if original is not None and _BROKEN_STACK_FILE.search(ended.stderr):
            read_yaml(original.read_text(errors="replace"), file=self._named(original))
        error = explain(
            ended,
            log,
            self.stack,
            self._secrets,
            directory=str(self.program.directory),
            environment=self.program.environment,
        )
        return self._not_found(self) if isinstance(error, StackNotFoundError) else error

    def stack_secrets(self) -> frozenset[str]:
        """The secret values of the stack's configuration and state; see `stack_secrets`."""
        if not self._config.is_file():
            self.copy_config()
        common = [*_ALWAYS, "--stack", self.stack]
        config = ("--config-file", str(self._config)) if self._copies_config else ()
        words = [[str(self._executable), "config", *common, "--json", "--show-secrets", *config]]
        words += [[str(self._executable), "stack", "export", *common, "--show-secrets"]]
        listed, exported = (decrypted(argv, self.program.directory, self._environment) for argv in words)
        text = self._config.read_text(errors="replace")
        return secrets_of_config(text, listed) | secrets_of_state(exported)

    def messages(self, log: EventLog) -> tuple[str, ...]:
        """The warnings and errors of a log, each once, redacted."""
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
        """A path relative to the project, where the file is in it; otherwise the name."""
        top = self.program.directory
        return str(file.relative_to(top)) if file.is_relative_to(top) else file.name

    def _run(
        self,
        command: str,
        *options: str,
        started: Callable[[int], None] | None = None,
        follow: Follow | None = None,
    ) -> tuple[Finished, EventLog]:
        events = Path(f"{self._next_log(command)}.events.jsonl")
        config = ("--config-file", str(self._config)) if self._copies_config else ()
        with nullcontext() if follow is None else following(events, follow):
            ended = self._launch(
                command,
                *("--stack", self.stack, "--suppress-outputs", "--event-log", str(events)),
                *config,
                *options,
                cwd=self.program.directory,
                started=started,
            )
        return ended, read_events(events)

    def _launch(
        self,
        command: str,
        *options: str,
        cwd: Path,
        deadline: timedelta | None = None,
        started: Callable[[int], None] | None = None,
    ) -> Finished:
        """Run a command to its end, whatever that is.

        Args:
            command: its words without options, such as `stack export`.
            options: the rest.
            cwd: working directory.
            deadline: another one than usual.
            started: called with the process ID before the engine itself begins; where it raises, the
                engine never begins.
        """
        work = self.program.work
        log = self._next_log(command)
        try:
            ended = self._runner.run(
                self._invocation,
                Command(
                    argv=[str(self._executable), *command.split(), *_ALWAYS, *options],
                    cwd=cwd,
                    environment=self._environment,
                    log=log,
                    deadline=self._deadline if deadline is None else deadline,
                    stop=stop_steps(self._grace),
                    outlives_us=True,
                    keep_open=self._keep_open,
                    umask=0o077,
                    on_stop=partial(note_stop, work),
                ),
                started,
                barrier=started is not None,
            )
        except StartError as error:
            raise cannot_start(error.cause, work) from error
        return finished(command, ended, log)

    def _next_log(self, command: str) -> Path:
        """A path without an ending for the files of the next command; no earlier command has used it."""
        number = sum(1 for _ in self.program.work.glob("*.err")) + 1
        return self.program.work / f"{number:02d}-{command.replace(' ', '-')}"


def project_name(directory: Path) -> str:
    """The name of the Pulumi project in a directory; empty where it cannot be read."""
    return _project(directory)[0]


def _project(directory: Path) -> tuple[str, str]:
    """The project's name and the directory of its stack files; the engine reports a broken project file."""
    for name in ("Pulumi.yaml", "Pulumi.yml"):
        file = directory / name
        if file.is_file():
            try:
                values = read_yaml(file.read_text(errors="replace"), file=name).values
            except ConfigError:
                break
            return str(values.get("name", "")), str(values.get("stackConfigDir", "."))
    return "", "."
