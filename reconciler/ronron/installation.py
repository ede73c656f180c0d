"""Where Pulumi is on this machine, besides PATH: what `make setup` got, and a user's own installation.

`make setup` writes what it got into a file below the virtual environment, so that `ronron` finds it from any
shell and under systemd, without an activated environment:

    {"version": 1, "engine": "/.../pulumi", "plugins": "/.../plugins", "downloads": true}

`engine` is the program, with the Python language host beside it. `plugins` is a directory of plugins as the
engine keeps them. `downloads` is false where the engine cannot download plugins. Further keys are ignored.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ronron.core.model import Value

ENGINE, LANGUAGE_HOST = "pulumi", "pulumi-language-python"
ENGINE_VERSIONS = ((3, 272), (4,))
"""The first engine that works with the SDK, and the first that does not."""
PROGRAM_SECONDS = 10
"""How long a program may take to print its version: a cold engine takes 2 s on a small machine."""

NO_DOWNLOADS = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
"""The engine downloads no plugin where this is `true`; without a network each try costs seconds."""


class Installed(Value):
    """Where engine and plugins are besides PATH.

    Args:
        engines: directories with an engine, the preferred one first.
        plugins: directories of plugins, the preferred one first.
        downloads: false where the engine cannot download plugins.
    """

    engines: tuple[Path, ...] = ()
    plugins: tuple[Path, ...] = ()
    downloads: bool = True


def default_file() -> Path:
    """The file that `make setup` writes for this Python's virtual environment."""
    return Path(sys.prefix) / "share" / "ronron" / "installation.json"


def read_installed(file: Path, environ: Mapping[str, str]) -> Installed:
    """Everything that is installed here and still exists.

    Args:
        file: the file that `make setup` writes; one that is missing or unreadable says nothing.
        environ: names the user's home, and with PULUMI_HOME Pulumi's own.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    if not isinstance(document, dict):
        document = {}
    own = Path(environ.get("PULUMI_HOME") or Path(environ.get("HOME") or Path.home()) / ".pulumi")
    engine, plugins = document.get("engine"), document.get("plugins")
    engines = [Path(engine).parent] if isinstance(engine, str) else []
    directories = [Path(plugins)] if isinstance(plugins, str) else []
    return Installed(
        engines=tuple(place for place in (*engines, own / "bin") if _engine_in(str(place))),
        plugins=tuple(place for place in (*directories, own / "plugins") if os.path.isdir(place)),  # noqa: PTH112 - a place that we may not enter is none
        downloads=document.get("downloads") is not False,
    )


def engine_path(path: str, installed: Installed) -> str:
    """PATH on which the first `pulumi` is the one to use.

    The first on PATH is taken, then what is installed. Where there are several, one that is too old, too new
    or without the Python language host is passed over.

    Args:
        path: as in the variable PATH.
        installed: what there is besides.
    """
    first = shutil.which(ENGINE, path=path)
    found = [first] if first else []
    found += [program for place in installed.engines if (program := _engine_in(str(place)))]
    if not found or found == [first]:
        return path
    # Asking an engine costs 0.1 s, so it is asked only where there is a choice.
    several = len({os.path.realpath(program) for program in found}) > 1
    chosen = (
        next((program for program in found if _is_usable(program, path)), found[0]) if several else found[0]
    )
    if chosen == first:
        return path
    # Behind all others, or just before the one that is passed over: other programs beside the engine, such as
    # a `python3`, must not come before those that were found without it.
    folders = path.split(os.pathsep)
    passed_over = (number for number, folder in enumerate(folders) if first and _engine_in(folder) == first)
    at = next(passed_over, len(folders) if first is None else 0)
    return os.pathsep.join([*folders[:at], str(Path(chosen).parent), *folders[at:]])


def language_host(engine: str | None, path: str) -> str | None:
    """The Python language host that an engine starts: the one beside it, and else the first on PATH."""
    if engine is not None:
        beside = Path(engine).resolve().parent / LANGUAGE_HOST
        if beside.is_file() and os.access(beside, os.X_OK):
            return str(beside)
    return shutil.which(LANGUAGE_HOST, path=path)


def is_good_version(version: str) -> bool:
    """Whether an engine of this version, such as `3.274.1`, works with the reconciler."""
    first, beyond = ENGINE_VERSIONS
    return first <= tuple(map(int, version.split("."))) < beyond


def output_of(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """What a program prints; nothing where it fails or takes too long."""
    try:
        return subprocess.run(
            arguments,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROGRAM_SECONDS,
            check=True,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def version_in(text: str) -> str | None:
    """The first version number in what a program prints, such as `3.274.1`."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found[0] if found else None


def _engine_in(directory: str) -> str | None:
    return shutil.which(ENGINE, path=directory)


def _is_usable(program: str, path: str) -> bool:
    try:
        changed = os.stat(program).st_mtime_ns  # noqa: PTH116
    except OSError:
        return False
    version = _version_of(program, changed)
    return version is not None and is_good_version(version) and language_host(program, path) is not None


@lru_cache(maxsize=16)
def _version_of(program: str, _changed: int) -> str | None:
    environ = {"PATH": os.defpath, "HOME": os.environ.get("HOME", "/"), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    return version_in(output_of([program, "version"], environ))
