"""Whether a web answer is the one that an inventory declares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronron.core.answer import LONGEST, assess, sick
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult

URL = "https://pad.example/"
PROBE = Probe(url=URL, status=(200, 302), contains="Etherpad")
ANY_TEXT = Probe(url=URL, status=(200,), contains=None)


def test_the_promised_answer_is_healthy_with_its_time() -> None:
    assert assess("pad", PROBE, 200, "<title>Etherpad</title>", 0.0449) == ProbeResult(
        service="pad", url=URL, healthy=True, detail="200 in 0.04 s", status=200, seconds=0.0449
    )


@pytest.mark.parametrize(
    ("probe", "status", "body", "to", "detail"),
    [
        pytest.param(PROBE, 502, "Etherpad", "", "502 Bad Gateway instead of 200 or 302", id="another one"),
        pytest.param(PROBE, 201, "Etherpad", "", "201 Created instead of 200 or 302", id="a near one"),
        pytest.param(ANY_TEXT, 404, "", "", "404 Not Found instead of 200", id="one good status"),
        pytest.param(ANY_TEXT, 302, "", "/login", "302 Found to /login instead of 200", id="sent elsewhere"),
        pytest.param(
            Probe(url=URL, status=(302, 200, 302), contains=None), 503, "", "",
            "503 Service Unavailable instead of 200 or 302",
            id="good ones sorted, each once",
        ),
        pytest.param(ANY_TEXT, 520, "", "", "520 instead of 200", id="a status without a name"),
        pytest.param(PROBE, 200, "etherpad", "", "200 without the text 'Etherpad'", id="another text"),
        pytest.param(PROBE, 200, "", "", "200 without the text 'Etherpad'", id="no text"),
        pytest.param(PROBE, 502, "", "", "502 Bad Gateway instead of 200 or 302", id="the status goes first"),
    ],
)  # fmt: skip
def test_any_other_answer_is_sick_and_says_why(
    probe: Probe, status: int, body: str, to: str, detail: str
) -> None:
    found = assess("pad", probe, status, body, 0.1, to=to)
    assert (found.healthy, found.detail, found.service, found.url) == (False, detail, "pad", URL)
    assert (found.status, found.seconds) == (status, 0.1)


def test_a_good_redirect_is_healthy() -> None:
    assert assess("pad", PROBE, 302, "Etherpad", 0.1, to="/login").healthy


def test_no_text_is_needed_where_none_is_promised() -> None:
    assert assess("pad", ANY_TEXT, 200, "", 0.1).healthy


def test_a_long_promise_is_shown_short() -> None:
    found = assess("pad", Probe(url=URL, status=(200,), contains="x" * 500), 200, "", 0.1)
    assert len(found.detail) < 100


def test_no_credential_of_a_url_is_shown() -> None:
    probe = Probe(url="https://ada:hunter22@pad.example/?token=hunter22", status=(200,), contains=None)
    for found in (assess("pad", probe, 200, "", 0.1), assess("pad", probe, 302, "", 0.1, to=probe.url)):
        assert "hunter22" not in str(found)


@given(st.text())
def test_what_is_wrong_is_one_short_line(why: str) -> None:
    detail = sick("pad", PROBE, why).detail
    assert len(detail.splitlines()) <= 1
    assert len(detail) <= LONGEST
