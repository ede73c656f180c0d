"""Causes that providers and the engine tell in their own words, and what helps against each. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

DOCTOR = "run `ronron doctor`, which says what is missing and how to get it"

PROTECTED = re.compile(r"cannot be deleted\W+because it is protected|currently marked for protection")
"""Source: pulumi pkg/resource/deploy/step_generator.go, 3.274.1."""


class Remedy(NamedTuple):
    """What helps against a cause, and whether time alone may."""

    hint: str
    retryable: bool


class _Known(NamedTuple):
    """A cause and its remedy.

    Args:
        words: how the cause is recognised.
        hint: the remedy; `{stack}` and `{named}` are filled in.
        retryable: whether it may go away by itself.
        named: finds what the hint names, as its only group.
        otherwise: the name where none was found.
    """

    words: re.Pattern[str]
    hint: str
    retryable: bool
    named: re.Pattern[str] | None = None
    otherwise: str = ""


_KNOWN = (
    _Known(
        PROTECTED,
        "put it back as it was; only if it is to go for good, let go of it with "
        "`pulumi state unprotect --stack {stack} '{named}'`, then update again",
        retryable=False,
        named=re.compile(r"resource \"(urn:pulumi:[^\"]+)\""),
        otherwise="URN",
    ),
    _Known(
        re.compile(
            r"host key verification failed|host key .* (?:mismatch|changed)|permission denied \(", re.I
        ),
        "check the machine's ssh address, its host_key and your key with "
        "`ssh USER@MACHINE true`, then update again",
        retryable=False,
    ),
    _Known(
        re.compile(r"permission denied while trying to connect to the docker", re.I),
        "give the user that runs Ronron the right to use Docker: `sudo usermod -aG docker USER`",
        retryable=False,
    ),
    # Before the unreachable machine: a registry that does not answer is no machine of ours.
    _Known(
        re.compile(
            r"pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|repository does not exist|"
            r"no such image|failed to resolve reference|unable to (?:pull|find|read) .*image|"
            r"error pulling image|toomanyrequests",
            re.I,
        ),
        "check the image's name, tag and digest with `docker pull {named}` on that machine",
        retryable=True,
        named=re.compile(r"(?:error pulling|unable to pull|no such) image:? ([^\s:]\S*?):?(?:\s|$)", re.I),
        otherwise="IMAGE",
    ),
    _Known(
        re.compile(
            r"cannot connect to the docker|is the docker daemon running|error pinging docker|"
            r"error during connect|docker_engine.*no such file|no such host|no route to host|"
            r"connection (?:refused|timed out)|i/o timeout",
            re.I,
        ),
        "see that the machine is up and Docker answers on it, with `docker --host {named} info`",
        retryable=True,
        # One with a user in it would be shown without, and then be no address.
        named=re.compile(r"make sure that ([^\s@]+) is reachable"),
        otherwise="ADDRESS",
    ),
    _Known(
        re.compile(r"port is already allocated|address already in use", re.I),
        "free the port (`docker ps` says which container has it), or choose another one in the declaration",
        retryable=False,
    ),
    _Known(
        re.compile(r"no space left on device", re.I),
        "make room on that machine, for instance with `docker system df` and `docker image prune`",
        retryable=True,
    ),
)


def remedy_for(text: str, stack: str) -> Remedy | None:
    """The remedy of the first cause that is known; None where none is.

    Args:
        text: what was said.
        stack: the stack's name, for commands.
    """
    known = next((one for one in _KNOWN if one.words.search(text)), None)
    if known is None:
        return None
    found = known.named.search(text) if known.named is not None else None
    return Remedy(
        known.hint.format(stack=stack, named=found[1] if found else known.otherwise), known.retryable
    )
