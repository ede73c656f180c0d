"""Edits of YAML text that leave every other byte as it is: comments, quotes, secrets and line ends.

ruamel.yaml gives the place of each key and value; the text between two places is replaced. A dump of the
document would write its own indentation and quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ronron.core.errors import ConfigError
from ronron.policy.yaml_text import DEEPEST, Path, spelled

LARGEST = 1024 * 1024
"""Bytes of a stack file; a declaration of a hundred services is a tenth of this."""
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s+)+")
"""An anchor or a tag before a value."""


@dataclass(frozen=True)
class Scalar:
    """One value that is neither a mapping nor a list.

    Attributes:
        path: the keys and indexes that lead to it.
        value: its text.
        line: counted from 1.
    """

    path: Path
    value: str
    line: int


class YamlDocument:
    """A YAML text with a mapping at its top.

    Args:
        text: of the file.
        file: its name, for messages.

    Raises:
        ConfigError: it is not YAML, too large, or has something else at its top.
    """

    def __init__(self, text: str, *, file: str) -> None:
        self.text = text
        self.file = file
        self._top = _composed(text, file)

    def scalars(self) -> Iterator[Scalar]:
        """Every scalar in the order of the text; one that aliases repeat is given once."""
        seen: set[int] = set()

        def walk(node: Node, path: Path) -> Iterator[Scalar]:
            if id(node) in seen or len(path) > DEEPEST:
                return
            seen.add(id(node))
            if isinstance(node, ScalarNode):
                yield Scalar(path, str(node.value), node.start_mark.line + 1)
            for key, child in _children(node):
                yield from walk(child, (*path, key))

        yield from walk(self._top, ())

    def line(self, path: Path) -> int | None:
        """The line of a key; None where it is not there."""
        found = self._entry(path)
        return None if found is None else int(found[0].start_mark.line) + 1

    def keys(self, path: Path) -> tuple[str, ...]:
        """The keys of a mapping; empty where there is none."""
        node = self._node(path)
        return tuple(str(key) for key, _ in _children(node)) if isinstance(node, MappingNode) else ()

    def has(self, path: Path) -> bool:
        """Whether something is there."""
        return self._node(path) is not None

    def value(self, path: Path) -> str | None:
        """The text of a scalar; None where there is none."""
        node = self._node(path)
        return str(node.value) if isinstance(node, ScalarNode) else None

    def with_scalars(self, changes: Mapping[Path, str]) -> str:
        """The text with other values for some scalars, each in the quotes that it has.

        Args:
            changes: the new text by the path of a scalar; letters that need no quotes and no escapes.

        Raises:
            ConfigError: a value is written over several lines, or with escapes.
        """
        edits = []
        for path, new in changes.items():
            node = self._node(path)
            if not isinstance(node, ScalarNode):
                raise self._cannot(path, "it is not one value")
            start, end = node.start_mark.index, node.end_mark.index
            properties = _PROPERTIES.match(self.text, start, end)
            start = properties.end() if properties else start
            quote = self.text[start] if self.text[start] in "'\"" else ""
            if self.text[start:end] != f"{quote}{node.value}{quote}":
                raise self._cannot(path, "it is written over several lines or with escapes")
            edits.append((start, end, f"{quote}{new}{quote}"))
        return self._checked(_spliced(self.text, edits), changes)

    def without(self, paths: Sequence[Path]) -> str:
        """The text without some keys, their values, and the comments that stand right above them.

        A mapping that loses its last key becomes `{}`.

        Raises:
            ConfigError: one of them is not in the text, or stands in a mapping in braces.
        """
        edits: list[tuple[int, int, str]] = []
        going: dict[int, tuple[MappingNode, Path, int]] = {}
        for path in paths:
            found, parent = self._entry(path), self._node(path[:-1])
            if found is None or not isinstance(parent, MappingNode):
                raise self._cannot(path, "it is not there")
            if parent.flow_style:
                edits.append(self._in_braces(found, parent, path))
                continue
            node, _, count = going.get(id(parent), (parent, path[:-1], 0))
            going[id(parent)] = node, path[:-1], count + 1
            edits.append((self._start_of_entry(found[0]), self._end_of_line(_end(found[1])), ""))
        for parent, path, count in going.values():
            if count == len(parent.value):
                key = self._entry(path)
                if key is None:
                    raise self._cannot(path, "nothing would be left")
                after = self.text.index(":", key[0].end_mark.index) + 1
                edits.append((after, after, " {}"))
        return self._checked(_spliced(self.text, edits), {})

    def with_entries(self, path: Path, entries: Mapping[str, Sequence[str]]) -> str:
        """The text with further keys at the end of a mapping.

        Args:
            path: of the mapping.
            entries: the lines of the value by key, without the indentation of the mapping; a single line
                that is a scalar or in braces, or the lines of a block mapping that begin with two spaces.

        Raises:
            ConfigError: there is no such mapping, or it stands in braces and has keys.
        """
        node, found = self._node(path), self._entry(path)
        if not isinstance(node, MappingNode) or (path and found is None):
            raise self._cannot(path, "it is not a mapping")
        end = "\r\n" if "\r\n" in self.text else "\n"
        if node.flow_style and node.value:
            raise self._cannot(path, "it stands in braces: write each of its keys on a line of its own")
        if node.value:
            indent = node.value[0][0].start_mark.column
            last = node.value[-1][1]
            place = self._end_of_line(_end(last))
        else:
            key = found[0] if found is not None else node
            indent = key.start_mark.column + 2
            place = self._end_of_line(node.end_mark.index)
        lines = []
        for name, value in entries.items():
            one = len(value) == 1 and not value[0].startswith("  ")
            lines += [f"{name}: {value[0]}"] if one else [f"{name}:", *value]
        block = "".join(f"{' ' * indent}{line}{end}" if line else end for line in lines)
        head = "" if place == 0 or self.text[place - 1] == "\n" else end
        edits = [(place, place, head + block)]
        if not node.value:
            # `{}` gives way to the block below the key.
            start = node.start_mark.index
            while start > 0 and self.text[start - 1] in " \t":
                start -= 1
            edits.append((start, node.end_mark.index, ""))
        return self._checked(_spliced(self.text, edits), {})

    # -- places ------------------------------------------------------------------------------------

    def _in_braces(self, found: tuple[Node, Node], parent: MappingNode, path: Path) -> tuple[int, int, str]:
        index = next(place for place, pair in enumerate(parent.value) if pair[0] is found[0])
        if index + 1 < len(parent.value):
            return found[0].start_mark.index, parent.value[index + 1][0].start_mark.index, ""
        if index > 0:
            return _end(parent.value[index - 1][1]), _end(found[1]), ""
        del path
        return found[0].start_mark.index, _end(found[1]), ""

    def _start_of_entry(self, key: Node) -> int:
        """The start of the line of a key, or of the comments right above it with the same indentation."""
        start = self.text.rfind("\n", 0, key.start_mark.index) + 1
        mark = " " * key.start_mark.column + "#"
        while start > 0:
            above = self.text.rfind("\n", 0, start - 1) + 1
            if not self.text[above:start].startswith(mark):
                break
            start = above
        return start

    def _end_of_line(self, index: int) -> int:
        """The place after the line in which the text before `index` ends."""
        last = len(self.text[:index].rstrip())
        found = self.text.find("\n", last)
        return len(self.text) if found < 0 else found + 1

    def _entry(self, path: Path) -> tuple[Node, Node] | None:
        parent = self._node(path[:-1]) if path else None
        if not isinstance(parent, MappingNode):
            return None
        return next(((key, value) for key, value in parent.value if key.value == path[-1]), None)

    def _node(self, path: Path) -> Node | None:
        node: Node | None = self._top
        for part in path:
            node = next((child for key, child in _children(node) if key == part), None)
            if node is None:
                return None
        return node

    def _cannot(self, path: Path, why: str) -> ConfigError:
        line = self.line(path)
        place = f"{self.file}:{line}" if line else self.file
        return ConfigError(
            f"cannot edit {spelled(path)}: {why}", where=place, hint=f"edit it by hand in {self.file}"
        )

    def _checked(self, text: str, changes: Mapping[Path, str]) -> str:
        """The edited text, after a proof that it is YAML and that the changed scalars have their values."""
        edited = YamlDocument(text, file=self.file)
        for path, new in changes.items():
            node = edited._node(path)
            if not isinstance(node, ScalarNode) or node.value != new:
                raise self._cannot(path, f"the file would not have {new} there")
        return text


def _composed(text: str, file: str) -> MappingNode:
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise ConfigError(
            f"cannot edit a file of more than {LARGEST // 1024} KiB",
            where=file,
            hint="check that this is the right file",
        )
    try:
        top = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"cannot read the YAML: {' '.join(str(error.problem or error.context).split())}",
            where=f"{file}:{mark.line + 1}" if mark else file,
            hint="check this line and the one above it: indentation, quotes and brackets",
        ) from None
    except (YAMLError, RecursionError):
        raise ConfigError(
            "cannot read the YAML", where=file, hint="check that this is the right file"
        ) from None
    if not isinstance(top, MappingNode):
        raise ConfigError("cannot find any key in it", where=file, hint="begin it with `config:`")
    return top


def _children(node: Node | None) -> Iterator[tuple[str | int, Node]]:
    if isinstance(node, MappingNode):
        yield from ((str(key.value), value) for key, value in node.value if isinstance(key, ScalarNode))
    elif isinstance(node, SequenceNode):
        yield from enumerate(node.value)


def _end(node: Node) -> int:
    """The end of the last scalar or bracket in a node: a block's own end is where the next token begins."""
    if isinstance(node, MappingNode | SequenceNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _spliced(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
