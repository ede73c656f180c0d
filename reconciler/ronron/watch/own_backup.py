"""The reconciler's own backup: a bundle of its store and of every stack's state, and the way back from one.

A bundle is a tar: `manifest.json`, `store.db`, and `states/<environment>.json` for each environment, as the
engine exports it. Secrets in a state are encrypted; the store keeps none.
"""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from ronron.core.errors import ConfigError, SourceError, StoreError
from ronron.core.model import Instant, Revision, Value
from ronron.core.policy import Policy
from ronron.passes.attempt import Ports, Target, prepared
from ronron.ports import Program

NAME = "reconciler"
"""The bundle's file name, as an agent keeps it."""

STORE = "store.db"
MANIFEST = "manifest.json"

LARGEST_MANIFEST = 1024 * 1024
LARGEST_PART = 4 * 1024**3
"""Bytes of one part of a bundle; a store of years takes some megabytes, and so does a state."""


class KeptStack(Value):
    """One environment in a bundle.

    Args:
        stack: the name of its stack.
        project: where the Pulumi project lies in the repository.
        config_dir: where its stack files lie below that.
        revision: what is live, whose stack file holds the salt of the state's secrets.
        state: whether the stack's state is in the bundle; False for one that was not there.
    """

    stack: str
    project: str
    config_dir: str
    revision: Revision
    state: bool


class Manifest(Value):
    """What is in a bundle.

    Args:
        version: of this document.
        made: when.
        host: on which machine.
        ronron: version of the release that made it.
        engine: version of the engine that exported the states.
        repository: the source's address, without credentials.
        environments: by name.
    """

    version: Literal[1] = 1
    made: Instant
    host: str
    ronron: str
    engine: str
    repository: str
    environments: Mapping[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], KeptStack]


def write_bundle(targets: Mapping[str, Target], ports: Ports, repository: str, work: Path) -> Path:
    """Write everything that is ours into one new file, for us alone.

    Args:
        targets: every environment.
        ports: everything outside; no stack is held, and an update under way is in the bundle as far as it is.
        repository: the source's address; without credentials.
        work: a private directory that goes away.

    Raises:
        ReconcilerError: a state cannot be exported, or the store not be copied.
    """
    stacks: dict[str, KeptStack] = {}
    states: dict[str, Path] = {}
    for name, target in sorted(targets.items()):
        current = ports.store.load(name).current
        if current is None:
            continue
        with _checked_out(target, ports, current, work / f"engine-{name}") as program:
            exported = ports.engine.export(program)
        if exported is not None:
            states[name] = work / f"state-{name}.json"
            states[name].touch(mode=0o600)
            states[name].write_text(exported)
        stacks[name] = KeptStack(
            stack=target.policy.stack,
            project=target.project,
            config_dir=target.config_dir,
            revision=current,
            state=exported is not None,
        )
    # After the states: what the records say is never newer than they are.
    store = work / STORE
    ports.store.copy(store)
    manifest = Manifest(
        made=ports.clock.now(),
        host=platform.node(),
        ronron=metadata.version("ronron"),
        engine=ports.engine.version(),
        repository=repository,
        environments=stacks,
    )
    (work / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    bundle = work / NAME
    bundle.touch(mode=0o600)
    with tarfile.open(bundle, "w") as tar:
        tar.add(work / MANIFEST, MANIFEST)
        tar.add(store, STORE)
        for name, state in states.items():
            tar.add(state, f"states/{name}.json")
    return bundle


class Bundle:
    """A bundle that was fetched from the backups, unpacked below a private directory.

    Args:
        place: the bundle itself, or a directory in which it is the only one.
        work: a private directory that goes away.

    Raises:
        ConfigError: there is none, or it is not one of ours.
    """

    def __init__(self, place: Path, work: Path) -> None:
        self.path = _found(place)
        self._work = work
        try:
            with tarfile.open(self.path) as tar:
                self.manifest = self._read_manifest(tar)
                names = (name for name, one in self.manifest.environments.items() if one.state)
                for part in (STORE, *(f"states/{name}.json" for name in names)):
                    self._unpack(tar, part)
        except (tarfile.TarError, OSError, KeyError) as error:
            raise self._refused(str(error)) from error

    @property
    def store(self) -> Path:
        """The copy of the store."""
        return self._work / STORE

    def state(self, environment: str) -> str | None:
        """The exported state of an environment; None where its stack was not there."""
        if not self.manifest.environments[environment].state:
            return None
        return (self._work / f"states/{environment}.json").read_text()

    def _read_manifest(self, tar: tarfile.TarFile) -> Manifest:
        file = tar.extractfile(tar.getmember(MANIFEST))
        if file is None:
            raise self._refused(f"{MANIFEST} is no file")
        text = file.read(LARGEST_MANIFEST)
        try:
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise self._refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error

    def _unpack(self, tar: tarfile.TarFile, part: str) -> None:
        member = tar.getmember(part)
        file = tar.extractfile(member) if member.isreg() and member.size <= LARGEST_PART else None
        if file is None:
            raise self._refused(f"{part} is no file, or too large")
        # By its known name only, so that no path of the tar is followed.
        place = self._work / part
        place.parent.mkdir(mode=0o700, exist_ok=True)
        place.touch(mode=0o600)
        with place.open("wb") as written:
            shutil.copyfileobj(file, written)

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(
            f"cannot read the bundle: {why}",
            where=str(self.path),
            hint="fetch it again, as docs/operations.md says under `The way back from a lost machine`",
        )


def recover(bundle: Bundle, ports: Ports, *, records_only: bool = False) -> tuple[str, ...]:
    """Put every state of a bundle into the backend, and name the environments.

    A state that is there already just as it is in the bundle is done: a recovery that was broken off can be
    made again. The source has been refreshed by the caller. The store comes last, by `put_store`, once
    nobody has it open.

    Args:
        bundle: what is recovered.
        ports: everything outside; its store has to be empty.
        records_only: the backend was not lost, so its states stay as they are.

    Raises:
        ConfigError: there are records already, or a stack has other resources.
        SourceError, EngineError: a stack cannot be put back.
    """
    known = ports.store.environments()
    if known or ports.store.history(limit=1):
        raise ConfigError(
            f"cannot recover: there are records already, of {', '.join(known) or 'earlier passes'}",
            hint="name an empty state directory with --state or RONRON_STATE",
        )
    done = []
    for name, kept in bundle.manifest.environments.items():
        state = None if records_only else bundle.state(name)
        if state is None:
            continue
        target = Target(
            Policy(name=name, stack=kept.stack, reference=kept.revision.reference, create_stack=True),
            project=kept.project,
            config_dir=kept.config_dir,
        )
        with (
            tempfile.TemporaryDirectory(prefix="ronron-recover-") as work,
            _checked_out(target, ports, kept.revision, Path(work)) as program,
        ):
            ports.engine.import_state(program, state)
        ports.progress.log(name, f"recovered the state of the stack {kept.stack}")
        done.append(name)
    return tuple(done)


def put_store(bundle: Bundle, place: Path) -> None:
    """Put the store of a bundle in the place of an empty one that nobody has open, all of it or nothing.

    Raises:
        StoreError: it cannot be written.
    """
    fresh = place.with_name(f".{place.name}.recovered")
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        with bundle.store.open("rb") as read, fresh.open("wb") as written:
            shutil.copyfileobj(read, written)
            written.flush()
            os.fsync(written.fileno())
        fresh.replace(place)
    except OSError as error:
        raise StoreError(
            f"cannot recover the store: {error.strerror}",
            where=str(place),
            hint="give yourself the right to write there, and see that there is room",
        ) from error


@contextmanager
def _checked_out(target: Target, ports: Ports, revision: Revision, work: Path) -> Iterator[Program]:
    """The revision that was live, or where its reference stands now, where history was written anew.

    Nothing is previewed of it, so no digest is needed: only the project's and the stack's files matter.
    """
    with ExitStack() as stack:
        try:
            program = stack.enter_context(prepared(target, ports, revision, "", work))
        except SourceError:
            now = ports.source.resolve(revision.reference)
            program = stack.enter_context(prepared(target, ports, now, "", work))
        yield program


def _found(place: Path) -> Path:
    """The bundle: the path itself, or the only tar in the directory that restic has filled."""
    if place.is_file():
        return place
    found = sorted(file for file in place.rglob("*") if file.is_file() and tarfile.is_tarfile(file))
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} of them are there" if found else "there is none"
    raise ConfigError(
        f"cannot find the bundle: {what}",
        where=str(place),
        hint=f"name the file itself; the agents keep it as `{NAME}`",
    )
