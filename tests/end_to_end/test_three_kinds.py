from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from demo.pad import Pad
from tests.support.collectives import Collective, Document
from tests.support.visitors import Board, Chat

SECRETS = (
    "pad-database-password", "pad-admin-password", "chat-database-password", "board-database-password",
    "members-password",
)  # fmt: skip


def services(images: Mapping[str, str], doubles: Mapping[str, str], **chat: object) -> Document:
    return {
        "pad": {
            "kind": "etherpad",
            "image": images["etherpad"],
            "hostname": "pad.localhost",
            "title": "Pads",
            "environment": {"AUTHENTICATION_METHOD": "apikey"},
        },
        "chat": {"kind": "mattermost", "image": doubles["mattermost"], "hostname": "chat.localhost", **chat},
        "board": {
            "kind": "kanboard",
            "image": doubles["kanboard"],
            "hostname": "board.localhost",
            "members_only": True,
        },
    }


@pytest.mark.timeout(420)
def test_pad_chat_and_board_live_side_by_side_and_keep_what_is_written(
    collective: Collective, images: Mapping[str, str], doubles: Mapping[str, str]
) -> None:
    """Takes over a minute: three services and their databases start and are updated twice."""
    member = httpx.BasicAuth("members", collective.sealed.clear)
    members: Document = {"basic": {"user": "members"}}
    collective.policy(local={})
    collective.declare(services(images, doubles), *SECRETS, members=members)
    collective.push()
    first = collective.ronron("update", "local")
    assert first.code == 0, first.said

    pad = Pad("pad.localhost", collective.port, f"{collective.name}-local-pad")
    pad.write("minutes", "what we said")
    chat, board = Chat(collective), Board(collective, login=member)
    channel, project = chat.settle(), board.settle()
    post = chat.write(channel, "hello", cat_png=b"a cat")
    task = board.write(project, "clean up", list_txt=b"a broom")
    assert collective.get(board.hostname).status_code == 401, "the board is for members"
    assert collective.get(board.hostname, auth=("members", "guess-after-guess")).status_code == 401

    before = collective.containers()
    assert set(before) == {f"local-{each}" for each in (
        "edge", "pad", "pad-database", "chat", "chat-database", "board", "board-database"
    )}  # fmt: skip
    changed = services(images, doubles, environment={"MM_TEAMSETTINGS_SITENAME": "Chat"})
    collective.declare(changed, *SECRETS, members=members)
    collective.push("Name the chat")
    second = collective.ronron("watch", "--once")
    assert second.code == 0, second.said
    after = collective.containers()
    assert {name for name in before if before[name] != after[name]} == {"local-chat"}

    assert pad.text("minutes").strip() == "what we said"
    assert chat.messages(channel) == ["hello"]
    assert chat.attachments(post) == {"cat.png": b"a cat"}
    assert board.titles(project) == ["clean up"]
    assert board.owner(task) == "ana"
    assert board.attachments(task) == {"list.txt": b"a broom"}

    again = collective.ronron("update", "local")
    assert again.code == 0, again.said
    assert "unchanged" in again.out
    healthy = {service["name"]: service["healthy"] for service in _services(collective)}
    assert healthy == {"pad": True, "chat": True, "board": True}


def _services(collective: Collective) -> list[Document]:
    (environment,) = collective.ronron("status", "--json").json()["environments"]
    return list(environment["services"])
