"""The file of settings: variables that hold for a person's shell and for the service alike.

One `NAME=VALUE` a line, as in systemd's `EnvironmentFile=`: no shell runs it, `#` begins a comment line, and
a value may be in single or double quotes. A variable that the environment already has overrides the file's.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ronron.core.errors import ConfigError

VARIABLE = "RONRON_SETTINGS_FILE"
"""Environment variable: another file of settings; empty for none."""
OF_MACHINE = Path("/etc/ronron/settings.env")
"""Holds for every user of this machine who has no file of their own."""
_LARGEST = 256 * 1024
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """The file of settings that holds for this environment; None where there is none.

    It is the one that RONRON_SETTINGS_FILE names, whether it exists or not; else `ronron/settings.env` in the
    user's configuration; else that of the machine.
    """
    chosen = environ.get(VARIABLE)
    if chosen is not None:
        return Path(os.path.abspath(Path(chosen).expanduser())) if chosen else None  # noqa: PTH100 - links stay
    for file in (file_of_user(environ), OF_MACHINE):
        # A file that we may not read is there, too.
        if os.path.lexists(file):
            return file
    return None


def file_of_user(environ: Mapping[str, str]) -> Path:
    """Where a user's own file of settings is, whether it exists or not."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):
        return Path(base) / "ronron" / "settings.env"
    return Path(environ.get("HOME") or Path.home()) / ".config" / "ronron" / "settings.env"


def apply_settings_file(environ: MutableMapping[str, str]) -> Path | None:
    """Add the file's variables to an environment that does not have them; returns the file.

    Raises:
        ConfigError: it cannot be read, or a line is no `NAME=VALUE`.
    """
    file = settings_file(environ)
    if file is None:
        return None
    for name, value in read_settings_file(file).items():
        environ.setdefault(name, value)
    return file


def read_settings_file(file: Path) -> dict[str, str]:
    """The variables in a file of settings.

    Raises:
        ConfigError: it cannot be read, or a line is no `NAME=VALUE`.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode()
    except OSError as error:
        raise ConfigError(
            f"cannot read the settings: {(error.strerror or str(error)).lower()}",
            where=str(file),
            hint=_remedy(error),
        ) from error
    except UnicodeDecodeError:
        raise ConfigError(
            "cannot read the settings: not UTF-8 text", where=str(file), hint="save it as UTF-8"
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(stripped)
        value = _value(match[2]) if match else None
        if match is None or value is None:
            raise ConfigError(
                "cannot read the line: it is no NAME=VALUE",
                where=f"{file}:{number}",
                hint="write for instance RONRON_POLL=1m; a value with quotes ends with the same quote",
            )
        found[match[1]] = value
    return found


def _value(text: str) -> str | None:
    text = text.strip()
    if not text.startswith(("'", '"')):
        return text
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    return words[0] if len(words) == 1 else None


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"write it, or unset {VARIABLE}"
    if isinstance(error, PermissionError):
        return f"run ronron as the user of the service, or set {VARIABLE} to a file of your own"
    return f"fix it, or set {VARIABLE} to another file"
