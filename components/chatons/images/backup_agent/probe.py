"""One request to a service, judged like the reconciler's prober: status and text; no redirect is followed."""

from __future__ import annotations

import http.client
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from .errors import AgentError, shortened

SECONDS = 10.0
LARGEST_BODY = 256 * 1024


def probed(url: str, *, host: str | None, status: Collection[int], contains: str | None) -> dict[str, Any]:
    """Make one request.

    Args:
        url: an http URL; there is no TLS in a service's network.
        host: value of the Host header; None for the one in the URL.
        status: accepted status codes; empty for 200.
        contains: text that the first 256 KiB of the body must contain.

    Returns:
        `healthy`, and `detail` in one line.

    Raises:
        AgentError: `failed`: the URL is not an http URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise AgentError("failed", f"cannot request {url[:200]!r}", "write http://<host>:<port>/<path>")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    began = time.monotonic()
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=SECONDS)
    try:
        headers = {"Host": host or parts.netloc, "User-Agent": "ronron-agent", "Accept": "*/*"}
        connection.request(
            "GET", path, headers={**headers, "Accept-Encoding": "identity", "Connection": "close"}
        )
        answer = connection.getresponse()
        body = _body(answer, began + SECONDS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {
            "healthy": False,
            "detail": f"no answer: {shortened(str(error) or type(error).__name__, 150)}",
        }
    finally:
        connection.close()
    return judged(answer.status, body, (time.monotonic() - began) * 1000, status=status, contains=contains)


def judged(
    answered: int, body: str, milliseconds: float, *, status: Collection[int], contains: str | None
) -> dict[str, Any]:
    """The result of a probe, from the answer of the service. Pure."""
    good = sorted(set(status) or {200})
    if answered not in good:
        return {"healthy": False, "detail": f"{answered} instead of {' or '.join(map(str, good))}"}
    if contains is not None and contains not in body:
        return {"healthy": False, "detail": f"{answered} without the text {shortened(contains, 60)!r}"}
    return {"healthy": True, "detail": f"{answered} in {milliseconds:.0f} ms"}


def _body(answer: http.client.HTTPResponse, deadline: float) -> str:
    read = bytearray()
    while len(read) < LARGEST_BODY and (chunk := answer.read1(64 * 1024)):
        read += chunk
        if time.monotonic() > deadline:
            raise TimeoutError(f"no whole answer within {SECONDS:g} s")
    return bytes(read[:LARGEST_BODY]).decode(errors="replace")
