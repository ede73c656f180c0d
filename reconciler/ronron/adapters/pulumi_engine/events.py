"""Reads the engine's event log into changes and diagnostics. Pure, except for `read_events`.

One JSON object a line, in which exactly one key besides `sequence` and `timestamp` names the event.
Source: pulumi sdk/go/common/apitype/events.go, 3.274.1. Property values are dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ronron.core.model import QUIET, Change, Operation

STACK_TYPE = "pulumi:pulumi:Stack"
LONGEST_LINE = 64 * 1024 * 1024
"""Bytes. An event contains a resource's inputs and outputs, large files among them."""

_STATES = ("old", "new")
_QUIET_EVENTS = frozenset(
    {
        *("sequence", "timestamp", "cancelEvent", "stdoutEvent", "preludeEvent", "policyEvent"),
        *("policyRemediationEvent", "policyLoadEvent", "policyAnalyzeSummaryEvent"),
        *("policyRemediateSummaryEvent", "policyAnalyzeStackSummaryEvent", "startDebuggingEvent"),
        *("progressEvent", "errorEvent"),
    }
)
# How the engine marks an output that is not known before the update, and one whose value is secret.
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - Pulumi's own mark of a secret, the same everywhere


@dataclass(frozen=True)
class Diagnostic:
    """A message of the engine, a provider or the program.

    Args:
        severity: debug, info, info#err, warning or error.
        message: unchanged.
        urn: of its resource; empty for the program or the engine itself.
    """

    severity: str
    message: str
    urn: str = ""


@dataclass(frozen=True)
class EventLog:
    """The events of one preview or update.

    Args:
        planned: every step that began, in order; for a preview, all steps.
        done: the steps that ended.
        failed: the steps that failed.
        diagnostics: in order.
        outputs: the stack's outputs after it, without secrets.
        ended: whether the log is complete.
        result: the engine's own word for the end: succeeded, failed or canceled; empty where there is none.
    """

    planned: tuple[Change, ...] = ()
    done: tuple[Change, ...] = ()
    failed: tuple[Change, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    outputs: Mapping[str, object] = field(default_factory=dict)
    ended: bool = False
    result: str = ""

    @property
    def begun(self) -> tuple[Change, ...] | None:
        """The steps of an update that began and touch something; None where the log is not complete."""
        if not self.ended:
            return None
        return tuple(change for change in self.planned if change.operation not in QUIET)


def read_events(path: Path) -> EventLog:
    """The event log in a file; an empty one where there is no file."""
    try:
        with path.open("rb") as file:
            return parse_events(_lines(iter(lambda: file.readline(LONGEST_LINE), b"")))
    except FileNotFoundError:
        return EventLog()


def parse_events(lines: Iterable[str]) -> EventLog:
    """The event log in lines, each with its line feed; a last line without one is incomplete."""
    reading = Reading()
    cut = False
    for line in lines:
        # Only the last line can be incomplete because the engine died.
        reading.broken += cut
        cut = False
        try:
            event = json.loads(line)
        except ValueError:
            cut = not line.endswith("\n")
            reading.broken += not cut
            continue
        if isinstance(event, dict):
            reading.take(event)
        else:
            reading.broken += 1
    return reading.log()


def belongs_to_pulumi(type_: str) -> bool:
    """Whether a resource type is the engine's own: the stack, or a provider."""
    return type_ == STACK_TYPE or type_.startswith("pulumi:providers:")


def public_outputs(outputs: object) -> dict[str, object]:
    """Outputs by name, without those that contain a secret at any depth."""
    if not isinstance(outputs, dict):
        return {}
    return {str(name): value for name, value in outputs.items() if not _contains(value, secret=True)}


class Reading:
    """Takes the events of a log one after the other; `log` is what they say so far."""

    def __init__(self) -> None:
        self.broken = 0
        self._parents: dict[str, str] = {}
        self._custom: dict[str, bool] = {}
        self._retained: dict[str, bool] = {}
        self._begun: list[tuple[str, Operation, str, tuple[str, ...]]] = []
        self._ended: set[tuple[str, str]] = set()
        self._failed: list[tuple[str, str]] = []
        self._diagnostics: list[Diagnostic] = []
        self._outputs: dict[str, object] = {}
        self._changed_outputs: tuple[str, ...] = ()
        self._ended_at_all = False
        self._result = ""

    def take(self, event: dict[str, object]) -> None:
        """Take one event."""
        for kind, body in event.items():
            if kind in _QUIET_EVENTS:
                continue
            inside = body if isinstance(body, dict) else {}
            metadata = inside.get("metadata")
            step = metadata if isinstance(metadata, dict) else {}
            match kind:
                case "diagnosticEvent":
                    self._diagnostic(inside)
                case "summaryEvent":
                    self._ended_at_all = True
                    self._result = _text(inside, "result")
                case "resourcePreEvent":
                    self._begin(step)
                case "resOutputsEvent":
                    self._end(step)
                case "resOpFailedEvent":
                    self._know(step)
                    self._failed.append((_text(step, "urn"), _text(step, "op")))
                case _ if step:
                    self._begin({**step, "op": kind})

    def _diagnostic(self, body: dict[str, object]) -> None:
        said = Diagnostic(_text(body, "severity"), _text(body, "message"), _text(body, "urn"))
        if said.severity != "debug" and not body.get("ephemeral"):
            self._diagnostics.append(said)

    def _know(self, step: dict[str, object]) -> str:
        urn = _text(step, "urn")
        for key in _STATES:
            state = step.get(key)
            if isinstance(state, dict):
                self._parents[urn] = _text(state, "parent")
                self._custom[urn] = bool(state.get("custom", False))
                self._retained[urn] = bool(state.get("retainOnDelete", False))
        return urn

    def _begin(self, step: dict[str, object]) -> None:
        word = _text(step, "op")
        operation = Operation(word) if word in _OPERATIONS else Operation.UNKNOWN
        self._begun.append((self._know(step), operation, word, _properties(step)))

    def _end(self, step: dict[str, object]) -> None:
        urn = self._know(step)
        self._ended.add((urn, _text(step, "op")))
        if _text(step, "type") == STACK_TYPE:
            old, new = (_inside(step, key, "outputs") for key in _STATES)
            self._outputs = public_outputs(new)
            self._changed_outputs = tuple(
                sorted(
                    name
                    for name in {*new, *old}
                    if new.get(name) != old.get(name) and not _contains(new.get(name), secret=False)
                )
            )

    def log(self) -> EventLog:
        """The event log so far."""
        planned = tuple(self._change(*begun) for begun in self._begun)
        words = {
            (change.urn, change.original or change.operation.value): change for change in reversed(planned)
        }
        return EventLog(
            planned=planned + self._unreadable(),
            done=tuple(self._change(*begun) for begun in self._begun if self._is_done(begun[0], begun[2])),
            failed=tuple(
                words.get(failed) or self._change(failed[0], *_operation(failed[1]), ())
                for failed in dict.fromkeys(self._failed)
            ),
            diagnostics=tuple(self._diagnostics),
            outputs=self._outputs,
            ended=self._ended_at_all,
            result=self._result,
        )

    def change(self, urn: str, word: str) -> Change:
        """The step that an event names by its URN and the engine's word for the operation."""
        return self._change(urn, *_operation(word), ())

    def _is_done(self, urn: str, word: str) -> bool:
        # A component has an end event only where it registers outputs, and not all do.
        at_its_end = (urn, word) in self._ended or not self._custom.get(urn, True)
        return at_its_end and (urn, word) not in self._failed

    def _change(self, urn: str, operation: Operation, word: str, properties: tuple[str, ...]) -> Change:
        if operation is Operation.SAME and urn.split("::")[2:3] == [STACK_TYPE] and self._changed_outputs:
            # The engine reports the stack itself as the same even where its outputs, and so the inventory,
            # change; without an update nobody would see the new ones.
            operation, properties = Operation.UPDATE, self._changed_outputs
        return Change(
            urn=urn,
            operation=operation,
            ancestors=self._ancestors(urn),
            custom=self._custom.get(urn, True),
            properties=properties,
            original=word if operation is Operation.UNKNOWN else "",
            retained=self._retained.get(urn, False),
        )

    def _ancestors(self, urn: str) -> tuple[str, ...]:
        found: list[str] = []
        parent = self._parents.get(urn, "")
        while parent and f"::{STACK_TYPE}::" not in parent and parent not in found:
            found.append(parent)
            parent = self._parents.get(parent, "")
        return tuple(found)

    def _unreadable(self) -> tuple[Change, ...]:
        # It is unknown what the line was, so a person has to check.
        if not self.broken:
            return ()
        word = "unreadable event"
        return (Change(urn="", operation=Operation.UNKNOWN, original=word),)


_OPERATIONS = {operation.value for operation in Operation} - {Operation.UNKNOWN.value}


def _operation(word: str) -> tuple[Operation, str]:
    return (Operation(word) if word in _OPERATIONS else Operation.UNKNOWN), word


def _properties(step: dict[str, object]) -> tuple[str, ...]:
    """The first names of the paths that differ: further names may be keys of the user."""
    detailed, plain = step.get("detailedDiff"), step.get("diffs")
    paths = detailed if isinstance(detailed, dict) and detailed else plain if isinstance(plain, list) else ()
    named = tuple(dict.fromkeys(re.split(r"[.\[]", str(path), maxsplit=1)[0] for path in paths))
    return named or _differing(step)


def _differing(step: dict[str, object]) -> tuple[str, ...]:
    """Names of inputs that differ, for providers that do not name them; secrets cannot be compared here."""
    if step.get("op") == Operation.SAME.value or not all(isinstance(step.get(key), dict) for key in _STATES):
        return ()
    old, new = (_inside(step, key, "inputs") for key in _STATES)
    # Names with two underscores in front are the engine's own.
    names = (name for name in {**old, **new} if not name.startswith("__"))
    return tuple(name for name in names if old.get(name) != new.get(name))


def _inside(step: dict[str, object], key: str, what: str) -> dict[str, object]:
    state = step.get(key)
    inside = state.get(what) if isinstance(state, dict) else None
    return inside if isinstance(inside, dict) else {}


def _contains(value: object, *, secret: bool) -> bool:
    """Whether a value contains a secret, or an output that is not known yet, at any depth."""
    match value:
        case dict():
            return (secret and SECRET in value) or any(
                _contains(one, secret=secret) for one in value.values()
            )
        case list():
            return any(_contains(one, secret=secret) for one in value)
        case str():
            return not secret and value == _UNKNOWN
        case _:
            return False


def _text(body: Mapping[str, object], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _lines(raw: Iterator[bytes]) -> Iterator[str]:
    return (line.decode(errors="replace") for line in raw)
