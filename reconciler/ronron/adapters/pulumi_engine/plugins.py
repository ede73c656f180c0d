"""The plugins of the engine's home: those that are installed on this machine, and those that it downloads.

The engine looks for plugins in one directory only, and passes over a plugin whose directory is a link. So
that directory has a real directory for each plugin, with links to its files.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PLUGIN = re.compile(r"(?:resource|language|analyzer|converter|tool)-[^/]+-v[^/]+")
_UNFINISHED, _LOCK = ".partial", ".lock"
"""Endings of the files that the engine has beside a plugin while it downloads it."""


def join_plugins(home: Path, sources: Iterable[Path]) -> None:
    """Put every installed plugin into the engine's home; what the engine downloaded stays there.

    Safe beside other processes that do the same.

    Args:
        home: of the engine; exists.
        sources: directories of plugins; the first that has a version of a plugin gives it.

    Raises:
        OSError: it cannot be written.
    """
    place = home / "plugins"
    if place.is_symlink():  # as an earlier version of ours made it
        with suppress(FileNotFoundError):
            place.unlink()
    place.mkdir(mode=0o700, exist_ok=True)
    wanted: dict[str, Path] = {}
    for source in sources:
        if source.resolve() != place.resolve():
            wanted = {plugin.name: plugin for plugin in _plugins_in(source)} | wanted
    for plugin in _plugins_in(place):
        # Its source was removed, or is no longer one of ours.
        if _is_ours(plugin) and not _links_to(plugin, wanted.get(plugin.name)):
            shutil.rmtree(plugin, ignore_errors=True)
    for name, plugin in wanted.items():
        if not (place / name).exists():
            _link(plugin, place)


def _plugins_in(directory: Path) -> list[Path]:
    return sorted(
        plugin
        for plugin in directory.iterdir()
        if _PLUGIN.fullmatch(plugin.name)
        and not plugin.name.endswith((_UNFINISHED, _LOCK))
        and plugin.is_dir()
        and not plugin.with_name(f"{plugin.name}{_UNFINISHED}").exists()
    )


def _is_ours(plugin: Path) -> bool:
    entries = list(plugin.iterdir())
    return bool(entries) and all(entry.is_symlink() for entry in entries)


def _links_to(plugin: Path, source: Path | None) -> bool:
    if source is None:
        return False
    return {entry.name: entry.readlink() for entry in plugin.iterdir()} == {
        entry.name: entry for entry in source.iterdir()
    }


def _link(plugin: Path, place: Path) -> None:
    """Make the plugin's directory elsewhere and rename it, so that nobody sees a part of it."""
    made = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}-", dir=place))
    try:
        for entry in plugin.iterdir():
            (made / entry.name).symlink_to(entry)
        with suppress(OSError):  # another process was quicker: a directory that is not empty stays
            made.rename(place / plugin.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)
