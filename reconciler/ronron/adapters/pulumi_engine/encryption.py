"""Encrypts secrets for a stack file, by Pulumi itself, without touching the file or the stack's backend.

The secrets of a stack file are encrypted with what stands in the file (a salt, or the key of a service) and
the passphrase. So a copy of the file in a directory of its own, with a backend of its own, is enough.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from ronron.adapters.pulumi_engine.by_hand import PulumiByHand
from ronron.core.errors import ConfigError
from ronron.core.value import Value
from ronron.policy.yaml_edit import YamlDocument
from ronron.settings import EngineSettings

SALT = "encryptionsalt"
_OTHER_PROVIDERS = ("secretsprovider", "encryptedkey")


class Encrypted(Value):
    """Encrypted secrets, by key; and the salt that the stack file needs for them, if it has none yet."""

    values: Mapping[str, str]
    salt: str | None = None


def encrypt(
    settings: EngineSettings,
    *,
    project: str,
    stack: str,
    environment: str,
    text: str,
    secrets: Mapping[str, SecretStr],
) -> Encrypted:
    """Encrypt secrets as `pulumi config set --secret` does; no value is on a command line or in a log.

    Args:
        settings: the engine's, with the passphrase.
        project: name of the Pulumi project.
        stack: the stack's name.
        environment: the environment's name, for hints.
        text: of the stack file as it is now.
        secrets: by key with its namespace, such as `ronron:pad-database-password`.

    Raises:
        PassphraseError: there is no passphrase, or it is not the one of the stack file.
        ConfigError: the stack's secrets are kept by Pulumi's own service.
        EngineError: the engine failed.
    """
    if settings.backend_url.startswith(("https://", "http://")):
        raise ConfigError(
            f"cannot encrypt secrets of {environment}: {settings.backend_url} keeps them itself",
            hint=f"set each with ronron pulumi {environment} -- config set --secret KEY",
        )
    with tempfile.TemporaryDirectory(prefix="ronron-secrets-") as place:
        directory = Path(place)
        file = directory / f"Pulumi.{stack.rpartition('/')[2]}.yaml"
        (directory / "Pulumi.yaml").write_text(json.dumps({"name": project, "runtime": "python"}))
        backend = directory / "backend"
        engine = PulumiByHand(
            settings.with_(backend_url=f"file://{backend}"),
            directory=directory,
            stack=stack,
            environment=environment,
        )
        engine.create_stack()
        document = YamlDocument(text, file=file.name)
        kept = [key for key in (SALT, *_OTHER_PROVIDERS) if document.has((key,))]
        made = file.read_text() if file.is_file() else ""
        salt = None
        if kept:
            # Only what encrypts: the rest of the file is no business of this engine.
            lines = {key: document.value((key,)) for key in kept}
            file.write_text(json.dumps(lines))
        else:
            salt = YamlDocument(made, file=file.name).value((SALT,))
        for key, value in secrets.items():
            engine.set_secret(key, value.get_secret_value())
        found = {one.path: one.value for one in YamlDocument(file.read_text(), file=file.name).scalars()}
        return Encrypted(values={key: found["config", key, "secure"] for key in secrets}, salt=salt)
