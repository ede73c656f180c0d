"""Pulumi's command line as a person uses it: on a working tree, with the backend and secrets of the service.

What it writes into a stack file (a salt, a value of `config set`) stays there, because the person commits it.
It is no part of a pass: nothing is judged, recorded or probed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ronron.adapters.pulumi_engine.call import SHORT, project_name
from ronron.adapters.pulumi_engine.elsewhere import has_stack, stack_not_found
from ronron.adapters.pulumi_engine.environment import (
    ACCEPT_EMPTY,
    EXCLUDE,
    GOING_BACK,
    REVISION,
    SET,
    environment,
    executable,
    file_backend,
    prepare,
    secrets,
)
from ronron.adapters.pulumi_engine.errors import explain
from ronron.adapters.pulumi_engine.events import EventLog
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.core.errors import StackNotFoundError
from ronron.core.packages import VirtualEnvironment
from ronron.settings import EngineSettings

STACK = "PULUMI_STACK"
"""Selects the stack of each command; `pulumi stack select` would write a file beside the project."""

_TERMINAL = frozenset(
    {
        *("TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TZ"),
        *(
            "EDITOR",
            "VISUAL",
            "PAGER",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
        ),
        *(ACCEPT_EMPTY, EXCLUDE, GOING_BACK, REVISION),
    }
)
"""What a person's shell gives besides what a pass passes on."""
_NOT_FOR_PEOPLE = frozenset({"NO_COLOR", "PULUMI_DEBUG_COMMANDS", "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER"})
"""Of `environment.SET`: a person sees colours, and `stack init` writes the salt into the stack file."""
_READS = (
    *(
        "about",
        "config",
        "console",
        "convert",
        "gen-completion",
        "help",
        "install",
        "login",
        "logout",
        "logs",
    ),
    *("new", "org", "package", "plugin", "policy", "preview", "schema", "template", "version", "whoami"),
)
_READS_A_STACK = (
    "export",
    "graph",
    "history",
    "ls",
    "list",
    "output",
    "select",
    "unselect",
    "webhook",
    "tag",
)

_WRITE_THE_STACK_FILE = ("init", "rm", "rename", "change-secrets-provider")
_WRITE_THE_PROJECT = ("new", "convert", "install", "package")


def may_write(arguments: Sequence[str]) -> bool:
    """Whether a command of Pulumi may change the state of a stack; an unknown one may.

    Args:
        arguments: what a person wrote behind `pulumi`.
    """
    if any(word in {"-h", "--help", "--version"} for word in arguments):
        return False
    words = [word for word in arguments if not word.startswith("-")]
    if not words:
        return False
    if words[0] == "stack":
        return not any(word in _READS_A_STACK for word in words[1:2]) and len(words) > 1
    return words[0] not in _READS


def writes_a_file(arguments: Sequence[str]) -> bool:
    """Whether a command of Pulumi writes into the stack file or the project, and so needs a working tree.

    Args:
        arguments: what a person wrote behind `pulumi`.
    """
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["config"]:
        return any(word.startswith(("set", "rm", "cp", "refresh", "env")) for word in words[1:2])
    return (words[:1] == ["stack"] and words[1:2] != [] and words[1] in _WRITE_THE_STACK_FILE) or (
        words[:1] != [] and words[0] in _WRITE_THE_PROJECT
    )


def runs_program(arguments: Sequence[str]) -> bool:
    """Whether a command of Pulumi runs the program or its dynamic providers; an unknown one may.

    Args:
        arguments: what a person wrote behind `pulumi`.
    """
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["preview"]:
        return True
    return may_write(arguments) and words[:1] not in (["stack"], ["state"], ["cancel"])


class PulumiByHand:
    """Runs Pulumi on one stack of a working tree, with what a pass of the service uses.

    Args:
        settings: the engine's; the same as those of the service.
        directory: of the project in the working tree, where its Pulumi.yaml is.
        stack: the stack's name; it need not exist.
        environment: the environment's name, for hints; by default the stack's.
        running: the commit that is live, where it is known; the program records it in snapshots.
        packages: the virtual environment that the program runs in; None for the first Python on PATH.
        inherited: the person's own environment variables.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        directory: Path,
        stack: str,
        environment: str = "",
        running: str | None = None,
        packages: VirtualEnvironment | None = None,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._stack = stack
        self._name = environment or stack
        self._running = running
        self._packages = packages
        self._inherited = os.environ if inherited is None else inherited

    def variables(self) -> dict[str, str]:
        """All variables that Pulumi sees."""
        own = {
            name: value
            for name, value in self._inherited.items()
            if name in _TERMINAL or name.startswith("PULUMI_")
        }
        seen = environment(
            self._settings, self._inherited, self._running, name=self._name, packages=self._packages
        )
        seen = {name: value for name, value in seen.items() if name not in _NOT_FOR_PEOPLE & set(SET)}
        return own | seen | {STACK: self._stack}

    def attach(self, arguments: Sequence[str]) -> int:
        """Run a command on the person's terminal, and return its exit code; 128 and more for a signal.

        Standard input, output and error are ours. Ctrl-C reaches Pulumi by the terminal, and a SIGTERM that
        we get is passed on as Pulumi's own request to stop, so that it finishes what it does.

        Raises:
            EngineMissingError: there is no engine. EngineError: its directories cannot be made.
        """
        prepare(self._settings)
        seen = self.variables()
        with (
            subprocess.Popen([str(executable(seen)), *arguments], cwd=self._directory, env=seen) as running,
            _stops_passed_on(running),
        ):
            code = running.wait()
        return 128 - code if code < 0 else code

    def run(self, arguments: Sequence[str], *, given: str | None = None) -> str:
        """Run a short command without a terminal, and return its standard output.

        Args:
            arguments: the command and its options.
            given: its standard input, for instance the value of `config set --secret KEY`; it is never in
                a message.

        Raises:
            EngineError, and what is below it: it failed, with the cause.
        """
        ended = self._run(arguments, given)
        if ended.code != 0:
            known = secrets(self._settings, self.variables()) | ({given.strip()} if given else set())
            error = explain(
                ended,
                EventLog(),
                self._stack,
                known,
                directory=str(self._directory),
                environment=self._name,
            )
            raise self.not_found() if isinstance(error, StackNotFoundError) else error
        return ended.stdout

    def stack_exists(self) -> bool:
        """Whether the backend has the stack.

        Raises:
            EngineError: it cannot be read.
        """
        try:
            self.run(["stack", "export", "--stack", self._stack])
        except StackNotFoundError:
            return False
        return True

    def not_found(self) -> StackNotFoundError:
        """The error of a stack that the backend does not have; it names the place that has it."""
        return stack_not_found(
            self._settings.backend_url,
            project_name(self._directory),
            self._stack,
            environment=self._name,
            was_there=self._running is not None,
            environ=self._inherited,
        )

    def lacks_stack(self) -> bool:
        """Whether a file backend has no such stack; false for every other backend, which is not asked."""
        backend = file_backend(self._settings.backend_url)
        return backend is not None and has_stack(backend, project_name(self._directory), self._stack) is False

    def create_stack(self) -> None:
        """Create the stack; its salt is written into the stack file, which is to be committed.

        Raises:
            EngineError: it cannot be created, for instance because it exists.
        """
        self.run(["stack", "init", self._stack, "--no-select"])

    def set_secret(self, key: str, value: str, *, path: bool = False) -> None:
        """Write an encrypted value into the stack file.

        Args:
            key: with its namespace, such as `ronron:pad-database-password`.
            value: the secret.
            path: whether the key is a path into a value, as `--path` has it.

        Raises:
            EngineError: it cannot be written, for instance because the stack does not exist.
        """
        options = ["--path"] if path else []
        self.run(["config", "set", "--secret", *options, "--stack", self._stack, key], given=value)

    def _run(self, arguments: Sequence[str], given: str | None) -> Finished:
        prepare(self._settings)
        seen = self.variables()
        named = " ".join(word for word in arguments[:2] if not word.startswith("-"))
        argv = [str(executable(seen)), *arguments, "--non-interactive", "--color", "never"]
        try:
            done = subprocess.run(
                argv,
                cwd=self._directory,
                env=seen,
                input=given,
                stdin=subprocess.DEVNULL if given is None else None,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SHORT.total_seconds(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Finished(named, None, "", "", timed_out=True, interrupted=False, log=None)
        return Finished(
            named,
            done.returncode,
            done.stdout,
            done.stderr,
            timed_out=False,
            interrupted=False,
            log=Path(named),
        )


@contextmanager
def _stops_passed_on(running: subprocess.Popen[bytes]) -> Iterator[None]:
    """For the block, SIGINT is left to Pulumi, and SIGTERM becomes a SIGINT of Pulumi."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        pass

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            running.send_signal(signal.SIGINT)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, leave),
        signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
