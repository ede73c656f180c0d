"""Reads a stack file: its configuration, and the line of each key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from chatons.declaration.load import ENCRYPTED, StackConfiguration
from chatons.schema.errors import ChatonsError
from chatons.schema.problems import NAMESPACE, KeyPath, Problem, nearest

_LARGEST = 1_048_576
"""Bytes. A declaration of a hundred services is a tenth of this."""
_FILE_NAME = re.compile(r"Pulumi\.(?P<stack>[A-Za-z0-9_.-]+)\.ya?ml")


@dataclass(frozen=True, kw_only=True)
class Located:
    """A problem and its line, counted from 1; None for the whole file."""

    problem: Problem
    line: int | None


class StackFileError(ChatonsError):
    """A file that cannot be read as a stack file."""

    def __init__(self, located: Located) -> None:
        super().__init__(located.problem.problem)
        self.located = located


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """The configuration in one stack file."""

    configuration: StackConfiguration
    problems: tuple[Located, ...]
    _document: CommentedMap

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, or of the nearest written key above it."""
        node: object = self._document.get("config")
        line = _line(self._document, "config")
        keys = [f"{NAMESPACE}:{path[0]}", *path[1:]] if path else []
        for key in keys:
            if isinstance(node, CommentedMap) and key in node:
                line = _line(node, key)
            elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
                line = int(node.lc.item(key)[0]) + 1
            else:
                break
            node = node[key]
        return line


def stack_name(path: Path) -> str | None:
    """The stack of a file, from its name; None when that is not the name of a stack file."""
    match = _FILE_NAME.fullmatch(path.name)
    return match["stack"] if match else None


def read(path: Path, stack: str) -> StackFile:
    """Read a stack file. Secrets are recognised by their `secure` key and not decrypted.

    Raises:
        StackFileError: it is absent, too large, not text or not YAML.
    """
    document = _document(path)
    written = document.get("config")
    if written is None:
        raise _error(
            "there is no `config` in this file", "add `config:` with the keys of the declaration below it"
        )
    if not isinstance(written, Mapping):
        raise _error(
            "`config` has no keys", "write the keys of the declaration below it", _line(document, "config")
        )
    values: dict[str, object] = {}
    secrets: dict[str, None] = {}
    problems: list[Located] = []
    for key, value in written.items():
        namespace, colon, name = str(key).partition(":")
        if colon and namespace == NAMESPACE:
            if _is_secret(value):
                secrets[name] = None
            else:
                values[name] = _plain(value)
        elif not colon or nearest(namespace, [NAMESPACE]):
            problem = Problem(
                path=(),
                problem=f"the key {str(key)!r} is not in the namespace {NAMESPACE}",
                remedy=f"write {NAMESPACE}:{name if colon else key}",
            )
            problems.append(Located(problem=problem, line=_line(written, key)))
    return StackFile(
        configuration=StackConfiguration(stack=stack, values=values, secrets=secrets),
        problems=tuple(problems),
        _document=document,
    )


def _document(path: Path) -> CommentedMap:
    try:
        if path.stat().st_size > _LARGEST:
            raise _error(f"the file is larger than {_LARGEST} bytes", "check that this is a stack file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _error("there is no such file", "check the path; stack files are in stacks/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _error(f"cannot read the file: {error}", "make it a readable UTF-8 text") from error
    try:
        document = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(
            f"this is not YAML: {error.problem or error.context}",
            "check this line and the one above it: indentation, quotes, brackets and repeated keys",
            mark.line + 1 if mark else None,
        ) from error
    except YAMLError as error:
        raise _error("this is not YAML", "check that this is a stack file") from error
    if not isinstance(document, CommentedMap):
        raise _error("this file has no keys", "add `config:` with the keys of the declaration below it")
    return document


def _error(problem: str, remedy: str, line: int | None = None) -> StackFileError:
    return StackFileError(Located(problem=Problem(path=(), problem=problem, remedy=remedy), line=line))


def _line(mapping: object, key: object) -> int | None:
    return int(mapping.lc.key(key)[0]) + 1 if isinstance(mapping, CommentedMap) and key in mapping else None


def _is_secret(value: object) -> bool:
    return isinstance(value, Mapping) and set(value) == {"secure"}


def _plain(value: object) -> object:
    if _is_secret(value):
        return ENCRYPTED
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str):
        return str(value)
    return value
