"""How registries of images are asked, over real connections to a double that answers as each test says."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import trustme
from pydantic import SecretStr

from ronron.adapters.image_registry import HttpImageRegistry, Login, docker_login
from ronron.core.errors import ImageRegistryError
from ronron.core.images import ImageReference, read_image
from tests.support.raw_servers import RawServers, raw_servers
from tests.support.registry_double import DIGEST, MANIFEST, Asked, Reply, manifest, registry_double

TECH = Login(user="tech", password=SecretStr("open sesame"))
BASIC = f"Basic {base64.b64encode(b'tech:open sesame').decode()}"
TOKEN = "token-of-the-double"


def nobody(registry: str) -> Login | None:
    del registry
    return None


def tech(registry: str) -> Login | None:
    del registry
    return TECH


def image(address: str, name: str = "pads/etherpad:3.3.1") -> ImageReference:
    found = read_image(f"{address}/{name}")
    assert found is not None
    return found


def digest(address: str, login: Callable[[str], Login | None] = nobody, seconds: float = 10) -> str:
    return HttpImageRegistry(login, seconds=seconds).digest(image(address))


def refused(address: str, login: Callable[[str], Login | None] = nobody, seconds: float = 10) -> str:
    """The message of the error, which is one line and has a hint."""
    with pytest.raises(ImageRegistryError) as caught:
        digest(address, login, seconds)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    assert "open sesame" not in caught.value.message + caught.value.hint
    assert f"{address}/pads/etherpad:3.3.1" in caught.value.message
    return caught.value.message


def every_name_is_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a server of the test is reached under the name of another machine."""
    found = socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM)

    def resolve(_host: object, port: int, *_more: object, **_options: object) -> object:
        return [(*entry[:4], ("127.0.0.1", port)) for entry in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def with_tokens(realm: str) -> Callable[[Asked], Reply]:
    """A registry that gives its manifests for a bearer token, and the token for anybody."""

    def answer(asked: Asked) -> Reply:
        if asked.path == "/token":
            return Reply(body=json.dumps({"token": TOKEN}).encode())
        if asked.authorization == f"Bearer {TOKEN}":
            return manifest(asked)
        return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="double"'})

    return answer


@pytest.fixture
def raw() -> Iterator[RawServers]:
    with raw_servers(Event()) as servers:
        yield servers


# -- who is asked, and what is sent ------------------------------------------------------------------------


def test_asks_for_lists_of_platforms_by_a_head_request() -> None:
    with registry_double() as double:
        assert digest(double.address) == DIGEST
        (asked,) = double.asked
    assert (asked.method, asked.path) == ("HEAD", "/v2/pads/etherpad/manifests/3.3.1")
    assert "application/vnd.oci.image.index.v1+json" in asked.headers["accept"]
    assert "application/vnd.docker.distribution.manifest.list.v2+json" in asked.headers["accept"]


@pytest.mark.parametrize("status", [200, 405])
def test_hashes_the_manifest_where_a_head_request_gives_no_digest(status: int) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(status) if asked.method == "HEAD" else Reply(body=MANIFEST)

    with registry_double(answer) as double:
        assert digest(double.address) == DIGEST


@pytest.mark.parametrize(("login", "sent"), [(nobody, ""), (tech, BASIC)])
def test_gets_a_token_where_the_registry_asks_for_one(
    login: Callable[[str], Login | None], sent: str
) -> None:
    with registry_double() as double:
        double.answer = with_tokens(f"http://{double.address}/token")
        assert digest(double.address, login) == DIGEST
        first, token, second = double.asked
    assert first.authorization == ""
    assert token.authorization == sent
    assert token.query == {"service": ["double"], "scope": ["repository:pads/etherpad:pull"]}
    assert second.authorization == f"Bearer {TOKEN}"


def test_logs_in_by_itself_where_the_registry_asks_for_that() -> None:
    def answer(asked: Asked) -> Reply:
        allowed = asked.authorization == BASIC
        return manifest(asked) if allowed else Reply(401, {"WWW-Authenticate": 'Basic realm="double"'})

    with registry_double(answer) as double:
        assert digest(double.address, tech) == DIGEST
        assert "refuses it" in refused(double.address)


def test_no_token_goes_to_another_host_by_a_redirect() -> None:
    with registry_double(host="localhost") as elsewhere, registry_double() as double:
        answer = with_tokens(f"http://{double.address}/token")

        def redirecting(asked: Asked) -> Reply:
            reply = answer(asked)
            if asked.path == "/token" or reply.status == 401:
                return reply
            return Reply(307, {"Location": f"http://{elsewhere.address}/blob"})

        double.answer = redirecting
        assert digest(double.address, tech) == DIGEST
        assert [asked.authorization for asked in elsewhere.asked] == [""]


@pytest.mark.parametrize(
    "realm", ["http://auth.example/token", "https://", "file:///etc/passwd", "https://me@auth.example/", ""]
)
def test_no_login_goes_to_a_token_service_without_https(realm: str) -> None:
    with registry_double(with_tokens(realm)) as double:
        assert "token service that is not a URL with https" in refused(double.address, tech)


def test_a_redirect_to_plain_http_of_another_machine_is_refused() -> None:
    with registry_double(lambda _: Reply(307, {"Location": "http://other.example/v2/"})) as double:
        assert "redirects to http://other.example, which is not HTTPS" in refused(double.address)


def test_redirects_end() -> None:
    with registry_double(lambda asked: Reply(307, {"Location": asked.path})) as double:
        assert "redirects more than" in refused(double.address)


def test_other_machines_are_asked_over_https_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name leads to this machine, where a registry without TLS listens."""
    with registry_double(host="registry.example") as double:
        every_name_is_this_machine(monkeypatch)
        assert "TLS failed" in refused(double.address)
        assert double.asked == []


# -- every kind of answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401), "refuses it; there is no such public image"),
        (Reply(403), "refuses it; there is no such public image"),
        (Reply(404), "has no such tag"),
        (Reply(429, {"Retry-After": "60"}), "too many requests"),
        (Reply(500), "it answered 500"),
        (Reply(503), "it answered 503"),
        (Reply(204), "it answered 204"),
        (Reply(body=b"<html>a page"), "its answer is no manifest"),
        (Reply(body=b"x" * 5_000_000), "its answer has more than"),
        (Reply(307, {"Location": "http://[::bad"}), "cannot reach the registry"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_each_answer_is_one_line(reply: Reply, said: str) -> None:
    with registry_double(lambda _: reply) as double:
        assert said in refused(double.address)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 5}', b'{"token": "two\\nlines"}', b"x" * 70_000])
def test_a_token_service_that_gives_no_token(body: bytes) -> None:
    with registry_double() as double:
        answer = with_tokens(f"http://{double.address}/token")
        double.answer = lambda asked: Reply(body=body) if asked.path == "/token" else answer(asked)
        message = refused(double.address, tech)
    assert "gave no token" in message or "has more than" in message


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_token_service_that_refuses(status: int) -> None:
    with registry_double() as double:
        answer = with_tokens(f"http://{double.address}/token")
        double.answer = lambda asked: Reply(status) if asked.path == "/token" else answer(asked)
        refused(double.address, tech)


def test_an_answer_that_is_not_http(raw: RawServers) -> None:
    port = raw(lambda peer, _: peer.sendall(b"220 mail.example ESMTP\r\n"))
    assert "its answer is not HTTP" in refused(f"127.0.0.1:{port}")


def test_a_server_that_never_answers(raw: RawServers) -> None:
    over = Event()

    def wait(_peer: socket.socket, _request: bytes) -> None:
        over.wait(20)

    port = raw(wait)
    try:
        assert "no answer within 0.5 s" in refused(f"127.0.0.1:{port}", seconds=0.5)
    finally:
        over.set()


def test_a_certificate_of_an_unknown_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("registry.example").configure_cert(context)
    with registry_double(host="registry.example", tls=context) as double:
        every_name_is_this_machine(monkeypatch)
        assert "its certificate is not trusted" in refused(double.address)


def test_a_name_that_nobody_knows() -> None:
    assert "cannot resolve the host" in refused("registry.invalid")


# -- the login of Docker ------------------------------------------------------------------------------------


def test_the_login_is_that_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    pair = base64.b64encode(b"tech:open sesame").decode()
    auths = {"registry.example:5000": {"auth": pair}, "https://index.docker.io/v1/": {"auth": pair}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
    assert docker_login("registry.example:5000") == TECH
    assert docker_login("docker.io") == TECH
    assert docker_login("ghcr.io") is None


def test_the_login_may_be_in_a_credential_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-cellar"
    helper.write_text('#!/bin/sh\necho \'{"Username": "tech", "Secret": "open sesame"}\'\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text('{"credsStore": "cellar"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert docker_login("registry.example") == TECH


@pytest.mark.parametrize("text", ['{"auths": {"registry.example": 5}}', '{"credsStore": "of-nobody"}'])
def test_a_broken_configuration_of_docker_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ImageRegistryError, match="cannot read the login for registry") as caught:
        docker_login("registry.example")
    assert "docker login registry.example" in caught.value.hint
