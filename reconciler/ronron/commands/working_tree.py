"""Finds the working tree of the repository around the current directory."""

from __future__ import annotations

from pathlib import Path

from ronron.core.errors import ConfigError
from ronron.core.redact import redact
from ronron.settings import Settings


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


def no_working_tree(settings: Settings) -> ConfigError:
    """The error of a command that needs a working tree, outside of one."""
    url = redact(settings.source) if settings.source else "URL"
    return ConfigError(
        f"cannot find a working tree of the repository here: no {settings.policy_file}",
        where=str(Path.cwd()),
        hint=f"change into your clone, or make one: `git clone {url}`",
    )
