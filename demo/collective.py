"""The collective's repository: made from the clone, then changed by commits like any other."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from git import Actor, Repo
from pulumi import automation
from ruamel.yaml import YAML

from demo.places import BRANCH, CLONE, STACK, Places

MEMBER = Actor("Ronron demo", "demo@ronron.invalid")
Document = dict[str, Any]


def make_repository(places: Places) -> str:
    """Bring the demo's repository to what the clone has committed; returns the clone's commit.

    Earlier commits of the demo are dropped: each run starts from the clone's newest commit.
    """
    with Repo(CLONE) as clone:
        commit = clone.head.commit.hexsha
    if not places.repository.exists():
        with Repo.init(places.repository, bare=True, initial_branch=BRANCH):
            pass
    if not places.collective.exists():
        with Repo.init(places.collective, initial_branch=BRANCH) as new:
            new.create_remote("origin", str(places.repository))
    with Repo(places.collective) as collective:
        collective.git.fetch("--quiet", "--no-tags", str(CLONE), commit)
        collective.git.checkout("--quiet", "--force", "-B", BRANCH, commit)
    return commit


def edit(file: Path, change: Callable[[Document], None]) -> None:
    """Change a YAML file; its comments stay."""
    yaml = YAML()
    yaml.width = 4096
    document = yaml.load(file.read_text())
    change(document)
    with file.open("w") as opened:
        yaml.dump(document, opened)


def commit(places: Places, subject: str) -> str:
    """Commit everything that changed in the working copy; returns the full hash."""
    with Repo(places.collective) as collective:
        collective.git.add("--all")
        return collective.index.commit(subject, author=MEMBER, committer=MEMBER).hexsha


def push(places: Places) -> None:
    """Push what was committed, as a merge would."""
    with Repo(places.collective) as collective:
        collective.git.push("--quiet", "--force", "origin", f"HEAD:refs/heads/{BRANCH}")


def encrypted_secrets(places: Places) -> Document:
    """The encrypted values and the salt that an earlier run wrote; empty at the first run."""
    if not places.stack_file.exists():
        return {}
    document = YAML(typ="safe").load(places.stack_file.read_text()) or {}
    salt = document.get("encryptionsalt")
    return {"config": _encrypted(document.get("config") or {}), "encryptionsalt": salt} if salt else {}


def _encrypted(config: Document) -> Document:
    """The secrets of a configuration alone; a secret inside of a value stays at its path."""
    kept: Document = {}
    for key, value in config.items():
        if not isinstance(value, dict):
            continue
        inside = value if set(value) == {"secure"} else _encrypted(value)
        if inside:
            kept[key] = inside
    return kept


def restore_secrets(document: Document, kept: Document) -> None:
    """Write back what `encrypted_secrets` returned."""
    if kept:
        document["encryptionsalt"] = kept["encryptionsalt"]
        _put_back(document["config"], kept["config"])


def _put_back(config: Document, kept: Document) -> None:
    for key, value in kept.items():
        if set(value) == {"secure"} or not isinstance(config.get(key), dict):
            config[key] = value
        else:
            _put_back(config[key], value)


def set_missing_secrets(places: Places, names: tuple[str, ...], environment: Mapping[str, str]) -> None:
    """Give each secret that has no value a random one, by Pulumi's own `config set --secret`.

    Args:
        places: of the demo.
        names: config keys below `ronron:`; a dot leads into a value.
        environment: in which `pulumi` finds itself, its backend and the passphrase.
    """
    there = encrypted_secrets(places).get("config", {})
    missing = [name for name in names if not _is_there(there, f"ronron:{name}".split("."))]
    workspace = automation.LocalWorkspace(work_dir=str(places.collective), env_vars=dict(environment))
    try:
        stack = automation.Stack.select(STACK, workspace)
    except automation.StackNotFoundError:
        stack = automation.Stack.create(STACK, workspace)
    for name in missing:
        value = automation.ConfigValue(secrets.token_urlsafe(18), secret=True)
        stack.set_config(f"ronron:{name}", value, path="." in name)


def _is_there(kept: Document, path: list[str]) -> bool:
    inside = kept.get(path[0])
    return inside is not None and (len(path) == 1 or _is_there(inside, path[1:]))


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with some variables set, for children of the demo."""
    return {**os.environ, **extra}


def is_committed(clone: Path = CLONE) -> bool:
    """Whether the clone has no uncommitted changes, which the demo would not show."""
    with Repo(clone) as repo:
        return not repo.is_dirty()
