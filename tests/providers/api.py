"""The stand-in's way to the API of Proxmox VE, with the words that the official provider has for a refusal.

Source of the words: https://github.com/bpg/terraform-provider-proxmox, proxmox/api/client.go and
proxmox/nodes/tasks/tasks.go.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import httpx

_PATIENCE = 60.0
"""Seconds for a task."""


class RefusedError(Exception):
    """The API, or a task, said no. The text names status and reason."""


class Api:
    """A client that knows one endpoint and one token.

    Args:
        endpoint: as in the provider's configuration.
        token: user@realm!tokenid=secret.
        insecure: whether the certificate is believed unseen.
    """

    def __init__(self, endpoint: str, token: str, *, insecure: bool) -> None:
        context = ssl.create_default_context()
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self._client = httpx.Client(
            base_url=f"{endpoint.rstrip('/')}/api2/json",
            headers={"Authorization": f"PVEAPIToken={token}"},
            verify=context,
            timeout=_PATIENCE,
            trust_env=False,
        )

    def get(self, path: str, **query: Any) -> Any:
        """What is there."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, form: dict[str, Any] | None = None) -> Any:
        """Make something; a task is waited for."""
        return self._done(self._ask("POST", path, data=form or {}))

    def put(self, path: str, form: dict[str, Any]) -> Any:
        """Change something; a task is waited for."""
        return self._done(self._ask("PUT", path, data=form))

    def delete(self, path: str, **query: Any) -> Any:
        """Take something away; a task is waited for."""
        return self._done(self._ask("DELETE", path, params=query))

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        try:
            answer = self._client.request(method, path, **how)
        except httpx.HTTPError as problem:
            raise RefusedError(
                f"failed to perform HTTP {method} request (path: {path[1:]}) - Reason: {problem}"
            ) from problem
        if answer.is_error:
            raise RefusedError(f"received an HTTP {answer.status_code} response - Reason: {_reason(answer)}")
        return answer.json()["data"]

    def _done(self, data: Any) -> Any:
        if not isinstance(data, str) or not data.startswith("UPID:"):
            return data
        path, end = f"/nodes/{data.split(':')[1]}/tasks/{data}/status", time.monotonic() + _PATIENCE
        while (status := self.get(path))["status"] != "stopped":
            if time.monotonic() > end:
                raise RefusedError(f'timeout while waiting for task "{data}" to complete')
            time.sleep(0.1)
        if status["exitstatus"] != "OK":
            raise RefusedError(f'task "{data}" failed to complete with exit code: {status["exitstatus"]}')
        return None


def _reason(answer: httpx.Response) -> str:
    try:
        errors = answer.json().get("errors") or {}
    except ValueError:
        errors = {}
    said = "".join(f" ({key}: {text})" for key, text in sorted(errors.items()))
    return f"{answer.reason_phrase}{said}"
