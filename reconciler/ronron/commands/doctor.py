"""Checks what this machine has and lacks: the programs, then what the settings name.

What an environment needs beyond that is checked by its own project.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ronron.core.errors import ReconcilerError
from ronron.core.redact import is_secret_name, redact
from ronron.core.status import CheckResult
from ronron.passes.reconcile import Ports, Target
from ronron.passes.target import digest_at, prepared
from ronron.ports import Source
from ronron.settings import Settings
from ronron.settings_file import read_settings_file, settings_file

FILE_OF_PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE_FILE"  # noqa: S105 - the variable's name
READABLE = ("state directory", "repository", "policy")
"""Checks that have to pass before the project of an environment can run its own."""


def check_machine(
    settings: Settings,
    source: Callable[[], Source],
    targets: Callable[[Source], Mapping[str, Target]],
    tools: Callable[[], Sequence[CheckResult]],
) -> tuple[CheckResult, ...]:
    """Check everything that an update needs, in the order in which a person would fix it.

    Args:
        settings: name the directories, the passphrase and the repository.
        source: opens the repository; an error becomes a result that is not good.
        targets: reads the policy from the repository; an error becomes a result that is not good.
        tools: checks the programs on this machine.
    """
    return (
        *tools(),
        *_plugin_directory(settings.pulumi_plugins),
        *_settings_file(),
        _state(settings.state),
        _passphrase(settings),
        *_repository(source, targets),
    )


def check_environment(target: Target, ports: Ports, work: Path) -> tuple[CheckResult, ...]:
    """Run the checks of an environment's own project, on its machines and clusters; changes nothing.

    Args:
        target: the environment.
        ports: whose engine runs the program, at the revision that the environment follows.
        work: a private directory.
    """
    name = f"environment {target.name}"
    try:
        revision = ports.source.resolve(target.policy.reference)
        with prepared(target, ports, revision, digest_at(target, ports, revision), work) as program:
            found = ports.engine.checks(program)
    except ReconcilerError as error:
        return (_bad(name, error),)
    about = target.policy.reference if found else "the project brings no checks; it can be previewed"
    return CheckResult(name=name, good=True, version=revision.short, origin=about), *found


def _plugin_directory(plugins: Path | None) -> tuple[CheckResult, ...]:
    if plugins is None or plugins.is_dir():
        return ()
    remedy = "unset RONRON_PULUMI_PLUGINS, or set it to a directory of installed plugins"
    return (
        CheckResult(
            name="plugin directory", good=False, origin=f"{plugins}: no such directory", remedy=remedy
        ),
    )


def _settings_file() -> tuple[CheckResult, ...]:
    file = settings_file(os.environ)
    if file is None:
        return ()
    name, origin = "settings file", str(file)
    secret = any(is_secret_name(each) and each != FILE_OF_PASSPHRASE for each in read_settings_file(file))
    if secret and stat.S_IMODE(file.stat().st_mode) & 0o077:
        remedy = f"deny others access, because it has a secret: chmod 600 {file}"
        return (CheckResult(name=name, good=False, origin=origin, remedy=remedy),)
    return (CheckResult(name=name, good=True, origin=origin),)


def _state(state: Path) -> CheckResult:
    # Not Path.exists and is_dir: they raise where this user may not even enter a parent, as somebody else's
    # home. A dangling link is in the way as well.
    there = next(place for place in (state, *state.parents) if os.path.lexists(place))
    good = os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)  # noqa: PTH112
    own = f"set RONRON_STATE to a directory that you may write, or fix {there}"
    remedy = "" if good else _of_another(there) or own
    return CheckResult(name="state directory", good=good, origin=str(state), remedy=remedy)


def _of_another(place: Path) -> str:
    """What to do where a place belongs to another user, as the state of a service does."""
    try:
        owner = pwd.getpwuid(place.stat().st_uid)
    except (OSError, KeyError):
        return ""
    if owner.pw_uid in {0, os.geteuid()}:
        return ""
    return f"run ronron as the user who owns {place}: sudo -u {owner.pw_name} {sys.argv[0]}"


def _passphrase(settings: Settings) -> CheckResult:
    name = "passphrase"
    if settings.passphrase is not None:
        return CheckResult(name=name, good=True, origin="PULUMI_CONFIG_PASSPHRASE")
    file = settings.passphrase_file
    if file is None:
        remedy = "set PULUMI_CONFIG_PASSPHRASE_FILE if a passphrase encrypts the stack's secrets"
        return CheckResult(name=name, good=True, origin="not set", remedy=remedy)
    if not os.access(file, os.R_OK):
        return CheckResult(
            name=name, good=False, origin=str(file), remedy=f"make {file} readable for this user"
        )
    others = stat.S_IMODE(file.stat().st_mode) & 0o077
    remedy = f"deny others access: chmod 600 {file}" if others else ""
    return CheckResult(name=name, good=not others, origin=str(file), remedy=remedy)


def _repository(
    source: Callable[[], Source], targets: Callable[[Source], Mapping[str, Target]]
) -> tuple[CheckResult, ...]:
    try:
        opened = source()
        opened.refresh()
        head = opened.resolve("HEAD")
    except ReconcilerError as error:
        return (_bad("repository", error),)
    found = CheckResult(name="repository", good=True, version=head.short, origin="default branch")
    try:
        names = ", ".join(targets(opened))
    except ReconcilerError as error:
        return found, _bad("policy", error)
    return found, CheckResult(name="policy", good=True, origin=names)


def _bad(name: str, error: ReconcilerError) -> CheckResult:
    return CheckResult(name=name, good=False, origin=redact(str(error)), remedy=redact(error.hint))
