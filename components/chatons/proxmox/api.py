"""The API of Proxmox VE, as much of it as is asked here before and beside the engine's own plugin."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from chatons.schema.errors import ChatonsError
from chatons.schema.problems import KeyPath

ENDPOINT: KeyPath = ("proxmox", "endpoint")
TOKEN: KeyPath = ("proxmox-token",)

_ANSWER_SECONDS = 15.0
"""For one answer. A node asks another one for up to 10 s before it gives up. Source: PVE/APIServer, 595."""
_CONNECT_SECONDS = 5.0
_LARGEST = 8 * 1024 * 1024
"""Bytes of an answer; of a thousand guests the cluster tells about 0.5 MiB."""
_LONGEST_REASON = 300
_NOT_REACHED = 595
"""Status of an answer that one node was to fetch from another, and could not."""
_UNAUTHORIZED, _FORBIDDEN = 401, 403

_TRUST = (
    "copy /etc/pve/pve-root-ca.pem of a node to /usr/local/share/ca-certificates/pve.crt here and run "
    "`update-ca-certificates` (or name it with SSL_CERT_FILE); or write `insecure: true`, on a network of "
    "your own"
)
_UNTRUSTED = {
    18: "is signed by itself",
    19: "is signed by an authority of its own",
    20: "is signed by an authority that is not known here",
    21: "is signed by an authority that is not known here",
}
"""Source: OpenSSL, x509_vfy.h."""
_EXPIRED, _OTHER_NAMES = 10, (62, 64)


class ProxmoxError(ChatonsError):
    """The cluster did not do what it was asked; never holds the token.

    Attributes:
        problem: what is wrong; lower case, no full stop.
        remedy: one imperative sentence.
        path: the key of the declaration that it is about.
        status: of the answer; 0 where there was none.
    """

    def __init__(self, problem: str, remedy: str, *, path: KeyPath = ENDPOINT, status: int = 0) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy
        self.path = path
        self.status = status

    @property
    def is_forbidden(self) -> bool:
        """Whether a privilege was missing."""
        return self.status == _FORBIDDEN


class ProxmoxApi:
    """One cluster, by one of its nodes. May be used from several threads at the same time.

    Args:
        endpoint: `https://host:8006/`, as the declaration has it.
        token: `user@realm!name=secret`.
        insecure: do not check the certificate.
        deadline: seconds for one answer.
        transport: what stands in for the network, in tests.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        insecure: bool = False,
        *,
        deadline: float = _ANSWER_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._token = token
        self._deadline = deadline
        self._client = httpx.Client(
            base_url=f"{endpoint.rstrip('/')}/api2/json",
            headers={"Authorization": f"PVEAPIToken={token}"},
            # The trust of the system, which is the plugin's too; that of httpx would be a bundle of its own.
            verify=_no_check() if insecure else ssl.create_default_context(),
            timeout=httpx.Timeout(deadline, connect=min(deadline, _CONNECT_SECONDS)),
            # The token goes to the declared host alone.
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
        """Let the connections go."""
        self._client.close()

    @property
    def token_id(self) -> str:
        """The token without its secret: `user@realm!name`."""
        return self._token.partition("=")[0]

    def get(self, path: str, **query: str | int) -> Any:
        """Read.

        Args:
            path: below /api2/json, such as `/cluster/status`.
            query: parameters; one whose name holds a dash is given by `**{"a-b": ...}`.

        Returns:
            What the answer calls `data`.

        Raises:
            ProxmoxError: no answer, or not the one of a Proxmox VE that did it.
        """
        return self._ask("GET", path, params=query)

    def post(self, path: str, **form: str | int) -> Any:
        """Make. See `get`."""
        return self._ask("POST", path, data=form)

    def put(self, path: str, **form: str | int) -> Any:
        """Change. See `get`."""
        return self._ask("PUT", path, data=form)

    def delete(self, path: str, **query: str | int) -> Any:
        """Take away. See `get`."""
        return self._ask("DELETE", path, params=query)

    def _ask(self, method: str, path: str, **more: Mapping[str, str | int]) -> Any:
        end = time.monotonic() + self._deadline
        try:
            with self._client.stream(method, path.lstrip("/"), **more) as answer:  # type: ignore[arg-type]
                body = bytearray()
                for part in answer.iter_bytes():
                    body.extend(part)
                    if len(body) > _LARGEST:
                        raise self._strange(f"its answer to {path} is larger than {_LARGEST >> 20} MiB")
                    if time.monotonic() > end:
                        raise self._silent(f"its answer to {path} took longer than {self._deadline:g} s")
        except httpx.TimeoutException as error:
            raise self._silent(f"no answer to {path} within {self._deadline:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._no_answer(error) from error
        return self._read(path, answer, bytes(body))

    def _read(self, path: str, answer: httpx.Response, body: bytes) -> Any:
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        reason = self._reason(answer, document)
        if answer.status_code == _UNAUTHORIZED:
            raise self._refused(reason)
        if answer.is_success and isinstance(document, dict) and "data" in document:
            return document["data"]
        if not isinstance(document, dict) and answer.status_code not in (500, _FORBIDDEN, _NOT_REACHED):
            raise self._strange(f"it answers {answer.status_code} and no JSON")
        if answer.status_code == _FORBIDDEN:
            remedy = "give the token that privilege; docs/operations.md lists all that it needs"
            raise ProxmoxError(f"the token may not: {reason}", remedy, path=TOKEN, status=_FORBIDDEN)
        if answer.status_code == _NOT_REACHED:
            remedy = "bring that node back, and try again"
            raise ProxmoxError(
                f"a node of the cluster is not reached: {reason}", remedy, status=answer.status_code
            )
        if "quorum" in reason:
            remedy = "bring enough nodes back: `pvecm status` on a node says which are missing"
            raise ProxmoxError(f"the cluster changes nothing: {reason}", remedy, status=answer.status_code)
        remedy = "look at the journal of the node: `journalctl -u pvedaemon -u pveproxy`"
        raise ProxmoxError(f"the cluster refuses {path}: {reason}", remedy, status=answer.status_code)

    def _reason(self, answer: httpx.Response, document: object) -> str:
        """Why, in the cluster's own words: its first line, and what it holds against parameters."""
        words = [answer.reason_phrase]
        if isinstance(document, dict):
            errors = document.get("errors")
            words = [str(document.get("message") or answer.reason_phrase)]
            if isinstance(errors, dict):
                words += [f"{key}: {value}" for key, value in errors.items()]
        text = " ".join("; ".join(word.strip() for word in words if word).split())
        secret = self._token.partition("=")[2]
        shown = text.replace(secret, "***") if secret else text
        return shown[:_LONGEST_REASON] or f"status {answer.status_code}"

    def _refused(self, reason: str) -> ProxmoxError:
        user, _, name = self.token_id.partition("!")
        if "expire" in reason:
            what = "has expired" if reason.startswith("token") else f"is of an account that has: {reason}"
            remedy = (
                f"on a node, run `pveum user token modify {user} {name} --expire 0`, or with a later time"
                if reason.startswith("token")
                else f"on a node, run `pveum user modify {user} --expire 0`"
            )
        elif "disabled" in reason:
            what = "is of a user who is disabled"
            remedy = f"on a node, run `pveum user modify {user} --enable 1`"
        elif "no such" in reason:
            what = f"is not known: {reason}"
            remedy = (
                f"on a node, run `pveum user token add {user} {name} --privsep 0`, and set the secret anew: "
                "pulumi config set --secret ronron:proxmox-token"
            )
        else:
            what = f"is refused: {reason}"
            remedy = (
                f"make another one on a node, `pveum user token add {user} NAME --privsep 0`, and set it: "
                "pulumi config set --secret ronron:proxmox-token"
            )
        return ProxmoxError(f"the token {self.token_id} {what}", remedy, path=TOKEN, status=_UNAUTHORIZED)

    def _strange(self, what: str) -> ProxmoxError:
        return ProxmoxError(
            f"no Proxmox VE answers at {self._endpoint}: {what}",
            "write the address of the node's own page, such as https://pve.example:8006/",
        )

    def _silent(self, what: str) -> ProxmoxError:
        return ProxmoxError(
            f"{self._endpoint} is silent: {what}",
            "look whether the node is up and its firewall lets port 8006 through: "
            f"`curl -k {self._endpoint}`",
        )

    def _no_answer(self, error: Exception) -> ProxmoxError:
        cause = _cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return self._untrusted(cause)
        if isinstance(cause, ssl.SSLError):
            return self._strange("it does not speak TLS there")
        if isinstance(cause, socket.gaierror):
            return ProxmoxError(
                f"nobody knows the host of {self._endpoint}",
                "check its spelling, and that this machine's DNS knows it; or write its address in digits",
            )
        if isinstance(cause, ConnectionRefusedError):
            return ProxmoxError(
                f"nothing listens at {self._endpoint}",
                "check host and port (Proxmox VE has 8006), and that `systemctl status pveproxy` is running",
            )
        if isinstance(cause, OSError):
            return self._silent((cause.strerror or str(cause) or type(cause).__name__).lower())
        return self._strange(str(error).lower()[:_LONGEST_REASON] or "its answer breaks off")

    def _untrusted(self, error: ssl.SSLCertVerificationError) -> ProxmoxError:
        if error.verify_code == _EXPIRED:
            remedy = "renew it: on the node, `pvecm updatecerts --force`, or order it anew"
            return ProxmoxError(f"the certificate of {self._endpoint} has expired", remedy)
        if error.verify_code in _OTHER_NAMES:
            remedy = (
                "write the name that it is made for, as `openssl s_client -connect HOST:8006` shows it; that "
                "of the node with its domain, as a rule"
            )
            return ProxmoxError(f"the certificate of {self._endpoint} is made for another name", remedy)
        what = _UNTRUSTED.get(error.verify_code, f"is not trusted: {error.verify_message}")
        return ProxmoxError(f"the certificate of {self._endpoint} {what}", _TRUST)


def _no_check() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _cause(error: BaseException) -> BaseException:
    """The innermost one that says something: libraries wrap a refused connection twice."""
    found = error
    while (inner := found.__cause__ or found.__context__) is not None:
        found = inner
        if isinstance(found, ssl.SSLError | socket.gaierror | ConnectionError):
            break
    return found
