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
        hint: the fix; `{name}` and `{named}` are filled in.
        retryable: whether it may go away by itself.
        named: finds what the hint names, as its only group; all that it finds is named.
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
        "declare it again as it was; to remove it for good, run `ronron pulumi {name} -- state unprotect "
        "{named}`, then `ronron update {name}`",
        retryable=False,
        named=re.compile(r"resource \"(urn:pulumi:[^\"]+)\""),
        otherwise="with its URN",
    ),
    _Known(
        re.compile(
            r"host key verification failed|host key .* (?:mismatch|changed)|permission denied \(", re.I
        ),
        "check the machine's ssh address, its host_key and your key: `ronron doctor {name}` tries them",
        retryable=False,
    ),
    _Known(
        re.compile(r"permission denied while trying to connect to the docker", re.I),
        "allow the user that runs Ronron to use Docker: add it to the group docker with usermod -aG",
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
        "check the name, tag and digest of {named}: `ronron pin {name}` asks its registry",
        retryable=True,
        named=re.compile(r"(?:error pulling|unable to pull|no such) image:? ([^\s:]\S*?):?(?:\s|$)", re.I),
        otherwise="the image",
    ),
    _Known(
        re.compile(
            r"cannot connect to the docker|is the docker daemon running|error pinging docker|"
            r"error during connect|docker_engine.*no such file|no such host|no route to host|"
            r"connection (?:refused|timed out)|i/o timeout",
            re.I,
        ),
        "check that the machine is up and its Docker answers: `ronron doctor {name}` tries it",
        retryable=True,
    ),
    _Known(
        re.compile(r"port is already allocated|address already in use", re.I),
        "free the port (on that machine, `ss -ltnp` says who has it), or choose another in the declaration",
        retryable=False,
    ),
    _Known(
        re.compile(r"no space left on device", re.I),
        "make room on that machine, for instance with `docker system df` and `docker image prune`",
        retryable=True,
    ),
)


def remedy_for(text: str, name: str) -> Remedy | None:
    """The fix of the first known cause; None where there is none.

    Args:
        text: the message.
        name: the environment's name, for commands.
    """
    known = next((one for one in _KNOWN if one.words.search(text)), None)
    if known is None:
        return None
    found = dict.fromkeys(known.named.findall(text)) if known.named is not None else {}
    # A URN has characters that a shell reads.
    named = " ".join(f"'{one}'" if one.startswith("urn:") else one for one in found)
    return Remedy(known.hint.format(name=name, named=named or known.otherwise), known.retryable)
