"""The environment variables of the engine and the program, and the engine's home."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ronron.core.errors import EngineError, EngineMissingError, PassphraseError
from ronron.core.redact import is_secret_name
from ronron.settings import EngineSettings

ALLOWED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ"),
        *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        "SSH_AUTH_SOCK",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
        "RONRON_SNAPSHOT_TIMEOUT",
    }
)
"""Variables that are always passed on: paths, language and time zone, proxies, certificates.

Every other one has to be named in the settings. Tokens of the reconciler are never among them.
"""

SET = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # It enables flags such as `--event-log`.
    "PULUMI_DEBUG_COMMANDS": "true",
    # A stack file without a salt takes that of the state. Otherwise every throw-away checkout would get
    # a salt of its own, and the state would be encrypted again with it (pulumi/pulumi#16412).
    "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
    "NO_COLOR": "1",
    # Nothing is written into a checkout.
    "PYTHONDONTWRITEBYTECODE": "1",
    # The last output of a program that dies must not stay in its buffer.
    "PYTHONUNBUFFERED": "1",
    "GIT_TERMINAL_PROMPT": "0",
}

_LARGEST_PASSPHRASE = 64 * 1024


REVISION = "RONRON_REVISION"
"""The commit that is live before a preview or an update: the program's hooks record it in a snapshot."""


EXCLUDE = "RONRON_EXCLUDE"
"""The machines that are excluded from a preview or an update, with commas: the program does not contact
them."""


GOING_BACK = "RONRON_GOING_BACK"
"""The services that go back from a revision that failed, with commas. They have a snapshot from before it, so
the program permits an earlier version of them."""


def environment(
    settings: EngineSettings,
    inherited: Mapping[str, str],
    running: str | None = None,
    excluded: Iterable[str] = (),
    going_back: Iterable[str] = (),
) -> dict[str, str]:
    """All environment variables of the engine; the program gets the same.

    Where Ronron runs from a virtual environment that is not activated, its directory is put first on PATH:
    the Python language host takes the first `python3`, and that one has the SDK if it is installed there.

    Args:
        settings: the engine's.
        inherited: the reconciler's own environment.
        running: the commit that is live before, or None where it is unknown; see `REVISION`.
        excluded: names of the excluded machines; see `EXCLUDE`.
        going_back: names of services; see `GOING_BACK`.
    """
    allowed = ALLOWED | set(settings.pass_environment)
    chosen = {name: value for name, value in inherited.items() if name in allowed}
    if sys.prefix != sys.base_prefix and "VIRTUAL_ENV" not in inherited:
        chosen["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), chosen.get("PATH", os.defpath)])
    chosen |= SET
    if running is not None:
        chosen[REVISION] = running
    if names := ",".join(excluded):
        chosen[EXCLUDE] = names
    if names := ",".join(going_back):
        chosen[GOING_BACK] = names
    chosen["PULUMI_HOME"] = str(settings.home)
    chosen["PULUMI_BACKEND_URL"] = settings.backend_url
    if settings.passphrase is not None:
        chosen["PULUMI_CONFIG_PASSPHRASE"] = settings.passphrase.get_secret_value()
    if settings.passphrase_file is not None:
        chosen["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(settings.passphrase_file)
    return chosen


def secrets(settings: EngineSettings, environment: Mapping[str, str]) -> frozenset[str]:
    """Values that no message may show.

    Raises:
        PassphraseError: the file with the passphrase cannot be read.
    """
    found = {value for name, value in environment.items() if is_secret_name(name) and name not in SET}
    if settings.passphrase_file is not None:
        try:
            with settings.passphrase_file.open("rb") as file:
                found.add(file.read(_LARGEST_PASSPHRASE).decode(errors="replace").strip())
        except OSError as error:
            raise PassphraseError(
                f"cannot read the passphrase: {error.strerror}",
                where=str(settings.passphrase_file),
                hint="write the passphrase into that file, or name another one with "
                "PULUMI_CONFIG_PASSPHRASE_FILE",
            ) from error
    password = urlsplit(settings.backend_url).password
    if password:
        found |= {password, unquote(password)}
    return frozenset(found - {"", str(settings.passphrase_file)})


def prepare(settings: EngineSettings) -> None:
    """Create the engine's home and, for a file backend, the directory of its state; only we can read them.

    Raises:
        EngineError: they cannot be created.
        EngineMissingError: the directory of plugins is missing.
    """
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        backend = file_backend(settings.backend_url)
        if backend is not None:
            backend.mkdir(mode=0o700, parents=True, exist_ok=True)
        if settings.plugins is not None:
            _link_plugins(settings.home / "plugins", settings.plugins)
    except OSError as error:
        raise EngineError(
            f"cannot create the engine's directories: {error.strerror}",
            where=str(error.filename or settings.home),
            hint="get write permission there, or name another state directory with RONRON_STATE",
        ) from error


def file_backend(url: str) -> Path | None:
    """The directory of a `file://` backend; None for every other one."""
    scheme, _, rest = url.partition("://")
    if scheme != "file":
        return None
    return Path(unquote(rest.partition("?")[0])).expanduser()


def _link_plugins(link: Path, plugins: Path) -> None:
    if not plugins.is_dir():
        raise EngineMissingError(
            "cannot find the directory of plugins",
            where=str(plugins),
            hint="run `make setup`, or unset RONRON_PULUMI_PLUGINS to let Pulumi fetch its plugins",
        )
    if link.is_symlink():
        if link.readlink() == plugins:
            return
        fresh = link.with_name(f"plugins.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(plugins)
        fresh.replace(link)
        return
    try:
        link.rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise EngineError(
            "cannot link the directory of plugins: the engine has fetched plugins of its own",
            where=str(link),
            hint=f"remove it with `rm -r {link}`, or unset RONRON_PULUMI_PLUGINS",
        ) from error
    try:
        link.symlink_to(plugins)
    except FileExistsError:
        # Another process of ours created it meanwhile.
        if not link.is_symlink():
            raise
