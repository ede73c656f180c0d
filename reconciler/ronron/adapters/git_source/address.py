"""The address of a git repository: checked before git sees it, and separated from its credentials."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ronron.core.errors import ConfigError
from ronron.core.redact import MASK, redact

SCHEMES = ("file", "git", "http", "https", "ssh")
"""The transports that git may use. `ext::` runs any command, `fd::` reads any file descriptor."""

_HINT = "write it as https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or /PATH"
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SELECTOR = re.compile(r"[A-Za-z0-9+.-]*::")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_SCP = re.compile(r"(?P<host>(?:[^/:@\[]+@)?(?:\[[^/\]]*\]|[^/:\[]*)):(?P<path>.*)", re.DOTALL)
"""git's own rule: a colon before the first slash makes it scp-like (connect.c, url_is_local_not_ssh)."""

_USERINFO = re.compile(r"[^/@]*:[^/@]*@")


@dataclass(frozen=True)
class Address:
    """An address that is safe to give to git as an argument.

    Args:
        url: for git; without credentials where the transport is HTTP, since arguments of a process can be
            read by every user of the machine.
        host: the server's name as an argument of ssh (`git@forge.example`), or empty for a local path.
        path: of a repository on this machine, or None.
        authorization: the HTTP header with the credentials of the address, or empty.
        secrets: values that must not be shown.
    """

    url: str
    host: str = ""
    path: Path | None = None
    authorization: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """For messages and for commands in hints; an ssh user is part of it, and has no password here."""
        return self.url if self.host and not self.origin else redact(self.url, self.secrets)

    @property
    def ssh_port(self) -> int | None:
        """The port of an ssh address, or None."""
        parts = urlsplit(self.url) if self.host and "://" in self.url else None
        return parts.port if parts and parts.scheme == "ssh" else None

    @property
    def origin(self) -> str:
        """Scheme, host and port of an HTTP address, for which its credentials are; empty for others."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/" if parts.scheme in {"http", "https"} else ""


def parse(url: str) -> Address:
    """Check the address of a repository.

    Args:
        url: a path, `file://`, `https://`, `http://`, `git://`, `ssh://`, or scp-like `user@host:path`.

    Raises:
        ConfigError: it is none of these, or git could read it as an option or a command.
    """
    if not url or url != url.strip():
        raise _refused(url, "it is empty or begins or ends with a space")
    if _CONTROL.search(url):
        raise _refused(url, "it contains a control character")
    if url.startswith("-"):
        raise _refused(url, "git would read it as an option")
    if _SELECTOR.match(url):
        raise _refused(url, "transports with :: can run commands")
    scheme = _SCHEME.match(url)
    if scheme:
        return _with_scheme(url, scheme["scheme"].lower())
    if "/" not in url.partition(":")[0] and ":" in url:
        scp = _SCP.fullmatch(url)
        if scp is None or _BLANK.search(url) or not scp["path"] or not _is_host(scp["host"]):
            raise _refused(url, "its host or path is invalid")
        if _USERINFO.match(url):
            # `user:password@host:path`: ssh would connect to a host with the name of the user.
            raise _refused(url, "ssh takes no password from an address")
        return Address(url=url, host=scp["host"])
    try:
        path = Path(url).expanduser().absolute()
    except RuntimeError as error:
        raise _refused(url, "it begins with the home of an unknown user") from error
    return Address(url=str(path), path=path)


def _with_scheme(url: str, scheme: str) -> Address:
    if scheme not in SCHEMES:
        raise _refused(url, f"{scheme}:// is not one of {', '.join(SCHEMES)}")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise _refused(url, "its host or port is invalid") from error
    if scheme == "file":
        if parts.netloc or parts.query or parts.fragment:
            raise _refused(url, "file:// is followed by an absolute path, where ? and # are %3F and %23")
        return Address(url=url, path=Path(unquote(parts.path)))
    if _BLANK.search(url) or not host or not _is_host(parts.netloc) or host.startswith("-"):
        raise _refused(url, "its host is invalid")
    user, _, bare = parts.netloc.rpartition("@")
    if scheme not in {"http", "https"}:
        if ":" in user or (user and scheme == "git"):
            raise _refused(url, f"{scheme}:// takes no {'user' if scheme == 'git' else 'password'}")
        return Address(url=url, host=f"{user}@{host}" if user else host)
    if parts.query or parts.fragment:
        raise _refused(url, "a repository has no query; write a token before the host")
    if not user:
        return Address(url=parts._replace(netloc=bare).geturl(), host=host)
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    token = base64.b64encode(pair.encode()).decode()
    return Address(
        url=parts._replace(netloc=bare).geturl(),
        host=host,
        authorization=f"Authorization: Basic {token}",
        # Some forges take a token as the user name, so a name without a password is secret too.
        secrets=tuple(
            filter(None, (token, password, unquote(password), *(() if password else (name, unquote(name)))))
        ),
    )


def _is_host(host: str) -> bool:
    """Whether ssh cannot read `host` or `user@host` as an option."""
    user, _, name = host.rpartition("@")
    return bool(name) and not name.startswith("-") and not user.startswith("-")


def _refused(url: str, why: str) -> ConfigError:
    # A password may contain a slash, so everything before the last @ is masked.
    scheme, _, rest = url.rpartition("@")[0].partition("://")
    secret = bool(rest) or ":" in scheme
    shown = f"{scheme}://{MASK}@" if rest else f"{MASK}@"
    clean = redact(shown + url.rpartition("@")[2] if secret else url)
    return ConfigError(f"cannot use {clean!r} as the address of a repository: {why}", hint=_HINT)
