"""One environment, everything outside that a pass over it needs, and its program ready to be run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ronron.core.digest import digest as digest_of
from ronron.core.errors import StackLockedError
from ronron.core.excluded import Excluded
from ronron.core.model import Revision
from ronron.core.policy import Policy
from ronron.ports import (
    Backups,
    Clock,
    ContainerFailures,
    Containers,
    Engine,
    Machines,
    Prober,
    Processes,
    Program,
    Progress,
    Source,
    Store,
    VirtualEnvironments,
)


@dataclass(frozen=True)
class Ports:
    """Everything outside that a pass needs.

    Args:
        work: directory under which each pass gets a private one for plan, events and engine output.
    """

    source: Source
    engine: Engine
    store: Store
    prober: Prober
    backups: Backups
    machines: Machines
    failures: ContainerFailures
    containers: Containers
    clock: Clock
    processes: Processes
    progress: Progress
    packages: VirtualEnvironments
    work: Path


@dataclass(frozen=True)
class Target:
    """One environment as a pass sees it.

    Args:
        policy: the environment's.
        project: where the Pulumi project lies in the repository, `.` for its top.
        config_dir: where its stack files lie below that.
        accept_empty: services whose data a person accepted in this pass although they were recreated.
    """

    policy: Policy
    project: str = "."
    config_dir: str = "."
    accept_empty: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.policy.name


def digest_at(target: Target, ports: Ports, revision: Revision) -> str:
    """What an environment depends on at a revision; see `core.digest`."""
    stacks = str(PurePosixPath(target.project, target.config_dir))
    return digest_of(
        ports.source.entries(revision, target.project),
        ports.source.entries(revision, stacks),
        config_dir=target.config_dir,
        stack=target.policy.stack,
    )


@contextmanager
def prepared(
    target: Target,
    ports: Ports,
    revision: Revision,
    digest: str,
    work: Path,
    *,
    running: Revision | None = None,
    excluded: Excluded | None = None,
    going_back: tuple[str, ...] = (),
) -> Iterator[Program]:
    """A program ready to be run: checked out for the block, with a private directory that stays.

    Args:
        target: the environment.
        ports: everything outside.
        revision: what is checked out.
        digest: of what the environment depends on there.
        work: the private directory.
        running: the revision that is live before, where anybody knows.
        excluded: the unreachable machines that are skipped; None for none.
        going_back: services that go back from a revision that failed; see `Program`.

    Raises:
        SourceError: it cannot be checked out.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ports.source.checkout(revision) as checkout:
        yield Program(
            directory=checkout / target.project,
            stack=target.policy.stack,
            work=work,
            revision=revision,
            digest=digest,
            create_stack=target.policy.create_stack,
            running=running.commit if running is not None else None,
            excluded=excluded.names if excluded is not None else (),
            accept_empty=target.accept_empty,
            environment=target.name,
            going_back=going_back,
        )


def is_locked(target: Target, ports: Ports) -> bool:
    """Whether another pass, a restore or a person works on the environment's stack now."""
    try:
        with ports.store.lock(target.policy.stack):
            return False
    except StackLockedError:
        return True
