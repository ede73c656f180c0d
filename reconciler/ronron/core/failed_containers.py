"""Why a container failed: what Docker says of it, what its health check said and what it wrote last. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ronron.core.containers import ContainerHealth, ContainerState, Observation
from ronron.core.redact import is_secret_name, redact, shorten
from ronron.core.value import Value

LOG_LINES = 20
LOG_CHARACTERS = 4000
"""Of the end of a log; one screen."""

_HEALTH_CHARACTERS = 500
_LINE_CHARACTERS = 500
_KILLED = 128
"""Exit codes above it are this and the number of the signal that ended the process."""

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
            9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM"}  # fmt: skip
_SHELL = {126: "its command cannot be executed", 127: "its command was not found"}


class FailedContainer(Value):
    """A container that failed in a pass, and its reason; every text is redacted.

    Args:
        name: of the container.
        service: the service that it belongs to; empty where the inventory does not know it.
        machine: that it is on.
        image: that it was created from; empty if it is not known.
        why: in one phrase, such as `exited with 3, restarted 7 times`.
        health: the output of its last health check; empty for none.
        log: the last lines that it wrote, the oldest first.
        unknown: why Docker could not be asked; empty where it answered.
    """

    name: str
    service: str = ""
    machine: str = ""
    image: str = ""
    why: str = ""
    health: str = ""
    log: tuple[str, ...] = ()
    unknown: str = ""

    @property
    def headline(self) -> str:
        """One line: `container x-pad (image etherpad:1.8.14) exited with 3, restarted 7 times`."""
        image = f" (image {_without_digest(self.image)})" if self.image else ""
        if self.unknown:
            return f"container {self.name}{image} failed; cannot ask Docker why: {self.unknown}"
        return f"container {self.name}{image} {self.why}"

    def details(self, most: int = LOG_LINES) -> tuple[str, ...]:
        """What its health check said, and up to `most` of the last lines that it wrote."""
        shown = self.log[max(0, len(self.log) - most) :]
        health = [f"health check: {line}" for line in self.health.splitlines()]
        return (*health, *(f"log: {line}" for line in shown))


def failed_container(
    seen: Observation,
    log: Iterable[str],
    *,
    service: str = "",
    machine: str = "",
    secrets: Iterable[str] = (),
) -> FailedContainer:
    """The reason of a container that was seen, bounded and redacted.

    Args:
        seen: how it was when it failed.
        log: its last lines.
        service: that it belongs to.
        machine: that it is on.
        secrets: values that no text may show.
    """
    known = tuple(secrets)
    health = seen.health_output if seen.health is not ContainerHealth.HEALTHY else ""
    return FailedContainer(
        name=seen.name,
        service=service,
        machine=machine,
        image=seen.image,
        why=_plain(why_failed(seen), known, _LINE_CHARACTERS),
        health=shorten(redact(health, known).strip(), _HEALTH_CHARACTERS),
        log=last_lines(log, known),
    )


def last_lines(log: Iterable[str], secrets: Iterable[str] = ()) -> tuple[str, ...]:
    """The end of a log that fits on a screen: redacted, without control characters and empty lines."""
    # Redacted as a whole, since a secret may be of several lines.
    clean = redact("\n".join(log), secrets)
    lines = [shorten(line.rstrip(), _LINE_CHARACTERS) for line in clean.split("\n") if line.strip()]
    kept: list[str] = []
    left = LOG_CHARACTERS
    for line in reversed(lines[max(0, len(lines) - LOG_LINES) :]):
        left -= len(line) + 1
        if left < 0:
            break
        kept.insert(0, line)
    return tuple(kept)


def why_failed(seen: Observation) -> str:
    """What is wrong with a container, in one phrase that follows its name."""
    restarts = {0: "", 1: ", restarted once"}.get(seen.restarts, f", restarted {seen.restarts} times")
    match seen.state:
        case ContainerState.MISSING:
            return "does not exist"
        case ContainerState.CREATED:
            why = f": {seen.error}" if seen.error else ""
            return f"was never started{why}"
        case ContainerState.RUNNING | ContainerState.PAUSED if seen.health is ContainerHealth.UNHEALTHY:
            return f"is unhealthy{restarts}"
        case ContainerState.RUNNING if seen.health is ContainerHealth.STARTING:
            return f"is running and not healthy yet{restarts}"
        case ContainerState.RUNNING:
            return f"is running{restarts}"
        case ContainerState.PAUSED:
            return "is paused"
        case _:
            error = f": {seen.error}" if seen.error else ""
            return f"{exit_in_words(seen.exit_code, oom_killed=seen.oom_killed)}{restarts}{error}"


def is_at_fault(seen: Observation) -> bool:
    """Whether a container itself shows why its service is unhealthy: it is not running well, or restarts."""
    healthy = {ContainerHealth.NONE, ContainerHealth.HEALTHY}
    return seen.state is not ContainerState.RUNNING or seen.health not in healthy or seen.restarts > 0


def exit_in_words(code: int | None, *, oom_killed: bool = False) -> str:
    """How a container ended: `exited with 3`; a signal and a lack of memory have words."""
    if oom_killed:
        return f"was killed: it needs more memory than its limit (exit code {137 if code is None else code})"
    if code is None:
        return "ended"
    if code in _SHELL:
        return f"exited with {code}: {_SHELL[code]}"
    signal = _SIGNALS.get(code - _KILLED)
    if signal is None:
        return f"exited with {code}"
    if signal == "SIGKILL":
        return f"was killed by SIGKILL (exit code {code}): by a person, or by the machine for lack of memory"
    return f"was ended by {signal} (exit code {code})"


def secret_values(environment: Iterable[str]) -> frozenset[str]:
    """The values of the variables of a container, `NAME=value`, whose names say that they are secret."""
    pairs = (one.partition("=") for one in environment)
    return frozenset(value for name, _, value in pairs if value and is_secret_name(name))


def _plain(text: str, secrets: Iterable[str], limit: int) -> str:
    return shorten(" ".join(redact(text, secrets).split()), limit)


def _without_digest(image: str) -> str:
    """The image without its digest, where it has a tag."""
    name, at, _ = image.partition("@")
    return name if at and ":" in name.rpartition("/")[2] else image
