"""A visitor of the pad: requests it through the edge, as a browser would, and through Etherpad's HTTP API."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

import docker
import httpx

KEY_FILES = ("/opt/etherpad-lite/APIKEY.txt", "/opt/etherpad-lite/var/APIKEY.txt")
API = "/api/1"


class PadError(Exception):
    """The pad does not respond as a visitor expects."""


@dataclass
class Pad:
    """One Etherpad behind the edge.

    Args:
        hostname: its public name, one that ends in `.localhost`.
        port: of the edge on this machine.
        container: name of its container, where its API key lies.
    """

    hostname: str
    port: int
    container: str

    @property
    def url(self) -> str:
        """Its public address."""
        return f"http://{self.hostname}:{self.port}"

    def title(self) -> str | None:
        """The title of the front page; None while the pad is unreachable."""
        try:
            answer = self._ask("GET", "/")
        except httpx.HTTPError:
            return None
        if answer.status_code != httpx.codes.OK:
            return None
        before, found, after = answer.text.partition("<title>")
        return after.partition("</title>")[0].strip() if found and before else None

    def wait_for_title(self, wanted: str, seconds: float) -> None:
        """Wait until the front page has a title.

        Raises:
            PadError: the title did not appear in time.
        """
        until = time.monotonic() + seconds
        seen = None
        while time.monotonic() < until:
            seen = self.title()
            if seen == wanted:
                return
            time.sleep(0.5)
        raise PadError(f"{self.url} has the title {seen!r} and not {wanted!r} after {seconds:.0f} s")

    def write(self, name: str, text: str) -> None:
        """Replace the text of a pad; creates the pad where it does not exist."""
        if self._call("getText", padID=name) is None:
            self._call("createPad", padID=name)
        self._call("setText", padID=name, text=text)

    def text(self, name: str) -> str:
        """The text of a pad, as its public export has it."""
        answer = self._ask("GET", f"/p/{name}/export/txt")
        answer.raise_for_status()
        return answer.text

    def create(self, name: str) -> None:
        """Create a pad with the default text; deletes an existing one."""
        if self._call("getText", padID=name) is not None:
            self._call("deletePad", padID=name)
        self._call("createPad", padID=name)

    def _call(self, function: str, **arguments: str) -> object | None:
        form = {"apikey": self._key(), **arguments}
        answer = self._ask("POST", f"{API}/{function}", form)
        document = answer.json()
        if document.get("code") == 1 and document.get("message") == "padID does not exist":
            return None
        if document.get("code") != 0:
            raise PadError(f"the pad's API returns {answer.status_code}: {document.get('message')}")
        return document.get("data") or {}

    def _key(self) -> str:
        with closing(docker.from_env()) as engine:
            container = engine.containers.get(self.container)
            for file in KEY_FILES:
                done = container.exec_run(["cat", file])
                if done.exit_code == 0 and isinstance(done.output, bytes):
                    return done.output.decode().strip()
        raise PadError(f"no API key in {self.container}: searched {', '.join(KEY_FILES)}")

    def _ask(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        # Names below .localhost are loopback (RFC 6761), and not every resolver knows it.
        host = {"Host": f"{self.hostname}:{self.port}"}
        return httpx.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=host, data=form, timeout=10
        )
