"""What the prober does on the wire, against real servers of this machine that behave badly."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from threading import Event

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from ronron.adapters.http_prober import LARGEST_BODY, HttpProber
from ronron.core.errors import ConfigError
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult
from tests.support.raw_servers import OK, RawServers, Talk, raw_servers


@pytest.fixture
def serve() -> Iterator[RawServers]:
    """Starts servers that read one request and then do what the test says; gives their ports."""
    with raw_servers(Event()) as serve:
        yield serve


def ask(
    port: int, prober: HttpProber | None = None, *, contains: str | None = None, host: str = "127.0.0.1"
) -> ProbeResult:
    probe = Probe(url=f"http://{host}:{port}/health", status=(200,), contains=contains)
    return (prober or HttpProber()).probe("pad", probe)


# -- what is asked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "pad.localhost", "a.b.LOCALHOST", "pad.localhost."])
def test_a_name_below_localhost_is_asked_on_this_machine_under_its_own_name(
    serve: RawServers, host: str
) -> None:
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
    serve: RawServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def saying(answer: bytes) -> Talk:
    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(answer)

    return talk


def test_of_a_body_without_an_end_only_the_beginning_is_read(serve: RawServers) -> None:
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


def test_a_text_is_read_in_the_letters_that_the_answer_names(serve: RawServers) -> None:
    def talk(peer: socket.socket, request: bytes) -> None:
        body = "café".encode("latin-1")
        peer.sendall(OK + b"Content-Type: text/html; charset=latin-1\r\n")
        peer.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    assert ask(serve(talk), contains="café").healthy


@pytest.mark.parametrize("charset", ["hex", "martian", "", '"', "utf-8; x=\xff"])
def test_letters_that_nobody_knows_are_read_as_utf_8(serve: RawServers, charset: str) -> None:
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
def test_a_broken_answer_is_no_answer(serve: RawServers, answer: bytes) -> None:
    result = ask(serve(saying(answer)))
    assert not result.healthy
    assert result.detail.startswith("no answer: ")
    assert "\n" not in result.detail
    assert len(result.detail) <= 200


def test_an_answer_that_would_redraw_the_screen_is_shown_plain(serve: RawServers) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: /\x1b[31mred\r\nContent-Length: 0\r\n\r\n"
    result = ask(serve(saying(head)))
    assert not result.healthy
    assert "\x1b" not in result.detail


# -- services that are not there ---------------------------------------------------------------------------


def test_a_closed_port_refuses() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert ask(port).detail == "connection refused"


def test_a_name_that_nobody_knows_is_said_to_be_unknown() -> None:
    assert ask(80, HttpProber(), host="pad.ronron.invalid").detail == "cannot resolve the host"


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
    assert result.detail.startswith(
        ("cannot ask ", "cannot resolve the host", "connection refused", "no answer: ")
    )
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
def secure(authority: trustme.CA, serve: RawServers) -> int:
    """A server for https://pad.localhost whose certificate an unknown authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pad.localhost").configure_cert(context)

    def talk(peer: socket.socket, request: bytes) -> None:
        peer.sendall(OK + b"Content-Length: 0\r\n\r\n")

    return serve(talk, context)


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


def test_a_plain_service_behind_https_is_said_to_fail_at_tls(serve: RawServers) -> None:
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
