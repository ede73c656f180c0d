"""The working tree of the repository around the current directory, and the environments that it declares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ronron.core.errors import ConfigError
from ronron.core.redact import redact
from ronron.passes.targets import config_dir
from ronron.policy.load import load_policies
from ronron.policy.notations import nearest, quoted
from ronron.settings import Settings


@dataclass(frozen=True)
class TreeEnvironment:
    """An environment as a working tree declares it, committed or not.

    Args:
        name: the environment's.
        stack: its stack's name.
        reference: the branch or tags that it follows.
        top: of the working tree.
        project: directory of the Pulumi project in it.
        stack_file: its stack file, which need not exist.
    """

    name: str
    stack: str
    reference: str
    top: Path
    project: Path
    stack_file: Path


def working_tree(settings: Settings, start: Path | None = None) -> Path | None:
    """The top of the working tree: the nearest directory that has the policy; None where there is none.

    Args:
        settings: name the policy's file; a repository that is a local path is looked at as well.
        start: where the search begins; by default the current directory.
    """
    here = start or Path.cwd()
    places = [here, *here.parents]
    if settings.source is not None and Path(settings.source).is_absolute():
        places.append(Path(settings.source))
    return next((place for place in places if (place / settings.policy_file).is_file()), None)


def environment_in(top: Path, name: str, settings: Settings) -> TreeEnvironment:
    """An environment of the policy as it is in a working tree.

    Args:
        top: of the working tree.
        name: the environment's.
        settings: name the policy's file.

    Raises:
        ConfigError: the policy or the project file cannot be read, or has no such environment.
    """
    policies = load_policies(_text(top / settings.policy_file), file=settings.policy_file)
    policy = policies.environments.get(name)
    if policy is None:
        near = nearest(name, policies.environments)
        raise ConfigError(
            f"cannot find the environment {quoted(name)}",
            where=str(top / settings.policy_file),
            hint=f"use {near}" if near else f"use one of: {', '.join(sorted(policies.environments))}",
        )
    project = top / policies.project
    directory = config_dir(_text(project / "Pulumi.yaml"), file=str(project / "Pulumi.yaml"))
    return TreeEnvironment(
        name=name,
        stack=policy.stack,
        reference=policy.reference,
        top=top,
        project=project,
        stack_file=project / directory / f"Pulumi.{policy.stack.rpartition('/')[2]}.yaml",
    )


def no_working_tree(settings: Settings) -> ConfigError:
    """The error of a command that needs a working tree, outside of one."""
    url = redact(settings.source) if settings.source else "URL"
    return ConfigError(
        f"cannot find a working tree of the repository here: no {settings.policy_file}",
        where=str(Path.cwd()),
        hint=f"change into your clone, or make one: `git clone {url}`",
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"cannot read it: {why.lower()}", where=str(file), hint="restore it from the repository"
        ) from error
