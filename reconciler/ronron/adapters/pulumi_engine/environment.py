"""The environment variables of the engine and the program, and the engine's home."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ronron.adapters.pulumi_engine.plugins import join_plugins
from ronron.adapters.pulumi_engine.remedies import DOCTOR
from ronron.core.errors import EngineError, EngineMissingError, PassphraseError
from ronron.core.packages import VirtualEnvironment
from ronron.core.redact import is_secret_name
from ronron.installation import NO_DOWNLOADS, engine_path
from ronron.settings import EngineSettings

ALLOWED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ"),
        *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
        "SSH_AUTH_SOCK",
        NO_DOWNLOADS,
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


ACCEPT_EMPTY = "RONRON_ACCEPT_EMPTY"
"""The services whose data a person accepted although they were recreated, with commas."""

ENVIRONMENT = "RONRON_ENVIRONMENT"
"""The environment's name: the program names it in the commands of its hints."""


EXCLUDE = "RONRON_EXCLUDE"
"""The machines that are excluded from a preview or an update, with commas: the program does not contact
them."""

REPAIR = "RONRON_REPAIR"
"""The containers that are put back while a part of their service does not work, with commas: the program
takes no snapshot before it replaces them."""


GOING_BACK = "RONRON_GOING_BACK"
"""The services that go back from a revision that failed, with commas. They have a snapshot from before it, so
the program permits an earlier version of them."""


def environment(
    settings: EngineSettings,
    inherited: Mapping[str, str],
    running: str | None = None,
    excluded: Iterable[str] = (),
    repaired: Iterable[str] = (),
    *,
    accept_empty: Iterable[str] = (),
    name: str = "",
    packages: VirtualEnvironment | None = None,
    going_back: Iterable[str] = (),
) -> dict[str, str]:
    """All environment variables of the engine; the program gets the same.

    Where Ronron runs from a virtual environment that is not activated, its directory is put first on PATH:
    the Python language host takes the first `python3`, and that one has the SDK if it is installed there.
    The engine's directory is added, unless the first `pulumi` on PATH is the one to use.

    Args:
        settings: the engine's.
        inherited: the reconciler's own environment.
        running: the commit that is live before, or None where it is unknown; see `REVISION`.
        excluded: names of the excluded machines; see `EXCLUDE`.
        repaired: names of the containers that are put back without a snapshot; see `REPAIR`.
        accept_empty: names of services; see `ACCEPT_EMPTY`.
        name: of the environment; see `ENVIRONMENT`.
        packages: the virtual environment that the program runs in; None for the first Python on PATH.
        going_back: names of services; see `GOING_BACK`.
    """
    allowed = ALLOWED | set(settings.pass_environment)
    chosen = {name: value for name, value in inherited.items() if name in allowed}
    if sys.prefix != sys.base_prefix and "VIRTUAL_ENV" not in inherited:
        chosen["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), chosen.get("PATH", os.defpath)])
    chosen["PATH"] = engine_path(chosen.get("PATH", os.defpath), settings.installed)
    if packages is not None:
        chosen["PATH"] = os.pathsep.join([str(packages.programs), chosen["PATH"]])
        chosen["VIRTUAL_ENV"] = str(packages.directory)
    if not settings.installed.downloads:
        chosen.setdefault(NO_DOWNLOADS, "true")
    chosen |= SET
    if name:
        chosen[ENVIRONMENT] = name
    if running is not None:
        chosen[REVISION] = running
    for variable, values in (
        (EXCLUDE, excluded),
        (GOING_BACK, going_back),
        (REPAIR, repaired),
        (ACCEPT_EMPTY, accept_empty),
    ):
        if names := ",".join(values):
            chosen[variable] = names
    chosen["PULUMI_HOME"] = str(settings.home)
    chosen["PULUMI_BACKEND_URL"] = settings.backend_url
    if settings.passphrase is not None:
        chosen["PULUMI_CONFIG_PASSPHRASE"] = settings.passphrase.get_secret_value()
    if settings.passphrase_file is not None:
        chosen["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(settings.passphrase_file)
    return chosen


def executable(seen: Mapping[str, str]) -> Path:
    """The engine, by the PATH that it sees itself.

    Raises:
        EngineMissingError: there is none.
    """
    found = shutil.which("pulumi", path=seen.get("PATH", os.defpath))
    if found is None:
        raise EngineMissingError("cannot find the engine: there is no `pulumi` on PATH", hint=DOCTOR)
    return Path(found)


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
    """Create the engine's home with its plugins and, for a file backend, the directory of its state.

    Only we can read them.

    Raises:
        EngineError: they cannot be created.
        EngineMissingError: the directory of plugins is missing.
    """
    try:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        backend = file_backend(settings.backend_url)
        if backend is not None:
            backend.mkdir(mode=0o700, parents=True, exist_ok=True)
        join_plugins(settings.home, plugin_sources(settings))
    except OSError as error:
        raise EngineError(
            f"cannot create the engine's directories: {error.strerror}",
            where=str(error.filename or settings.home),
            hint="get write permission there, or name another state directory with RONRON_STATE",
        ) from error


def plugin_sources(settings: EngineSettings) -> tuple[Path, ...]:
    """The directories of plugins that are installed here: the one of the settings, and else every known one.

    Raises:
        EngineMissingError: the one of the settings is missing.
    """
    if settings.plugins is None:
        return settings.installed.plugins
    if not settings.plugins.is_dir():
        raise EngineMissingError(
            "cannot find the directory of plugins",
            where=str(settings.plugins),
            hint="set RONRON_PULUMI_PLUGINS to a directory of installed plugins, or unset it: `ronron` finds "
            "those of `make setup` and of Pulumi itself",
        )
    return (settings.plugins,)


def file_backend(url: str) -> Path | None:
    """The directory of a `file://` backend; None for every other one."""
    scheme, _, rest = url.partition("://")
    if scheme != "file":
        return None
    return Path(unquote(rest.partition("?")[0])).expanduser()
