"""The text of `environments.yaml` -> the policy of each environment. Pure: no file, clock or network.

Everything that is wrong is found here, when the file is read, and reported at once: no environment starts
on a policy of which a part is not understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ronron.core.errors import ConfigError, ConfigProblemsError, Problem
from ronron.core.model import Value
from ronron.core.policy import DriftPolicy, Guard, Policy, Promotion, Retry, Window
from ronron.policy.document import (
    NOT_YET,
    DriftEntry,
    Entry,
    EnvironmentEntry,
    GuardEntry,
    PolicyDocument,
    PromotionEntry,
    RetryEntry,
    WindowEntry,
)
from ronron.policy.notations import ENVIRONMENT, NotationError, nearest, quoted
from ronron.policy.yaml_text import Path, YamlText, read_yaml

_PARTS: Mapping[str, type[Entry]] = {
    "after": PromotionEntry,
    "window": WindowEntry,
    "guard": GuardEntry,
    "retry": RetryEntry,
    "drift": DriftEntry,
}
_WORDS_OF_YAML = frozenset({"true", "false", "null"})
_KEYS = "keys with values, indented below it"

_NAMES = {
    "stack": "write letters, digits, `-`, `_` and `.`, no `-` or `.` first, at most 100 of them",
    "environments": "write letters, digits, `-` and `_`, a letter or digit first, at most 63 of them",
}


class Policies(Value):
    """Every environment's policy.

    Args:
        file: where they were read, for messages.
        project: the directory of the Pulumi project, from the repository's top; `.` for the top.
        environments: by name, in the order of the file.
    """

    file: str
    project: str
    environments: Mapping[str, Policy]

    def named(self, name: str) -> Policy:
        """The policy of one environment.

        Raises:
            ConfigError: there is none of that name; the hint names the nearest.
        """
        if name in self.environments:
            return self.environments[name]
        near = nearest(name, self.environments)
        known = ", ".join(f"`{one}`" for one in self.environments)
        raise ConfigError(
            f"cannot find the environment {quoted(name)}",
            hint=f"use `{near}`" if near else f"use one of {known}",
            where=self.file,
        )


def load_policies(text: str, *, file: str) -> Policies:
    """Read and check a policy file.

    Args:
        text: of the file.
        file: its path in the repository, for messages.

    Raises:
        ConfigError: it is not YAML, or not of a shape in which anything could be looked for.
        ConfigProblemsError: something in it is wrong; every problem with its line, key and remedy.
    """
    read = read_yaml(text, file=file)
    problems = list(read.problems)
    hidden = {problem.where for problem in problems}
    problems += [problem for problem in _shape_problems(read) if problem.where not in hidden]
    sound = _sound(read)
    problems += _unknown_names(read, sound)
    problems += _cycles(read, sound)
    problems += _shared_stacks(read, sound)
    if problems:
        raise ConfigProblemsError(sorted(problems, key=_line), subject=file)
    document = PolicyDocument.model_validate(read.values)
    environments = {name: _policy(name, entry) for name, entry in document.environments.items()}
    return Policies(file=file, project=document.project, environments=environments)


# -- shapes and words ------------------------------------------------------------------------------


def _shape_problems(read: YamlText) -> list[Problem]:
    try:
        PolicyDocument.model_validate(read.values)
    except ValidationError as error:
        details = error.errors()
        return [_problem(detail, read) for detail in details if not _said_otherwise(detail, read)]
    return []


def _said_otherwise(detail: ErrorDetails, read: YamlText) -> bool:
    """Whether something is only empty because all that stands in it was left out with a word of its own."""
    return detail["type"] == "too_short" and any(path[:-1] == detail["loc"] for path in read.places)


def _problem(detail: ErrorDetails, read: YamlText) -> Problem:
    kind = detail["type"]
    # pydantic puts this behind a mapping's key when the key itself is wrong.
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    key = str(path[-1]) if path else ""
    value = quoted(detail["input"])
    context = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, NotationError):
        what, remedy = cause.what, cause.remedy
    elif kind == "extra_forbidden":
        what, remedy = _unknown_key(path)
    elif kind == "missing":
        what, remedy = f"cannot do without the key `{key}`", f"add it, {_example(path)}"
    elif kind == "string_pattern_mismatch":
        what, remedy = f"cannot use the name {value}", _NAMES.get(key, _NAMES["environments"])
    elif kind == "too_short":
        what, remedy = f"cannot use an empty `{key}`", "name at least one environment"
    elif kind in {"greater_than_equal", "less_than_equal"}:
        what = f"cannot use the number {value}"
        remedy = f"write {context['ge']} or more" if "ge" in context else f"write {context['le']} or less"
    else:
        what = f"cannot use {value} here" if _is_plain(detail["input"]) else "cannot use what is here"
        remedy = f"write {_wanted(kind, path, detail)}"
    return Problem(read.where(path), what, remedy)


def _wanted(kind: str, path: Path, detail: ErrorDetails) -> str:
    """What is meant where another type was written, with an example; `kind` is pydantic's word."""
    written = detail["input"]
    match kind:
        case "bool_type":
            return "`true` or `false`" + (", without quotes" if written in ("true", "false") else "")
        case "int_type":
            quoted_number = isinstance(written, str) and re.fullmatch(r"[1-9]\d{0,5}", written, re.ASCII)
            return "a whole number, such as " + (
                f"`{written}`, without quotes" if quoted_number else f"`{_number(path)}`"
            )
        case "list_type":
            plain = isinstance(written, str) and re.fullmatch(ENVIRONMENT, written) and written[0].isalpha()
            one = written if plain and str(written).lower() not in _WORDS_OF_YAML else "staging"
            return f"a list, such as `[{one}]`"
        case "string_type":
            return f"text, such as `{_word(path)}`; put it in quotes where it looks like something else"
        case "dict_type" | "model_type":
            return _KEYS
    return detail["msg"].lower()


def _number(path: Path) -> int:
    """A number that is right at a path: the default, or the least one."""
    field = _property(path)
    return int(field.get("default", field.get("minimum", 1)))


def _word(path: Path) -> str:
    """A text that is right at a path."""
    return str(next(iter(_property(path).get("examples", ())), "staging"))


def _property(path: Path) -> Mapping[str, Any]:
    """The JSON Schema of a key; empty for an entry of a list."""
    properties = _entry(path[:-1]).model_json_schema()["properties"] if path else {}
    found: Mapping[str, Any] = properties.get(str(path[-1]), {}) if path else {}
    return found


def _unknown_key(path: Path) -> tuple[str, str]:
    key = str(path[-1])
    if len(path) == 3 and key in NOT_YET:
        return f"cannot act on `{key}` yet: {NOT_YET[key]}", "remove it until this version can"
    known = _keys(path[:-1])
    near = nearest(key, known)
    remedy = f"write `{near}`" if near else "remove it, or write one of " + ", ".join(f"`{k}`" for k in known)
    return f"cannot use the unknown key {quoted(key)}", remedy


def _entry(path: Path) -> type[Entry]:
    """The model of the mapping at a path: the document, `environments.<name>`, or a part of one."""
    if len(path) < 2:
        return PolicyDocument
    return EnvironmentEntry if len(path) == 2 else _PARTS[str(path[2])]


def _keys(path: Path) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in _entry(path).model_fields.items())


def _example(path: Path) -> str:
    properties = _entry(path[:-1]).model_json_schema()["properties"]
    example = properties[str(path[-1])]["examples"][0]
    text = f"[{', '.join(example)}]" if isinstance(example, list) else example
    if isinstance(example, Mapping):
        return "with the name of an environment below it"
    return f'such as `{path[-1]}: "{text}"`' if ":" in text else f"such as `{path[-1]}: {text}`"


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | bool)


# -- what environments say of each other -----------------------------------------------------------


def _names(read: YamlText) -> Mapping[str, object]:
    entries = read.values.get("environments")
    return entries if isinstance(entries, dict) else {}


def _sound(read: YamlText) -> dict[str, EnvironmentEntry]:
    """The environments whose own entries are right, so that the others' mistakes hide none of theirs."""
    sound = {}
    for name, entry in _names(read).items():
        try:
            sound[name] = EnvironmentEntry.model_validate(entry)
        except ValidationError:
            continue
    return sound


def _awaited(entry: EnvironmentEntry) -> list[str]:
    return entry.after.environments if entry.after else []


def _unknown_names(read: YamlText, sound: Mapping[str, EnvironmentEntry]) -> Iterable[Problem]:
    known = _names(read)
    for name, entry in sound.items():
        for index, other in enumerate(_awaited(entry)):
            path = ("environments", name, "after", "environments", index)
            if other not in known:
                near = nearest(other, [one for one in known if one != name])
                yield Problem(
                    read.where(path),
                    f"cannot wait for {quoted(other)}: there is no such environment",
                    f"write `{near}`" if near else "remove it, or add that environment",
                )
            elif other in _awaited(entry)[:index]:
                yield Problem(
                    read.where(path), f"cannot wait for {quoted(other)} twice", "remove one of the two"
                )


def _cycles(read: YamlText, sound: Mapping[str, EnvironmentEntry]) -> Iterable[Problem]:
    waits = {name: {one for one in _awaited(entry) if one in sound} for name, entry in sound.items()}
    while True:
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            # graphlib lists it from the awaited to the waiting one, first and last the same.
            cycle = _rotated([str(name) for name in error.args[1][:-1]][::-1])
            yield Problem(
                read.where(("environments", cycle[0], "after")),
                "cannot promote in a circle: " + " waits for ".join([*cycle, cycle[0]]),
                "remove one `after` of the circle",
            )
            waits = {name: others - set(cycle) for name, others in waits.items() if name not in cycle}
        else:
            return


def _rotated(cycle: list[str]) -> list[str]:
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]


def _shared_stacks(read: YamlText, sound: Mapping[str, EnvironmentEntry]) -> Iterable[Problem]:
    owners: dict[str, str] = {}
    for name, entry in sound.items():
        stack = entry.stack or name
        owner = owners.setdefault(stack, name)
        if owner != name:
            yield Problem(
                read.where(("environments", name, "stack")),
                f"cannot keep the stack {quoted(stack)} by two environments: `{owner}` has it already",
                f"give one of them a stack of its own, such as `stack: {name}`"
                if name not in owners
                else "give one of them a stack of its own",
            )


# -- values ----------------------------------------------------------------------------------------


def _policy(name: str, entry: EnvironmentEntry) -> Policy:
    after, window, guard, retry = entry.after, entry.window, entry.guard, entry.retry
    drift = entry.drift
    return Policy(
        name=name,
        stack=entry.stack or name,
        reference=entry.reference,
        update=entry.update,
        after=Promotion(environments=tuple(after.environments), healthy_for=after.healthy_for)
        if after
        else None,
        window=Window(
            days=window.days, opens=window.opens, closes=window.closing_time, timezone=window.timezone
        )
        if window
        else None,
        guard=Guard(deletes=guard.deletes, replaces=guard.replaces) if guard else Guard(),
        on_failure=entry.on_failure,
        retry=Retry(after=retry.after, ceiling=retry.ceiling, limit=retry.limit) if retry else Retry(),
        probe_for=entry.probe_for,
        probe_every=entry.probe_every,
        create_stack=entry.create_stack,
        drift=DriftPolicy(every=drift.every, on_drift=drift.on_drift) if drift else DriftPolicy(),
    )


def _line(problem: Problem) -> int:
    return int(problem.where.split(" ")[0].rpartition(":")[2])
