"""A prober whose web is a table: by default every service answers as its inventory declares."""

from __future__ import annotations

from dataclasses import dataclass

from ronron.core.answer import assess, sick
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult

LARGEST_BODY = 256 * 1024
"""As the real one."""


@dataclass(frozen=True)
class Answer:
    """What a URL answers: a status, a text and where a redirect points; or why there is no answer."""

    status: int = 200
    body: str = ""
    to: str = ""
    no_answer: str = ""


class FakeProber:
    """See ports.Prober."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """URLs in the order in which they were asked."""
        self._answers: dict[str, list[Answer]] = {}

    def answer(self, url: str, *answers: Answer) -> None:
        """Let a URL give these answers, one after the other; the last one stays."""
        self._answers[url] = list(answers)

    def probe(self, service: str, probe: Probe) -> ProbeResult:
        """See ports.Prober."""
        self.asked.append(probe.url)
        left = self._answers.get(probe.url)
        if not left:
            return assess(service, probe, probe.status[0], probe.contains or "", 0.0)
        answer = left[0] if len(left) == 1 else left.pop(0)
        if answer.no_answer:
            return sick(service, probe, answer.no_answer)
        return assess(service, probe, answer.status, answer.body[:LARGEST_BODY], 0.0, to=answer.to)
