"""How long the prober waits for real servers that answer late, drip or say nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from threading import Event

import pytest

from ronron.adapters.http_prober import LONGEST_SECONDS, HttpProber
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult
from tests.support.raw_servers import OK, RawServers, Talk, raw_servers


@pytest.fixture
def stop() -> Event:
    """Is set when the test is over: whoever hangs then hangs up."""
    return Event()


@pytest.fixture
def serve(stop: Event) -> Iterator[RawServers]:
    with raw_servers(stop) as serve:
        yield serve


def ask(port: int, prober: HttpProber) -> ProbeResult:
    return prober.probe("pad", Probe(url=f"http://127.0.0.1:{port}/health", status=(200,), contains=None))


def dripping(head: bytes, drop: bytes, stop: Event) -> Talk:
    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(head)
        while not stop.wait(0.05):
            peer.sendall(drop)

    return talk


def test_a_service_that_accepts_and_says_nothing_is_given_up(serve: RawServers, stop: Event) -> None:
    def talk(peer: socket.socket, request: bytes) -> None:
        stop.wait(20)

    result = ask(serve(talk), HttpProber(seconds=1))
    assert not result.healthy
    assert result.detail == "no answer within 1 s"


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        pytest.param(b"", b"H", id="never a status"),
        pytest.param(OK + b"X-Slow: ", b"z", id="one header that never ends"),
        pytest.param(OK + b"Content-Length: 9999\r\n\r\n", b"z", id="a body byte by byte"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n", id="a chunk at a time"),
    ],
)
def test_a_service_that_drips_is_given_up_in_time(
    serve: RawServers, stop: Event, head: bytes, drop: bytes
) -> None:
    began = time.monotonic()
    result = ask(serve(dripping(head, drop, stop)), HttpProber(seconds=1))
    assert time.monotonic() - began < 2
    assert not result.healthy
    assert result.detail == "no answer within 1 s"


def test_no_probe_may_take_longer_than_the_port_says() -> None:
    assert LONGEST_SECONDS == 10
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        began = time.monotonic()
        result = ask(silent.getsockname()[1], HttpProber(seconds=3600))
    assert 9.5 < time.monotonic() - began < 11
    assert result.detail == "no answer within 10 s"


def test_a_machine_that_drops_packets_is_given_up_after_the_time_for_connecting() -> None:
    # A queue that is full and that nobody empties drops them as a firewall does.
    with ExitStack() as sockets:
        full = sockets.enter_context(closing(socket.socket()))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(8):
            waiting = sockets.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        began = time.monotonic()
        result = ask(full.getsockname()[1], HttpProber())
    assert 2.5 < time.monotonic() - began < 4
    assert result.detail == "no answer: no connection within 3 s"
