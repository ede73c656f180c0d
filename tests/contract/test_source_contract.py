"""What every Source keeps, the one in memory and git's."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Protocol

import pytest

from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import RevisionNotFoundError, SourceError, SourceUnavailableError
from ronron.core.model import Revision
from ronron.ports import Source
from ronron.testing import FakeSource
from tests.support.repositories import Repository

PROGRAM = {
    "Pulumi.yaml": "name: ours\n",
    "app/__main__.py": "print('hello')\n",
    "app/tools/run.sh": "#!/bin/sh\n",
}


class Pushes(Protocol):
    """What people do to a repository."""

    def commit(
        self, files: Mapping[str, str | bytes | None], *, branch: str = ..., executable: Collection[str] = ...
    ) -> str: ...
    def tag(self, name: str, commit: str, *, annotated: bool = ...) -> None: ...
    def move(self, reference: str, commit: str) -> None: ...
    def delete(self, reference: str) -> None: ...


@dataclass
class World:
    source: Source
    repository: Pushes
    vanish: Callable[[], None]
    """The repository does not answer any more."""


@pytest.fixture(params=["fake", "git"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "fake":
        fake = FakeSource()
        gone = SourceUnavailableError(
            "cannot poll the repository: cannot connect to the server", hint="check it"
        )
        return World(fake, fake, lambda: fake.fail("refresh", gone))
    repository = Repository.create(tmp_path / "ours.git")
    source = GitSource(str(repository.path), tmp_path / "state", LinuxProcesses())

    def vanish() -> None:
        repository.path.rename(tmp_path / "elsewhere.git")

    return World(source, repository, vanish)


@pytest.fixture
def world(empty: World) -> World:
    """A repository with one commit on main, looked at."""
    empty.repository.commit(PROGRAM, executable={"app/tools/run.sh"})
    empty.source.refresh()
    return empty


def at(world: World, reference: str = "main") -> Revision:
    return world.source.resolve(reference)


def files_of(directory: Path) -> dict[str, tuple[bool, str]]:
    """Path -> whether it is executable, and its content; of everything below."""
    return {
        str(path.relative_to(directory)): (bool(path.stat().st_mode & stat.S_IXUSR), path.read_text())
        for path in directory.rglob("*")
        if not path.is_dir()
    }


# -- references ------------------------------------------------------------------------------------


def test_a_branch_resolves_to_its_full_commit(empty: World) -> None:
    commit = empty.repository.commit(PROGRAM)
    empty.source.refresh()
    assert at(empty) == Revision(reference="main", commit=commit)
    assert len(commit) == 40


def test_a_full_name_and_head_resolve_to_the_same_commit(world: World) -> None:
    assert at(world, "refs/heads/main").commit == at(world).commit == at(world, "HEAD").commit
    assert at(world, "HEAD").reference == "HEAD"


def test_a_branch_that_only_ends_in_the_name_is_another_one(empty: World) -> None:
    empty.repository.commit({"a": "feature"}, branch="feature/main")
    empty.source.refresh()
    with pytest.raises(RevisionNotFoundError, match="cannot find branch 'main'") as caught:
        at(empty)
    assert "`feature/main`" in caught.value.hint
    main = empty.repository.commit({"a": "main"})
    empty.source.refresh()
    assert at(empty).commit == main


def test_a_branch_is_never_mistaken_for_a_tag_of_the_same_name(world: World) -> None:
    tagged = at(world).commit
    world.repository.tag("main", tagged)
    moved = world.repository.commit({"a": "b"})
    world.source.refresh()
    assert at(world).commit == moved
    assert at(world, "refs/tags/main").commit == tagged


@pytest.mark.parametrize("annotated", [False, True])
def test_a_tag_resolves_to_its_commit(world: World, annotated: bool) -> None:
    commit = at(world).commit
    world.repository.tag("v1.0.0", commit, annotated=annotated)
    world.source.refresh()
    assert at(world, "refs/tags/v1.0.0") == Revision(reference="refs/tags/v1.0.0", commit=commit)


def test_a_tag_by_its_short_name_is_not_found_but_pointed_at(world: World) -> None:
    world.repository.tag("v1.0.0", at(world).commit)
    world.source.refresh()
    with pytest.raises(RevisionNotFoundError) as caught:
        at(world, "v1.0.0")
    assert "refs/tags/v1.0.0" in caught.value.hint


def test_a_pattern_follows_the_highest_version(world: World) -> None:
    commits = {}
    for version in ("v1.10.0", "v1.9.3", "v2.0.0-rc.1", "v1.10.0-rc.2"):
        commits[version] = world.repository.commit({"version": version})
        world.repository.tag(version, commits[version], annotated=version != "v1.9.3")
    world.repository.tag("other-9.0", world.repository.commit({"a": "other"}))
    world.source.refresh()
    assert at(world, "refs/tags/v*") == Revision(reference="refs/tags/v*", commit=commits["v1.10.0"])
    assert at(world, "refs/tags/v*-rc*").commit == commits["v2.0.0-rc.1"]


def test_an_unknown_reference_is_answered_with_near_ones(world: World) -> None:
    with pytest.raises(RevisionNotFoundError, match="cannot find branch 'mian'") as caught:
        at(world, "mian")
    assert "`main`" in caught.value.hint


@pytest.mark.parametrize(
    "reference", ["refs/tags/v*", "refs/pull/1/head", "ma*", "--upload-pack=x", "", "HEAD^", "../x"]
)
def test_what_names_no_reference_is_not_found(world: World, reference: str) -> None:
    with pytest.raises(RevisionNotFoundError) as caught:
        at(world, reference)
    assert caught.value.hint


def test_head_without_its_branch_is_not_found(empty: World) -> None:
    empty.repository.commit({"a": "b"}, branch="trunk")
    empty.source.refresh()
    with pytest.raises(RevisionNotFoundError, match="default branch") as caught:
        at(empty, "HEAD")
    assert "`trunk`" in caught.value.hint


def test_nothing_resolves_before_the_first_look(empty: World) -> None:
    empty.repository.commit(PROGRAM)
    with pytest.raises(RevisionNotFoundError, match="not polled"):
        at(empty)


# -- looking ---------------------------------------------------------------------------------------


def test_an_empty_repository_has_nothing_to_follow(empty: World) -> None:
    with pytest.raises(RevisionNotFoundError, match="empty") as caught:
        empty.source.refresh()
    assert "git push" in caught.value.hint


def test_a_repository_that_was_empty_is_followed_once_it_is_not(empty: World) -> None:
    with pytest.raises(RevisionNotFoundError):
        empty.source.refresh()
    commit = empty.repository.commit(PROGRAM)
    assert empty.source.refresh()
    assert at(empty).commit == commit


def test_a_look_tells_whether_anything_moved(empty: World) -> None:
    first = empty.repository.commit(PROGRAM)
    assert empty.source.refresh()
    assert not empty.source.refresh()
    empty.repository.commit({"a": "b"}, branch="feature")
    assert empty.source.refresh()
    empty.repository.tag("v1", first)
    assert empty.source.refresh()
    empty.repository.delete("refs/tags/v1")
    assert empty.source.refresh()
    assert not empty.source.refresh()


def test_a_moved_branch_is_seen_after_a_look_and_not_before(world: World) -> None:
    old = at(world)
    new = world.repository.commit({"a": "b"})
    assert at(world) == old
    world.source.refresh()
    assert at(world).commit == new != old.commit


def test_a_force_push_is_followed(world: World) -> None:
    base = at(world)
    world.repository.commit({"a": "b"})
    world.source.refresh()
    other = world.repository.commit({"a": "other history"}, branch="other")
    world.repository.move("refs/heads/main", other)
    assert world.source.refresh()
    assert at(world).commit == other
    world.repository.move("refs/heads/main", base.commit)
    assert world.source.refresh()
    assert at(world) == base


def test_what_a_force_push_took_away_stays_readable(world: World) -> None:
    base = at(world)
    world.repository.commit({"a": "b"})
    world.source.refresh()
    old = at(world)
    world.repository.move("refs/heads/main", base.commit)
    world.source.refresh()
    assert world.source.read(old, "a") == "b"
    with world.source.checkout(old) as directory:
        assert (directory / "a").read_text() == "b"


def test_a_tag_that_was_moved_is_followed(world: World) -> None:
    world.repository.tag("live", at(world).commit, annotated=True)
    world.source.refresh()
    new = world.repository.commit({"a": "b"})
    world.repository.tag("live", new, annotated=True)
    assert world.source.refresh()
    assert at(world, "refs/tags/live").commit == new


def test_a_deleted_branch_is_not_found_any_more(world: World) -> None:
    world.repository.commit({"a": "b"}, branch="feature")
    world.source.refresh()
    at(world, "feature")
    world.repository.delete("refs/heads/feature")
    at(world, "feature")
    world.source.refresh()
    with pytest.raises(RevisionNotFoundError, match="'feature'"):
        at(world, "feature")


def test_a_branch_may_become_a_directory_of_branches_and_back(world: World) -> None:
    for gone, come in (("refs/heads/a", "a/b"), ("refs/heads/a/b", "a")):
        world.repository.commit({"a": gone}, branch=gone.removeprefix("refs/heads/"))
        world.source.refresh()
        world.repository.delete(gone)
        new = world.repository.commit({"a": come}, branch=come)
        assert world.source.refresh()
        assert at(world, come).commit == new
        world.repository.delete(f"refs/heads/{come}")


def test_a_repository_that_does_not_answer_can_be_tried_again_and_loses_nothing(world: World) -> None:
    before = at(world)
    world.vanish()
    with pytest.raises(SourceUnavailableError) as caught:
        world.source.refresh()
    assert caught.value.retryable
    assert caught.value.hint
    assert at(world) == before
    assert world.source.read(before, "Pulumi.yaml") == PROGRAM["Pulumi.yaml"]
    with world.source.checkout(before) as directory:
        assert (directory / "Pulumi.yaml").exists()


# -- reading ---------------------------------------------------------------------------------------


def test_entries_are_what_lies_directly_in_a_directory(world: World) -> None:
    assert set(world.source.entries(at(world), "")) == {"Pulumi.yaml", "app"}
    assert set(world.source.entries(at(world), "app")) == {"__main__.py", "tools"}
    assert world.source.entries(at(world), ".") == world.source.entries(at(world), "")
    assert world.source.entries(at(world), "./app/") == world.source.entries(at(world), "app")


@pytest.mark.parametrize("directory", ["absent", "app/absent", "Pulumi.yaml", "..", "/app", "app/..", "ap"])
def test_a_directory_that_is_not_there_has_no_entries(world: World, directory: str) -> None:
    assert world.source.entries(at(world), directory) == {}


def test_entries_are_git_object_ids(world: World) -> None:
    # The ids are git's own: printf 'name: ours\n' | git hash-object --stdin
    assert world.source.entries(at(world), "")["Pulumi.yaml"] == "94055705bfa973d8a6102f04ffb2cd14145f09a3"


def test_an_entry_changes_only_when_what_is_in_it_does(world: World) -> None:
    before = world.source.entries(at(world), "")
    world.repository.commit({"README.md": "hello"})
    world.source.refresh()
    added = world.source.entries(at(world), "")
    assert {name: added[name] for name in before} == before
    world.repository.commit({"app/tools/run.sh": "#!/bin/sh\ntrue\n"})
    world.source.refresh()
    changed = world.source.entries(at(world), "")
    assert changed["Pulumi.yaml"] == before["Pulumi.yaml"]
    assert changed["app"] != before["app"]
    world.repository.commit(
        {"app/tools/run.sh": "#!/bin/sh\n", "README.md": None}, executable={"app/tools/run.sh"}
    )
    world.source.refresh()
    assert world.source.entries(at(world), "") == before


def test_entries_cannot_be_written_to(world: World) -> None:
    entries = world.source.entries(at(world), "")
    with pytest.raises(TypeError):
        entries["x"] = "y"  # type: ignore[index]


def test_a_file_is_read_as_it_is_in_the_revision(world: World) -> None:
    old = at(world)
    world.repository.commit({"Pulumi.yaml": "name: café\n"})
    world.source.refresh()
    assert world.source.read(at(world), "Pulumi.yaml") == "name: café\n"
    assert world.source.read(old, "Pulumi.yaml") == "name: ours\n"
    assert world.source.read(old, "./app/__main__.py") == PROGRAM["app/__main__.py"]


@pytest.mark.parametrize(
    "path", ["absent", "app", "app/absent", "Pulumi.yaml/x", "", ".", "..", "/Pulumi.yaml", "Pulumi.*"]
)
def test_what_is_no_file_reads_as_none(world: World, path: str) -> None:
    assert world.source.read(at(world), path) is None


def test_a_file_of_one_mebibyte_is_read_and_a_larger_one_refused(world: World) -> None:
    world.repository.commit({"full": "x" * 1024 * 1024, "over": "x" * (1024 * 1024 + 1), "none": ""})
    world.source.refresh()
    assert len(world.source.read(at(world), "full") or "") == 1024 * 1024
    assert world.source.read(at(world), "none") == ""
    with pytest.raises(SourceError, match="1 MiB") as caught:
        world.source.read(at(world), "over")
    assert caught.value.hint


def test_what_is_not_utf8_is_refused(world: World) -> None:
    world.repository.commit({"latin": "café".encode("latin-1")})
    world.source.refresh()
    with pytest.raises(SourceError, match=r"latin.*UTF-8") as caught:
        world.source.read(at(world), "latin")
    assert caught.value.hint


def test_a_commit_that_is_nowhere_is_not_found(world: World) -> None:
    nowhere = Revision(reference="main", commit="0123456789" * 4)
    with pytest.raises(RevisionNotFoundError):
        world.source.entries(nowhere, "")
    with pytest.raises(RevisionNotFoundError):
        world.source.read(nowhere, "Pulumi.yaml")
    with pytest.raises(RevisionNotFoundError), world.source.checkout(nowhere):
        pytest.fail("a checkout of nothing")


# -- checkouts -------------------------------------------------------------------------------------


def test_a_checkout_has_exactly_the_files_of_the_revision(world: World) -> None:
    with world.source.checkout(at(world)) as directory:
        assert files_of(directory) == {
            path: (path == "app/tools/run.sh", content) for path, content in PROGRAM.items()
        }


def test_a_checkout_is_of_its_commit_even_when_the_branch_moves_on(world: World) -> None:
    old = at(world)
    world.repository.commit({"Pulumi.yaml": "name: new\n", "app/__main__.py": None})
    world.source.refresh()
    with world.source.checkout(old) as before, world.source.checkout(at(world)) as after:
        assert (before / "Pulumi.yaml").read_text() == "name: ours\n"
        assert (after / "Pulumi.yaml").read_text() == "name: new\n"
        assert not (after / "app/__main__.py").exists()


def test_a_checkout_is_gone_after_its_block(world: World) -> None:
    with world.source.checkout(at(world)) as directory:
        (directory / "left by the program").mkdir()
        (directory / "app" / "__pycache__").mkdir()
        (directory / "app" / "__pycache__" / "x.pyc").write_bytes(b"")
    assert not directory.exists()


def test_a_checkout_is_gone_after_an_error_which_comes_through(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.source.checkout(at(world)) as directory:  # noqa: PT012
        assert directory.exists()
        raise ZeroDivisionError
    assert not directory.exists()


def test_what_is_written_into_a_checkout_is_in_no_other(world: World) -> None:
    with world.source.checkout(at(world)) as directory:
        (directory / "Pulumi.yaml").write_text("name: changed\n")
        with world.source.checkout(at(world)) as other:
            assert files_of(other)["Pulumi.yaml"] == (False, "name: ours\n")
    assert world.source.read(at(world), "Pulumi.yaml") == "name: ours\n"


def test_checkouts_of_many_threads_do_not_meet(world: World) -> None:
    revisions = [at(world)]
    for number in range(3):
        world.repository.commit({"number": str(number)})
        world.source.refresh()
        revisions.append(at(world))
    together = Barrier(8, timeout=60)

    def check_out(turn: int) -> tuple[Path, str | None]:
        with world.source.checkout(revisions[turn % 4]) as directory:
            together.wait()
            number = directory / "number"
            return directory, number.read_text() if number.exists() else None

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(check_out, range(8)))
    assert [number for _, number in seen] == [None, "0", "1", "2"] * 2
    assert len({directory for directory, _ in seen}) == 8
    assert not any(directory.exists() for directory, _ in seen)


def test_looks_and_checkouts_of_many_threads_go_well_together(world: World) -> None:
    def push_and_look() -> None:
        for number in range(5):
            world.repository.commit({"number": str(number)})
            world.source.refresh()

    def check_out(_: int) -> bool:
        revision = at(world)
        with world.source.checkout(revision) as directory:
            return files_of(directory).get("number", (False, None))[1] == world.source.read(
                revision, "number"
            )

    with ThreadPoolExecutor(4) as threads:
        pusher = threads.submit(push_and_look)
        same = list(threads.map(check_out, range(20)))
        pusher.result()
    assert all(same)
    assert world.source.read(at(world), "number") == "4"


def test_a_checkout_is_private(world: World) -> None:
    with world.source.checkout(at(world)) as directory:
        assert directory.stat().st_mode & 0o077 == 0
        assert directory.stat().st_uid == os.geteuid()
