"""The Caddyfile: what is in it, and that nobody can write into it from a declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons.schema.models import BasicMembers, Edge, ForwardMembers, Members
from chatons.service.caddyfile import HEALTH_PORT, MEMBERS_FILE, Route, caddyfile, literal

BASIC = Members(basic=BasicMembers(user="members"))
FORWARD = Members(
    forward_auth=ForwardMembers(
        url="https://auth.test.example/api/verify?rd=pads", copy_headers=("Remote-User", "Remote-Groups")
    )
)
PAD = Route(hostname="pad.test.example", upstream="ronron-local-pad:9001")
BOARD = Route(
    hostname="board.test.example",
    upstream="ronron-local-board:80",
    members_only=True,
    open_paths=("/healthcheck.php",),
    upload_mib=32,
)


def edge(**values: object) -> Edge:
    return Edge.model_validate({"image": "caddy:2.10.2", "tls": "off", "http_port": 8080, **values})


def text(*routes: Route, members: Members | None = None, collective: str = "A test", **values: object) -> str:
    return caddyfile(
        edge=edge(**values),
        routes=routes,
        members=members,
        collective=collective,
        contact="tech@test.example",
    )


def blocks(configuration: str) -> dict[str, str]:
    """The body of each block of the outermost level, by its head. Fails on braces that do not match."""
    found: dict[str, str] = {}
    head, depth, body = "", 0, list[str]()
    for line in configuration.splitlines():
        opens, closes = line.endswith("{"), line.strip() == "}"
        if depth == 0 and opens:
            head, body = line[:-1].strip(), []
        elif depth == 1 and closes:
            assert head not in found, f"{head} stands there twice"
            found[head] = "\n".join(body)
        elif depth:
            body.append(line.removeprefix("\t"))
        else:
            assert not line or line.startswith("#"), line
        depth += opens - closes
        assert depth >= 0
    assert depth == 0
    return found


def tokens(configuration: str) -> list[list[str]]:
    """Each line as Caddy splits it, without indentation: quoted texts are one token."""
    return [list(_tokens(line)) for line in configuration.splitlines() if line.strip()]


def _tokens(line: str) -> Iterator[str]:
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(\S+)', line):
        yield match[0]


# -- what is in it -----------------------------------------------------------------------------------------


def test_a_service_is_passed_on_to_its_own_container() -> None:
    site = blocks(text(PAD))["http://pad.test.example:8080"]
    assert "reverse_proxy ronron-local-pad:9001 {" in site
    assert "max_size 64MiB" in site
    assert "Strict-Transport-Security" not in site


def test_a_request_that_comes_while_the_container_is_replaced_waits() -> None:
    assert "\tlb_try_duration 5s" in blocks(text(PAD))["http://pad.test.example:8080"]


def test_nobody_reconfigures_the_edge_while_it_runs() -> None:
    assert "admin off" in blocks(text(PAD))[""].splitlines()


def test_the_edge_tells_only_itself_that_it_is_healthy() -> None:
    health = blocks(text(PAD))[f"http://127.0.0.1:{HEALTH_PORT}"]
    assert health.splitlines() == ["bind 127.0.0.1", 'respond "ok" 200']


def test_an_unknown_hostname_gets_a_page_and_no_service() -> None:
    unknown = blocks(text(PAD, collective="Les Chats & Cie"))["http://:8080"]
    assert "reverse_proxy" not in unknown
    assert unknown.endswith(" 404")
    assert "Les Chats &#38; Cie hosts nothing under this name" in unknown


def test_an_edge_without_services_still_answers() -> None:
    assert set(blocks(text())) == {"", f"http://127.0.0.1:{HEALTH_PORT}", "http://:8080"}
    assert "http://:80" in blocks(text(tls="acme", http_port=80))


def test_without_tls_no_certificate_is_made() -> None:
    assert "auto_https off" in blocks(text(PAD))[""].splitlines()


def test_public_certificates_are_asked_for_with_a_contact() -> None:
    found = blocks(text(PAD, tls="acme", http_port=80))
    assert "email tech@test.example" in found[""].splitlines()
    site = found["https://pad.test.example:443"]
    assert "tls internal" not in site
    assert 'Strict-Transport-Security "max-age=31536000"' in site
    assert found["http://pad.test.example:80"] == "redir https://{host}{uri} 308"


def test_an_authority_of_ones_own_is_asked_by_no_contact_and_trusted_by_nobody_here() -> None:
    found = blocks(text(PAD, tls="internal", https_port=8443))
    assert "email" not in found[""]
    assert "skip_install_trust" in found[""].splitlines()
    assert found["https://pad.test.example:8443"].splitlines()[0] == "tls internal"


def test_plain_http_leads_to_the_port_of_the_real_door() -> None:
    found = blocks(text(PAD, BOARD, members=BASIC, tls="internal", https_port=8443))
    hosts = "http://board.test.example:8080, http://pad.test.example:8080"
    assert found[hosts] == "redir https://{host}:8443{uri} 308"


# -- members only ------------------------------------------------------------------------------------------


def test_the_shared_login_stands_before_everything_but_the_open_path() -> None:
    route = blocks(text(PAD, BOARD, members=BASIC))["http://board.test.example:8080"].partition("route {\n")[
        2
    ]
    assert route.splitlines() == [
        "\t@closed not path /healthcheck.php",
        "\tbasic_auth @closed bcrypt members {",
        f"\t\timport {MEMBERS_FILE}",
        "\t}",
        "\treverse_proxy ronron-local-board:80 {",
        "\t\tlb_try_duration 5s",
        "\t\theader_up -Authorization",
        "\t}",
        "}",
    ]


def test_a_service_for_everybody_asks_nobody() -> None:
    site = blocks(text(PAD, BOARD, members=BASIC))["http://pad.test.example:8080"]
    assert "basic_auth" not in site
    assert "header_up" not in site


def test_without_an_open_path_the_whole_service_is_closed() -> None:
    closed = Route(hostname="board.test.example", upstream="board:80", members_only=True)
    site = blocks(text(closed, members=BASIC))["http://board.test.example:8080"]
    assert "basic_auth bcrypt members {" in site
    assert "@closed" not in site
    forward = blocks(text(closed, members=FORWARD))["http://board.test.example:8080"]
    assert "forward_auth https://auth.test.example {" in forward
    assert "@closed" not in forward


@pytest.mark.parametrize(
    ("image", "directive"),
    [
        ("caddy:2.6.2", "basicauth"), ("caddy:2.7.6-alpine", "basicauth"), ("caddy:2.8.0", "basic_auth"),
        ("caddy:2.10.2", "basic_auth"), ("caddy:2", "basic_auth"), ("caddy:alpine", "basic_auth"),
    ],
)  # fmt: skip
def test_the_directive_has_the_name_that_this_version_of_caddy_knows(image: str, directive: str) -> None:
    site = blocks(text(BOARD, members=BASIC, image=image))["http://board.test.example:8080"]
    assert f"{directive} @closed bcrypt members {{" in site


def test_another_service_is_asked_about_each_request_for_members() -> None:
    site = blocks(text(BOARD, members=FORWARD))["http://board.test.example:8080"]
    assert site.partition("route {\n")[2].splitlines() == [
        "\trequest_header -Remote-User",
        "\trequest_header -Remote-Groups",
        "\t@closed not path /healthcheck.php",
        "\tforward_auth @closed https://auth.test.example {",
        "\t\turi /api/verify?rd=pads",
        "\t\theader_up Host auth.test.example",
        "\t\tcopy_headers Remote-User Remote-Groups",
        "\t}",
        "\t@unanswered0 header_regexp Remote-User ^[{]http[.]reverse_proxy[.]",
        "\trequest_header @unanswered0 -Remote-User",
        "\t@unanswered1 header_regexp Remote-Groups ^[{]http[.]reverse_proxy[.]",
        "\trequest_header @unanswered1 -Remote-Groups",
        "\treverse_proxy ronron-local-board:80 {",
        "\t\tlb_try_duration 5s",
        "\t}",
        "}",
    ]


def test_a_verifier_that_says_nothing_about_the_visitor_is_asked_all_the_same() -> None:
    plain = Members(forward_auth=ForwardMembers(url="http://auth:9091"))
    site = blocks(text(BOARD, members=plain))["http://board.test.example:8080"]
    assert "copy_headers" not in site
    assert "\t\turi /\n" in site


def test_a_closed_service_is_never_opened_for_want_of_members() -> None:
    with pytest.raises(ValueError, match=r"board\.test\.example is for members only"):
        text(BOARD)


# -- what nobody can write into it -------------------------------------------------------------------------

labels = st.from_regex(r"[a-z](?:[a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
hostnames = st.builds(lambda first, second: f"{first}.{second}", labels, labels)
routes = st.lists(
    st.builds(
        Route,
        hostname=hostnames,
        upstream=labels.map(lambda name: f"{name}:8000"),
        members_only=st.booleans(),
        upload_mib=st.integers(1, 65_536),
    ),
    max_size=8,
    unique_by=lambda route: route.hostname,
)
doors = st.fixed_dictionaries(
    {
        "tls": st.sampled_from(["off", "internal", "acme"]),
        "image": st.sampled_from(["caddy:2.6.2", "caddy:2.10.2"]),
    }
)
everybody = st.sampled_from([BASIC, FORWARD])
names = st.text(min_size=1, max_size=80)
sharp = st.text(alphabet='{}"`\\$#&<>\n\r\t env.SECRET', min_size=1, max_size=40)


@given(routes, doors, everybody, names | sharp)
def test_a_name_adds_no_directive_whatever_is_in_it(
    chosen: list[Route], door: dict[str, Any], members: Members, name: str
) -> None:
    told = text(*chosen, members=members, collective=name, **door)
    plain = text(*chosen, members=members, collective="x", **door)
    assert [line[0] for line in tokens(told)] == [line[0] for line in tokens(plain)]
    assert [len(line) for line in tokens(told)] == [len(line) for line in tokens(plain)]
    assert list(blocks(told)) == list(blocks(plain))
    assert re.findall(r"\{\S+?\}", told) == re.findall(r"\{\S+?\}", plain), "a placeholder of Caddy's"


@given(routes, doors, everybody)
def test_every_hostname_has_one_site_and_nothing_else_has(
    chosen: list[Route], door: dict[str, Any], members: Members
) -> None:
    scheme = "http" if door["tls"] == "off" else "https"
    heads = list(blocks(text(*chosen, members=members, **door)))
    sites = [head for head in heads if head.startswith(f"{scheme}://") and not head.startswith("http://:")]
    asked = [re.sub(r"^https?://|:\d+$", "", site) for site in sites]
    health = ["127.0.0.1"] if scheme == "http" else []
    assert sorted(asked) == sorted([*health, *(route.hostname for route in chosen)])


@given(routes, doors, everybody, st.randoms(use_true_random=False))
def test_the_order_of_services_changes_nothing(
    chosen: list[Route], door: dict[str, Any], members: Members, random: Random
) -> None:
    shuffled = list(chosen)
    random.shuffle(shuffled)
    assert text(*shuffled, members=members, **door) == text(*chosen, members=members, **door)


@given(routes, doors, everybody)
def test_every_closed_service_asks_before_it_passes_on(
    chosen: list[Route], door: dict[str, Any], members: Members
) -> None:
    found = blocks(text(*chosen, members=members, **door))
    for route in chosen:
        (site,) = (
            body for head, body in found.items() if re.fullmatch(rf"https?://{route.hostname}:\d+", head)
            and not body.startswith("redir")
        )  # fmt: skip
        asks = re.search(r"(basic_?auth|forward_auth) ", site)
        assert bool(asks) == route.members_only
        if asks:
            assert asks.start() < site.index("reverse_proxy")


@given(names | sharp)
def test_a_text_stays_one_harmless_token_that_a_browser_shows_as_it_was(name: str) -> None:
    shown = literal(name)
    assert not set(shown) & set('"`{}\\<>\n\r\t')
    assert re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), shown) == name
