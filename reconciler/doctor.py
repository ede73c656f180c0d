"""Looks at what this machine has and lacks: the toolchain's pieces, then what the settings name."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from reconciler.core.errors import ReconcilerError
from reconciler.core.redact import redact
from reconciler.core.status import Finding
from reconciler.ports import Source
from reconciler.reconcile import Target
from reconciler.settings import Settings
from toolchain.piece import Piece


def examine(
    settings: Settings,
    source: Callable[[], Source],
    targets: Callable[[Source], Mapping[str, Target]],
    pieces: Callable[[], list[Piece]],
) -> tuple[Finding, ...]:
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


def _of_piece(piece: Piece) -> Finding:
    where = " ".join(part for part in (piece.origin, piece.path) if part)
    return Finding(
        name=piece.name, good=piece.ok, version=piece.version, origin=where, remedy=piece.remedy or ""
    )


def _state(state: Path) -> Finding:
    # Not Path.exists and is_dir: what cannot even be asked for, as below somebody else's home, is an error
    # there. A link that leads nowhere is in the way, too.
    there = next(place for place in (state, *state.parents) if os.path.lexists(place))
    good = os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)  # noqa: PTH112
    remedy = "" if good else f"set RONRON_STATE to a directory that you may write, or mend {there}"
    return Finding(name="state directory", good=good, origin=str(state), remedy=remedy)


def _passphrase(settings: Settings) -> Finding:
    name = "passphrase"
    if settings.passphrase is not None:
        return Finding(name=name, good=True, origin="PULUMI_CONFIG_PASSPHRASE")
    file = settings.passphrase_file
    if file is None:
        remedy = "set PULUMI_CONFIG_PASSPHRASE_FILE, if the stack's secrets are kept with a passphrase"
        return Finding(name=name, good=True, origin="none named", remedy=remedy)
    if not os.access(file, os.R_OK):
        return Finding(name=name, good=False, origin=str(file), remedy=f"make {file} readable for you")
    others = stat.S_IMODE(file.stat().st_mode) & 0o077
    remedy = f"let nobody else read it: chmod 600 {file}" if others else ""
    return Finding(name=name, good=not others, origin=str(file), remedy=remedy)


def _repository(
    source: Callable[[], Source], targets: Callable[[Source], Mapping[str, Target]]
) -> tuple[Finding, ...]:
    try:
        opened = source()
        opened.refresh()
        head = opened.resolve("HEAD")
    except ReconcilerError as error:
        return (_bad("repository", error),)
    found = Finding(name="repository", good=True, version=head.short, origin="default branch")
    try:
        names = ", ".join(targets(opened))
    except ReconcilerError as error:
        return found, _bad("policy", error)
    return found, Finding(name="policy", good=True, origin=names)


def _bad(name: str, error: ReconcilerError) -> Finding:
    return Finding(name=name, good=False, origin=redact(str(error)), remedy=redact(error.hint))
