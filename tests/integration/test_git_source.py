"""Git as a source, on real git and real servers: what is found there, and what is told when nothing is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from ronron.adapters.git_source.source import GitSource
from ronron.adapters.processes import LinuxProcesses
from ronron.core.errors import AuthenticationError, RevisionNotFoundError, SourceError, SourceUnavailableError
from tests.support.git_servers import Web, closed, silent, web
from tests.support.git_sources import refusal, source, tell, working_in
from tests.support.repositories import Repository, git

SHORT = timedelta(seconds=1)
PASSWORD = "s3cret-word"


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
def state(tmp_path: Path) -> Iterator[Path]:
    """Where the source keeps what is its own; no process may be left there at the end of any test."""
    yield tmp_path / "state"
    assert working_in(tmp_path / "state") == {}


# -- what does not answer --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_server_that_hangs_is_given_up_and_leaves_no_process(scheme: str, state: Path) -> None:
    with silent() as port:
        url = f"{scheme}://127.0.0.1:{port}/ours.git"
        began = time.monotonic()
        error = refusal(source(url, state, timeout=SHORT).refresh, SourceUnavailableError)
        assert time.monotonic() - began < 10
    assert working_in(state) == {}
    assert error.message.startswith(f"cannot poll {url}: ")
    assert "within 1 s" in error.message or "does not answer in time" in error.message
    assert f"`git ls-remote {url}`" in error.hint
    assert error.retryable


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_server_that_is_not_there_is_told_as_such(scheme: str, state: Path) -> None:
    with closed() as port:
        url = f"{scheme}://127.0.0.1:{port}/ours.git"
        error = refusal(source(url, state).refresh, SourceUnavailableError)
    assert f"cannot poll {url}: cannot connect to the server" in error.message
    assert f"`git ls-remote {url}`" in error.hint


def test_a_host_without_an_address_is_told_as_such(state: Path) -> None:
    error = refusal(source("https://forge.invalid/ours.git", state).refresh, SourceUnavailableError)
    assert "https://forge.invalid/ours.git: cannot resolve the host" in error.message
    assert "`getent hosts forge.invalid`" in error.hint


@pytest.mark.parametrize(
    ("status", "kind", "means"),
    [
        (401, AuthenticationError, "permission denied: credentials are missing or wrong"),
        (403, AuthenticationError, "permission denied (403)"),
        (404, SourceUnavailableError, "repository not found"),
        (429, SourceUnavailableError, "the server is busy"),
        (500, SourceUnavailableError, "the server is busy"),
        (503, SourceUnavailableError, "the server is busy"),
        (200, SourceUnavailableError, "this is not a git repository"),
    ],
)
def test_the_answer_of_a_server_is_told_with_what_it_means(
    server: Web, state: Path, status: int, kind: type[SourceError], means: str
) -> None:
    server.status = status
    server.body = b"<!doctype html>\n<title>Sign in</title>\n"
    error = refusal(source(server.url("ours.git"), state).refresh, kind)
    assert f"cannot poll {server.url('ours.git')}: " in error.message
    assert means in error.message


@pytest.mark.parametrize("name", ["absent.git", "folder"])
def test_a_path_without_a_repository_is_told_as_such(repository: Repository, state: Path, name: str) -> None:
    place = repository.path.parent / name
    (repository.path.parent / "folder").mkdir()
    error = refusal(source(place, state).refresh, SourceUnavailableError)
    assert f"cannot poll {place}: repository not found" in error.message


def test_a_repository_of_another_user_is_named_with_the_command_that_trusts_it(
    repository: Repository, state: Path
) -> None:
    # Git's own tests use this variable for the same.
    other = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    theirs = GitSource(str(repository.path), state, LinuxProcesses(), environment=other)
    error = refusal(theirs.refresh, AuthenticationError)
    assert "the repository belongs to another user of this machine" in error.message
    assert f"`git config --global --add safe.directory {repository.path}`" in error.hint


def test_a_shallow_clone_is_followed_as_far_as_it_goes(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    repository.commit({"a": "b"})
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--depth=1", f"file://{repository.path}", clone, at=tmp_path)
    ours = source(clone, state)
    for content in ("b", "c", "d"):
        ours.refresh()
        assert not ours.refresh()
        assert ours.read(ours.resolve("HEAD"), "a") == content
        repository.commit({"a": "between"})
        repository.commit({"a": chr(ord(content) + 1)})
        git("fetch", "--quiet", "--depth=1", "origin", "+main:refs/remotes/origin/main", at=clone)
        git("reset", "--quiet", "--hard", "origin/main", at=clone)
    git("fetch", "--quiet", "--unshallow", at=clone)
    ours.refresh()
    assert ours.read(ours.resolve("HEAD"), "a") == "e"


def test_an_empty_repository_is_told_over_http(server: Web, state: Path) -> None:
    Repository.create(server.root / "empty.git")
    error = refusal(source(server.url("empty.git"), state).refresh, RevisionNotFoundError)
    assert error.message == f"cannot follow {server.url('empty.git')}: it is empty"


def test_a_look_that_fails_takes_nothing_away(server: Web, state: Path) -> None:
    ours = source(server.url("ours.git"), state)
    ours.refresh()
    before = ours.resolve("main")
    for status in (401, 403, 404, 500, 200):
        server.status = status
        with pytest.raises(SourceError):
            ours.refresh()
    assert ours.resolve("main") == before
    assert ours.read(before, "Pulumi.yaml") == "name: ours\n"
    server.status = None
    assert not ours.refresh()


# -- credentials -----------------------------------------------------------------------------------


def test_credentials_in_the_address_open_the_repository_and_are_seen_nowhere(
    server: Web, repository: Repository, state: Path
) -> None:
    server.credentials = f"tech:{PASSWORD}"
    ours = source(server.url("ours.git", server.credentials), state)
    assert ours.refresh()
    assert ours.read(ours.resolve("main"), "Pulumi.yaml") == "name: ours\n"
    assert PASSWORD not in f"{ours!r}{ours.address}"
    header = server.authorizations[-1].rpartition(" ")[2]
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
    assert not [path for path in kept if header.encode() in path.read_bytes()]


@pytest.mark.parametrize("credentials", ["", f"tech:wrong-{PASSWORD}", f"wrong-{PASSWORD}"])
def test_missing_or_wrong_credentials_are_refused_without_being_shown(
    server: Web, state: Path, credentials: str
) -> None:
    server.credentials = f"tech:{PASSWORD}"
    ours = source(server.url("ours.git", credentials), state)
    error = refusal(ours.refresh, AuthenticationError)
    assert server.url("ours.git") in error.message
    assert "`https://USER:TOKEN@127.0.0.1/PATH`" in error.hint
    assert PASSWORD not in f"{error}{error.hint}{error.__cause__}"


def test_nobody_is_asked_for_credentials(server: Web, state: Path, tmp_path: Path) -> None:
    server.credentials = f"tech:{PASSWORD}"
    asked = tmp_path / "asked"
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {asked}\necho {PASSWORD}\n")
    ask.chmod(0o700)
    config = tmp_path / "gitconfig"
    config.write_text(f'[credential]\nhelper = "!{ask}"\n[core]\naskPass = {ask}\n')
    environment = {
        "DISPLAY": ":0",
        "GIT_ASKPASS": str(ask),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_TERMINAL_PROMPT": "1",
        "SSH_ASKPASS": str(ask),
        "SSH_ASKPASS_REQUIRE": "force",
    }
    assert tell(server.url("ours.git"), state, environment)[0] == "AuthenticationError"
    assert not asked.exists()


def test_credentials_are_no_argument_of_any_process(state: Path) -> None:
    with silent() as port:
        ours = source(f"http://tech:{PASSWORD}@127.0.0.1:{port}/ours.git", state, timeout=SHORT)
        raised: list[SourceError] = []

        def look() -> None:
            try:
                ours.refresh()
            except SourceError as error:
                raised.append(error)

        looking = Thread(target=look)
        looking.start()
        seen: set[str] = set()
        while looking.is_alive():
            seen |= set(working_in(state).values())
        looking.join()
    assert raised
    assert any("remote-http" in arguments for arguments in seen)
    assert not [arguments for arguments in seen if PASSWORD in arguments]


def test_credentials_are_not_sent_after_a_redirect(server: Web, repository: Repository, state: Path) -> None:
    with web(repository.path.parent) as elsewhere:
        server.status = 302
        server.location = f"http://127.0.0.1:{elsewhere.port}"
        with_credentials = source(server.url("ours.git", f"tech:{PASSWORD}"), state / "with")
        error = refusal(with_credentials.refresh, SourceUnavailableError)
        assert "has moved" in error.message
        assert elsewhere.authorizations == []
        assert source(server.url("ours.git"), state / "without").refresh()
        assert set(elsewhere.authorizations) == {""}


# -- other people's configuration ------------------------------------------------------------------


def test_neither_environment_nor_configuration_of_the_user_changes_what_is_read(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    other = Repository.create(tmp_path / "other.git")
    other.commit({"theirs": "x"})
    touched = tmp_path / "touched"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch {touched}\n")
    (hooks / "reference-transaction").chmod(0o700)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "{other.path}"]\ninsteadOf = {repository.path}\n[core]\nhooksPath = {hooks}\n'
        f"fsmonitor = touch {touched}\n[fetch]\nprune = false\n"
    )
    environment = {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_DIR": str(other.path),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "objects"),
        "GIT_WORK_TREE": str(tmp_path),
    }
    assert tell(str(repository.path), state, environment) == ["Pulumi.yaml"]
    assert not touched.exists()


def test_a_machine_without_git_is_told_how_to_get_it(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    kind, message, hint = tell(str(repository.path), state, {"PATH": str(nothing)})
    assert (kind, message) == ("SourceError", "cannot find git on this machine")
    assert "`apt-get install git`" in hint
