"""Where a stack is that the backend does not have: looks into the other usual places, and says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from ronron.core.errors import ConfigError, StackNotFoundError
from ronron.core.redact import redact
from ronron.settings_file import OF_MACHINE, file_of_user, read_settings_file

SERVICE_STATE = Path("/var/lib/ronron")
"""The state directory of a service under systemd that runs as a user of its own."""
STATE = "pulumi-state"
"""Pulumi's state below a state directory, where no other backend is set."""


class _Place(NamedTuple):
    """A file backend that may have the stack.

    Args:
        directory: of the backend.
        remedy: how to use it, as a setting.
    """

    directory: Path
    remedy: str


def has_stack(backend: Path, project: str, stack: str) -> bool | None:
    """Whether a file backend has a stack; None where we may not look into it.

    Source: pulumi pkg/backend/diy/stores.go, 3.274.1. The second place is that of versions before 3.61.
    """
    stacks = backend / ".pulumi" / "stacks"
    name = stack.rpartition("/")[2]
    for place in (stacks / project, stacks):
        for packed in ("", ".gz"):
            try:
                os.stat(place / f"{name}.json{packed}")  # noqa: PTH116 - `is_file` hides a refusal
            except PermissionError:
                return None
            except OSError:
                continue
            return True
    return False


def stack_not_found(
    backend_url: str,
    project: str,
    stack: str,
    *,
    environment: str,
    was_there: bool,
    environ: Mapping[str, str],
) -> StackNotFoundError:
    """The error for a stack that the backend does not have, with the place that has it.

    Args:
        backend_url: the backend in use.
        project: the Pulumi project's name.
        stack: the stack's name.
        environment: the environment's name, for commands.
        was_there: whether the records say that the stack has been updated before.
        environ: the variables of the reconciler; name the home directory.
    """
    found, closed = [], []
    for place in _places(backend_url, environ):
        there = has_stack(place.directory, project, stack)
        if there:
            found.append(place)
        elif there is None:
            closed.append(place)
    return StackNotFoundError(
        f"cannot find the stack in the backend {redact(backend_url)}",
        where=f"stack {stack}",
        hint=_hint(found, closed, _login(environ), environment, stack, was_there=was_there),
    )


def _hint(
    found: list[_Place],
    closed: list[_Place],
    login: str | None,
    environment: str,
    stack: str,
    *,
    was_there: bool,
) -> str:
    if found:
        others = "".join(f"; it is also in {place.directory}" for place in found[1:])
        return f"the stack is in {found[0].directory}: {found[0].remedy}{others}"
    hints = []
    if closed:
        place = closed[0].directory
        hints.append(
            f"this user cannot read {place}: if the stack is there, run ronron as the user of the service"
        )
    if login is not None:
        hints.append(
            f"Pulumi itself is logged in to {redact(login)}: if the stack is there, set "
            f"PULUMI_BACKEND_URL={redact(login)}"
        )
    if was_there:
        hints.append(
            "an earlier update used it: set the PULUMI_BACKEND_URL or RONRON_STATE of that update, or bring "
            "the state back with `ronron recover`; a new stack would create everything a second time"
        )
    else:
        hints.append(
            f"for a new environment, create it in a clone with `ronron pulumi {environment} -- stack init "
            f"{stack}`, and commit the stack file"
        )
    return "; ".join(hints)


def _places(backend_url: str, environ: Mapping[str, str]) -> Iterator[_Place]:
    """The other usual file backends, each once."""
    seen = {os.path.realpath(directory) for directory in [_file(backend_url)] if directory is not None}
    for place in _usual(environ):
        real = os.path.realpath(place.directory)
        if real not in seen:
            seen.add(real)
            yield place


def _usual(environ: Mapping[str, str]) -> Iterator[_Place]:
    home = Path(environ.get("HOME") or Path.home())
    base = environ.get("XDG_STATE_HOME", "")
    states = [Path(base) if base.startswith("/") else home / ".local" / "state", SERVICE_STATE.parent]
    for state in states:
        yield _of_state(state / "ronron")
    for file in (file_of_user(environ), OF_MACHINE):
        try:
            values = read_settings_file(file)
        except ConfigError:
            continue
        backend = _file(values.get("PULUMI_BACKEND_URL", ""))
        if backend is not None:
            yield _Place(backend, f"set PULUMI_BACKEND_URL=file://{backend}, as {file} has it")
        elif "RONRON_STATE" in values:
            yield _of_state(Path(values["RONRON_STATE"]).expanduser())
    # The backend of Pulumi's own `pulumi login --local`, and what else Pulumi is logged in to.
    for backend in (home, _file(_logged_in(environ) or "")):
        if backend is not None:
            yield _Place(backend, f"set PULUMI_BACKEND_URL=file://{backend}")


def _of_state(state: Path) -> _Place:
    return _Place(state / STATE, f"set RONRON_STATE={state}")


def _login(environ: Mapping[str, str]) -> str | None:
    """What Pulumi itself is logged in to, where that is no directory."""
    current = _logged_in(environ)
    return current if current and _file(current) is None else None


def _logged_in(environ: Mapping[str, str]) -> str | None:
    home = Path(environ.get("HOME") or Path.home())
    file = Path(environ.get("PULUMI_HOME") or home / ".pulumi") / "credentials.json"
    try:
        current = json.loads(file.read_text(encoding="utf-8"))["current"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(current) if current else None


def _file(url: str) -> Path | None:
    scheme, _, rest = url.partition("://")
    if scheme != "file":
        return None
    return Path(unquote(rest.partition("?")[0])).expanduser()
