"""Who gets in at the edge: a real Caddy, by a shared login and by asking another service."""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx
import pytest

from tests.support.collectives import Collective, Document, web
from tests.support.plain import PlainStack

pytestmark = pytest.mark.timeout(300)

BOARD, DOOR = "board.localhost", "door.localhost"

ECHO = """
:8000 {
    respond "user={http.request.header.Remote-User} password={http.request.header.Authorization}"
}
"""
VERIFIER = """
:8000 {
    @member header Cookie session=good
    handle @member {
        header Remote-User ana
        respond "" 200
    }
    handle {
        respond "who are you?" 401
    }
}
"""


def runs(collective: Collective, caddyfile: str) -> Document:
    """A container in which Caddy does what a Caddyfile says."""
    serve = 'printf "%s" "$1" | caddy run --adapter caddyfile --config -'
    command = ["sh", "-c", serve, "sh", caddyfile]
    # The verifier turns strangers away, its own health check among them.
    return {**web(collective.images, ""), "command": command, "health": ["CMD", "true"]}


def test_only_members_get_in_by_a_shared_login_or_by_another_services_word(
    found: Callable[[], Collective],
) -> None:
    collective = found()
    stack = PlainStack(collective)
    board = {**runs(collective, ECHO), "hostname": BOARD, "members_only": True}
    door = {**runs(collective, VERIFIER), "hostname": DOOR}

    collective.declare(
        {"board": board, "door": door}, "members-password", members={"basic": {"user": "membres"}}
    )
    stack.begin()
    ran = stack.up()
    assert ran.code == 0, ran.said
    good = httpx.BasicAuth("membres", collective.sealed.clear)
    assert collective.get(BOARD).status_code == 401
    assert collective.get(BOARD, auth=httpx.BasicAuth("membres", "guess-after-guess")).status_code == 401
    assert collective.get(BOARD, auth=httpx.BasicAuth("other", collective.sealed.clear)).status_code == 401
    inside = collective.get(BOARD, auth=good)
    assert inside.status_code == 200
    assert inside.text == "user= password=", "the service does not get the members' password"
    assert stack.inventory()["services"]["board"]["probe"]["status"] == [401]
    sent = base64.b64encode(f"membres:{collective.sealed.clear}".encode()).decode()
    for _, text in stack.kept():
        assert collective.sealed.clear not in text
        assert sent not in text
    assert stack.changes() == set(), "the password's hash stays the same"

    verifier = f"http://{collective.name}-local-door:8000/verify"
    collective.declare(
        {"board": board, "door": door},
        members={"forward_auth": {"url": verifier, "copy_headers": ["Remote-User"]}},
    )
    assert stack.changes() == {"Container edge-here"}
    ran = stack.up()
    assert ran.code == 0, ran.said
    assert collective.get(BOARD).text == "who are you?"
    assert collective.get(BOARD, cookies={"session": "bad"}).status_code == 401
    inside = collective.get(BOARD, cookies={"session": "good"})
    assert inside.status_code == 200
    assert inside.text == "user=ana password="


def test_a_visitor_cannot_say_who_he_is(found: Callable[[], Collective]) -> None:
    """Where the verifier names nobody, the header is empty and not the visitor's own."""
    collective = found()
    stack = PlainStack(collective)
    nameless = VERIFIER.replace("        header Remote-User ana\n", "")
    assert nameless != VERIFIER
    verifier = f"http://{collective.name}-local-door:8000/verify"
    collective.declare(
        {
            "board": {**runs(collective, ECHO), "hostname": BOARD, "members_only": True},
            "door": {**runs(collective, nameless), "hostname": DOOR},
        },
        members={"forward_auth": {"url": verifier, "copy_headers": ["Remote-User"]}},
    )
    stack.begin()
    ran = stack.up()
    assert ran.code == 0, ran.said
    answer = httpx.get(
        f"http://127.0.0.1:{collective.port}/",
        headers={"Host": f"{BOARD}:{collective.port}", "Cookie": "session=good", "Remote-User": "root"},
        timeout=20,
    )
    assert answer.status_code == 200
    assert answer.text == "user= password="
