"""What every prober does; see ports.Prober. The real one asks a real server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Protocol

import pytest

from ronron.adapters.http_prober import HttpProber
from ronron.core.inventory import Probe
from ronron.ports import Prober
from ronron.testing import Answer, FakeProber


class Site(Protocol):
    """A service that a test owns, and the prober that asks it."""

    prober: Prober
    url: str

    def answers(self, answer: Answer) -> None:
        """Let it answer so from now on."""
        ...

    def refuses(self) -> None:
        """Let nothing listen there any more."""
        ...


class FakeSite:
    """A row in a table."""

    def __init__(self) -> None:
        self.fake = FakeProber()
        self.prober: Prober = self.fake
        self.url = "http://pad.localhost:8080/health"

    def answers(self, answer: Answer) -> None:
        self.fake.answer(self.url, answer)

    def refuses(self) -> None:
        self.fake.answer(self.url, Answer(no_answer="connection refused"))


class RealSite:
    """A server on a free port of this machine."""

    def __init__(self) -> None:
        self.answer = Answer()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = site.answer.body.encode()
                self.send_response(site.answer.status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                if site.answer.to:
                    self.send_header("Location", site.answer.to)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has it
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.prober: Prober = HttpProber()
        self.url = f"http://pad.localhost:{self.server.server_port}/health"

    def answers(self, answer: Answer) -> None:
        self.answer = answer

    def refuses(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(params=["fake", "http"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "fake":
        yield FakeSite()
        return
    real = RealSite()
    yield real
    real.refuses()


def probe(site: Site, *status: int, contains: str | None = None) -> Probe:
    return Probe(url=site.url, status=status or (200,), contains=contains)


def test_the_promised_status_is_healthy_and_timed(site: Site) -> None:
    site.answers(Answer(200, "hello"))
    result = site.prober.probe("pad", probe(site))
    assert result.healthy
    assert (result.service, result.url) == ("pad", site.url)
    status, word, seconds, unit = result.detail.split()
    assert (status, word, unit) == ("200", "in", "s")
    assert 0 <= float(seconds) < 10


def test_any_of_several_statuses_will_do(site: Site) -> None:
    site.answers(Answer(401))
    assert site.prober.probe("backlog", probe(site, 200, 401)).healthy
    assert not site.prober.probe("backlog", probe(site, 200, 403)).healthy


def test_another_status_is_named_with_the_promised_ones(site: Site) -> None:
    site.answers(Answer(502))
    assert site.prober.probe("pad", probe(site)).detail == "502 Bad Gateway instead of 200"
    result = site.prober.probe("pad", probe(site, 401, 200, 401))
    assert not result.healthy
    assert result.detail == "502 Bad Gateway instead of 200 or 401"


def test_the_promised_text_has_to_be_there(site: Site) -> None:
    site.answers(Answer(200, "<title>Étherpad des voisins</title>"))
    assert site.prober.probe("pad", probe(site, contains="Étherpad")).healthy
    result = site.prober.probe("pad", probe(site, contains="étherpad"))
    assert not result.healthy
    assert result.detail == "200 without the text 'étherpad'"


def test_the_promised_text_under_another_status_is_not_enough(site: Site) -> None:
    site.answers(Answer(500, "Etherpad"))
    result = site.prober.probe("pad", probe(site, contains="Etherpad"))
    assert result.detail == "500 Internal Server Error instead of 200"


def test_a_redirect_is_an_answer_and_is_not_followed(site: Site) -> None:
    site.answers(Answer(302, to="https://login.example/?token=hunter2"))
    assert site.prober.probe("pad", probe(site, 200, 302)).healthy
    result = site.prober.probe("pad", probe(site))
    assert result.detail == "302 Found to https://login.example/?[secret] instead of 200"


LIMIT = 256 * 1024


@pytest.mark.parametrize(
    ("before", "healthy"),
    [
        pytest.param(LIMIT - 4, True, id="the last that is read"),
        pytest.param(LIMIT - 3, False, id="cut in the middle"),
        pytest.param(LIMIT, False, id="just after what is read"),
    ],
)
def test_a_text_far_down_is_not_looked_for(site: Site, before: int, healthy: bool) -> None:
    site.answers(Answer(200, "." * before + "here" + "." * LIMIT))
    assert site.prober.probe("pad", probe(site, contains="here")).healthy is healthy
    assert site.prober.probe("pad", probe(site)).healthy


def test_a_service_that_does_not_listen_is_no_error(site: Site) -> None:
    site.refuses()
    result = site.prober.probe("pad", probe(site))
    assert not result.healthy
    assert result.detail == "connection refused"


def test_credentials_in_a_url_are_not_shown(site: Site) -> None:
    site.answers(Answer(200))
    url = site.url.replace("http://", "http://ada:hunter2@") + "?key=hunter2"
    result = site.prober.probe("pad", Probe(url=url, status=(200,), contains=None))
    assert result.healthy
    assert result.url == site.url.replace("http://", "http://[secret]@") + "?[secret]"


def test_every_probe_asks_again(site: Site) -> None:
    site.answers(Answer(503))
    assert not site.prober.probe("pad", probe(site)).healthy
    site.answers(Answer(200))
    assert site.prober.probe("pad", probe(site)).healthy
