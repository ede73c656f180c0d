"""How a pass ended, as values and sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ronron.core.errors import EngineInterruptedError, ReconcilerError, StackLockedError
from ronron.core.excluded import Excluded
from ronron.core.failed_containers import FailedContainer
from ronron.core.inventory import Held
from ronron.core.model import (
    SHORT,
    Operation,
    Outcome,
    OutcomeKind,
    Preview,
    ProbeResult,
    Revision,
    Verdict,
    VerdictKind,
)

_SAYS_NOTHING = re.compile(
    r": (?:container failed to be in healthy state|container \w+ exited after creation, error was:\s*)$"
)
"""Source: kreuzwerker/terraform-provider-docker, resource_docker_container_funcs.go, 4.5."""

_SAID = {
    Operation.SAME: "the same",
    Operation.REPLACE: "to replace",
    Operation.CREATE_REPLACEMENT: "to replace",
    Operation.DELETE_REPLACED: "to replace",
}


def summarize(preview: Preview) -> str:
    """The counts of a preview in one line, such as `1 to create, 2 to replace, 7 the same`.

    A replacement is up to three steps of one resource; it is counted once. Components and providers
    are not counted.
    """
    said: dict[str, str] = {}
    for change in preview.changes:
        if change.custom and not change.type.startswith("pulumi:") and said.get(change.urn) != "to replace":
            said[change.urn] = _SAID.get(change.operation, f"to {change.operation}")
    words = sorted(set(said.values()), key=lambda word: (word == "the same", word))
    return ", ".join(f"{list(said.values()).count(word)} {word}" for word in words) or "nothing there"


def seen(
    kind: OutcomeKind, message: str, preview: Preview, verdict: Verdict, probes: tuple[ProbeResult, ...]
) -> Outcome:
    """An outcome after probing: what could not be seen healthy is a failure, whatever the engine said."""
    sick = [probe for probe in probes if not probe.healthy]
    if not sick:
        return Outcome(kind=kind, message=message, verdict=verdict, identity=preview.identity, probes=probes)
    words = "; ".join(f"{probe.service} is unhealthy: {probe.detail}" for probe in sick)
    return Outcome(
        kind=OutcomeKind.FAILED,
        message=f"{words} ({sick[0].url})",
        hint=f"read its log with ronron logs ENV {sick[0].service}, then push a fix",
        verdict=verdict,
        identity=preview.identity,
        changes=preview.touching,
        probes=probes,
        retryable=True,
    )


def one_line(message: str) -> str:
    """The first line of a message, with how many more there are."""
    first, *more = [line for line in message.splitlines() if line.strip()] or [""]
    if not more:
        return first
    return f"{first} (and {len(more)} more {'line' if len(more) == 1 else 'lines'})"


def log_lines(beginning: str, message: str) -> tuple[str, ...]:
    """A message as lines of a log: the first one after a beginning, the rest indented."""
    first, *more = [line for line in message.splitlines() if line.strip()] or [""]
    return (f"{beginning}: {first}", *(f"  {line}" for line in more))


def with_reasons(
    outcome: Outcome, reasons: Sequence[FailedContainer], resources: Sequence[str] = ()
) -> Outcome:
    """The outcome with the reasons of containers that failed, each after the line that is about it.

    Args:
        outcome: a failure.
        reasons: of the containers.
        resources: names of their resources in the same order, as the message has them; empty for none.
    """
    lines = outcome.message.splitlines()
    rest: list[str] = []
    for number, reason in enumerate(reasons):
        name = resources[number] if number < len(resources) else ""
        about = re.compile(rf"cannot \w+ .*(?<![\w-]){re.escape(name)}(?![\w-])[^:]*:") if name else None
        place = next((n for n, line in enumerate(lines) if about is not None and about.search(line)), None)
        if place is None:
            rest.append(reason.headline)
        else:
            # The reason says more than what the provider of containers says of every failure.
            line = _SAYS_NOTHING.sub("", lines[place])
            lines[place] = f"{line}{'; ' if line == lines[place] else ': '}{reason.headline}"
    if lines and not resources:
        lines[0] = "; ".join([lines[0], *rest])
    else:
        lines += rest
    return outcome.with_(message="\n".join(lines), containers=(*outcome.containers, *reasons))


def in_part(outcome: Outcome, revision: Revision, excluded: Excluded | None) -> Outcome:
    """The outcome where machines were excluded: a success becomes degraded.

    Args:
        outcome: of what answers.
        revision: that it was brought to.
        excluded: None where every machine answers.
    """
    if excluded is None:
        return outcome
    if outcome.kind not in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED}:
        return outcome.with_(excluded=excluded)
    return outcome.with_(
        kind=OutcomeKind.DEGRADED,
        message=f"{revision.short} is degraded: {excluded.why}",
        hint=hint_for(excluded),
        excluded=excluded,
    )


def held_back(outcome: Outcome, environment: str, held: Mapping[str, Held]) -> Outcome:
    """The outcome where an update holds services back: it says which, why, and how they are released.

    Args:
        outcome: of the rest.
        environment: its name, for the hint.
        held: by the name of the service; empty where none is held back.
    """
    if not held or outcome.kind not in {OutcomeKind.UPDATED, OutcomeKind.UNCHANGED, OutcomeKind.DEGRADED}:
        return outcome
    names = tuple(sorted(held))
    lost = "; ".join(
        f"{name} is held back: its data ({', '.join(held[name].volumes)}) are lost" for name in names
    )
    hint = release_hint(environment, names)
    return outcome.with_(
        message=f"{outcome.message}; {lost}",
        hint=f"{outcome.hint}; {hint}" if outcome.hint else hint,
        held=names,
    )


def release_hint(environment: str, services: Sequence[str]) -> str:
    """How a person releases services whose data were lost."""
    restores = ", ".join(f"ronron restore {environment} {name}" for name in services)
    accepts = " ".join(f"--accept-empty {name}" for name in services)
    return f"restore: {restores}; or, if empty is right: ronron update {environment} {accepts}"


def hint_for(excluded: Excluded) -> str:
    """What a person does about unreachable machines."""
    names = " and ".join(excluded.names)
    them = "it" if len(excluded.names) == 1 else "one of them"
    return f"bring {names} back: once {them} is reachable, ronron watch updates it, and so does ronron update"


def waiting(environment: str, preview: Preview, verdict: Verdict) -> Outcome:
    """The outcome of a preview that waits for a person, or is refused for good."""
    if verdict.kind is VerdictKind.FORBIDDEN:
        hint = "push a revision that leaves some resources, or destroy the stack by hand with pulumi destroy"
    else:
        yes = f"ronron approve {environment} {preview.identity[:SHORT]}"
        hint = f"review it with ronron preview {environment}, then approve it with {yes}"
    return Outcome(
        kind=OutcomeKind.WAITING,
        message=verdict.why,
        hint=hint,
        verdict=verdict,
        identity=preview.identity,
        changes=preview.touching,
    )


def failed(error: ReconcilerError) -> Outcome:
    """The outcome of a pass that an error ended; being stopped or finding the stack locked is no failure."""
    if isinstance(error, EngineInterruptedError):
        return Outcome(kind=OutcomeKind.INTERRUPTED, message=str(error), hint=error.hint, retryable=True)
    if isinstance(error, StackLockedError):
        return Outcome(
            kind=OutcomeKind.INTERRUPTED, message=str(error), hint=error.hint, retryable=True, locked=True
        )
    return Outcome(kind=OutcomeKind.FAILED, message=str(error), hint=error.hint, retryable=error.retryable)
