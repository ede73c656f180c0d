"""Fingerprints: of what an environment depends on, and of a plan that a person may approve."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from ronron.core.model import QUIET, Change

IRRELEVANT = (
    ".ci",
    ".forgejo",
    ".gitea",
    ".github",
    ".gitignore",
    ".gitlab",
    ".gitlab-ci.yml",
    "LICENSE*",
    "Makefile",
    "docs",
    "tests",
    "*.md",
)
"""Names at the top of a project that no program reads when it runs; `fnmatch` patterns.

Whatever is not named here counts: one preview too many is cheap, one too few is a change that is
not made.
"""

POLICY = "environments.yaml"
"""The policy's name beside the stack files: the reconciler reads it, no program does."""


def digest(entries: Mapping[str, str], stack_files: Mapping[str, str], *, config_dir: str, stack: str) -> str:
    """What an environment depends on, in one hash: program, lock files and its own stack file.

    Args:
        entries: the project directory's entries, name -> git object id (of a blob or a tree).
        stack_files: the entries of the directory that holds stack files, name -> git object id.
        config_dir: that directory's path below the project, `.` where they lie beside the program.
        stack: the stack's name: of the stack files only `Pulumi.<stack>.yaml` counts. Whatever else lies
            beside them counts, but for the policy, which no program reads.

    Returns:
        64 hexadecimal characters.
    """
    path = PurePosixPath(config_dir).parts
    # Only a directory at the top can be told apart from the program by its own entries; one further
    # down is part of a tree that may hold code.
    apart = path[0] if len(path) == 1 else None
    own = {f"Pulumi.{stack}.yaml", f"Pulumi.{stack}.yml"}
    unread = IRRELEVANT if path else (*IRRELEVANT, POLICY)
    program = {
        name: tree
        for name, tree in entries.items()
        if name != apart and not _is_stack_file(name) and not any(fnmatchcase(name, p) for p in unread)
    }
    config = {
        name: tree
        for name, tree in stack_files.items()
        if name in own or (apart is not None and not _is_stack_file(name) and name != POLICY)
    }
    return _hash({"program": program, "config": config, "stack": stack})


def identity(
    commit: str, digest_: str, engine: str, changes: Iterable[Change], excluded: Iterable[str] = ()
) -> str:
    """What an approval is bound to: the revision, what it depends on, the engine, and what would be done.

    Args:
        commit: full hash.
        digest_: see `digest`.
        engine: the engine's version: another one may carry out the same plan differently.
        changes: of the preview; quiet ones do not count, order does not count, nor that of properties.
        excluded: names of the excluded machines; their order does not count.

    Returns:
        64 hexadecimal characters; any change of the above gives another one.
    """
    steps = sorted(
        [change.urn, change.operation, change.original, *sorted(set(change.properties))]
        for change in changes
        if change.operation not in QUIET
    )
    document: dict[str, object] = {"commit": commit, "digest": digest_, "engine": engine, "steps": steps}
    if names := sorted(excluded):
        # Only then, and under its first name: a plan that waits for an approval has the same identity with a
        # newer release.
        document["without"] = names
    return _hash(document)


def _is_stack_file(name: str) -> bool:
    return (
        name.startswith("Pulumi.")
        and name not in {"Pulumi.yaml", "Pulumi.yml"}
        and name.endswith((".yaml", ".yml"))
    )


def _hash(document: object) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
