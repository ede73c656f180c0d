from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.collectives import Collective
from tests.support.ports import free_port

PROGRAM = """
import pulumi

pulumi.export("inventory", {inventory!r})
"""


class Site(BaseHTTPRequestHandler):
    """A service; its server's `status` is what it answers."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


@contextmanager
def serving(port: int, status: int) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", port), Site)
    server.status = status  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def inventory(url: str) -> dict[str, Any]:
    site: dict[str, Any] = {
        "kind": "container", "version": "1", "image": "site:1", "image_digest": None, "machine": "here",
        "url": url, "probe": {"url": url, "status": [200], "contains": None}, "containers": [],
        "database": None, "volumes": [], "backup": None,
    }  # fmt: skip
    return {
        "version": 1,
        "collective": {"name": "A", "domain": "test.example", "contact": "a@test.example", "country": "FR"},
        "machines": {"here": {"docker": "unix:///var/run/docker.sock", "host_key": None, "proxmox": None}},
        "services": {"site": site},
    }


def until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


@pytest.mark.timeout(240)
def test_the_watcher_notices_an_outage_and_its_end_without_any_pass(collective: Collective) -> None:
    """Takes about a minute: an outage is noticed after the shortest interval, 10 s, and so is its end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    collective.policy(local={"probe_every": "10s"})
    collective.declare({})
    collective.write("__main__.py", PROGRAM.format(inventory=inventory(url)))
    collective.push()
    log = collective.root / "watch.log"

    def service() -> dict[str, Any]:
        (environment,) = collective.ronron("status", "--json").json()["environments"]
        (found,) = environment["services"]
        return dict(found)

    with collective.watching() as watch:
        with serving(port, 200):
            until(lambda: "is live" in log.read_text(), 90)
            status = collective.ronron("status")
            assert (status.code, " healthy " in status.out) == (0, True), status.said

        # A whole interval, one probe of 0.1 s, and the confirmation after 5 s; the rest is a slow machine.
        until(lambda: "site unhealthy" in log.read_text(), 30)
        assert f"site unhealthy: connection refused ({url})" in log.read_text()
        assert "hint: read its log with ronron logs local site" in log.read_text()
        status = collective.ronron("status")
        assert status.code == 1
        assert "local  unhealthy  site is unhealthy" in status.out
        assert "unhealthy since " in status.out
        assert "pass     1 updated " in status.out, "what the pass did is another line"
        down = service()
        assert (down["health"], down["healthy"], down["detail"]) == ("unhealthy", False, "connection refused")

        with serving(port, 502):
            until(lambda: service()["status"] == 502, 30)
        with serving(port, 200):
            until(lambda: "recovered: site is healthy again after " in log.read_text(), 30)
            assert collective.ronron("status").code == 0

        watch.terminate()
        asked = time.monotonic()
        watch.wait(30)
        assert time.monotonic() - asked < 10, "probes do not delay the end"
    text = log.read_text()
    assert (text.count("site unhealthy"), text.count("recovered: site")) == (1, 1)
    assert len(collective.ronron("history", "--json").json()["passes"]) == 1
