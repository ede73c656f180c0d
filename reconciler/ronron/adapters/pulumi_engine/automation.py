"""The Automation API over our own way of running the engine.

Import it where it is needed and not at the top: it brings the whole SDK along, which costs 0.14 s (SDK
3.272.0), and a pass that changes nothing needs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pulumi.automation import CommandResult, LocalWorkspace, OnOutput, PulumiCommand, errors
from pulumi.automation.errors import create_command_error

from ronron.adapters.pulumi_engine.command import EngineCommand, Finished
from ronron.core.errors import (
    EngineError,
    EngineMissingError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
)

CLASSES: Mapping[type[Exception], type[EngineError]] = {
    errors.CommandError: EngineError,
    errors.StackNotFoundError: StackNotFoundError,
    errors.StackAlreadyExistsError: EngineError,
    errors.ConcurrentUpdateError: StackLockedError,
    errors.InlineSourceRuntimeError: ProgramError,
    errors.RuntimeError: ProgramError,
    errors.CompilationError: ProgramError,
    errors.InvalidVersionError: EngineMissingError,
}
"""Our class for each of the Automation API's, which picks them by the command's words."""


class AutomationCommand(PulumiCommand):
    """What the Automation API runs the engine with; its own can hang for ever.

    Args:
        command: runs it.
    """

    def __init__(self, command: EngineCommand) -> None:
        # Not the constructor of the SDK, which starts the engine once with everything in our environment.
        self.command = command.executable
        self.version = None
        self.last: Finished | None = None
        """How the newest command ended."""
        self._command = command

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        """See the Automation API; what the callbacks are given, they are given at the end.

        Raises:
            pulumi.automation.errors.CommandError: it did not end with 0.
        """
        words = [word for word in args if word != "--non-interactive"]
        first_option = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
        # Two words at most name a command (`stack init`); the third is its argument.
        named = min(first_option, 2)
        finished = self.last = self._command.launch(
            " ".join(words[:named]), *words[named:], cwd=Path(cwd), more=additional_env
        )
        result = _as_result(finished)
        for callback, text in ((on_output, finished.stdout), (on_error, finished.stderr)):
            if callback is not None:
                for line in text.splitlines():
                    callback(line)
        if finished.code != 0:
            raise create_command_error(result)
        return result


def class_of(finished: Finished) -> type[EngineError]:
    """Our class for a command that failed, as the Automation API would have called it."""
    return CLASSES[type(create_command_error(_as_result(finished)))]


def make_stack(command: EngineCommand, place: Path, stack: str, provider: str | None) -> Finished | None:
    """Make a stack; one that is there already is as good.

    Args:
        command: runs the engine.
        place: a directory with a project, into whose stack file a salt may be written.
        stack: its name.
        provider: of its secrets; None for the backend's own.

    Returns:
        The command that failed; None where the stack is there.
    """
    running = AutomationCommand(command)
    workspace = LocalWorkspace(work_dir=str(place), pulumi_command=running, secrets_provider=provider)
    try:
        workspace.create_stack(stack)
    except errors.StackAlreadyExistsError:
        # Somebody else was faster; it is there, and that was what we wanted.
        return None
    except errors.CommandError:
        return running.last
    return None


def _as_result(finished: Finished) -> CommandResult:
    code = -1 if finished.code is None else finished.code
    return CommandResult(stdout=finished.stdout, stderr=finished.stderr, code=code)
