"""What is in a repository, from every kind of reference to files with odd names, on real git."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ronron.core.errors import RevisionNotFoundError, SourceError
from tests.support.git_servers import Web, web
from tests.support.git_sources import refusal, source
from tests.support.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With one commit on main."""
    made = Repository.create(tmp_path / "served" / "ours.git")
    made.commit({"Pulumi.yaml": "name: ours\n"})
    return made


@pytest.fixture
def server(repository: Repository) -> Iterator[Web]:
    with web(repository.path.parent) as serving:
        yield serving


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the source keeps what is its own."""
    return tmp_path / "state"


# -- references ------------------------------------------------------------------------------------


def test_every_kind_of_reference_is_followed_over_http(
    server: Web, repository: Repository, state: Path
) -> None:
    first = repository.at("refs/heads/main")
    repository.tag("v1.9.0", first)
    second = repository.commit({"a": "2"})
    repository.tag("v1.10.0", second, annotated=True)
    third = repository.commit({"a": "3"}, branch="feature/main")
    repository.tag("inner", third, annotated=True)
    repository.git("tag", "--annotate", "--message=Of a tag", "outer", "inner")
    repository.git("tag", "file", f"{first}:Pulumi.yaml")
    ours = source(server.url("ours.git"), state)
    assert ours.refresh()
    assert not ours.refresh()
    for reference, commit in {
        "HEAD": second,
        "main": second,
        "feature/main": third,
        "refs/heads/main": second,
        "refs/tags/v1.9.0": first,
        "refs/tags/v1.10.0": second,
        "refs/tags/v*": second,
        "refs/tags/outer": third,
    }.items():
        assert ours.resolve(reference).commit == commit, reference
    with pytest.raises(RevisionNotFoundError, match="tag 'file'"):
        ours.resolve("refs/tags/file")


def test_a_reference_that_is_not_there_is_named_with_what_is(server: Web, state: Path) -> None:
    ours = source(server.url("ours.git"), state)
    ours.refresh()
    error = refusal(lambda: ours.resolve("production"), RevisionNotFoundError)
    assert error.message == "cannot find branch 'production'"
    assert "`main`" in error.hint


def test_a_detached_head_is_the_branch_that_stands_there(repository: Repository, state: Path) -> None:
    commit = repository.at("refs/heads/main")
    repository.git("branch", "aside", commit)
    repository.git("update-ref", "--no-deref", "HEAD", commit)
    (repository.path / "HEAD").write_text(f"{commit}\n")
    ours = source(repository.path, state)
    ours.refresh()
    assert ours.resolve("HEAD").commit == commit
    later = repository.commit({"a": "b"}, branch="aside")
    ours.refresh()
    assert ours.resolve("HEAD").commit == commit != later


def test_names_that_only_git_thinks_of_hinder_nobody(repository: Repository, state: Path) -> None:
    commit = repository.at("refs/heads/main")
    odd = ["a\u2028b", "a\x85b", "café", "pad;x", "$(id)", "'quoted'", "@-1x"]
    for name in odd:
        repository.move(f"refs/heads/{name}", commit)
    repository.git("update-ref", os.fsdecode(b"refs/heads/caf\xe9"), commit)
    ours = source(repository.path, state)
    assert ours.refresh()
    assert not ours.refresh()
    assert {ours.resolve(name).commit for name in ["main", *odd]} == {commit}
    repository.delete("refs/heads/café")
    assert ours.refresh()


def test_a_force_push_over_http_is_followed_and_the_old_commit_stays(
    server: Web, repository: Repository, state: Path
) -> None:
    old = repository.commit({"Pulumi.yaml": "name: old\n"})
    ours = source(server.url("ours.git"), state)
    ours.refresh()
    before = ours.resolve("main")
    repository.delete("refs/heads/main")
    new = repository.commit({"Pulumi.yaml": "name: new\n"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    assert ours.refresh()
    assert (before.commit, ours.resolve("main").commit) == (old, new)
    assert ours.read(before, "Pulumi.yaml") == "name: old\n"
    with ours.checkout(before) as directory:
        assert (directory / "Pulumi.yaml").read_text() == "name: old\n"
    with source(server.url("ours.git"), state).checkout(before) as directory:
        assert (directory / "Pulumi.yaml").read_text() == "name: old\n"


def test_a_repository_of_sha256_objects_is_followed(state: Path, tmp_path: Path) -> None:
    ours = Repository.create(tmp_path / "ours.git", object_format="sha256")
    commit = ours.commit({"a": "b"})
    theirs = source(ours.path, state)
    theirs.refresh()
    assert theirs.resolve("main").commit == commit
    assert len(commit) == 64
    with theirs.checkout(theirs.resolve("main")) as directory:
        assert (directory / "a").read_text() == "b"


def test_another_repository_under_the_same_state_shows_nothing_of_the_first(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    source(repository.path, state).refresh()
    other = Repository.create(tmp_path / "other.git")
    commit = other.commit({"a": "b"}, branch="trunk")
    theirs = source(other.path, state)
    with pytest.raises(RevisionNotFoundError, match="not polled"):
        theirs.resolve("main")
    theirs.refresh()
    assert theirs.resolve("trunk").commit == commit
    with pytest.raises(RevisionNotFoundError, match="branch 'main'"):
        theirs.resolve("main")


# -- files -----------------------------------------------------------------------------------------

ODD = [
    "two words",
    " a blank at both ends ",
    "two\nlines",
    "a\ttab",
    'with "quotes"',
    "back\\slash",
    "-rf",
    "--output=x",
    ":(glob)*",
    "*",
    "[a]?",
    "$(id)",
    "café",
    "cafe\u0301",
    "a\u2028b",
    "~",
    "x" * 255,
    os.fsdecode(b"caf\xe9"),
    "a directory with a blank/-/file",
]


def test_files_with_odd_names_are_there_and_read(repository: Repository, state: Path) -> None:
    repository.commit({name: f"{number}" for number, name in enumerate(ODD)})
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")
    assert set(ours.entries(revision, "")) == {"Pulumi.yaml", *(name.partition("/")[0] for name in ODD)}
    assert set(ours.entries(revision, "a directory with a blank/-")) == {"file"}
    for number, name in enumerate(ODD):
        assert ours.read(revision, name) == f"{number}", name
    with ours.checkout(revision) as directory:
        found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
        assert found == {"Pulumi.yaml", *ODD}
        for number, name in enumerate(ODD):
            assert (directory / name).read_text() == f"{number}", name
    assert not directory.exists()


@pytest.mark.parametrize("name", ["two\nlines", "two words", "\x1b[31mred"])
def test_an_error_about_an_odd_name_is_on_one_line(repository: Repository, state: Path, name: str) -> None:
    repository.commit({name: b"caf\xe9"}, links={f"link to {name}": name})
    ours = source(repository.path, state)
    ours.refresh()
    error = refusal(lambda: ours.read(ours.resolve("main"), name), SourceError)
    assert "byte 4 is not UTF-8 text" in error.message
    with pytest.raises(SourceError, match="it is a symbolic link") as caught:
        ours.read(ours.resolve("main"), f"link to {name}")
    assert not [text for text in (error.hint, str(caught.value)) if "\x1b" in text or "\n" in text]


def test_a_link_is_checked_out_as_a_link_and_never_followed(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep me")
    links = {"out": str(precious), "up": "../../../precious", "in": "Pulumi.yaml", "nowhere": "absent"}
    repository.commit({}, links=links)
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")
    assert set(ours.entries(revision, "")) == {"Pulumi.yaml", *links}
    with ours.checkout(revision) as directory:
        assert {name: str((directory / name).readlink()) for name in links} == links
    assert not directory.exists()
    assert (precious / "file").read_text() == "keep me"
    for name in links:
        with pytest.raises(SourceError) as caught:
            ours.read(revision, name)
        assert caught.value.message == f"cannot read {name} of {revision.commit[:12]}: it is a symbolic link"
        assert caught.value.hint == f"commit the file itself as {name}"
    assert ours.read(revision, "out/file") is None
    assert ours.entries(revision, "out") == {}


def test_a_program_that_puts_a_link_in_place_of_its_checkout_harms_nothing(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    (precious / "inner").mkdir(parents=True)
    (precious / "inner").chmod(0o500)
    ours = source(repository.path, state)
    ours.refresh()
    with ours.checkout(ours.resolve("main")) as directory:
        directory.rename(tmp_path / "moved")
        directory.symlink_to(precious)
    assert not directory.is_symlink()
    assert (precious / "inner").stat().st_mode & 0o777 == 0o500


def test_what_a_program_locked_is_removed_too(repository: Repository, state: Path) -> None:
    ours = source(repository.path, state)
    ours.refresh()
    with ours.checkout(ours.resolve("main")) as directory:
        (directory / "a" / "b").mkdir(parents=True)
        (directory / "a" / "b" / "file").write_text("")
        (directory / "a" / "b").chmod(0o500)
        (directory / "a").chmod(0)
        directory.chmod(0o500)
    assert not directory.exists()
    assert not [entry for entry in (state / "checkouts").iterdir() if entry.name != "making.lock"]


def test_submodules_are_refused_unless_they_may_stay_empty(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    theirs = Repository.create(tmp_path / "theirs.git")
    commit = theirs.commit({"lib.py": ""})
    modules = f'[submodule "lib"]\n\tpath = vendor/lib\n\turl = {theirs.path}\n'
    repository.commit({".gitmodules": modules}, submodules={"vendor/lib": commit})
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")

    def check_out() -> None:
        with ours.checkout(revision):
            pytest.fail("a checkout without the files of its submodule")

    error = refusal(check_out, SourceError)
    assert (
        error.message
        == f"cannot check out {revision.short}: submodules are not fetched, and vendor/lib is one"
    )
    assert "`git rm vendor/lib && git subtree add -P vendor/lib URL BRANCH`" in error.hint
    assert ours.entries(revision, "vendor") == {"lib": commit}
    assert ours.read(revision, "vendor/lib") is None


@pytest.mark.parametrize("name", [".git", ".."])
def test_a_tree_that_reaches_out_of_itself_is_refused(
    repository: Repository, state: Path, tmp_path: Path, name: str
) -> None:
    blob = repository.git("hash-object", "-w", "--stdin", stdin=b"evil")
    inner = repository.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    tree = repository.git("mktree", stdin=f"040000 tree {inner}\t{name}\n".encode())
    repository.move("refs/heads/main", repository.git("commit-tree", "-m", "Evil", tree))
    ours = source(repository.path, state)
    ours.refresh()
    revision = ours.resolve("main")

    def check_out() -> None:
        with ours.checkout(revision):
            pytest.fail("a checkout of what git refuses")

    error = refusal(check_out, SourceError)
    assert f"cannot check out {revision.short}: it contains a file name that git refuses" in error.message
    assert not [path for path in state.rglob("config") if path.read_text() == "evil"]


def test_attributes_of_the_repository_count_and_its_filters_do_not_run(
    repository: Repository, state: Path
) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1\n"
    repository.commit(
        {".gitattributes": "*.txt eol=crlf\n*.bin filter=lfs\n", "a.txt": "a\nb\n", "a.bin": pointer}
    )
    ours = source(repository.path, state)
    ours.refresh()
    with ours.checkout(ours.resolve("main")) as directory:
        assert (directory / "a.txt").read_bytes() == b"a\r\nb\r\n"
        assert (directory / "a.bin").read_text() == pointer
        assert not (directory / ".git").exists()


def test_code_of_strangers_in_a_forges_own_references_is_not_fetched(
    repository: Repository, state: Path
) -> None:
    commit = repository.commit({"evil": "x"}, branch="fork")
    repository.move("refs/pull/1/head", commit)
    repository.move("refs/merge-requests/1/head", commit)
    repository.delete("refs/heads/fork")
    ours = source(repository.path, state)
    ours.refresh()
    with pytest.raises(RevisionNotFoundError):
        ours.resolve("refs/pull/1/head")
    assert not (state / "mirror" / "objects" / commit[:2] / commit[2:]).exists()
