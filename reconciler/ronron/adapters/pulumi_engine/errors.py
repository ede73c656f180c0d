"""Turns the messages of a failed engine into our errors. Pure.

Most failures have exit code 1, so the messages tell them apart: the standard error for failures before the
program ran, the diagnostics for the rest. They were seen with Pulumi 3.274.1 unless a comment says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ronron.adapters.pulumi_engine.causes import engine_words, last_words, plain_cause, program_words
from ronron.adapters.pulumi_engine.events import EventLog, belongs_to_pulumi
from ronron.adapters.pulumi_engine.finished import Finished
from ronron.adapters.pulumi_engine.locks import locked, named_locks
from ronron.adapters.pulumi_engine.remedies import DOCTOR, PROTECTED, UNDELETABLE, remedy_for
from ronron.core.errors import (
    EngineError,
    EngineInterruptedError,
    EngineMissingError,
    EngineTimeoutError,
    PassphraseError,
    PlanViolatedError,
    ProgramError,
    StackNotFoundError,
    UpdateFailedError,
)
from ronron.core.hints import DONE_IS_IN_STATE
from ronron.core.model import Change, Operation
from ronron.core.operations import plain_type
from ronron.core.redact import redact, shorten
from ronron.core.words import counted

LONGEST = 2000
"""Characters of a message: about one screen."""
_LONGEST_CAUSE = 600
_SHOWN_RESOURCES = 3
_AGAIN = "run `ronron update {name}` again"

_NO_STACK = 6
"""Exit code. Source: pulumi sdk/go/common/util/cmdutil/exit.go."""

_NOT_FOUND = re.compile(r"no stack named.*found")
_LOCKED = re.compile(
    r"\[409\] Conflict: Another update is currently in progress\.|the stack is currently locked by"
)
_DOES_NOT_COMPILE = re.compile(
    r"Build FAILED\.|Unable to compile TypeScript|: syntax error:|: undefined:|panic: runtime error"
    r"|failed with an unhandled exception|an unhandled error occurred:"
)
"""On the standard output. Source of these three: pulumi sdk/python/lib/pulumi/automation/errors.py,
3.272.0."""


class _Marker(NamedTuple):
    """A message on the standard error of a command that failed before the program ran."""

    words: re.Pattern[str]
    error: type[EngineError]
    message: str
    hint: str
    retryable: bool = False


_MARKERS = (
    _Marker(
        re.compile(r"passphrase must be set"),
        PassphraseError,
        "cannot open the stack's secrets: no passphrase is set",
        "write it into a file, and name that: `export PULUMI_CONFIG_PASSPHRASE_FILE=FILE`",
    ),
    _Marker(
        re.compile(r"incorrect passphrase|message authentication failed"),
        PassphraseError,
        "cannot open the stack's secrets: wrong passphrase",
        "put the right one into the file, and name that: `export PULUMI_CONFIG_PASSPHRASE_FILE=FILE`",
    ),
    _Marker(
        re.compile(r"failed to load checkpoint"),
        EngineError,
        "cannot read the stack's state: {words}",
        "read it with `ronron pulumi {name} -- stack export`; restore its last backup: in a file backend, "
        "the file of the same name that ends in `.bak`",
    ),
    _Marker(
        re.compile(r"PULUMI_ACCESS_TOKEN must be set|invalid access token"),
        EngineError,
        "cannot open the backend of the state: {words}",
        "set PULUMI_ACCESS_TOKEN, and pass it on: `export RONRON_PASS_ENVIRONMENT=PULUMI_ACCESS_TOKEN`",
    ),
    _Marker(
        re.compile(r"unable to open state|failed to ping|\.pulumi/meta\.yaml|could not list bucket"),
        EngineError,
        "cannot reach the backend of the state: {words}",
        "check PULUMI_BACKEND_URL and its credentials with `ronron pulumi {name} -- stack ls`",
        retryable=True,
    ),
    _Marker(
        re.compile(r"validating stack config"),
        ProgramError,
        "cannot read the values of the stack file: {words}",
        "write them again: `ronron pulumi {name} -- config set KEY`, with `--secret` for an encrypted one",
    ),
    _Marker(
        re.compile(r"could not (?:unmarshal|validate) '|invalid YAML file|could not read current project|"
                   r"no Pulumi\.yaml project file found|project file .* (?:invalid|not found)"),
        ProgramError,
        "cannot read the project: {words}",
        "correct that file; `ronron validate` checks it without the engine",
    ),
)  # fmt: skip

_NO_PLUGIN = re.compile(
    r"no (?:resource|language|analyzer) plugin '?(?P<plugin>[\w.-]+)'?|"
    r"failed to load (?:language |resource )?plugin (?P<other>[\w.-]+)|"
    r"could not (?:load|start) plugin '?(?P<third>[\w.-]+)"
)
# Source: pulumi pkg/resource/deploy, step_generator.go, step_executor.go and deployment_executor.go, 3.274.1.
_VIOLATES = re.compile(
    r"^resource (?:(?P<urn>urn:pulumi:\S.*?) )?violates plan|is not allowed by the plan: ", re.M
)
# Where a resource fails, the engine says this of every resource after it: it cancels itself before it checks
# whether something failed (`Execute` in pkg/resource/deploy/deployment_executor.go of Pulumi 3.274.1). So it
# is a cause only where there is no other.
_NEVER_CAME = re.compile(
    r"^expected resource operations for (?P<urn>urn:pulumi:\S.*?) but none were seen", re.M
)

_VERBS = {
    Operation.CREATE: "create",
    Operation.UPDATE: "update",
    Operation.DELETE: "delete",
    Operation.DELETE_REPLACED: "delete the old",
    Operation.CREATE_REPLACEMENT: "replace",
    Operation.REPLACE: "replace",
    Operation.IMPORT: "import",
    Operation.READ: "read",
}


def explain(
    finished: Finished,
    log: EventLog,
    stack: str,
    secrets: Iterable[str] = (),
    directory: str = "",
    *,
    environment: str = "",
) -> EngineError:
    """The error for a command of the engine that failed.

    Args:
        finished: the command.
        log: its events; an empty log for a command that has none.
        stack: its stack.
        secrets: values that no message may show.
        directory: of the program; a throw-away one, so it is left out of messages.
        environment: its environment's name, for the commands in hints; by default the stack's.

    Returns:
        What to raise. Errors of resources come before those of the program: where an update fails, the
        engine interrupts the program, whose own error then does not name the cause.
    """
    known = tuple(secrets)
    name = environment or stack
    error = (
        _stopped(finished, log, name)
        or _violated(log, _VIOLATES, name)
        or _before_the_program(finished, stack, name)
        or _missing_plugin(finished, log)
        or _failed_resources(finished, log, name)
        or _failed_program(log, name)
        or _violated(log, _NEVER_CAME, name)
        or _unknown(finished)
    )
    clean = type(error)(
        shorten(redact(_from_here(error.message, directory), known), LONGEST),
        hint=shorten(redact(error.hint, known), LONGEST),
        where=error.where or f"stack {stack}",
    )
    clean.retryable = error.retryable
    clean.protected = error.protected
    if finished.log is not None:
        clean.add_note(f"full output of the engine: {finished.log}.out and .err")
    return clean


def _from_here(message: str, directory: str) -> str:
    return message.replace(f"{directory}/", "") if directory else message


def _stopped(finished: Finished, log: EventLog, name: str) -> EngineError | None:
    what = f"pulumi {finished.command}"
    if finished.timed_out:
        return EngineTimeoutError(
            f"{what} timed out and was stopped",
            hint="check whether a machine or a registry is slow; if it only needs longer, "
            f"`export RONRON_{'UPDATE' if finished.command == 'up' else 'PREVIEW'}_DEADLINE=2h`",
        )
    if finished.interrupted:
        return EngineInterruptedError(f"{what} was interrupted", hint=_AGAIN.format(name=name))
    if log.result == "canceled" or "update canceled" in finished.stderr:
        return EngineInterruptedError(
            f"{what} was canceled by another process", hint=_AGAIN.format(name=name)
        )
    return None


def _violated(log: EventLog, words: re.Pattern[str], name: str) -> EngineError | None:
    urns = dict.fromkeys(
        found["urn"] or one.urn
        for one in log.diagnostics
        if one.severity == "error"
        for found in words.finditer(one.message)
    )
    if not urns:
        return None
    # The rest of the engine's line has values of properties.
    names = [_named(Change(urn=urn, operation=Operation.UNKNOWN)) for urn in urns]
    done = [change for change in log.done if change.operation is not Operation.SAME]
    before = f"; carried out before: {counted(len(done), 'changes')} of the plan" if done else ""
    return PlanViolatedError(
        f"the update would violate the plan at {', '.join(names)}{before}",
        hint=f"the resources or the program have changed since the preview: {_AGAIN.format(name=name)}",
    )


def _before_the_program(finished: Finished, stack: str, name: str) -> EngineError | None:
    said = finished.stderr
    missing = bool(_NOT_FOUND.search(said))
    if not missing and _LOCKED.search(said):
        return locked(named_locks(said), stack, name)
    if finished.code == _NO_STACK or missing:
        return StackNotFoundError(
            "cannot find the stack in the backend",
            hint=f"check its name and PULUMI_BACKEND_URL with `ronron pulumi {name} -- stack ls`",
        )
    for marker in _MARKERS:
        if marker.words.search(said):
            message = marker.message.format(words=plain_cause(engine_words(said)))
            error = marker.error(message, hint=marker.hint.format(name=name))
            error.retryable = marker.retryable or error.retryable
            return error
    return None


def _missing_plugin(finished: Finished, log: EventLog) -> EngineError | None:
    said = [finished.stderr, *(one.message for one in log.diagnostics if one.severity == "error")]
    found = next((hit for hit in map(_NO_PLUGIN.search, said) if hit), None)
    if found is None:
        return None
    name = found["plugin"] or found["other"] or found["third"]
    return EngineMissingError(f"cannot find the engine's plugin {name}", hint=DOCTOR)


def _failed_resources(finished: Finished, log: EventLog, name: str) -> EngineError | None:
    failed = {change.urn: change for change in log.failed}
    causes: dict[str, list[str]] = {urn: [] for urn in failed}
    for one in log.diagnostics:
        if one.severity != "error" or _NEVER_CAME.search(one.message):
            continue
        if one.urn and "::pulumi:pulumi:Stack::" not in one.urn:
            causes.setdefault(one.urn, []).append(plain_cause(one.message))
    if not causes:
        return None
    lines = []
    for urn, words in causes.items():
        change = failed.get(urn, Change(urn=urn, operation=Operation.UNKNOWN))
        cause = "; ".join(dict.fromkeys(word for word in words if word)) or "no reason was given"
        verb = _VERBS.get(change.operation, "work on")
        if PROTECTED.search(cause):
            verb, cause = "replace" if "unable to replace" in cause else "delete", "it is protected"
        lines.append(f"cannot {verb} {_named(change)}: {shorten(cause, _LONGEST_CAUSE)}")
    more = len(lines) - _SHOWN_RESOURCES
    shown = lines[:_SHOWN_RESOURCES] + ([f"and {more} more failed"] if more > 0 else [])
    remedy = remedy_for("\n".join(word for words in causes.values() for word in words), name)
    updating = finished.command == "up"
    error = (UpdateFailedError if updating else EngineError)(
        "\n".join(shown),
        hint=remedy.hint
        if remedy
        else f"fix the cause, then {_AGAIN.format(name=name)}" + (DONE_IS_IN_STATE if updating else ""),
    )
    error.retryable = remedy is not None and remedy.retryable
    if all(words and all(UNDELETABLE.search(word) for word in words) for words in causes.values()):
        error.protected = tuple(causes)
    return error


def _failed_program(log: EventLog, name: str) -> EngineError | None:
    said = program_words(log.diagnostics)
    if said is None:
        return None
    return ProgramError(
        said.message,
        where=said.where,
        hint=f"correct the program or its stack file; try it in a clone: `ronron pulumi {name} -- preview`",
    )


def _unknown(finished: Finished) -> EngineError:
    log = finished.log
    hint = f"read its full output with `less {log}.err {log}.out`" if log is not None else "see the message"
    if finished.code is not None and finished.code < 0:
        error = EngineError(f"pulumi {finished.command} was killed by signal {-finished.code}", hint=hint)
        # By a person, or for lack of memory: neither is about the revision.
        error.retryable = True
        return error
    words = plain_cause(engine_words(finished.stderr)) or last_words(finished.stdout).message or "no output"
    kind = ProgramError if _DOES_NOT_COMPILE.search(finished.stdout) else EngineError
    return kind(
        f"pulumi {finished.command} ended with {finished.code}: {shorten(words, _LONGEST_CAUSE)}", hint=hint
    )


def _named(change: Change) -> str:
    if belongs_to_pulumi(change.type):
        return f"the provider {change.name} ({change.type})"
    return f"{plain_type(change.type)} {change.name}"
