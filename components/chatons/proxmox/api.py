"""A client of the API of Proxmox VE, for checks and for resources that the engine's plugin does not cover."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from chatons.schema.by_hand import pulumi_command
from chatons.schema.errors import ChatonsError
from chatons.schema.problems import KeyPath

ENDPOINT: KeyPath = ("proxmox", "endpoint")
TOKEN: KeyPath = ("proxmox-token",)

_TIMEOUT_SECONDS = 15.0
"""For one answer. A node waits up to 10 s for another node. Source: PVE/APIServer, status 595."""
_CONNECT_SECONDS = 5.0
_MAX_BYTES = 8 * 1024 * 1024
"""Limit of an answer. The list of a thousand guests has about 0.5 MiB."""
_MAX_REASON = 300
_NODE_UNREACHABLE = 595
"""Status when the node that answers cannot reach another node."""
_UNAUTHORIZED, _FORBIDDEN = 401, 403

_TRUST = (
    "copy /etc/pve/pve-root-ca.pem of a node to /usr/local/share/ca-certificates/pve.crt here and run "
    "`update-ca-certificates` (or set SSL_CERT_FILE to it); on a trusted network you can write "
    "`insecure: true` instead"
)
_UNTRUSTED = {
    18: "is self-signed",
    19: "is signed by an authority that is not trusted here",
    20: "is signed by an authority that is not trusted here",
    21: "is signed by an authority that is not trusted here",
}
"""Source: OpenSSL, x509_vfy.h."""
_EXPIRED, _OTHER_NAMES = 10, (62, 64)


class ProxmoxError(ChatonsError):
    """The cluster refused a request or gave no answer; the text never contains the token.

    Attributes:
        problem: what is wrong; lower case, no full stop.
        remedy: one imperative sentence.
        path: the key of the declaration that the problem belongs to.
        status: HTTP status of the answer; 0 without an answer.
    """

    def __init__(self, problem: str, remedy: str, *, path: KeyPath = ENDPOINT, status: int = 0) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.path = path
        self.status = status

    @property
    def is_forbidden(self) -> bool:
        """Whether the token lacks a privilege."""
        return self.status == _FORBIDDEN


class ProxmoxApi:
    """A client of one cluster, through one of its nodes. Safe for use by several threads.

    Args:
        endpoint: `https://host:8006/`, as the declaration has it.
        token: `user@realm!name=secret`.
        insecure: do not check the certificate.
        deadline: seconds for one answer.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        insecure: bool = False,
        *,
        deadline: float = _TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._token = token
        self._deadline = deadline
        self._client = httpx.Client(
            base_url=f"{endpoint.rstrip('/')}/api2/json",
            headers={"Authorization": f"PVEAPIToken={token}"},
            # The system's certificates, as the plugin uses them; httpx would use its own bundle.
            verify=_unverified() if insecure else ssl.create_default_context(),
            timeout=httpx.Timeout(deadline, connect=min(deadline, _CONNECT_SECONDS)),
            # The token must only go to the declared host.
            follow_redirects=False,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def token_id(self) -> str:
        """The token without its secret: `user@realm!name`."""
        return self._token.partition("=")[0]

    def get(self, path: str, **query: str | int) -> Any:
        """Send a GET request.

        Args:
            path: below /api2/json, such as `/cluster/status`.
            query: parameters; pass a name with a dash as `**{"a-b": ...}`.

        Returns:
            The value of `data` in the answer.

        Raises:
            ProxmoxError: no answer, a refusal, or an answer that is not from Proxmox VE.
        """
        return self._request("GET", path, params=query)

    def post(self, path: str, **form: str | int) -> Any:
        """Send a POST request; see `get`."""
        return self._request("POST", path, data=form)

    def put(self, path: str, **form: str | int) -> Any:
        """Send a PUT request; see `get`."""
        return self._request("PUT", path, data=form)

    def delete(self, path: str, **query: str | int) -> Any:
        """Send a DELETE request; see `get`."""
        return self._request("DELETE", path, params=query)

    def _request(self, method: str, path: str, **more: Mapping[str, str | int]) -> Any:
        end = time.monotonic() + self._deadline
        try:
            with self._client.stream(method, path.lstrip("/"), **more) as answer:  # type: ignore[arg-type]
                body = bytearray()
                for part in answer.iter_bytes():
                    body.extend(part)
                    if len(body) > _MAX_BYTES:
                        raise self._unexpected(f"the answer to {path} is larger than {_MAX_BYTES >> 20} MiB")
                    if time.monotonic() > end:
                        raise self._unreachable(f"the answer to {path} took longer than {self._deadline:g} s")
        except httpx.TimeoutException as error:
            raise self._unreachable(f"no answer to {path} within {self._deadline:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._connection_error(error) from error
        return self._read(path, answer, bytes(body))

    def _read(self, path: str, answer: httpx.Response, body: bytes) -> Any:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        reason = self._reason(answer, document)
        if answer.status_code == _UNAUTHORIZED:
            raise self._unauthorized(reason)
        if answer.is_success and isinstance(document, dict) and "data" in document:
            return document["data"]
        if not isinstance(document, dict) and answer.status_code not in (500, _FORBIDDEN, _NODE_UNREACHABLE):
            raise self._unexpected(f"the answer has status {answer.status_code} and is not JSON")
        if answer.status_code == _FORBIDDEN:
            remedy = "grant the token this privilege; docs/operations.md lists all that it needs"
            raise ProxmoxError(
                f"permission denied for the token: {reason}", remedy, path=TOKEN, status=_FORBIDDEN
            )
        if answer.status_code == _NODE_UNREACHABLE:
            remedy = "start that node again, then repeat the command"
            raise ProxmoxError(
                f"a node of the cluster is unreachable: {reason}", remedy, status=answer.status_code
            )
        if "quorum" in reason:
            remedy = "start enough nodes again: `pvecm status` on a node shows which are missing"
            raise ProxmoxError(
                f"the cluster cannot change anything: {reason}", remedy, status=answer.status_code
            )
        remedy = "read the journal of the node: `journalctl -u pvedaemon -u pveproxy`"
        raise ProxmoxError(f"the cluster refused {path}: {reason}", remedy, status=answer.status_code)

    def _reason(self, answer: httpx.Response, document: object) -> str:
        """The reason of an error: the cluster's message and its errors of parameters, without the secret."""
        parts = [answer.reason_phrase]
        if isinstance(document, dict):
            errors = document.get("errors")
            parts = [str(document.get("message") or answer.reason_phrase)]
            if isinstance(errors, dict):
                parts += [f"{key}: {value}" for key, value in errors.items()]
        text = " ".join("; ".join(part.strip() for part in parts if part).split())
        secret = self._token.partition("=")[2]
        shown = text.replace(secret, "***") if secret else text
        return shown[:_MAX_REASON] or f"status {answer.status_code}"

    def _unauthorized(self, reason: str) -> ProxmoxError:
        user, _, name = self.token_id.partition("!")
        if "expire" in reason:
            what = "has expired" if reason.startswith("token") else f"belongs to an expired account: {reason}"
            remedy = (
                f"on a node, run `pveum user token modify {user} {name} --expire 0`, or set a later time"
                if reason.startswith("token")
                else f"on a node, run `pveum user modify {user} --expire 0`"
            )
        elif "disabled" in reason:
            what = "belongs to a disabled user"
            remedy = f"on a node, run `pveum user modify {user} --enable 1`"
        elif "no such" in reason:
            what = f"is unknown to the cluster: {reason}"
            remedy = (
                f"on a node, run `pveum user token add {user} {name} --privsep 0`, and set the secret again: "
                f"{pulumi_command('config set --secret ronron:proxmox-token')}"
            )
        else:
            what = f"was refused: {reason}"
            remedy = (
                f"create a token on a node, `pveum user token add {user} NAME --privsep 0`, and set it: "
                f"{pulumi_command('config set --secret ronron:proxmox-token')}"
            )
        return ProxmoxError(f"the token {self.token_id} {what}", remedy, path=TOKEN, status=_UNAUTHORIZED)

    def _unexpected(self, what: str) -> ProxmoxError:
        return ProxmoxError(
            f"{self._endpoint} is not a Proxmox VE: {what}",
            "write the address of the web interface of a node, such as https://pve.example:8006/",
        )

    def _unreachable(self, what: str) -> ProxmoxError:
        return ProxmoxError(
            f"{self._endpoint} is unreachable: {what}",
            "check that the node is running and that no firewall blocks port 8006: "
            f"`curl -k {self._endpoint}`",
        )

    def _connection_error(self, error: Exception) -> ProxmoxError:
        cause = _cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._untrusted(cause)
        if isinstance(cause, ssl.SSLError):
            return self._unexpected("it does not use TLS")
        if isinstance(cause, socket.gaierror):
            return ProxmoxError(
                f"cannot resolve the host of {self._endpoint}",
                "check its spelling and the DNS of this machine, or write an IP address",
            )
        if isinstance(cause, ConnectionRefusedError):
            return ProxmoxError(
                f"{self._endpoint} refused the connection",
                "check host and port (Proxmox VE uses 8006), and `systemctl status pveproxy` on the node",
            )
        if isinstance(cause, OSError):
            return self._unreachable((cause.strerror or str(cause) or type(cause).__name__).lower())
        return self._unexpected(str(error).lower()[:_MAX_REASON] or "the answer is incomplete")

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ProxmoxError:
        if error.verify_code == _EXPIRED:
            remedy = "renew it: run `pvecm updatecerts --force` on the node, or order a new one"
            return ProxmoxError(f"the certificate of {self._endpoint} has expired", remedy)
        if error.verify_code in _OTHER_NAMES:
            remedy = (
                "write the name in the certificate, which `openssl s_client -connect HOST:8006` shows; "
                "usually the name of the node with its domain"
            )
            return ProxmoxError(f"the certificate of {self._endpoint} is for another name", remedy)
        what = _UNTRUSTED.get(error.verify_code, f"is not trusted: {error.verify_message}")
        return ProxmoxError(f"the certificate of {self._endpoint} {what}", _TRUST)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _cause(error: BaseException) -> BaseException:
    """The innermost useful error: libraries wrap a refused connection twice."""
    found = error
    while (inner := found.__cause__ or found.__context__) is not None:
        found = inner
        if isinstance(found, ssl.SSLError | socket.gaierror | ConnectionError):
            break
    return found
