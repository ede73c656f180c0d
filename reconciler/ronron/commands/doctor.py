"""Looks at what this machine has and lacks: the toolchain's pieces, then what the settings name.

What an environment needs beyond that, its own project knows, and is asked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from ronron.core.errors import ReconcilerError
from ronron.core.redact import redact
from ronron.core.status import CheckResult
from ronron.passes.reconcile import Ports, Target
from ronron.passes.target import digest_at, prepared
from ronron.ports import Source
from ronron.settings import Settings
from toolchain.piece import Piece

READABLE = ("state directory", "repository", "policy")
"""Findings without which no environment can be asked for anything."""


def examine(
    settings: Settings,
    source: Callable[[], Source],
    targets: Callable[[Source], Mapping[str, Target]],
    pieces: Callable[[], list[Piece]],
) -> tuple[CheckResult, ...]:
    """Everything that an update would need, in the order in which a person would mend it.

    Args:
        settings: whose directories, passphrase and repository are looked at.
        source: opens the repository; its errors are findings.
        targets: reads the policy from it; likewise.
        pieces: reports on the toolchain.
    """
    return (
        *(_of_piece(piece) for piece in pieces()),
        _state(settings.state),
        _passphrase(settings),
        *_repository(source, targets),
    )


def surroundings(target: Target, ports: Ports, work: Path) -> tuple[CheckResult, ...]:
    """What the project of an environment finds of its machines and clusters; no effect.

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
    told = target.policy.reference if found else "the project examines nothing; it can be previewed"
    return CheckResult(name=name, good=True, version=revision.short, origin=told), *found


def _of_piece(piece: Piece) -> CheckResult:
    where = " ".join(part for part in (piece.origin, piece.path) if part)
    return CheckResult(
        name=piece.name, good=piece.ok, version=piece.version, origin=where, remedy=piece.remedy or ""
    )


def _state(state: Path) -> CheckResult:
    # Not Path.exists and is_dir: what cannot even be asked for, as below somebody else's home, is an error
    # there. A link that leads nowhere is in the way, too.
    there = next(place for place in (state, *state.parents) if os.path.lexists(place))
    good = os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)  # noqa: PTH112
    remedy = "" if good else f"set RONRON_STATE to a directory that you may write, or mend {there}"
    return CheckResult(name="state directory", good=good, origin=str(state), remedy=remedy)


def _passphrase(settings: Settings) -> CheckResult:
    name = "passphrase"
    if settings.passphrase is not None:
        return CheckResult(name=name, good=True, origin="PULUMI_CONFIG_PASSPHRASE")
    file = settings.passphrase_file
    if file is None:
        remedy = "set PULUMI_CONFIG_PASSPHRASE_FILE, if the stack's secrets are kept with a passphrase"
        return CheckResult(name=name, good=True, origin="none named", remedy=remedy)
    if not os.access(file, os.R_OK):
        return CheckResult(name=name, good=False, origin=str(file), remedy=f"make {file} readable for you")
    others = stat.S_IMODE(file.stat().st_mode) & 0o077
    remedy = f"let nobody else read it: chmod 600 {file}" if others else ""
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
