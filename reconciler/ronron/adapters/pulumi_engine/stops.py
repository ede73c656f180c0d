"""Stops the engine: how it is asked, and what is noted of that; and the error where it cannot start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from signal import SIGINT

from ronron.core.errors import EngineError
from ronron.process_runner.runner import Stop

GRACE = timedelta(minutes=10)
"""From the first SIGINT to the second: the engine waits for the resource operation under way, and the
second one would leave that in the state as pending (measured with Pulumi 3.274.1)."""
PREVIEW_GRACE = timedelta(seconds=20)
"""From the first SIGINT of a preview to the second: it has no effect that could be interrupted."""
SECOND_GRACE = timedelta(seconds=30)
"""From the second SIGINT to SIGKILL."""


def stop_steps(grace: timedelta, second_grace: timedelta = SECOND_GRACE) -> tuple[Stop, ...]:
    """How an engine is stopped: SIGINT twice, then SIGKILL.

    Args:
        grace: from the first SIGINT to the second; after the first one the engine stops its plugins itself.
        second_grace: from the second SIGINT to SIGKILL.
    """
    return Stop(SIGINT, grace, clean=True), Stop(SIGINT, second_grace)


def note_stop(work: Path, pid: int) -> None:
    """Note that an engine got a SIGINT; a full disk must not prevent the stop."""
    with suppress(OSError):
        (work / f"{pid}.asked").touch(mode=0o600)


def was_stopped(work: Path, pid: int) -> bool:
    """Whether an engine got a SIGINT, from us or from an owner that died since.

    A second SIGINT would be a hard stop, and interrupt the resource operation under way.
    """
    return (work / f"{pid}.asked").exists()


@contextmanager
def writing(work: Path) -> Iterator[None]:
    """A block that writes what the engine needs.

    Raises:
        EngineError: instead of an OSError, such as a full disk or a missing directory.
    """
    try:
        yield
    except OSError as error:
        raise cannot_start(error, work) from error


def cannot_start(error: OSError, work: Path) -> EngineError:
    """The error for an engine that the system does not start."""
    failure = EngineError(
        f"cannot start the engine: {error.strerror}",
        where=str(error.filename or work),
        hint=f"check that there is room on the disk with `df -h {work}`, then try again",
    )
    failure.retryable = True
    return failure
