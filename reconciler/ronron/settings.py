"""The operator's own settings: from environment variables and from options of the command line.

A file of them (`settings_file`) holds for a person's shell and the service alike. What belongs to the
collective is in the repository (`environments.yaml`, read by `policy`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ronron.core.errors import ConfigError, ConfigProblemsError, Problem
from ronron.core.model import Value
from ronron.core.redact import is_secret_name, redact
from ronron.installation import Installed, default_file, read_installed
from ronron.policy.notations import (
    NotationError,
    nearest,
    quoted,
    read_directory,
    read_duration,
    read_reference,
)
from ronron.settings_file import VARIABLE as SETTINGS_FILE
from ronron.settings_file import apply_settings_file

PREFIX = "RONRON_"
POLICY_FILE = "stacks/environments.yaml"

SOURCE_SCHEMES = ("https", "ssh", "http", "git", "file")
"""Ways of git to a repository; `ext::` and the like would run a command of the URL's choice."""
BACKEND_SCHEMES = ("file", "s3", "gs", "azblob", "postgres", "https", "http")
"""Source: pulumi pkg/backend/diy, 3.274.1, and the Pulumi service, which is https."""

KEPT_BACK = ("PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
"""Variables that the engine gets from the settings themselves and never by `pass_environment`."""

NO_SETTINGS = (
    SETTINGS_FILE,
    "RONRON_ENVIRONMENT",
    "RONRON_ENVIRONMENTS",
    "RONRON_REVISION",
    "RONRON_EXCLUDE",
)
"""Variables with our prefix that are no settings: the file of settings, and what the program gets."""

_SHORTEST_TOKEN = 20
_LARGEST_PASSPHRASE = 64 * 1024


class EngineSettings(Value):
    """What the engine needs of the settings.

    Args:
        home: the engine's own PULUMI_HOME, made where it is missing.
        backend_url: where Pulumi keeps its state.
        plugins: the only directory of installed plugins to use; None for those of `installed`.
        installed: where engine and plugins are besides PATH.
        passphrase: of the stack's secrets, as text; None where it is in a file or not needed.
        passphrase_file: holds the passphrase, or None.
        pass_environment: names of further variables that the program may see.
        preview_deadline, update_deadline: after these the engine is stopped.
    """

    home: Path
    backend_url: str = Field(repr=False)
    plugins: Path | None = None
    installed: Installed = Installed()
    passphrase: SecretStr | None = None
    passphrase_file: Path | None = None
    pass_environment: tuple[str, ...] = ()
    preview_deadline: timedelta = timedelta(minutes=10)
    update_deadline: timedelta = timedelta(hours=1)


def _read_path(value: object) -> Path:
    """An absolute path: `~` is expanded, a relative one begins at the current directory."""
    text = str(value)
    if not text or "\0" in text:
        raise NotationError(f"cannot use the path {quoted(text)}", "write an absolute path")
    try:
        return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - links stay as they are
    except RuntimeError:
        raise NotationError(
            f"cannot find the home directory of {quoted(text)}", "write an absolute path"
        ) from None


def _read_source(value: object) -> str:
    text = str(value)
    if not text.isprintable() or text.startswith("-") or "::" in text.partition("/")[0]:
        raise NotationError(
            f"cannot use the repository {quoted(text)}",
            "write its URL (https or ssh), or the path of a clone",
        )
    scheme, separator, _ = text.partition("://")
    if separator:
        if scheme.lower() in SOURCE_SCHEMES:
            return text
        raise NotationError(
            f"cannot reach a repository by {quoted(scheme)}",
            "write an https or ssh URL, or the path of a clone",
        )
    # git's own rule: a colon before the first slash is ssh's short form, host:path.
    if ":" in text.partition("/")[0]:
        return text
    return str(_read_path(text))


def _read_backend(value: object) -> str:
    text = str(value)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in BACKEND_SCHEMES:
        raise NotationError(
            f"cannot keep state in {quoted(text)}",
            "write a URL of Pulumi's, such as `file:///var/lib/ronron/pulumi-state` or `s3://bucket`",
        )
    if scheme != "file":
        return text
    if not rest.startswith(("/", "~")):
        raise NotationError(
            f"cannot keep state in {quoted(text)}: a relative path would lie in a throw-away checkout",
            "write `file://` and an absolute path",
        )
    return f"file://{_read_path(rest)}"


def _read_wheels(value: object) -> str:
    text = str(value)
    if "://" not in text:
        return str(_read_path(text))
    if not text.isprintable() or text.partition("://")[0] not in {"https", "http", "file"}:
        raise NotationError(
            f"cannot take wheels from {quoted(text)}", "write the path of a directory, or an https URL"
        )
    return text


def _read_names(value: object) -> tuple[str, ...]:
    names = (
        re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else [str(name) for name in _each(value)]
    )
    for name in names:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise NotationError(
                f"cannot pass the variable {quoted(name)}",
                "write names of variables with commas between them",
            )
        if name.startswith(PREFIX) or name in KEPT_BACK:
            raise NotationError(
                f"cannot pass the variable `{name}`: it is the reconciler's own", "take it out of the list"
            )
    return tuple(dict.fromkeys(names))


def _each(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()


def _default_state() -> Path:
    # The base directory specification: a relative value is invalid and is ignored.
    base = os.environ.get("XDG_STATE_HOME", "")
    return Path(base) / "ronron" if base.startswith("/") else _read_path("~/.local/state/ronron")


def _default_passphrase() -> SecretStr | None:
    # Empty variables count as unset, but an empty passphrase is one that Pulumi takes.
    return SecretStr("") if os.environ.get("PULUMI_CONFIG_PASSPHRASE") == "" else None


def _between(shortest: timedelta, longest: timedelta) -> BeforeValidator:
    return BeforeValidator(partial(read_duration, shortest=shortest, longest=longest))


_SECOND, _MINUTE, _HOUR, _DAY = (timedelta(seconds=s) for s in (1, 60, 3600, 86400))
SettingsPath = Annotated[Path, BeforeValidator(_read_path)]


class Settings(BaseSettings):
    """The operator's settings; each one's variable is `RONRON_` and its name, unless an alias is given.

    Args:
        source: URL or path of the git repository; see `repository`.
        state: directory of the records, the mirror of the repository and, by default, the Pulumi state.
        poll: time between two looks at the repository, 1 second or more.
        workers: how many environments are worked on at once.
        backup_poll: time between two looks at the backups of an environment.
        policy_reference: where the policy is read: the repository's default branch.
        policy_file: the policy's path in the repository.
        find_links: a directory or URL with wheels that a lock file may pin, besides the package index.
        pulumi_plugins: the only directory of installed plugins to use.
        installation: the file in which `make setup` writes where the engine and its plugins are.
        backend_url: where Pulumi keeps its state; `pulumi-state` below the state directory.
        passphrase: of the stack's secrets.
        passphrase_file: holds the passphrase; the better way, since environments are easily seen.
        pass_environment: names of further variables that the program may see, with commas between them.
        preview_deadline: after this a preview is stopped.
        update_deadline: after this an update is asked to stop.
        git_timeout: after this a conversation with the repository is given up.
        debug: show tracebacks.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    source: Annotated[str, BeforeValidator(_read_source)] | None = Field(
        default=None, validation_alias="RONRON_REPOSITORY", repr=False
    )
    state: SettingsPath = Field(default_factory=_default_state)
    poll: Annotated[timedelta, _between(_SECOND, _DAY)] = timedelta(seconds=30)
    workers: Annotated[int, Field(ge=1, le=64)] = 4
    backup_poll: Annotated[timedelta, _between(_MINUTE, _DAY)] = timedelta(minutes=15)
    policy_reference: Annotated[str, BeforeValidator(read_reference)] = "HEAD"
    policy_file: Annotated[str, BeforeValidator(read_directory)] = POLICY_FILE
    find_links: Annotated[str, BeforeValidator(_read_wheels)] | None = Field(default=None, repr=False)
    pulumi_plugins: SettingsPath | None = None
    installation: SettingsPath = Field(default_factory=default_file)
    backend_url: Annotated[str, BeforeValidator(_read_backend)] = Field(
        default_factory=lambda before: f"file://{before['state']}/pulumi-state",
        validation_alias="PULUMI_BACKEND_URL",
        repr=False,
    )
    passphrase: SecretStr | None = Field(
        default_factory=_default_passphrase, validation_alias="PULUMI_CONFIG_PASSPHRASE"
    )
    passphrase_file: SettingsPath | None = Field(
        default=None, validation_alias="PULUMI_CONFIG_PASSPHRASE_FILE"
    )
    pass_environment: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_names)] = ()
    preview_deadline: Annotated[timedelta, _between(10 * _SECOND, _DAY)] = timedelta(minutes=10)
    update_deadline: Annotated[timedelta, _between(_MINUTE, 7 * _DAY)] = timedelta(hours=1)
    git_timeout: Annotated[timedelta, _between(_SECOND, _HOUR)] = timedelta(seconds=60)
    debug: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then variables; nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return init_settings, env_settings

    @property
    def repository(self) -> str:
        """URL or absolute path of the source; by default the repository around the current directory.

        It may hold credentials: show it only through `core.redact.redact`.

        Raises:
            ConfigError: none was named, and the current directory is in none.
        """
        found = self.source or _repository_around(Path.cwd())
        if found is None:
            raise ConfigError(
                "cannot find a git repository here",
                hint="name it: `ronron --repository URL …`, or set RONRON_REPOSITORY",
                where=str(Path.cwd()),
            )
        return found

    def engine(self) -> EngineSettings:
        """What the engine needs of all this."""
        return EngineSettings(
            home=self.state / "pulumi-home",
            backend_url=self.backend_url,
            plugins=self.pulumi_plugins,
            installed=read_installed(self.installation, os.environ),
            passphrase=self.passphrase,
            passphrase_file=self.passphrase_file,
            pass_environment=self.pass_environment,
            preview_deadline=self.preview_deadline,
            update_deadline=self.update_deadline,
        )

    def secrets(self) -> frozenset[str]:
        """Everything in the settings that must be taken out of whatever is shown, stored or sent.

        The passphrase, credentials in URLs, and what is passed to the program under a name that sounds
        secret. The passphrase's file is read for it; one that cannot be read is the engine's trouble.
        """
        found = {self.passphrase.get_secret_value()} if self.passphrase else set()
        if self.passphrase_file is not None:
            found.add(_passphrase_in(self.passphrase_file))
        for url in (self.source or "", self.backend_url, self.find_links or ""):
            found |= _credentials(url)
        found |= {os.environ.get(name, "") for name in self.pass_environment if is_secret_name(name)}
        return frozenset(found - {""})

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield "repository", redact(self.source) if self.source else None
        yield "backend_url", redact(self.backend_url)
        yield "find_links", redact(self.find_links) if self.find_links else None
        yield from super().__repr_args__()


def load_settings(**options: object) -> Settings:
    """Read the settings from the environment; options of the command line go before it.

    The variables of the file of settings are added to this process's environment first, where it has no
    such variable: the engine and git see them as if the shell had them.

    Args:
        options: by the setting's name (`repository` for the source); None counts as not given.

    Raises:
        ConfigProblemsError: values are wrong, each with its variable or option; or a variable's name is
            nearly one of ours, and would be silently without effect.
        ConfigError: the file of settings cannot be read.
    """
    apply_settings_file(os.environ)
    given = {_variable(name): value for name, value in options.items() if value is not None}
    problems = [_misspelt(name) for name in sorted(os.environ) if _is_misspelt(name)]
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # validated, whatever they are
    except ValidationError as error:
        # A default that is made from a wrong value is no problem of its own.
        details = [detail for detail in error.errors() if detail["type"] != "default_factory_not_called"]
        problems += [_problem(detail, given) for detail in details]
    if problems:
        raise ConfigProblemsError(problems, subject="the settings")
    return settings


def variables() -> Mapping[str, str]:
    """The environment variable of each setting, by the setting's name."""
    return {
        name: str(field.validation_alias or f"{PREFIX}{name.upper()}")
        for name, field in Settings.model_fields.items()
    }


def _variable(option: str) -> str:
    field = Settings.model_fields["source" if option == "repository" else option]
    return str(field.validation_alias or option)


def _problem(detail: ErrorDetails, given: Mapping[str, object]) -> Problem:
    name = str(detail["loc"][0])
    by_variable = {variable: field for field, variable in variables().items()}
    field = by_variable.get(name, name)
    option = "repository" if field == "source" else field
    where = f"--{option.replace('_', '-')}" if name in given else variables().get(field, name)
    context = detail.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, NotationError):
        return Problem(where, cause.what, cause.remedy)
    limit = f"{context['ge']} or more" if "ge" in context else f"{context.get('le')} or less"
    remedies = {
        "bool_parsing": "write `true` or `false`",
        "int_parsing": "write a whole number",
        "greater_than_equal": f"write {limit}",
        "less_than_equal": f"write {limit}",
    }
    return Problem(
        where,
        f"cannot use {quoted(detail['input'])} here",
        remedies.get(detail["type"], detail["msg"].lower()),
    )


def _is_misspelt(name: str) -> bool:
    known = name in NO_SETTINGS or name in variables().values()
    return name.startswith(PREFIX) and not known and _meant(name) is not None


def _meant(name: str) -> str | None:
    ours = [variable for variable in variables().values() if variable.startswith(PREFIX)]
    ends = [variable.removeprefix(PREFIX) for variable in ours]
    near = nearest(name.removeprefix(PREFIX), ends, cutoff=0.7)
    return f"{PREFIX}{near}" if near else None


def _misspelt(name: str) -> Problem:
    return Problem(name, "cannot use it: there is no such setting", f"write `{_meant(name)}`, or unset it")


def _repository_around(directory: Path) -> str | None:
    for place in (directory, *directory.parents):
        if (place / ".git").exists() or all((place / part).exists() for part in ("HEAD", "objects", "refs")):
            return str(place)
    return None


def _credentials(url: str) -> set[str]:
    try:
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return set()
    # A token may stand alone as the user; a person's name is no secret and would blank out ordinary words.
    secret = password or (user if len(user) >= _SHORTEST_TOKEN else "")
    return {secret, unquote(secret)}


def _passphrase_in(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST_PASSPHRASE).decode(errors="replace").strip()
    except OSError:
        return ""
