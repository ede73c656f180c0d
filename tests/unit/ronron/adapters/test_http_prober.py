"""What the prober does on the wire, against real servers of this machine that behave badly."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from importlib import metadata
from pathlib import Path
from threading import Event, Thread

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from ronron.adapters.http_prober import LARGEST_BODY, LONGEST_SECONDS, HttpProber
from ronron.core.errors import ConfigError
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult

Talk = Callable[[socket.socket, bytes], None]
Serve = Callable[[Talk], int]

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def stop() -> Event:
    """Is set when the test is over: whoever hangs then hangs up."""
    return Event()


@pytest.fixture
def serve(stop: Event) -> Iterator[Serve]:
    """Starts servers that read one request and then do what the test says; gives their ports."""
    with ExitStack() as servers:
        yield lambda talk: _start(servers, talk, None)
        stop.set()


def _start(servers: ExitStack, talk: Talk, context: ssl.SSLContext | None) -> int:
    listener = servers.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.settimeout(0.05)
    over = Event()

    def answer(plain: socket.socket) -> None:
        with suppress(OSError), closing(plain), ExitStack() as stack:
            plain.settimeout(20)
            peer = stack.enter_context(context.wrap_socket(plain, server_side=True)) if context else plain
            talk(peer, peer.recv(65536))

    def accept() -> None:
        with ExitStack() as threads:
            while not over.is_set():
                with suppress(TimeoutError):
                    peer, _ = listener.accept()
                    thread = Thread(target=answer, args=(peer,))
                    thread.start()
                    threads.callback(thread.join)

    thread = Thread(target=accept)
    thread.start()
    servers.callback(thread.join)
    servers.callback(over.set)
    return int(listener.getsockname()[1])


def ask(
    port: int, prober: HttpProber | None = None, *, contains: str | None = None, host: str = "127.0.0.1"
) -> ProbeResult:
    probe = Probe(url=f"http://{host}:{port}/health", status=(200,), contains=contains)
    return (prober or HttpProber(seconds=1)).probe("pad", probe)


# -- what is asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "pad.localhost", "a.b.LOCALHOST", "pad.localhost."])
def test_a_name_below_localhost_is_asked_on_this_machine_under_its_own_name(serve: Serve, host: str) -> None:
    asked: list[bytes] = []

    def talk(peer: socket.socket, request: bytes) -> None:
        asked.append(request)
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    port = serve(talk)
    result = ask(port, host=host)
    assert result.healthy, result.detail
    line, *headers = asked[0].decode().rstrip().split("\r\n")
    assert line == "GET /health HTTP/1.1"
    fields = dict(header.lower().split(": ", 1) for header in headers)
    assert fields == {
        "host": f"{host.lower()}:{port}",
        "user-agent": f"ronron/{metadata.version('ronron')}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }


def test_neither_proxies_nor_passwords_of_the_user_are_used(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login ada password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    asked: list[bytes] = []

    def talk(peer: socket.socket, request: bytes) -> None:
        asked.append(request)
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    assert ask(serve(talk)).healthy
    assert b"authorization" not in asked[0].lower()


# -- services that behave badly ----------------------------------------------------------------------------


def test_a_service_that_accepts_and_says_nothing_is_given_up(serve: Serve, stop: Event) -> None:
    def talk(peer: socket.socket, request: bytes) -> None:
        stop.wait(20)

    result = ask(serve(talk))
    assert not result.healthy
    assert result.detail == "no answer within 1 s"


def saying(answer: bytes) -> Talk:
    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(answer)

    return talk


def dripping(head: bytes, drop: bytes, stop: Event) -> Talk:
    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(head)
        while not stop.wait(0.05):
            peer.sendall(drop)

    return talk


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
    serve: Serve, stop: Event, head: bytes, drop: bytes
) -> None:
    began = time.monotonic()
    result = ask(serve(dripping(head, drop, stop)))
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


def test_of_a_body_without_an_end_only_the_beginning_is_read(serve: Serve) -> None:
    sent: list[int] = []

    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(OK + b"\r\n")
        try:
            for _ in range(1000):
                peer.sendall(b"z" * 65536)
                sent.append(65536)
        except OSError:
            return

    result = ask(serve(talk))
    assert result.healthy
    # What lies in the buffers of both ends was sent and never read.
    assert LARGEST_BODY - 65536 <= sum(sent) < 40 * LARGEST_BODY


def test_a_text_is_read_in_the_letters_that_the_answer_names(serve: Serve) -> None:
    def talk(peer: socket.socket, request: bytes) -> None:
        body = "café".encode("latin-1")
        peer.sendall(OK + b"Content-Type: text/html; charset=latin-1\r\n")
        peer.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    assert ask(serve(talk), contains="café").healthy


@pytest.mark.parametrize("charset", ["hex", "martian", "", '"', "utf-8; x=\xff"])
def test_letters_that_nobody_knows_are_read_as_utf_8(serve: Serve, charset: str) -> None:
    def talk(peer: socket.socket, request: bytes) -> None:
        body = "café".encode()
        peer.sendall(OK + b"Content-Type: text/html; charset=" + charset.encode("latin-1") + b"\r\n")
        peer.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    result = ask(serve(talk), contains="café")
    assert result.healthy, result.detail


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", id="no status"),
        pytest.param(OK + b"Content-Length: 10\r\n\r\nshort", id="a body that is cut off"),
        pytest.param(OK + b"Content-Length: -1\r\n\r\n", id="an impossible length"),
        pytest.param(OK + b"X: " + b"z" * 200_000 + b"\r\n\r\n", id="a huge header"),
        pytest.param(OK + b"\x00: \xff\r\n\r\n", id="a broken header"),
    ],
)
def test_a_broken_answer_is_no_answer(serve: Serve, answer: bytes) -> None:
    result = ask(serve(saying(answer)))
    assert not result.healthy
    assert result.detail.startswith("no answer: ")
    assert "\n" not in result.detail
    assert len(result.detail) <= 200


def test_an_answer_that_would_redraw_the_screen_is_shown_plain(serve: Serve) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /\x1b[31mred\r\nContent-Length: 0\r\n\r\n"
    result = ask(serve(saying(head)))
    assert not result.healthy
    assert "\x1b" not in result.detail


# -- services that are not there ---------------------------------------------------------------------------


def test_a_closed_port_refuses() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert ask(port).detail == "no answer: connection refused"


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


def test_a_name_that_nobody_knows_is_said_to_be_unknown() -> None:
    assert ask(80, HttpProber(), host="pad.ronron.invalid").detail == "no answer: its name does not resolve"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pad.example",
        "ftp://pad.example/",
        "http://",
        "http:///health",
        "http://[::1",
        "http://pad.example:99999/",
        "http://pad.example:port/",
        "http://a\x00b/",
        "http://..localhost/",
        "http://" + "a" * 300 + ".localhost:1/",
        "http://xn--\udc80.localhost/",
        "http://127.0.0.1:1/" + "a" * 70_000,
        "http://ada:p\nw@127.0.0.1:1/",
    ],
)
def test_a_url_that_cannot_be_asked_is_no_error(url: str) -> None:
    result = HttpProber(seconds=2).probe("pad", Probe.model_construct(url=url, status=(200,), contains=None))
    assert not result.healthy
    assert result.detail.startswith(("cannot ask ", "no answer: "))
    assert len(result.detail) <= 200


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_no_url_makes_a_probe_raise(rest: str) -> None:
    # Port 1 is closed here, so that nobody else is asked.
    probe = Probe.model_construct(url=f"http://127.0.0.1:1/{rest}", status=(200,), contains=None)
    result = HttpProber(False, seconds=2).probe("pad", probe)
    assert not result.healthy


# -- certificates ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, stop: Event) -> Iterator[int]:
    """A server for https://pad.localhost whose certificate an unknown authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pad.localhost").configure_cert(context)

    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    with ExitStack() as servers:
        yield _start(servers, talk, context)


def ask_securely(port: int, prober: HttpProber, name: str = "pad.localhost") -> ProbeResult:
    return prober.probe("pad", Probe(url=f"https://{name}:{port}/", status=(200,), contains=None))


def test_a_certificate_of_an_unknown_authority_is_not_trusted(secure: int) -> None:
    result = ask_securely(secure, HttpProber())
    assert not result.healthy
    assert result.detail == "its certificate is not trusted: unable to get local issuer certificate"


def test_a_certificate_of_a_given_authority_is_trusted_for_its_own_name_only(
    secure: int, authority: trustme.CA, tmp_path: Path
) -> None:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    prober = HttpProber(file)
    assert ask_securely(secure, prober).healthy
    result = ask_securely(secure, prober, "team.localhost")
    assert not result.healthy
    assert "its certificate is not trusted: Hostname mismatch" in result.detail


def test_certificates_are_not_looked_at_where_nobody_wants_it(secure: int) -> None:
    assert ask_securely(secure, HttpProber(verify=False)).healthy


def test_a_plain_service_behind_https_is_said_to_fail_at_tls(serve: Serve) -> None:
    port = serve(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    result = ask_securely(port, HttpProber())
    assert not result.healthy
    assert result.detail.startswith("no answer: TLS failed (")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_the_given_authority_has_to_be_there(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match="cannot read the certificates to trust") as found:
        HttpProber(file)
    assert found.value.where == str(file)
    assert found.value.hint
