"""Probes a service through its public URL, over HTTP."""

from __future__ import annotations

import socket
import ssl
import time
from importlib import metadata
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread

import httpx

from ronron.core.answer import assess, sick
from ronron.core.errors import ConfigError
from ronron.core.inventory import Probe
from ronron.core.model import ProbeResult

LONGEST_SECONDS = 10.0
"""Timeout of a probe, whatever the service or the resolver still does."""

CONNECT_SECONDS = 3.0
"""Timeout of a connection. A reachable machine needs milliseconds; three tries of TCP fit in."""

LARGEST_BODY = 256 * 1024
"""Bytes that are read of an answer; the expected text must be in them."""


class HttpProber:
    """See ports.Prober.

    One GET, straight to the service: no redirect is followed, no proxy and no `.netrc` is used, so
    the answer is the service's own. Names below `localhost` mean this machine, whatever the resolver
    answers (RFC 6761, 6.3).

    Args:
        verify: whether certificates are checked, or a file with certificates to trust besides the usual ones,
            such as that of an edge with `tls internal`.
        seconds: timeout of one probe; at most ten.

    Raises:
        ConfigError: the file with certificates cannot be read.
    """

    def __init__(self, verify: bool | Path = True, *, seconds: float = LONGEST_SECONDS) -> None:
        self._context = _context(verify)
        self._seconds = min(seconds, LONGEST_SECONDS)

    def probe(self, service: str, probe: Probe) -> ProbeResult:
        """See ports.Prober."""
        answer: SimpleQueue[ProbeResult] = SimpleQueue()
        # A resolver has no deadline, and a service may send its headers byte by byte, so the request runs
        # in a thread that can be abandoned. It ends by its own timeouts.
        Thread(
            target=lambda: answer.put(self._ask(service, probe)), name=f"probe {service}", daemon=True
        ).start()
        try:
            return answer.get(timeout=self._seconds)
        except Empty:
            return sick(service, probe, f"no answer within {self._seconds:g} s")

    def _ask(self, service: str, probe: Probe) -> ProbeResult:
        began = time.monotonic()
        timeout = httpx.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds))
        try:
            with httpx.Client(verify=self._context, trust_env=False, timeout=timeout) as client:
                response = client.send(_request(client, probe.url), stream=True)
                try:
                    body = _read(response, began + self._seconds)
                finally:
                    response.close()
        except (httpx.TimeoutException, TimeoutError) as error:
            return sick(service, probe, self._too_late(error))
        except httpx.UnsupportedProtocol as error:
            return sick(service, probe, f"cannot ask {probe.url}: {error}")
        except (httpx.HTTPError, OSError) as error:
            return sick(service, probe, _no_answer(error))
        except Exception as error:  # noqa: BLE001 - whatever a URL makes of httpx, a probe only says so
            return sick(service, probe, f"cannot ask {probe.url}: {error}")
        took = time.monotonic() - began
        return assess(
            service, probe, response.status_code, body, took, to=response.headers.get("location", "")
        )

    def _too_late(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectTimeout):
            return f"no answer: no connection within {min(CONNECT_SECONDS, self._seconds):g} s"
        return f"no answer within {self._seconds:g} s"


def _request(client: httpx.Client, address: str) -> httpx.Request:
    url = httpx.URL(address)
    headers = {
        "User-Agent": f"ronron/{metadata.version('ronron')}",
        "Accept": "*/*",
        # Without compression, the text cannot be longer than what was read.
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    name = url.host.rstrip(".").lower()
    if name != "localhost" and not name.endswith(".localhost"):
        return client.build_request("GET", url, headers=headers)
    headers["Host"] = url.netloc.decode("ascii")
    here = url.copy_with(host="127.0.0.1")
    return client.build_request("GET", here, headers=headers, extensions={"sni_hostname": url.host})


def _read(response: httpx.Response, deadline: float) -> str:
    """The answer's text up to the limits; a character that is cut becomes U+FFFD."""
    read = bytearray()
    for chunk in response.iter_raw():
        read += chunk[: LARGEST_BODY - len(read)]
        if len(read) >= LARGEST_BODY:
            break
        if time.monotonic() > deadline:
            raise TimeoutError
    try:
        return read.decode(response.encoding or "utf-8", errors="replace")
    except LookupError:
        # Some names, such as `hex`, are codecs but not of text.
        return read.decode("utf-8", errors="replace")


def _context(verify: bool | Path) -> ssl.SSLContext:
    """Trusted certificates: those of httpx, of this machine, and of the given file."""
    context = httpx.create_ssl_context(verify=verify is not False)
    if verify is not False:
        context.load_default_certs()
    if isinstance(verify, Path):
        try:
            context.load_verify_locations(cafile=verify)
        except OSError as error:
            raise ConfigError(
                f"cannot read the certificates to trust: {error.strerror or error}",
                where=str(verify),
                hint=f"write certificates in PEM format there: openssl x509 -in {verify} -noout -subject",
            ) from error
    return context


def _no_answer(error: BaseException) -> str:
    """The cause of a failure, from the first exception in the chain that names it."""
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"no answer: TLS failed ({cause.reason or cause})"
            case ConnectionRefusedError():
                return "connection refused"
            case socket.gaierror():
                return "cannot resolve the host"
            case ConnectionResetError():
                return "connection reset"
            case OSError() if cause.strerror:
                return f"no answer: {cause.strerror.lower()}"
    return f"no answer: {error or type(error).__name__}"


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found[::-1]
