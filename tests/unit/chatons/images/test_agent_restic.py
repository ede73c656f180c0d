"""Error codes of restic's failures, and its environment and options."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from chatons.images.backup_agent.configuration import Secrets, Ssh, neighbour
from chatons.images.backup_agent.errors import AgentError, redacted, shortened
from chatons.images.backup_agent.repository import instant
from chatons.images.backup_agent.restic import (
    environment,
    failure,
    known_hosts,
    meaning,
    options,
    summary,
    with_login,
)

SSH = Ssh(user="backup", host="backup.example", port=2222, host_key="ssh-ed25519 AAAA")
OPEN = (
    "Fatal: unable to open config file: {}\nIs there a repository at the following location?\n/repository\n"
)


@pytest.mark.parametrize(
    ("code", "said", "found"),
    [
        (1, "Fatal: wrong password or no key found", "wrong-password"),
        (12, "Fatal: wrong password or no key found", "wrong-password"),
        (1, OPEN.format("stat /repository/config: no such file or directory"), None),
        (1, OPEN.format("Lstat: file does not exist"), None),
        (1, OPEN.format("<config/> does not exist"), None),
        (1, OPEN.format("client.StatObject: The specified key does not exist."), None),
        (10, "Fatal: repository does not exist", None),
        (1, OPEN.format('Head "http://h/x/config": dial tcp 127.0.0.1:1: connect: refused'), "unreachable"),
        (1, OPEN.format("stat /repository/config: permission denied"), "unreachable"),
        (1, OPEN.format("unexpected HTTP response (401): 401 Unauthorized"), "unreachable"),
        (1, "Fatal: unable to open repository at sftp:x: unable to start the sftp session", "unreachable"),
        (1, "unable to create lock in backend: repository is already locked by PID 7 on x by root", "locked"),
        (11, "", "locked"),
        (1, "Save(<data/1>) returned error: write: no space left on device", "full"),
        (1, "unable to create lock in backend: write: no space left on device", "full"),
        (1, "Fatal: repository contains errors", "corrupt"),
        (1, "Fatal: ciphertext verification failed", "corrupt"),
        (1, "tree 1234: not found in repository", "corrupt"),
        (3, "Warning: at least one source file could not be read", "source-unreadable"),
        (3, "error: lstat /data/var/x: input/output error", "source-unreadable"),
        (2, "panic: something", "failed"),
    ],
)  # fmt: skip
def test_every_failure_of_restic_has_an_error_code(code: int, said: str, found: str | None) -> None:
    assert meaning(code, said) == found


def test_an_error_has_cause_and_hint_and_no_secret() -> None:
    error = failure("store the files", 1, "Fatal: wrong password or no key found for hun/ter2", ["hun/ter2"])
    assert error.code == "wrong-password"
    assert error.message.startswith("cannot store the files: wrong repository password")
    assert "hun" not in error.message
    assert "ronron:backup.password" in error.hint


def test_a_repository_that_does_not_exist_is_unreachable() -> None:
    error = failure(
        "read the snapshots", 1, OPEN.format("stat /repository/config: no such file or directory"), []
    )
    assert error.code == "unreachable"
    assert "the repository does not exist" in error.message


def test_an_undocumented_error_code_is_refused() -> None:
    with pytest.raises(AssertionError):
        AgentError("odd", "cannot", "do")


def test_secrets_are_redacted_plain_and_percent_encoded() -> None:
    assert redacted("rest:https://u:a%2Fb%40c@host a/b@c", ["a/b@c"]) == "rest:https://u:***@host ***"
    assert redacted("of a cat", ["a"]) == "of a cat"
    assert redacted("pass password", ["pass", "password"]) == "*** ***"


def test_long_texts_are_shortened_in_the_middle() -> None:
    text = shortened("begin " + "x" * 1000 + " end", 50)
    assert len(text) <= 50
    assert text.startswith("begin ")
    assert text.endswith(" end")


def test_a_rest_login_is_in_the_address_and_an_s3_login_in_the_environment() -> None:
    secrets = Secrets(Path("/run/p"), repository_login=("u@x", "p/w:d"))
    rest = environment(secrets, repository="rest:https://host/a/pad/", temporary=Path("/t"))
    assert rest["RESTIC_REPOSITORY"] == "rest:https://u%40x:p%2Fw%3Ad@host/a/pad/"
    assert "AWS_ACCESS_KEY_ID" not in rest
    s3 = environment(secrets, repository="s3:https://host/bucket/pad", temporary=Path("/t"))
    assert s3["RESTIC_REPOSITORY"] == "s3:https://host/bucket/pad"
    assert (s3["AWS_ACCESS_KEY_ID"], s3["AWS_SECRET_ACCESS_KEY"]) == ("u@x", "p/w:d")
    assert with_login("/repository", ("u", "p")) == "/repository"
    assert with_login("rest:https://host/", None) == "rest:https://host/"


def test_ssh_accepts_one_host_key_and_never_prompts() -> None:
    (flag, option) = options(
        "sftp:backup@backup.example:/x", SSH, Path("/run/ssh-key"), Path("/t/known_hosts")
    )
    assert flag == "-o"
    words = shlex.split(option.removeprefix("sftp.command="))
    assert words[:7] == ["ssh", "-F", "/dev/null", "-p", "2222", "-l", "backup"]
    assert words[-3:] == ["backup.example", "-s", "sftp"]
    settings = {words[at + 1] for at, word in enumerate(words) if word == "-o"}
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/t/known_hosts"} <= settings
    assert "IdentitiesOnly=yes" in settings
    assert known_hosts(SSH) == "ronron-repository ssh-ed25519 AAAA\n"
    assert options("/repository", SSH, None, Path("/t")) == []
    assert "-i" not in shlex.split(options("sftp:a@b:/c", SSH, None, Path("/t"))[1])


def test_the_neighbour_replaces_the_last_part_of_the_path() -> None:
    assert neighbour("/repository") == "/reconciler"
    assert neighbour("sftp:u@h:/backups/ronron-local/pad") == "sftp:u@h:/backups/ronron-local/reconciler"
    assert neighbour("rest:https://h/ronron-local/pad/") == "rest:https://h/ronron-local/reconciler/"
    assert neighbour("s3:https://h/bucket/ronron-local/pad") == "s3:https://h/bucket/ronron-local/reconciler"


def test_the_summary_is_the_last_one() -> None:
    assert summary(b'{"message_type":"status"}\n{"message_type":"summary","snapshot_id":"1"}\nnoise\n') == {
        "message_type": "summary",
        "snapshot_id": "1",
    }
    assert summary(b"") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-25T13:32:43.946349659Z", "2026-11-25T13:32:43.946349+00:00"),
        ("2026-11-25T13:32:43Z", "2026-11-25T13:32:43+00:00"),
        ("2026-11-25T13:32:43.5+01:00", "2026-11-25T12:32:43.500000+00:00"),
    ],
)
def test_times_are_read_as_go_writes_them(text: str, found: str) -> None:
    assert instant(text).isoformat() == found


def test_a_text_that_is_not_a_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not a time"):
        instant("yesterday")
