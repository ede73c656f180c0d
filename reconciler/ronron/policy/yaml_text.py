"""YAML text as plain values, each with its place in the text.

Only what a settings file needs is read: mappings with text keys, lists, text, whole numbers, true and
false. Anchors and aliases, tags and huge or deep documents are refused before anything is built from them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ronron.core.errors import ConfigError, Problem
from ronron.policy.notations import quoted

LARGEST = 256 * 1024
"""Bytes; a policy for a hundred environments takes about 30 KiB."""
DEEPEST = 16
MOST_EVENTS = 20_000
"""About as many keys, values and brackets; what is more takes seconds to read."""

_BEGIN = "begin it with a key at the start of a line, such as `environments:` or `config:`"

Path = tuple[str | int, ...]
"""The way to a value: keys of mappings, indexes of lists."""


@dataclass(frozen=True)
class Place:
    """A place in the text; both count from 1."""

    line: int
    column: int


@dataclass
class YamlText:
    """What was read.

    Args:
        file: the name under which messages speak of the text.
        values: the mapping at the top.
        places: where each value's key stands, or the value itself in a list.
        problems: what was left out of `values`: second keys of one name, keys without a value.
    """

    file: str
    values: dict[str, object] = field(default_factory=dict)
    places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: Path) -> str:
        """File, line and key of a value; of what is around it where the value itself is missing."""
        return f"{self.file}:{self.line(path)} {spelled(path)}".rstrip()

    def line(self, path: Path) -> int:
        """The line on which a value's key stands, or the nearest thing around it."""
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.places), None)
        return self.places[known].line if known is not None else 1


def spelled(path: Path) -> str:
    """A path as people write it: `environments.production.after.environments[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def read_yaml(text: str, *, file: str) -> YamlText:
    """Read one YAML document with a mapping at its top.

    Raises:
        ConfigError: it is not YAML, or holds what is refused; says where, with line and column.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LARGEST:
        raise ConfigError(
            f"cannot read {size // 1024} KiB of YAML",
            hint=f"cut it down to {LARGEST // 1024} KiB, or check that this is the right file",
            where=file,
        )
    try:
        _refuse_dangerous(text, file)
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = " ".join(str(error.problem or error.context or "it is broken").split())
        raise ConfigError(
            f"cannot read the YAML: {message}",
            hint="fix that line; indent with spaces, and put text with `: ` or ` #` in it into quotes",
            where=f"{file}:{line}:{column}",
        ) from None
    except YAMLError as error:
        # A character that YAML does not allow; its offset is all that is said.
        before = text[: getattr(error, "position", 0)]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        raise ConfigError(
            "cannot read the YAML: a character is not allowed in it",
            hint="take the character out; save the file as plain UTF-8 text",
            where=f"{file}:{line}:{column}",
        ) from None
    read = YamlText(file=file)
    if root is None:
        raise ConfigError("cannot find anything in it", hint=_BEGIN, where=file)
    if not isinstance(root, MappingNode):
        raise ConfigError(
            "cannot use what is at the top: it must hold keys and values",
            hint=_BEGIN,
            where=f"{file}:{root.start_mark.line + 1}",
        )
    read.values = _mapping(root, (), read)
    return read


def _refuse_dangerous(text: str, file: str) -> None:
    """Raise for what could grow or build things: this looks at the text's events and builds nothing."""
    depth = 0
    for count, event in enumerate(YAML(typ="safe", pure=True).parse(text)):
        refused = None
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            depth += 1
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            refused = "cannot use anchors and aliases (`&`, `*`)", "write the value out in each place"
        elif (
            isinstance(event, MappingStartEvent | SequenceStartEvent | ScalarEvent) and event.tag is not None
        ):
            refused = "cannot use tags (`!`)", "write the plain value"
        elif depth > DEEPEST:
            refused = f"cannot read more than {DEEPEST} levels", "take the nesting out"
        elif count > MOST_EVENTS:
            refused = f"cannot read more than {MOST_EVENTS} keys and values", "cut the file down"
        if refused is not None:
            mark = event.start_mark
            raise ConfigError(refused[0], hint=refused[1], where=f"{file}:{mark.line + 1}:{mark.column + 1}")


def _mapping(node: MappingNode, path: Path, read: YamlText) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in node.value:
        here = Place(key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, ScalarNode):
            read.problems.append(
                Problem(
                    f"{read.file}:{here.line}", "cannot use a list or mapping as a key", "write a plain word"
                )
            )
            continue
        name = str(key.value)
        child = (*path, name)
        if child in read.places:
            first = read.places[child].line
            read.problems.append(
                Problem(
                    f"{read.file}:{here.line} {spelled(child)}",
                    f"cannot have the key {quoted(name)} twice: it is on line {first} already",
                    "remove one of the two",
                )
            )
            continue
        read.places[child] = here
        if _is_empty(value):
            read.problems.append(
                Problem(
                    read.where(child),
                    f"cannot use {quoted(name)} without a value",
                    "write its value, or remove it; what belongs to it must be indented below it",
                )
            )
            continue
        values[name] = _value(value, child, read)
    return values


def _value(node: Node, path: Path, read: YamlText) -> object:
    if isinstance(node, MappingNode):
        return _mapping(node, path, read)
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            read.places[(*path, index)] = Place(item.start_mark.line + 1, item.start_mark.column + 1)
        return [_value(item, (*path, index), read) for index, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: Node) -> object:
    text = str(node.value)
    match str(node.tag).rpartition(":")[2]:
        case "int" if re.fullmatch(r"[-+]?[0-9]{1,18}", text, re.ASCII):
            return int(text)
        case "bool" if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        case "null":
            return None
    return text


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).endswith(":null")
