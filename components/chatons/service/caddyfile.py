"""The Caddyfile of an edge: pure text, from routes to directives.

Works with Caddy 2.6 to 2.10 (tried with 2.6.2 and 2.10.2). What people write into a declaration reaches this
text only as hostnames, logins, headers and URLs of a narrow alphabet, and as the collective's name, which is
escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from chatons.schema.models import Edge, Members

HEALTH_PORT = 2020
"""Where the edge answers its own health check; bound to the container's loopback."""
MEMBERS_FILE = "/etc/caddy/members"
"""Contains `login hash`; separate from the Caddyfile, so that routes are readable in a preview."""

_HTTPS = 443
_RENAMED = (2, 8)
"""The first version that knows `basic_auth`; before, `basicauth`. Source: caddyserver/caddy, pull 6092."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """One hostname and where its requests go.

    Attributes:
        upstream: host and port on the private network of the service.
        open_paths: exact paths that anybody may ask for although the service is for members only.
    """

    hostname: str
    upstream: str
    members_only: bool = False
    open_paths: tuple[str, ...] = ()
    upload_mib: int = 64


def caddyfile(
    *, edge: Edge, routes: Iterable[Route], members: Members | None, collective: str, contact: str
) -> str:
    """The whole configuration of one edge.

    Args:
        edge: ports, TLS and version.
        routes: any order; sorted here, so that the text changes only with its meaning.
        members: needed when a route is for members only.
        collective: name, shown to who asks for an unknown hostname.
        contact: mailbox for the certificate authority.
    """
    ordered = sorted(routes, key=lambda route: route.hostname)
    blocks = [_options(edge, contact), _health()]
    blocks += [_site(edge, route, members) for route in ordered]
    if edge.tls != "off" and ordered:
        blocks.append(_redirections(edge, ordered))
    blocks.append(_unknown(edge, collective))
    return (
        "# Made from the declaration: a change here is lost with the container.\n"
        + "\n\n".join(blocks)
        + "\n"
    )


def _block(head: str, body: Sequence[str]) -> str:
    inner = "\n".join(f"\t{line}" for part in body for line in part.split("\n"))
    return f"{head}{' ' if head else ''}{{\n{inner}\n}}"


def _options(edge: Edge, contact: str) -> str:
    options = [
        # Nobody reconfigures the edge while it runs: a new configuration is a new container.
        "admin off",
        "grace_period 10s",
        f"http_port {edge.http_port}",
    ]
    match edge.tls:
        case "off":
            options.append("auto_https off")
        case "internal":
            options += [f"https_port {edge.https_port}", "auto_https disable_redirects", "skip_install_trust"]
        case "acme":
            options += [f"https_port {edge.https_port}", "auto_https disable_redirects", f"email {contact}"]
    # Slow headers only hold connections; bodies may be slow, for uploads over poor lines. No HTTP/3: its port
    # of UDP is not published.
    options.append(_block("servers", ["protocols h1 h2", _block("timeouts", ["read_header 10s", "idle 5m"])]))
    return _block("", options)


def _health() -> str:
    return _block(f"http://127.0.0.1:{HEALTH_PORT}", ["bind 127.0.0.1", 'respond "ok" 200'])


def _site(edge: Edge, route: Route, members: Members | None) -> str:
    headers = [
        "-Server",
        "X-Content-Type-Options nosniff",
        "?Referrer-Policy strict-origin-when-cross-origin",
    ]
    if edge.tls != "off":
        headers.append('Strict-Transport-Security "max-age=31536000"')
    body = [
        *(["tls internal"] if edge.tls == "internal" else []),
        _block("header", headers),
        _block("request_body", [f"max_size {route.upload_mib}MiB"]),
    ]
    if route.members_only:
        if members is None:
            raise ValueError(f"{route.hostname} is for members only, and nothing says who they are")
        # In a `route` block directives run in the order in which they are written.
        body.append(_block("route", _members_only(edge, route, members)))
    else:
        body.append(_proxy(route))
    scheme, port = ("http", edge.http_port) if edge.tls == "off" else ("https", edge.https_port)
    return _block(f"{scheme}://{route.hostname}:{port}", body)


def _members_only(edge: Edge, route: Route, members: Members) -> list[str]:
    matcher: list[str] = []
    where = ""
    if route.open_paths:
        matcher = [f"@closed not path {' '.join(route.open_paths)}"]
        where = "@closed "
    if members.basic is not None:
        numbers = edge.image.numbers
        old = bool(numbers) and (len(numbers) > 1 and numbers < _RENAMED)
        directive = "basicauth" if old else "basic_auth"
        return [
            *matcher,
            _block(f"{directive} {where}bcrypt members", [f"import {MEMBERS_FILE}"]),
            # The members' password is for the edge only; the service does not get it.
            _proxy(route, "header_up -Authorization"),
        ]
    if members.forward_auth is None:
        raise ValueError("members enter by no way at all")
    forward = members.forward_auth
    parts = urlsplit(forward.url)
    asked = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    # A header that says who somebody is must come from the verifier alone: Caddy leaves a visitor's own one
    # in place when the verifier sends none.
    return [
        *(f"request_header -{header}" for header in forward.copy_headers),
        *matcher,
        _block(
            f"forward_auth {where}{parts.scheme}://{parts.netloc}",
            [
                f"uri {asked}",
                f"header_up Host {parts.netloc}",
                *([f"copy_headers {' '.join(forward.copy_headers)}"] if forward.copy_headers else []),
            ],
        ),
        *(line for number, header in enumerate(forward.copy_headers) for line in _unanswered(number, header)),
        _proxy(route),
    ]


def _unanswered(number: int, header: str) -> list[str]:
    """Take a header away that the verifier did not send.

    Caddy 2.6.2 passes on the placeholder itself then: to the service, all without a name would be one person.
    """
    return [
        f"@unanswered{number} header_regexp {header} ^[{{]http[.]reverse_proxy[.]",
        f"request_header @unanswered{number} -{header}",
    ]


def _proxy(route: Route, *directives: str) -> str:
    """Pass requests on; one that comes while the container is replaced waits instead of failing."""
    return _block(f"reverse_proxy {route.upstream}", ["lb_try_duration 5s", *directives])


def _redirections(edge: Edge, routes: Sequence[Route]) -> str:
    """Redirects HTTP to HTTPS. Caddy's own redirects omit a port other than 443."""
    port = "" if edge.https_port == _HTTPS else f":{edge.https_port}"
    hosts = ", ".join(f"http://{route.hostname}:{edge.http_port}" for route in routes)
    return _block(hosts, [f"redir https://{{host}}{port}{{uri}} 308"])


def _unknown(edge: Edge, collective: str) -> str:
    """A page for hostnames that nobody declared; by plain HTTP, as no certificate can exist for them."""
    return _block(
        f"http://:{edge.http_port}",
        [
            "header -Server",
            'header Content-Type "text/html; charset=utf-8"',
            f'respond "{_page(collective)}" 404',
        ],
    )


def _page(collective: str) -> str:
    name = literal(collective)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>No such service</title>"
        f"<h1>No such service</h1><p>{name} hosts nothing under this name."
        "<p lang=fr>Aucun service ne porte ce nom ici.</html>"
    )


def literal(text: str) -> str:
    """Text as HTML from which neither the end of a token nor a placeholder of Caddy can be made.

    All but letters, digits, spaces and a few marks becomes character references: quotes and backslashes end
    or escape tokens, braces begin placeholders such as the one that reads environment variables.
    """
    harmless = frozenset(" .,:-_()")
    return "".join(
        character if character.isalnum() or character in harmless else f"&#{ord(character)};"
        for character in text
    )
