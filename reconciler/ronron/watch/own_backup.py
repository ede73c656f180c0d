"""The reconciler's own backup: a bundle of its store and of every stack's state, and recovery from it.

A bundle is a tar: `manifest.json`, `store.db`, and `states/<environment>.json` for each environment, as the
engine exports it. Secrets in a state are encrypted; the store has none.
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
from ronron.passes.target import Ports, Target, prepared
from ronron.ports import Program

NAME = "reconciler"
"""The file name of a bundle in an agent's repository."""

STORE = "store.db"
MANIFEST = "manifest.json"

LARGEST_MANIFEST = 1024 * 1024
LARGEST_PART = 4 * 1024**3
"""Bytes of one part of a bundle; the store takes some megabytes after years, and so does a state."""


class BundledStack(Value):
    """One environment in a bundle.

    Args:
        stack: the name of its stack.
        project: directory of the Pulumi project in the repository.
        config_dir: directory of its stack files below that.
        revision: the live one, whose stack file has the salt of the state's secrets.
        state: whether the stack's state is in the bundle; False if the stack did not exist.
    """

    stack: str
    project: str
    config_dir: str
    revision: Revision
    state: bool


class Manifest(Value):
    """The contents of a bundle.

    Args:
        version: of this document.
        made: when it was made.
        host: name of the machine on which it was made.
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
    environments: Mapping[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], BundledStack]


def write_bundle(targets: Mapping[str, Target], ports: Ports, repository: str, work: Path) -> Path:
    """Write our store and all states into a new file that only its owner can read.

    Args:
        targets: every environment.
        ports: everything outside. No stack is locked: of a running update the bundle has what is done so far.
        repository: the source's address without credentials.
        work: a private directory that the caller removes.

    Raises:
        ReconcilerError: a state cannot be exported, or the store cannot be copied.
    """
    stacks: dict[str, BundledStack] = {}
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
        stacks[name] = BundledStack(
            stack=target.policy.stack,
            project=target.project,
            config_dir=target.config_dir,
            revision=current,
            state=exported is not None,
        )
    # After the states: so the records are never older than the states.
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
        path: the bundle itself, or a directory that has one bundle in it.
        work: a private directory that the caller removes.

    Raises:
        ConfigError: there is no bundle, or it cannot be read.
    """

    def __init__(self, path: Path, work: Path) -> None:
        self.path = _bundle_in(path)
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
        """The exported state of an environment; None if its stack did not exist."""
        if not self.manifest.environments[environment].state:
            return None
        return (self._work / f"states/{environment}.json").read_text()

    def _read_manifest(self, tar: tarfile.TarFile) -> Manifest:
        file = tar.extractfile(tar.getmember(MANIFEST))
        if file is None:
            raise self._refused(f"{MANIFEST} is not a file")
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
            raise self._refused(f"{part} is not a file, or too large")
        # By its known name only, so that no path in the tar is used.
        target = self._work / part
        target.parent.mkdir(mode=0o700, exist_ok=True)
        target.touch(mode=0o600)
        with target.open("wb") as written:
            shutil.copyfileobj(file, written)

    def _refused(self, why: str) -> ConfigError:
        return ConfigError(
            f"cannot read the bundle: {why}",
            where=str(self.path),
            hint="fetch it again, as docs/operations.md describes for a lost machine",
        )


def recover(bundle: Bundle, ports: Ports, *, records_only: bool = False) -> tuple[str, ...]:
    """Import every state of a bundle into the backend.

    A state that the backend has already is left as it is: a recovery that was interrupted can be repeated.
    The caller has refreshed the source, and calls `recover_store` last, when the store is not open any more.

    Args:
        bundle: what is recovered.
        ports: everything outside; the store must be empty.
        records_only: the backend was not lost: leave its states as they are.

    Returns:
        The names of the environments whose states were imported.

    Raises:
        ConfigError: there are records already, or a stack has other resources.
        SourceError, EngineError: a state cannot be imported.
    """
    known = ports.store.environments()
    if known or ports.store.history(limit=1):
        raise ConfigError(
            f"cannot recover: there are records already, of {', '.join(known) or 'earlier passes'}",
            hint="name an empty state directory with --state or RONRON_STATE",
        )
    done = []
    for name, bundled in bundle.manifest.environments.items():
        state = None if records_only else bundle.state(name)
        if state is None:
            continue
        target = Target(
            Policy(name=name, stack=bundled.stack, reference=bundled.revision.reference, create_stack=True),
            project=bundled.project,
            config_dir=bundled.config_dir,
        )
        with (
            tempfile.TemporaryDirectory(prefix="ronron-recover-") as work,
            _checked_out(target, ports, bundled.revision, Path(work)) as program,
        ):
            ports.engine.import_state(program, state)
        ports.progress.log(name, f"recovered the state of the stack {bundled.stack}")
        done.append(name)
    return tuple(done)


def recover_store(bundle: Bundle, path: Path) -> None:
    """Replace an empty store that is not open by the one of a bundle, completely or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.recovered")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        with bundle.store.open("rb") as read, new.open("wb") as written:
            shutil.copyfileobj(read, written)
            written.flush()
            os.fsync(written.fileno())
        new.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot recover the store: {error.strerror}",
            where=str(path),
            hint="check that you may write there and that the disk is not full",
        ) from error


@contextmanager
def _checked_out(target: Target, ports: Ports, revision: Revision, work: Path) -> Iterator[Program]:
    """The revision that was live; if its history was rewritten, the present commit of its reference.

    Nothing is previewed, so no digest is needed: only the project's and the stack's files matter.
    """
    with ExitStack() as stack:
        try:
            program = stack.enter_context(prepared(target, ports, revision, "", work))
        except SourceError:
            now = ports.source.resolve(revision.reference)
            program = stack.enter_context(prepared(target, ports, now, "", work))
        yield program


def _bundle_in(path: Path) -> Path:
    """The bundle: the path itself, or the only tar in the directory into which restic restored it."""
    if path.is_file():
        return path
    tars = sorted(file for file in path.rglob("*") if file.is_file() and tarfile.is_tarfile(file))
    if len(tars) == 1:
        return tars[0]
    why = f"the directory has {len(tars)} tar files" if tars else "the directory has no tar file"
    raise ConfigError(
        f"cannot find the bundle: {why}",
        where=str(path),
        hint=f"name the file itself; agents store it as `{NAME}`",
    )
