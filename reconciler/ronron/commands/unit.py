"""The command `unit`: prints the systemd unit of the watcher for this installation and these settings."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from ronron.adapters.pulumi_engine.environment import ALLOWED
from ronron.commands.arguments import Options
from ronron.commands.screen import Screen
from ronron.commands.wiring import errors
from ronron.core.errors import ConfigError
from ronron.core.redact import is_secret_name, redact
from ronron.core.status import ExitCode
from ronron.core.unit import Unit, unit_text
from ronron.installation import engine_path
from ronron.settings import Settings, load_settings, variables
from ronron.settings_file import OF_MACHINE, read_settings_file, settings_file
from ronron.settings_file import VARIABLE as SETTINGS_FILE

STATE_DIRECTORY = "ronron"
SERVICE_STATE = Path("/var/lib") / STATE_DIRECTORY
SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The PATH of a service. Source: systemd.exec(5)."""

_PROGRAMS = ("git", "ssh", "node", "npm", "go")
"""Programs besides the engine that a pass or a program may start."""
_PACKAGES = {
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_FIND_LINKS",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
}
"""How uv reaches the packages of a program's lock file."""
_OF_SESSION = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"),
        *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
    }
)
"""Variables that systemd sets itself, that end with a login, or that are about a person's language."""
_PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105 - the variable's name


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(unit)


def unit(
    context: typer.Context,
    user: Annotated[str | None, typer.Option(help="User of the service; default: you.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write it into this file; default: standard output.")
    ] = None,
) -> ExitCode:
    """Print the systemd unit of the watcher.

    It has the settings that hold here and now, so that the service uses the same state, engine and plugins as
    your shell. With another user, its state is /var/lib/ronron unless RONRON_STATE says otherwise.
    """
    options: Options = context.obj
    screen = Screen()
    with errors(screen, options.debug):
        shell = dict(os.environ)  # before the file of settings is added to it
        settings = load_settings(repository=options.repository, state=options.state)
        made, notes = unit_here(settings, shell, user or getpass.getuser(), own=user is None)
        text = unit_text(made)
        if output is None:
            sys.stdout.write(text)
        else:
            _write(output, text)
            screen.print(f"written: {output}")
        for note in notes:
            screen.stderr.print(f"note: {note}", markup=False)
        return ExitCode.DONE


def unit_here(
    settings: Settings, shell: Mapping[str, str], user: str, *, own: bool
) -> tuple[Unit, tuple[str, ...]]:
    """The unit for this installation, and what a person should know about it.

    Args:
        settings: that hold here.
        shell: the variables of the person's shell, without those of the file of settings.
        user: of the service.
        own: whether that is the person who runs the command, by not naming another one.

    Raises:
        ConfigError: it would show a secret.
    """
    file = settings_file(shell)
    from_file = read_settings_file(file) if file is not None else {}
    chosen = dict(_carried(settings, shell, from_file))
    if file is not None:
        chosen[SETTINGS_FILE] = str(file)
    notes = list(_shell_only(settings, shell, from_file))
    own = own or user == getpass.getuser()
    state = settings.state
    if not own and settings.state == Settings().state and "RONRON_STATE" not in {**from_file, **shell}:
        state = SERVICE_STATE
        notes.append(
            f"to use this state in a shell as well, write RONRON_STATE={state} into {OF_MACHINE}, and run "
            f"ronron as {user}"
        )
    if from_file.get("RONRON_STATE") != str(state):
        chosen["RONRON_STATE"] = str(state)
    if settings.source is None:
        notes.append(
            f"the service watches the clone {settings.repository}: commit there, or set RONRON_REPOSITORY to "
            "the URL that you push to"
        )
    if "RONRON_REPOSITORY" not in from_file or settings.repository != from_file["RONRON_REPOSITORY"]:
        chosen["RONRON_REPOSITORY"] = settings.repository
    _refuse_secrets(chosen, user)
    path = _path(settings, shell)
    if path != SYSTEMD_PATH:
        chosen["PATH"] = path
    notes += _unreadable(settings, user)
    return (
        Unit(
            command=(*_program(), "watch"),
            user=user,
            groups=_groups(user),
            variables=chosen,
            state_directory=STATE_DIRECTORY if state == SERVICE_STATE else "",
        ),
        tuple(notes),
    )


def _carried(
    settings: Settings, shell: Mapping[str, str], from_file: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The variables of the shell that a pass would see, where the file does not have the same."""
    wanted = {*variables().values(), *ALLOWED, "PULUMI_HOME"} - _OF_SESSION - {"RONRON_DEBUG"}
    wanted |= {name for name in settings.pass_environment if not is_secret_name(name)} | _PACKAGES
    for name in sorted(wanted):
        if shell.get(name, "" if name != _PASSPHRASE else None) and from_file.get(name) != shell[name]:
            yield name, shell[name]
        elif name == _PASSPHRASE and shell.get(name) == "" and _PASSPHRASE not in from_file:
            yield name, ""


def _shell_only(settings: Settings, shell: Mapping[str, str], from_file: Mapping[str, str]) -> Iterator[str]:
    for name in settings.pass_environment:
        if is_secret_name(name) and name in shell and name not in from_file:
            yield f"the unit does not have {name}, because it is secret: write it into the file of settings"


def _refuse_secrets(chosen: Mapping[str, str], user: str) -> None:
    for name, value in chosen.items():
        if (name == _PASSPHRASE and value) or redact(value) != value:
            remedy = (
                "write it into a file, and set PULUMI_CONFIG_PASSPHRASE_FILE to that"
                if name == _PASSPHRASE
                else f"write it into ~/.config/ronron/settings.env of the user {user}"
            )
            raise ConfigError(
                "cannot write the value into the unit, which everybody can read: it is secret",
                where=name,
                hint=f"{remedy}, readable by that user alone, and unset {name}",
            )


def _path(settings: Settings, shell: Mapping[str, str]) -> str:
    """The PATH of the service: systemd's own, unless the engine or another program is elsewhere."""
    installed = settings.engine().installed
    here = shell.get("PATH", os.defpath)
    engine = shutil.which("pulumi", path=engine_path(here, installed))
    folders = []
    if engine is not None and shutil.which("pulumi", path=engine_path(SYSTEMD_PATH, installed)) != engine:
        folders.append(str(Path(engine).parent))
    for program in _PROGRAMS:
        found = shutil.which(program, path=here)
        if found is not None and shutil.which(program, path=SYSTEMD_PATH) is None:
            folders.append(str(Path(found).parent))
    return os.pathsep.join([*dict.fromkeys(folders), SYSTEMD_PATH])


def _program() -> tuple[str, ...]:
    beside = Path(sys.executable).with_name("ronron")
    return (str(beside),) if beside.is_file() else (sys.executable, "-m", "ronron.commands.cli")


def _groups(user: str) -> tuple[str, ...]:
    try:
        grp.getgrnam("docker")
    except KeyError:
        return ()
    return () if user == "root" else ("docker",)


def _unreadable(settings: Settings, user: str) -> Iterator[str]:
    """Notes about what the service's user cannot use."""
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError:
        yield f"there is no user {user} yet: sudo useradd --system --create-home --user-group {user}"
        return
    if number in {0, os.getuid()}:
        return
    installed = settings.engine().installed
    for place in (Path(_program()[0]), *installed.engines[:1], *installed.plugins[:1]):
        closed = next((parent for parent in place.resolve().parents if _is_closed(parent, number)), None)
        if closed is not None:
            yield f"the user {user} cannot read {place}: {closed} is closed; run `make setup` as {user}"


def _is_closed(directory: Path, number: int) -> bool:
    try:
        status = directory.stat()
    except OSError:
        return True
    return status.st_uid != number and not status.st_mode & stat.S_IXOTH


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write the unit: {(error.strerror or str(error)).lower()}",
            where=str(output),
            hint=f"ronron unit | sudo tee {output}",
        ) from error
