"""Asks registries for the digests of images, by the HTTP API of distribution (OCI, Docker Registry v2).

Credentials are those of `docker login`: Docker's own configuration file and its credential helpers. They and
the tokens go to the registry and to the token service that it names, over HTTPS, and to no other host. Plain
HTTP is spoken to registries of this machine alone.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Thread

import httpx
from pydantic import SecretStr

from ronron.core.errors import ImageRegistryError
from ronron.core.images import DIGEST, DOCKER_HUB, ImageReference
from ronron.core.value import Value

LONGEST_SECONDS = 30.0
"""Timeout of one image: a token, the manifest, and some redirects."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes. Source: OCI distribution specification 1.1: registries should accept manifests of up to 4 MiB."""
LARGEST_TOKEN = 64 * 1024
MOST_REDIRECTS = 5

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_HUB_API = "registry-1.docker.io"
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TAKEN_BACK = "check the network of this machine, and run the command again; what is pinned stays pinned"


class Login(Value):
    """The login at one registry."""

    user: str
    password: SecretStr

    @property
    def header(self) -> str:
        """The value of `Authorization`; a secret."""
        pair = f"{self.user}:{self.password.get_secret_value()}"
        return f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"


def docker_login(registry: str) -> Login | None:
    """The login that `docker login` stored for a registry; None where there is none.

    Raises:
        ImageRegistryError: Docker's configuration file or its credential helper cannot be read.
    """
    import docker.auth
    import docker.errors

    try:
        with warnings.catch_warnings():
            # A helper that is not installed is an error below.
            warnings.simplefilter("ignore")
            stored = docker.auth.load_config().resolve_authconfig(registry)
    except (docker.errors.DockerException, OSError, ValueError) as error:
        raise ImageRegistryError(
            f"cannot read the login for {registry}: {' '.join(str(error).split())}",
            hint=f"log in again with `docker login {registry}`, or repair ~/.docker/config.json",
        ) from error
    # The keys of a login from a credential helper are capitalised.
    found = {key.lower(): value for key, value in (stored or {}).items()}
    if not found.get("username") or not found.get("password"):
        return None
    return Login(user=found["username"], password=SecretStr(found["password"]))


class HttpImageRegistry:
    """See ports.ImageRegistry.

    Args:
        login: gives the login at a registry, or None.
        verify: what certificates are checked with; the usual authorities by default.
        seconds: timeout of one image.
    """

    def __init__(
        self,
        login: Callable[[str], Login | None] = docker_login,
        *,
        verify: ssl.SSLContext | None = None,
        seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._login = login
        self._seconds = seconds
        self._verify = verify

    def digest(self, image: ImageReference) -> str:
        """See ports.ImageRegistry."""
        answer: SimpleQueue[str | Exception] = SimpleQueue()

        def ask() -> None:
            try:
                answer.put(self._ask(image))
            except Exception as error:  # noqa: BLE001 - raised again by the caller
                answer.put(error)

        # A resolver has no deadline, and a server may send its answer byte by byte.
        Thread(target=ask, name=f"registry {image.registry}", daemon=True).start()
        try:
            found = answer.get(timeout=self._seconds)
        except Empty:
            raise _unreachable(image, f"no answer within {self._seconds:g} s") from None
        if isinstance(found, ImageRegistryError):
            raise found
        if isinstance(found, Exception):
            raise _unreachable(image, _cause(found)) from found
        return found

    def _ask(self, image: ImageReference) -> str:
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        context = self._verify or _context()
        with httpx.Client(verify=context, timeout=timeout) as client:
            return _Conversation(client, image, self._login, time.monotonic() + self._seconds).digest()


class _Conversation:
    """The requests about one image."""

    def __init__(
        self,
        client: httpx.Client,
        image: ImageReference,
        login: Callable[[str], Login | None],
        until: float,
    ) -> None:
        self._client = client
        self._image = image
        self._login = login
        self._until = until
        self._authorization: str | None = None
        host = _HUB_API if image.registry == DOCKER_HUB else image.registry
        self._local = _is_here(host)
        self._url = httpx.URL(
            f"{'http' if self._local else 'https'}://{host}/v2/{image.path}/manifests/{image.tag}"
        )

    def digest(self) -> str:
        response, _ = self._manifest("HEAD")
        if response.status_code == 401:
            self._authorization = self._authorized(response)
            response, _ = self._manifest("HEAD")
        if response.status_code == 200:
            found = str(response.headers.get("docker-content-digest", ""))
            if DIGEST.fullmatch(found):
                return found
        if response.status_code in {200, 405}:
            # Not every registry answers HEAD, or names the digest; it is the hash of the manifest.
            response, body = self._manifest("GET")
            if response.status_code == 200:
                if b"schemaVersion" not in body:
                    raise self._error("its answer is no manifest", "check the name of the registry")
                return f"sha256:{hashlib.sha256(body).hexdigest()}"
        raise self._refused(response)

    def _manifest(self, method: str) -> tuple[httpx.Response, bytes]:
        url, headers = self._url, {"Accept": ACCEPT}
        for _ in range(MOST_REDIRECTS + 1):
            own = _same_place(url, self._url)
            more = {"Authorization": self._authorization} if own and self._authorization else {}
            response, body = self._send(method, url, {**headers, **more}, LARGEST_MANIFEST)
            if not response.is_redirect:
                return response, body
            url = url.join(response.headers.get("location", ""))
            if url.scheme != "https" and not (self._local and _is_here(_host_of(url))):
                raise self._error(
                    f"it redirects to {url.scheme}://{_host_of(url)}, which is not HTTPS",
                    "name the registry that has the image",
                )
        raise self._error(f"it redirects more than {MOST_REDIRECTS} times", "check the name of the registry")

    def _authorized(self, refused: httpx.Response) -> str:
        """The header that the registry asks for in a refusal."""
        challenge = refused.headers.get("www-authenticate", "")
        scheme, _, rest = challenge.partition(" ")
        login = self._login(self._image.registry)
        if scheme.lower() == "basic" and login is not None:
            return login.header
        if scheme.lower() != "bearer":
            raise self._refused(refused)
        return f"Bearer {self._token(dict(_PARAMETER.findall(rest)), login)}"

    def _token(self, asked: Mapping[str, str], login: Login | None) -> str:
        try:
            realm = httpx.URL(asked.get("realm", ""))
        except httpx.InvalidURL:
            realm = httpx.URL("")
        safe = realm.scheme == "https" or (
            realm.scheme == "http" and self._local and _is_here(_host_of(realm))
        )
        if not safe or not realm.host or realm.userinfo:
            raise self._error(
                "it names a token service that is not a URL with https",
                "check the name of the registry, or tell those who run it",
            )
        wanted = {"scope": f"repository:{self._image.path}:pull"}
        if "service" in asked:
            wanted["service"] = asked["service"]
        headers = {} if login is None else {"Authorization": login.header}
        response, body = self._send("GET", realm.copy_merge_params(wanted), headers, LARGEST_TOKEN)
        if response.status_code != 200:
            raise self._refused(response)
        try:
            answer = httpx.Response(200, content=body).json()
            token = answer.get("token") or answer.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._error("its token service gave no token", "try again later")
        return token

    def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], most: int
    ) -> tuple[httpx.Response, bytes]:
        with self._client.stream(method, url, headers=dict(headers), follow_redirects=False) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > most:
                    raise self._error(
                        f"its answer has more than {most // 1024} KiB", "check the name of the registry"
                    )
                if time.monotonic() > self._until:
                    raise TimeoutError
            return response, body

    def _refused(self, response: httpx.Response) -> ImageRegistryError:
        registry, status = self._image.registry, response.status_code
        if status in {401, 403}:
            return ImageRegistryError(
                f"cannot read {self._name}: {registry} refuses it; there is no such public image",
                hint=f"check its name and tag, or log in with `docker login {registry}`",
            )
        if status == 404:
            return ImageRegistryError(
                f"cannot find {self._name}: {registry} has no such tag",
                hint="check the name and the tag of the image",
            )
        if status == 429:
            after = response.headers.get("retry-after", "")
            wait = f" in {after} s" if after.isdigit() else " later"
            return ImageRegistryError(
                f"cannot read {self._name}: {registry} had too many requests from this address",
                hint=f"run the command again{wait}, or log in with `docker login {registry}`",
            )
        if status >= 500:
            return self._error(f"it answered {status}", "run the command again later")
        return self._error(f"it answered {status}", "check the name of the registry")

    @property
    def _name(self) -> str:
        return f"{self._image.repository}:{self._image.tag}"

    def _error(self, why: str, hint: str) -> ImageRegistryError:
        return ImageRegistryError(
            f"cannot read {self._name}: {self._image.registry} failed: {why}", hint=hint
        )


def _context() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _host_of(url: httpx.URL) -> str:
    return url.netloc.decode("ascii", "replace")


def _same_place(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.netloc) == (other.scheme, other.netloc)


def _is_here(host: str) -> bool:
    """Whether `host` or `host:port` is this machine."""
    name = httpx.URL(f"//{host}").host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _unreachable(image: ImageReference, why: str) -> ImageRegistryError:
    name = f"{image.repository}:{image.tag}"
    return ImageRegistryError(
        f"cannot reach the registry {image.registry} for {name}: {why}", hint=_TAKEN_BACK
    )


def _cause(error: BaseException) -> str:
    """Why there was no answer, in one line: the first exception in the chain that says it."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for cause in chain[::-1]:
        match cause:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return f"TLS failed ({cause.reason or 'unknown reason'})"
            case httpx.ConnectTimeout():
                return f"no connection within {CONNECT_SECONDS:g} s"
            case httpx.TimeoutException() | TimeoutError():
                return f"no answer within {READ_SECONDS:g} s"
            case socket.gaierror():
                return "cannot resolve the host"
            case OSError() if cause.strerror:
                return cause.strerror.lower()
            case httpx.RemoteProtocolError() | httpx.DecodingError():
                return "its answer is not HTTP"
    return " ".join(str(error).split()) or type(error).__name__
