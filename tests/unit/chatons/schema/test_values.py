"""The small values of a declaration, each with what it takes and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chatons.schema import values
from chatons.schema.values import REFUSED
from tests.support.declarations import HOST_KEY

TAKEN = [
    (values.Name, "pad"), (values.Name, "a"), (values.Name, "pad-2"), (values.Name, "a" * 30),
    (values.Hostname, "pad.localhost"), (values.Hostname, "a.b-c.d1.example"),
    (values.Hostname, "xn--caf-dma.fr"),
    (values.Mailbox, "tech@picasoft.example"),
    (values.Country, "FR"),
    (values.DockerAddress, "unix:///var/run/docker.sock"), (values.DockerAddress, "ssh://tech@old01.example"),
    (values.DockerAddress, "ssh://tech@192.0.2.1:2222"),
    (values.HostKey, HOST_KEY),
    (values.AbsolutePath, "/var/lib/data"),
    (values.Variable, "MM_SQL_1"),
    (values.BindAddress, "127.0.0.1"), (values.BindAddress, "::1"),
    (values.Capability, "CAP_CHOWN"),
    (values.Header, "Remote-User"),
    (values.VerifyUrl, "https://auth.example/verify?rd=1"), (values.VerifyUrl, "http://auth:9091/api/verify"),
    (values.UrlPath, "/"), (values.UrlPath, "/api/v4/ping?a=b"),
    (values.Login, "membres"),
    (values.RunAs, "1000:1000"), (values.RunAs, "www-data"),
    (values.Port, 1), (values.Port, 65535),
    (values.Mebibytes, 16),
    (values.Cpus, 0.05),
    (values.Seconds, 3600),
    (values.Line, "Picapad, l'éditeur"),
    (values.Page, "Two\nlines"),
]  # fmt: skip

NOT_TAKEN = [
    (values.Name, ""), (values.Name, "Pad"), (values.Name, "1pad"), (values.Name, "pad-"),
    (values.Name, "pad_1"),
    (values.Name, "a" * 31), (values.Name, "pad\n"), (values.Name, "pád"), (values.Name, "-pad"),
    (values.Hostname, "localhost"), (values.Hostname, "pad.example."), (values.Hostname, "pad..example"),
    (values.Hostname, "-pad.example"), (values.Hostname, "pad.example:80"), (values.Hostname, "*.example"),
    (values.Hostname, "pad.example\n"), (values.Hostname, "a" * 64 + ".example"),
    (values.Hostname, "192.0.2.1"),
    (values.Hostname, "pad.example {"), (values.Hostname, "{env.HOME}.example"),
    (values.Mailbox, "nobody"), (values.Mailbox, "a@b"), (values.Mailbox, "a b@c.example"),
    (values.Country, "fr"), (values.Country, "FRA"),
    (values.DockerAddress, "tcp://192.0.2.1:2375"), (values.DockerAddress, "https://a"),
    (values.DockerAddress, "ssh://old01.example"), (values.DockerAddress, "ssh://-oProxyCommand=x@a"),
    (values.DockerAddress, "ssh://a@-oProxyCommand=x"), (values.DockerAddress, "ssh://tech@old01.example/path"),
    (values.DockerAddress, "unix://relative path"),
    (values.HostKey, "ssh-ed25519 AAAA"), (values.HostKey, HOST_KEY + " root@old01"), (values.HostKey, "x"),
    (values.HostKey, HOST_KEY.replace("ssh-ed25519", "ssh-rsa")), (values.HostKey, HOST_KEY + "\nx"),
    (values.AbsolutePath, "data"), (values.AbsolutePath, "/a/../b"), (values.AbsolutePath, "/a/"),
    (values.AbsolutePath, "/a:ro"), (values.AbsolutePath, "/a,b"), (values.AbsolutePath, "//a"),
    (values.Variable, "A-B"), (values.Variable, "1A"), (values.Variable, "A=B"), (values.Variable, ""),
    (values.BindAddress, "localhost"), (values.BindAddress, "127.0.0.1:80"),
    (values.Capability, "ALL"), (values.Capability, "CAP_ALL"), (values.Capability, "chown"),
    (values.Header, "Remote User"), (values.Header, "X\r\nY"),
    (values.VerifyUrl, "https://user:word@auth.example/"), (values.VerifyUrl, "ftp://auth.example/"),
    (values.VerifyUrl, "https://auth.example/{env.X}"), (values.VerifyUrl, "https://auth.example/#x"),
    (values.UrlPath, "health"), (values.UrlPath, "/a b"), (values.UrlPath, "/{x}"), (values.UrlPath, "/a\n"),
    (values.Login, "a b"), (values.Login, ""), (values.Login, "a\nb"), (values.Login, "-a"),
    (values.RunAs, "a b"), (values.RunAs, ""),
    (values.Port, 0), (values.Port, 65536), (values.Mebibytes, 15), (values.Cpus, 0), (values.Seconds, 0),
    (values.Line, "two\nlines"), (values.Line, "a" * 201), (values.Page, "a\0b"),
]  # fmt: skip


def named(part: object) -> str:
    """A kind by its name, the same in every process, and a value as it is written."""
    return next((name for name, kind in vars(values).items() if kind is part), repr(part)[-40:])


def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@pytest.mark.parametrize(("kind", "value"), TAKEN, ids=named)
def test_a_good_value_is_taken_as_it_is(kind: Any, value: object) -> None:
    assert adapter(kind).validate_python(value) == value


@pytest.mark.parametrize(("kind", "value"), NOT_TAKEN, ids=named)
def test_a_bad_value_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        adapter(kind).validate_python(value)


@pytest.mark.parametrize(
    "kind",
    [values.Name, values.Hostname, values.Country, values.DockerAddress, values.Variable, values.UrlPath],
    ids=range(6),
)
def test_a_refusal_has_a_remedy(kind: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        adapter(kind).validate_python("! no !")
    (error,) = refused.value.errors()
    assert error["type"] == REFUSED
    assert error["ctx"]["problem"].startswith("'! no !' is not")
    assert error["ctx"]["remedy"]


def test_a_capability_gets_its_prefix() -> None:
    assert adapter(values.Capability).validate_python("CHOWN") == "CAP_CHOWN"


def test_one_status_is_a_list_of_one() -> None:
    assert adapter(values.Statuses).validate_python(204) == (204,)
    assert adapter(values.Statuses).validate_python([200, 302]) == (200, 302)


@pytest.mark.parametrize("value", [[], 99, 600, True, "200 OK"])
def test_what_is_no_status_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        adapter(values.Statuses).validate_python(value)


@pytest.mark.parametrize("value", [True, False, 8080, 1.5])
def test_a_variable_without_quotes_is_refused_as_yaml_may_have_changed_it(value: object) -> None:
    with pytest.raises(ValidationError, match="a string is required"):
        adapter(values.Text).validate_python(value)


@given(st.text())
def test_no_control_character_ever_gets_into_a_line(text: str) -> None:
    try:
        taken = adapter(values.Line).validate_python(text)
    except ValidationError:
        return
    assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029]", taken)
