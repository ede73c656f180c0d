"""The secret values of a stack, from its configuration and its state, to redact them.

Pure, except for `decrypted`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ronron.adapters.pulumi_engine.events import SECRET
from ronron.core.errors import ConfigError
from ronron.policy.yaml_text import read_yaml

SECONDS = 60.0
"""Deadline of one command; each takes about 0.3 s."""

SHORTEST_LINE = 8
"""Of a secret of several lines, such as a key, each line of this length is secret too."""

_ASSIGNMENT = re.compile(r"^\w+=")


def decrypted(argv: Sequence[str], directory: Path, environment: Mapping[str, str]) -> object:
    """The JSON that a command of the engine prints; None where it fails.

    Its output goes through a pipe: nothing that it decrypts is written to a disk.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        return json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def secrets_of_config(stack_file: str, listed: object) -> frozenset[str]:
    """The secret values of a stack file.

    Args:
        stack_file: its text, which says what is encrypted.
        listed: what `pulumi config --json --show-secrets` prints.
    """
    try:
        declared = read_yaml(stack_file, file="the stack file").values.get("config")
    except ConfigError:
        declared = None
    found: set[str] = set()
    for key, entry in listed.items() if isinstance(listed, Mapping) else ():
        if not isinstance(entry, Mapping) or not entry.get("secret"):
            continue
        value = entry.get("objectValue", entry.get("value"))
        known = declared.get(key) if isinstance(declared, Mapping) else None
        paths = list(_encrypted(known)) or [()]
        for path in paths:
            found.update(_texts(_at(value, path)))
    return _usable(found)


def secrets_of_state(exported: object) -> frozenset[str]:
    """The secret values of a state that was exported with `--show-secrets`.

    Lists of environment variables are left out: a whole list is secret where one variable is, and a word
    such as `production` must not be taken for a secret.
    """
    return _usable({text for text in _marked(exported) if not _ASSIGNMENT.match(text)})


def _encrypted(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of the encrypted values in a key of a stack file."""
    match node:
        case {"secure": str(), **more} if not more:
            yield path
        case Mapping():
            for key, value in node.items():
                yield from _encrypted(value, (*path, str(key)))
        case list():
            for number, value in enumerate(node):
                yield from _encrypted(value, (*path, number))
        case _:
            pass


def _at(value: object, path: Sequence[str | int]) -> object:
    for step in path:
        match value, step:
            case Mapping(), str():
                value = value.get(step)
            case list(), int() if step < len(value):
                value = value[step]
            case _:
                return None
    return value


def _marked(node: object) -> Iterator[str]:
    match node:
        case Mapping() if SECRET in node:
            plain = node.get("plaintext")
            if isinstance(plain, str):
                try:
                    yield from _texts(json.loads(plain))
                except ValueError:
                    yield plain
        case Mapping():
            for value in node.values():
                yield from _marked(value)
        case list():
            for value in node:
                yield from _marked(value)
        case _:
            pass


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
            # An object that was encrypted as a whole.
            if value.startswith(("{", "[")):
                try:
                    yield from _texts(json.loads(value))
                except ValueError:
                    return
        case Mapping():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)
        case _:
            pass


def _usable(found: set[str]) -> frozenset[str]:
    lines = {
        line.strip() for text in found if "\n" in text for line in text.splitlines()
        if len(line.strip()) >= SHORTEST_LINE
    }  # fmt: skip
    return frozenset(text for text in found | lines if text.strip())
