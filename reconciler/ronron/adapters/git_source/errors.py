"""Turns the messages of a failed git into our errors, each with a fix.

Git has no error codes: every failure of a transport has status 128 and a sentence. The sentences are those of
git 2.39 and 2.47, curl 7.88 and OpenSSH 9.2 with LC_ALL=C.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ronron.adapters.git_source.address import Address
from ronron.adapters.git_source.commands import GitFailedError, GitTimeoutError
from ronron.adapters.git_source.locks import LockBusyError
from ronron.core.errors import AuthenticationError, RevisionNotFoundError, SourceError, SourceUnavailableError
from ronron.core.redact import redact, shorten

LONGEST = 400
"""Characters of git's own message in ours."""


@dataclass(frozen=True)
class Rule:
    """One kind of failure: git's message (a regular expression), its meaning, and the fix.

    Hints may contain {address}, {host}, {server}, {path} and {state}, {port} as an option of ssh, and {there}
    for the directory that git complains about.
    """

    says: str
    kind: type[SourceError]
    means: str
    hint: str


_ASK_WITH = "use an address with a token that may read it: `https://USER:TOKEN@{host}/PATH`"

RULES = (
    Rule(
        r"No space left on device|Disk quota exceeded",
        SourceError,
        "the disk is full",
        "free some space: `df -h {state}` shows how much there is",
    ),
    Rule(
        r"dubious ownership|unsafe repository",
        AuthenticationError,
        "the repository belongs to another user of this machine, and git does not trust it",
        "trust it if you know it: `git config --global --add safe.directory {there}`",
    ),
    Rule(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        AuthenticationError,
        "the server's ssh host key is unknown or has changed",
        "compare it with the server's, then accept it: `ssh-keyscan {port}{server} >> ~/.ssh/known_hosts`",
    ),
    Rule(
        r"Permission denied \((?:[\w,.-]+)\)|Too many authentication failures|Load key .*: ",
        AuthenticationError,
        "permission denied: the server does not accept our ssh key",
        "give our public key read access there; `ssh -T {port}{host}` tests it",
    ),
    Rule(
        r"Authentication failed|could not read (?:Username|Password)|terminal prompts disabled"
        r"|returned error: 401|HTTP Basic: Access denied",
        AuthenticationError,
        "permission denied: credentials are missing or wrong",
        _ASK_WITH,
    ),
    Rule(r"returned error: 403", AuthenticationError, "permission denied (403)", _ASK_WITH),
    Rule(
        r"Permission denied",
        AuthenticationError,
        "permission denied",
        "give this user read access: `ls -ld {path}` shows who has it",
    ),
    Rule(
        r"returned error: 30\d|redirects followed|from redirection",
        SourceUnavailableError,
        "the repository has moved, and credentials are not sent to another address",
        "use its new address: `curl -sI {address}` shows it",
    ),
    Rule(
        r"repository '.*' not found|Repository not found|does not appear to be a git repository"
        r"|not found: did you run git update-server-info|returned error: 404|could not be found"
        r"|no such repository|repository .* does not exist|repository not exported",
        SourceUnavailableError,
        "repository not found, or no permission to see it",
        "check it by hand: `git ls-remote {address}`; a private one also needs a token or an ssh key",
    ),
    Rule(
        r"not a git repository|not valid: is this a git repository\?|gzip|HTML",
        SourceUnavailableError,
        "this is not a git repository",
        "check it by hand: `git ls-remote {address}`",
    ),
    Rule(
        r"transport '.*' not allowed|protocol '.*' is not supported|Protocol \".*\" not supported",
        SourceError,
        "this protocol is not allowed",
        "use https://, ssh:// or a path",
    ),
    Rule(
        r"Could not resolve proxy|from proxy|CONNECT tunnel failed|Proxy",
        SourceUnavailableError,
        "the proxy refused the connection",
        "check `env | grep -i proxy`",
    ),
    Rule(
        r"[Cc]ertificate|SSL|TLS|GnuTLS",
        SourceUnavailableError,
        "this machine does not trust its certificate",
        "name its authority: `export GIT_SSL_CAINFO=/PATH/ca.pem`; `curl -v {address}` shows what is wrong",
    ),
    Rule(
        r"Could not resolve host|unable to look up"
        r"|Name or service not known|Temporary failure in name resolution",
        SourceUnavailableError,
        "cannot resolve the host",
        "check the name and the network: `getent hosts {server}`",
    ),
    Rule(
        r"Connection refused|[Cc]ouldn't connect|Failed to connect|No route to host|Network is unreachable"
        r"|unable to connect",
        SourceUnavailableError,
        "cannot connect to the server",
        "check that the server runs and can be reached: `git ls-remote {address}`",
    ),
    Rule(
        r"timed out|Timeout|Operation too slow",
        SourceUnavailableError,
        "timed out",
        "check the server and the network: `git ls-remote {address}`",
    ),
    Rule(
        r"early EOF|unexpected disconnect|hung up|Connection (?:reset|closed)|RPC failed|Empty reply"
        r"|returned error: (?:5\d\d|429)|Broken pipe|protocol error|bad line length|invalid server response"
        r"|died of signal|expected flush|terminating process|transfer closed|not closed cleanly"
        r"|(?:Recv|Send) failure",
        SourceUnavailableError,
        "the connection was lost, or the server is busy",
        "wait for the next poll; if it persists, check the server: `git ls-remote {address}`",
    ),
    Rule(
        r"not our ref|couldn't find remote ref|remote ref .* not found",
        SourceUnavailableError,
        "a reference moved during the fetch",
        "wait for the next poll",
    ),
    Rule(
        r"cannot run ssh|[Uu]nable to find remote helper",
        SourceError,
        "git needs a program that is missing on this machine",
        "install it: `apt-get install git openssh-client`",
    ),
    Rule(
        r"[Ii]nvalid path",
        SourceError,
        "it contains a file name that git refuses to write",
        "rename that file in the repository: `git mv OLD NEW`",
    ),
    Rule(
        r"Could not read from remote repository|unable to access|upload-pack|remote error",
        SourceUnavailableError,
        "it cannot be read",
        "check it by hand: `git ls-remote {address}`",
    ),
)
"""The first matching rule counts: causes come before the sentences that git adds to them."""


class Errors:
    """Translates failures of one repository.

    Args:
        address: of the repository.
        state: the directory that is ours, for hints.
    """

    def __init__(self, address: Address, state: Path) -> None:
        self._address = address
        self._state = state

    def of(
        self, failure: GitFailedError | GitTimeoutError | LockBusyError | OSError, doing: str
    ) -> SourceError:
        """Our error for a failure.

        Args:
            failure: what was raised.
            doing: what failed, as it follows "cannot".
        """
        if isinstance(failure, GitTimeoutError):
            return SourceUnavailableError(
                f"cannot {doing}: no answer within {failure.timeout.total_seconds():g} s",
                hint=self._fill("check the server and the network: `git ls-remote {address}`"),
            )
        if isinstance(failure, LockBusyError):
            return SourceUnavailableError(
                f"cannot {doing}: another process has locked {failure}",
                hint=f"wait until it ends; find it with `fuser -v {failure}`",
            )
        if isinstance(failure, OSError):
            what = os.strerror(failure.errno) if failure.errno else str(failure)
            errors = f"{what}: {failure.filename or self._state}"
        else:
            errors = failure.errors
        # A server may send anything after `remote:`; only git's own lines name the cause.
        own = "\n".join(line for line in errors.splitlines() if not line.startswith("remote:")) or errors
        without = self._without_address(own)
        rule = next((rule for rule in RULES if re.search(rule.says, without)), None)
        words = self._words(errors)
        if rule is None or (isinstance(failure, OSError) and rule.kind is not SourceError):
            return SourceError(
                f"cannot {doing}: {words}",
                hint=f"check that {self._state} can be read and written: `ls -ld {self._state}`",
            )
        return rule.kind(f"cannot {doing}: {rule.means} ({words})", hint=self._fill(rule.hint, own))

    def empty(self) -> RevisionNotFoundError:
        """The error for a repository without branches and tags."""
        return RevisionNotFoundError(
            f"cannot follow {self._address.shown}: it is empty",
            hint="push a first commit: `git push origin main`",
        )

    def _words(self, errors: str) -> str:
        """The most telling lines of git: errors and what the server adds, without advice."""
        lines = [line.strip() for line in errors.splitlines()]
        telling = [
            line for line in lines if re.match(r"(fatal|error|remote|ssh|.*: Permission denied)\b", line)
        ]
        chosen = list(dict.fromkeys(telling or [line for line in lines if line]))
        clean = (
            redact(re.sub(r"^(fatal|error|remote): ", "", line), self._address.secrets) for line in chosen
        )
        return shorten(
            "; ".join(line.rstrip(".:") for line in clean if line) or "git gave no reason", LONGEST
        )

    def _without_address(self, errors: str) -> str:
        """Git's message without the address: a host named `ssl` is not a certificate error."""
        address = self._address
        names = [address.url, str(address.path or ""), address.host, address.host.rpartition("@")[2]]
        for name in filter(None, names):
            errors = errors.replace(name, "ADDRESS")
        return errors

    def _fill(self, hint: str, errors: str = "") -> str:
        address = self._address
        # For a path only: over ssh the message may be the server's.
        there = re.search(r"repository at '(.+)'", errors) if address.path else None
        return hint.format(
            address=address.shown,
            host=redact(address.host, address.secrets) or "HOST",
            server=address.host.rpartition("@")[2] or "HOST",
            port=f"-p {address.ssh_port} " if address.ssh_port else "",
            path=address.path or address.shown,
            state=self._state,
            there=shlex.quote(there[1]) if there else address.path or address.shown,
        )
