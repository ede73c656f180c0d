"""What the engine says when it fails, read into our tree of errors. Pure.

Most of its failures end with exit code 1, so its words tell them apart: those on the standard error for
what stopped it before it ran the program, its diagnostics for the rest. All of them are English, and
were seen with Pulumi 3.274.1 unless a comment says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from reconciler.adapters.pulumi_command import Finished
from reconciler.adapters.pulumi_events import EventLog, belongs_to_pulumi
from reconciler.adapters.pulumi_locks import locked, told_locks
from reconciler.adapters.pulumi_words import last_words, plain_cause, program_words
from reconciler.core.errors import (
    EngineError,
    EngineInterruptedError,
    EngineMissingError,
    EngineTimeoutError,
    PassphraseError,
    PlanViolatedError,
    ProgramError,
    StackLockedError,
    StackNotFoundError,
    UpdateFailedError,
)
from reconciler.core.model import Change, Operation
from reconciler.core.redact import redact, shorten

LONGEST = 2000
"""Characters of a message: about one screen."""
_LONGEST_CAUSE = 600
_SHOWN_RESOURCES = 3

_NO_STACK = 6
"""Exit code. Source: pulumi sdk/go/common/util/cmdutil/exit.go."""

DOCTOR = "run `ronron doctor`, which says what is missing and how to get it"


class Remedy(NamedTuple):
    """A cause that providers tell in their own words: how it is recognised, what helps, whether time does."""

    words: re.Pattern[str]
    hint: str
    retryable: bool


REMEDIES = (
    Remedy(
        re.compile(
            r"host key verification failed|host key .* (?:mismatch|changed)|permission denied \(", re.I
        ),
        "check the machine's ssh address, its host_key and your key with `ssh`, then update again",
        retryable=False,
    ),
    Remedy(
        re.compile(r"permission denied while trying to connect to the docker", re.I),
        "give the user that runs Ronron the right to use Docker: `sudo usermod -aG docker USER`",
        retryable=False,
    ),
    Remedy(
        re.compile(
            r"cannot connect to the docker|is the docker daemon running|error pinging docker|"
            r"error during connect|docker_engine.*no such file|no such host|no route to host|"
            r"connection (?:refused|timed out)|i/o timeout",
            re.I,
        ),
        "see that the machine is up and Docker answers on it, with `docker --host ADDRESS info`",
        retryable=True,
    ),
    Remedy(
        re.compile(
            r"pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|repository does not exist|"
            r"no such image|failed to resolve reference|unable to (?:pull|find|read) .*image|"
            r"error pulling image|toomanyrequests",
            re.I | re.S,
        ),
        "check the image's name, tag and digest with `docker pull IMAGE` on that machine",
        retryable=True,
    ),
    Remedy(
        re.compile(r"port is already allocated|address already in use", re.I),
        "free the port, or choose another one in the declaration",
        retryable=False,
    ),
    Remedy(
        re.compile(r"no space left on device", re.I),
        "make room on that machine, for instance with `docker system df` and `docker image prune`",
        retryable=True,
    ),
)


class _Marker(NamedTuple):
    """Words on the standard error of a command that stopped before the program ran."""

    words: re.Pattern[str]
    error: type[EngineError]
    message: str
    hint: str


_MARKERS = (
    _Marker(
        re.compile(r"passphrase must be set"),
        PassphraseError,
        "cannot open the stack's secrets: no passphrase is set",
        "write it into a file and name that with PULUMI_CONFIG_PASSPHRASE_FILE",
    ),
    _Marker(
        re.compile(r"incorrect passphrase|message authentication failed"),
        PassphraseError,
        "cannot open the stack's secrets: wrong passphrase",
        "put the right one into PULUMI_CONFIG_PASSPHRASE_FILE (or PULUMI_CONFIG_PASSPHRASE)",
    ),
    _Marker(
        re.compile(r"PULUMI_ACCESS_TOKEN must be set|invalid access token|unable to open state|"
                   r"failed to ping|failed to load checkpoint|\.pulumi/meta\.yaml|could not list bucket"),
        EngineError,
        "cannot reach the backend of the state: {words}",
        "check PULUMI_BACKEND_URL and its credentials with `pulumi stack ls`",
    ),
    _Marker(
        re.compile(r"could not unmarshal|invalid YAML file|could not read current project|"
                   r"no Pulumi\.yaml project file found|project file .* (?:invalid|not found)"),
        ProgramError,
        "cannot read the project: {words}",
        "mend that file; `ronron validate` checks it without the engine",
    ),
)  # fmt: skip

_NO_PLUGIN = re.compile(
    r"no (?:resource|language|analyzer) plugin '?(?P<plugin>[\w.-]+)'?|"
    r"failed to load (?:language |resource )?plugin (?P<other>[\w.-]+)|"
    r"could not (?:load|start) plugin '?(?P<third>[\w.-]+)"
)
_VIOLATES = re.compile(r"^resource (?P<urn>urn:pulumi:\S.*?) violates plan", re.M)

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


def explain(finished: Finished, log: EventLog, stack: str, secrets: Iterable[str] = ()) -> EngineError:
    """Why a command of the engine did not do what it should.

    Args:
        finished: the command.
        log: its events; an empty log for a command that has none.
        stack: its stack.
        secrets: values that no message may show.

    Returns:
        What to raise. The words of failed resources come before those of the program: where an update
        fails the engine interrupts the program, whose own complaint then says nothing of the cause.
    """
    known = tuple(secrets)
    error = (
        _stopped(finished, log)
        or _violated(log)
        or _before_the_program(finished, stack)
        or _missing_plugin(finished, log)
        or _failed_resources(finished, log)
        or _failed_program(log)
        or _unknown(finished)
    )
    clean = type(error)(
        shorten(redact(error.message, known), LONGEST),
        hint=shorten(redact(error.hint, known), LONGEST),
        where=error.where or f"stack {stack}",
    )
    clean.retryable = error.retryable
    clean.add_note(f"all that the engine said: {finished.log}.out and .err")
    return clean


def _stopped(finished: Finished, log: EventLog) -> EngineError | None:
    what = f"pulumi {finished.command}"
    if finished.timed_out:
        return EngineTimeoutError(
            f"{what} did not end before its deadline and was stopped",
            hint="look whether a machine or a registry is slow; the deadlines are RONRON_PREVIEW_DEADLINE "
            "and RONRON_UPDATE_DEADLINE",
        )
    if finished.interrupted:
        return EngineInterruptedError(f"{what} was asked to stop, and stopped")
    if log.result == "canceled" or "update canceled" in finished.stderr:
        return EngineInterruptedError(f"somebody else stopped {what}")
    return None


def _violated(log: EventLog) -> EngineError | None:
    said = "\n".join(one.message for one in log.diagnostics if one.severity == "error")
    urns = dict.fromkeys(found["urn"] for found in _VIOLATES.finditer(said))
    if not urns:
        return None
    # What follows in the engine's own line are values of properties.
    names = [_named(Change(urn=urn, operation=Operation.UNKNOWN)) for urn in urns]
    done = [change for change in log.done if change.operation is not Operation.SAME]
    before = f"; {len(done)} changes of the plan were made before" if done else ""
    return PlanViolatedError(
        f"the update would do something else than was previewed, at {', '.join(names)}{before}",
        hint="preview again: the world or the program has changed since",
    )


def _before_the_program(finished: Finished, stack: str) -> EngineError | None:
    said = finished.stderr
    cls = _class_of(finished)
    if cls is StackLockedError:
        return locked(told_locks(said), stack)
    if finished.code == _NO_STACK or cls is StackNotFoundError:
        return StackNotFoundError(
            "cannot find the stack in the backend",
            hint="check its name and PULUMI_BACKEND_URL; only a new environment is made by itself, "
            "with `create_stack: true` in its policy",
        )
    for marker in _MARKERS:
        if marker.words.search(said):
            words = plain_cause(said)
            return marker.error(marker.message.format(words=words), hint=marker.hint)
    return None


def _missing_plugin(finished: Finished, log: EventLog) -> EngineError | None:
    said = [finished.stderr, *(one.message for one in log.diagnostics if one.severity == "error")]
    found = next((hit for hit in map(_NO_PLUGIN.search, said) if hit), None)
    if found is None:
        return None
    name = found["plugin"] or found["other"] or found["third"]
    return EngineMissingError(f"cannot find the engine's plugin {name}", hint=DOCTOR)


def _failed_resources(finished: Finished, log: EventLog) -> EngineError | None:
    failed = {change.urn: change for change in log.failed}
    causes: dict[str, list[str]] = {urn: [] for urn in failed}
    for one in log.diagnostics:
        if one.severity == "error" and one.urn and "::pulumi:pulumi:Stack::" not in one.urn:
            causes.setdefault(one.urn, []).append(plain_cause(one.message))
    if not causes:
        return None
    lines = []
    for urn, words in causes.items():
        change = failed.get(urn, Change(urn=urn, operation=Operation.UNKNOWN))
        verb = _VERBS.get(change.operation, "work on")
        cause = "; ".join(dict.fromkeys(word for word in words if word)) or "it did not say why"
        lines.append(f"cannot {verb} {_named(change)}: {shorten(cause, _LONGEST_CAUSE)}")
    more = len(lines) - _SHOWN_RESOURCES
    shown = lines[:_SHOWN_RESOURCES] + ([f"and {more} more failed"] if more > 0 else [])
    everything = "\n".join(lines)
    remedy = next((one for one in REMEDIES if one.words.search(everything)), None)
    updating = finished.command == "up"
    error = (UpdateFailedError if updating else EngineError)(
        "\n".join(shown),
        hint=remedy.hint
        if remedy
        else "mend what it says, then update again"
        + ("; what was done before it is in the state" if updating else ""),
    )
    error.retryable = remedy is not None and remedy.retryable
    return error


def _failed_program(log: EventLog) -> EngineError | None:
    said = program_words(log.diagnostics)
    if said is None:
        return None
    return ProgramError(
        said.message,
        where=said.where,
        hint="mend the program or its stack file, and try it with `pulumi preview` in a clone",
    )


def _unknown(finished: Finished) -> EngineError:
    hint = f"read what it said in {finished.log}.err and {finished.log}.out"
    if finished.code is not None and finished.code < 0:
        return EngineError(f"pulumi {finished.command} was killed by signal {-finished.code}", hint=hint)
    words = plain_cause(finished.stderr) or last_words(finished.stdout).message or "it said nothing"
    return _class_of(finished)(
        f"pulumi {finished.command} ended with {finished.code}: {shorten(words, _LONGEST_CAUSE)}", hint=hint
    )


def _class_of(finished: Finished) -> type[EngineError]:
    from reconciler.adapters.pulumi_automation import class_of

    return class_of(finished)


def _named(change: Change) -> str:
    kind = "the provider " if belongs_to_pulumi(change.type) else ""
    return f"{kind}{change.name} ({change.type})"
