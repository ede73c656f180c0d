"""Known causes in the messages of providers and the engine, each with its fix. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

DOCTOR = "run `ronron doctor`: it names what is missing and how to get it"

UNDELETABLE = re.compile(r"cannot be deleted\W+because it is protected")
"""Source: pulumi pkg/resource/deploy/step.go, 3.274.1."""
PROTECTED = re.compile(UNDELETABLE.pattern + r"|currently marked for protection")
"""Source of the second: pulumi pkg/resource/deploy/step_generator.go, 3.274.1."""


class Remedy(NamedTuple):
    """The fix of a cause, and whether it may go away by itself."""

    hint: str
    retryable: bool


class _Known(NamedTuple):
    """A known cause and its fix.

    Args:
        words: found in the message.
        hint: the fix; `{stack}` and `{named}` are filled in.
        retryable: whether it may go away by itself.
        named: finds what the hint names, as its only group.
        otherwise: the name where none is found.
    """

    words: re.Pattern[str]
    hint: str
    retryable: bool
    named: re.Pattern[str] | None = None
    otherwise: str = ""


_KNOWN = (
    _Known(
        PROTECTED,
        "declare it again as it was; to remove it for good, unprotect it with "
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
        "allow the user that runs Ronron to use Docker: `sudo usermod -aG docker USER`",
        retryable=False,
    ),
    # Before the unreachable machine: an unreachable registry is not one of our machines.
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
        "check that the machine is up and its Docker answers: `docker --host {named} info`",
        retryable=True,
        # An address with a user would be shown without it, and then be wrong.
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
    """The fix of the first known cause; None where there is none.

    Args:
        text: the message.
        stack: the stack's name, for commands.
    """
    known = next((one for one in _KNOWN if one.words.search(text)), None)
    if known is None:
        return None
    found = known.named.search(text) if known.named is not None else None
    return Remedy(
        known.hint.format(stack=stack, named=found[1] if found else known.otherwise), known.retryable
    )
