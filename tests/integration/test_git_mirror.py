"""Mirrors in pieces and checkouts that nobody owns any more, on real git."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ronron.adapters.git_source.mirror import MOST_LOOSE
from ronron.core.errors import RevisionNotFoundError, SourceUnavailableError
from tests.support.git_sources import CHECK_OUT, ends, is_whole, refusal, running, source
from tests.support.repositories import Repository

FILES = {"Pulumi.yaml": "name: ours\n", "app/__main__.py": "print('hello')\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With one commit on main."""
    made = Repository.create(tmp_path / "ours.git")
    made.commit({**FILES, "large": os.urandom(1 << 18)})
    return made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where sources keep what is their own."""
    return tmp_path / "state"


# -- mirrors in pieces -----------------------------------------------------------------------------


def objects(mirror: Path) -> list[Path]:
    return [path for path in (mirror / "objects").rglob("*") if path.is_file() and "info" not in path.parts]


def overwrite(content: bytes | None) -> Callable[[Path], None]:
    """Every object gets this content, or its own first bytes."""

    def damage(mirror: Path) -> None:
        for path in objects(mirror):
            path.chmod(0o600)
            path.write_bytes(path.read_bytes()[:10] if content is None else content)

    return damage


def remove(*names: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        for name in names:
            for path in [mirror] if name == "." else list(mirror.glob(name)):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return damage


def rewrite(name: str, content: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        for path in mirror.glob(name):
            path.write_text(content)

    return damage


DAMAGES = {
    "objects cut short": overwrite(None),
    "objects of garbage": overwrite(bytes(range(256))),
    "objects empty": overwrite(b""),
    "objects gone": remove("objects/??/*", "objects/pack/*"),
    "no objects": remove("objects"),
    "no HEAD": remove("HEAD"),
    "config of garbage": rewrite("config", "[[["),
    "references of garbage": rewrite("refs/heads/*", "zzz\n"),
    "no references": remove("refs", "packed-refs"),
    "record of garbage": rewrite("ronron.json", "{"),
    "record of a newer version": rewrite("ronron.json", '{"version": 99}'),
    "nothing at all": remove("."),
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


@damages
def test_a_mirror_in_pieces_is_recreated_and_nothing_is_lost(
    repository: Repository, state: Path, damage: Callable[[Path], None]
) -> None:
    ours = source(repository.path, state)
    repository.tag("v1", repository.at("refs/heads/main"), annotated=True)
    ours.refresh()
    revision = ours.resolve("main")
    with ours.checkout(revision) as open_before:
        damage((state / "mirror").resolve())
        with ours.checkout(revision) as directory:
            assert (directory / "large").read_bytes() == (open_before / "large").read_bytes()
        damage((state / "mirror").resolve())
        restarted = source(repository.path, state)
        assert restarted.read(revision, "Pulumi.yaml") == FILES["Pulumi.yaml"]
        damage((state / "mirror").resolve())
        assert set(source(repository.path, state).entries(revision, "")) == {"Pulumi.yaml", "app", "large"}
        damage((state / "mirror").resolve())
        new = repository.commit({"a": "b"})
        assert restarted.refresh()
        assert restarted.resolve("main").commit == new
        assert restarted.resolve("refs/tags/v*") == revision.with_(reference="refs/tags/v*")
        with restarted.checkout(restarted.resolve("main")) as directory:
            assert (directory / "a").read_text() == "b"
        assert (open_before / "Pulumi.yaml").read_text() == FILES["Pulumi.yaml"]
    assert is_whole(state)
    assert len(list((state / "mirrors").iterdir())) == 1


@pytest.mark.parametrize("name", ["objects cut short", "nothing at all"])
def test_a_mirror_in_pieces_heals_once_the_repository_answers_again(
    repository: Repository, state: Path, name: str
) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")
    DAMAGES[name]((state / "mirror").resolve())
    away = repository.path.with_name("away")
    repository.path.rename(away)
    with pytest.raises(SourceUnavailableError), ours.checkout(revision):
        pytest.fail("a checkout out of nothing")
    assert ours.resolve("main") == revision
    away.rename(repository.path)
    with ours.checkout(revision) as directory:
        assert (directory / "Pulumi.yaml").read_text() == FILES["Pulumi.yaml"]


def test_what_only_the_broken_mirror_had_is_told_as_gone(repository: Repository, state: Path) -> None:
    old = repository.commit({"a": "old"})
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")
    repository.delete("refs/heads/main")
    repository.commit({"a": "new"})
    ours.refresh()
    DAMAGES["objects cut short"]((state / "mirror").resolve())
    error = refusal(lambda: ours.read(revision, "a"), RevisionNotFoundError)
    assert error.message == f"cannot find commit {old} in {repository.path}"
    assert "force-push" in error.hint
    assert ours.read(ours.resolve("main"), "a") == "new"


def test_a_mirror_that_was_fetched_into_often_is_packed_and_forgets_nothing(
    repository: Repository, state: Path
) -> None:
    # From 100 objects on a fetch keeps the pack that it got (fetch.unpackLimit).
    repository.commit({str(number): f"first {number}" for number in range(100)})
    old = repository.commit({"a": "old"}, branch="taken/away")
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("taken/away")
    repository.delete("refs/heads/taken/away")
    # As many fetches leave them, of commits that were taken away too.
    other = Repository.create(state.with_name("other.git"))
    many = other.commit({str(number): f"{number}" for number in range(2 * MOST_LOOSE)})
    pack = next((other.path / "objects" / "pack").glob("*.pack"))
    mirror = Repository((state / "mirror").resolve())
    mirror.git("unpack-objects", "-q", stdin=pack.read_bytes())
    assert len(objects(mirror.path)) > 2 * MOST_LOOSE
    repository.commit({"a": "b"})
    assert ours.refresh()
    assert len(objects(mirror.path)) < 10
    assert mirror.git("cat-file", "-t", many) == "commit"
    assert ours.resolve("main").commit == repository.at("refs/heads/main")
    restarted = source(repository.path, state)
    assert revision.commit == old
    assert restarted.read(revision, "a") == "old"
    repository.commit({"a": "c"})
    assert restarted.refresh()
    assert is_whole(state)


# -- checkouts -------------------------------------------------------------------------------------


def left(state: Path) -> list[str]:
    """What is there of checkouts."""
    return [entry.name for entry in (state / "checkouts").iterdir() if entry.name != "making.lock"]


def test_a_checkout_whose_owner_was_killed_is_removed_by_the_next_look(
    repository: Repository, state: Path
) -> None:
    with running(CHECK_OUT, str(repository.path), state) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().removesuffix("\n"))
        assert (directory / "Pulumi.yaml").is_file()
        ours = source(repository.path, state)
        ours.refresh()
        with ours.checkout(ours.resolve("main")) as other:
            assert other != directory
        assert (directory / "Pulumi.yaml").is_file()
        process.kill()
        process.wait(10)
    assert directory.exists()
    ours.refresh()
    assert not directory.exists()
    assert left(state) == []


def test_a_checkout_in_which_the_engine_still_works_is_left_alone(
    repository: Repository, state: Path
) -> None:
    with running(CHECK_OUT, str(repository.path), state) as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().removesuffix("\n"))
        # It ends when its input does, however this block is left.
        with subprocess.Popen(["cat"], cwd=directory / "app", stdin=subprocess.PIPE) as engine:
            assert ends(lambda: Path(f"/proc/{engine.pid}/cwd").readlink() == directory / "app")
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            source(repository.path, state).refresh()
            assert (directory / "Pulumi.yaml").is_file()
    source(repository.path, state).refresh()
    assert left(state) == []


def test_a_checkout_is_removed_when_its_block_raises(repository: Repository, state: Path) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    with pytest.raises(KeyError), ours.checkout(ours.resolve("main")) as directory:
        raise KeyError(directory)
    assert left(state) == []


def test_files_that_are_none_of_ours_are_not_swept_away(repository: Repository, state: Path) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    (state / "checkouts").mkdir(exist_ok=True)
    (state / "checkouts" / "notes").mkdir()
    (state / "checkouts" / ("0" * 32)).mkdir()
    ours.refresh()
    assert left(state) == ["notes"]


def test_a_state_that_was_taken_away_while_we_run_is_made_again(repository: Repository, state: Path) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")
    shutil.rmtree(state)
    with ours.checkout(revision) as directory:
        assert (directory / "Pulumi.yaml").is_file()
    shutil.rmtree(state)
    assert not ours.refresh()
    assert ours.read(revision, "app/__main__.py") == FILES["app/__main__.py"]
