"""Where a git repository is: checks an address before git sees it, and takes the credentials out of it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reconciler.core.errors import ConfigError
from reconciler.core.redact import redact

SCHEMES = ("file", "git", "http", "https", "ssh")
"""The transports that git may use at all. `ext::` runs any command, `fd::` reads any descriptor."""

_HINT = "write it as https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or /PATH"
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SELECTOR = re.compile(r"[A-Za-z0-9+.-]*::")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class Address:
    """An address that is safe to give to git as an argument.

    Args:
        url: for git; without credentials where the transport is HTTP, since arguments of a process can be
            read by every user of the machine.
        host: the server's name as ssh would be given it (`git@forge.example`), or empty for a local path.
        path: of a repository on this machine, or None.
        authorization: the HTTP header with the credentials that were in the address, or empty.
        secrets: what must not be shown.
    """

    url: str
    host: str = ""
    path: Path | None = None
    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """For messages."""
        return redact(self.url, self.secrets)

    @property
    def origin(self) -> str:
        """Scheme, host and port of an HTTP address: what its credentials are for; empty for others."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in {"http", "https"} else ""


def parse(url: str) -> Address:
    """Check and take apart the address of a repository.

    Args:
        url: a path, `file://`, `https://`, `http://`, `git://`, `ssh://`, or scp-like `user@host:path`.

    Raises:
        ConfigError: it is none of these, or git could take it for an option or a command.
    """
    if not url or url != url.strip():
        raise _refused(url, "it is empty or begins or ends with a space")
    if url.startswith("-"):
        raise _refused(url, "git would take it for an option")
    if _SELECTOR.match(url):
        raise _refused(url, "transports with :: can run commands")
    scheme = _SCHEME.match(url)
    if scheme:
        return _with_scheme(url, scheme["scheme"].lower())
    # git's own rule: a colon before the first slash makes it scp-like (connect.c, url_is_local_not_ssh).
    head, colon, tail = url.partition(":")
    if colon and "/" not in head:
        if _CONTROL.search(url) or not tail or _option_like(head):
            raise _refused(url, "its host or path is not one")
        return Address(url=url, host=head)
    path = Path(url).expanduser().absolute()
    return Address(url=str(path), path=path)


def _with_scheme(url: str, scheme: str) -> Address:
    if scheme not in SCHEMES:
        raise _refused(url, f"{scheme}:// is none of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise _refused(url, "its host or port is not one") from error
    if scheme == "file":
        path = Path(unquote(parts.path))
        return Address(url=url, path=path)
    if _CONTROL.search(url) or not host or _option_like(parts.netloc) or _option_like(host):
        raise _refused(url, "its host is not one")
    user, at, bare = parts.netloc.rpartition("@")
    if scheme not in {"http", "https"}:
        secret = unquote(user.partition(":")[2])
        return Address(
            url=url,
            host=f"{user.partition(':')[0]}@{host}" if at else host,
            secrets=(secret,) if secret else (),
        )
    if not at:
        return Address(url=url, host=host)
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    token = base64.b64encode(pair.encode()).decode()
    return Address(
        url=parts._replace(netloc=bare).geturl(),
        host=host,
        authorization=f"Authorization: Basic {token}",
        # A name alone is how some forges take a token, so it is as secret as a password.
        secrets=tuple(
            filter(None, (token, password, unquote(password), *(() if password else (name, unquote(name)))))
        ),
    )


def _option_like(host: str) -> bool:
    return host.rpartition("@")[2].startswith("-") or host.startswith("-")


def _refused(url: str, why: str) -> ConfigError:
    return ConfigError(f"cannot use {redact(url)!r} as the address of a repository: {why}", hint=_HINT)
