"""Secrets for a stack file, encrypted by the real engine: a person can read them again with Pulumi."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from ronron.adapters.pulumi_engine.by_hand import PulumiByHand
from ronron.adapters.pulumi_engine.encryption import Encrypted, encrypt
from ronron.core.errors import ConfigError, PassphraseError
from ronron.settings import EngineSettings

KEY, VALUE = "ronron:pad-database-password", "s3cret-of-the-pad"
OTHER = "ronron:pad-admin-password"


class Stack:
    """A project, and the engine's settings of the person who edits its stack file."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "project"
        self.directory.mkdir()
        (self.directory / "Pulumi.yaml").write_text("name: ronron\nruntime: python\n")
        self.file = self.directory / "Pulumi.ours.yaml"
        self.settings = EngineSettings(
            home=root / "home", backend_url=f"file://{root}/state", passphrase=SecretStr("correct horse")
        )

    def encrypt(self, text: str, **values: str) -> Encrypted:
        secrets = {
            key.replace("_", ":", 1).replace("_", "-"): SecretStr(value) for key, value in values.items()
        }
        return encrypt(
            self.settings, project="ronron", stack="ours", environment="ours", text=text, secrets=secrets
        )

    def read(self, key: str) -> str:
        engine = PulumiByHand(self.settings, directory=self.directory, stack="ours")
        text = self.file.read_text()
        if not engine.stack_exists():
            engine.create_stack()
            self.file.write_text(text)
        return engine.run(["config", "get", key]).strip()


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def test_secrets_can_be_read_again_and_a_second_one_needs_no_other_salt(stack: Stack) -> None:
    first = stack.encrypt("config: {}\n", ronron_pad_database_password=VALUE)
    assert first.salt is not None
    assert VALUE not in str(first.values)
    text = f"config:\n  {KEY}:\n    secure: {first.values[KEY]}\nencryptionsalt: {first.salt}\n"
    second = stack.encrypt(text, ronron_pad_admin_password="another")
    assert second.salt is None
    stack.file.write_text(
        f"{text.replace('encryption', f'  {OTHER}: {{secure: {second.values[OTHER]}}}{chr(10)}encryption')}"
    )
    assert stack.read(KEY) == VALUE
    assert stack.read(OTHER) == "another"


def test_neither_the_stack_file_nor_the_backend_is_touched(stack: Stack, tmp_path: Path) -> None:
    stack.file.write_text("config: {}\n")
    stack.encrypt(stack.file.read_text(), ronron_pad_database_password=VALUE)
    assert stack.file.read_text() == "config: {}\n"
    assert not any(
        VALUE in path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )
    assert not list((tmp_path / "state").rglob("ours*")) if (tmp_path / "state").exists() else True


def test_a_wrong_passphrase_is_found(stack: Stack) -> None:
    found = stack.encrypt("config: {}\n", ronron_pad_database_password=VALUE)
    stack.settings = stack.settings.with_(passphrase=SecretStr("battery staple"))
    with pytest.raises(PassphraseError) as caught:
        stack.encrypt(f"config: {{}}\nencryptionsalt: {found.salt}\n", ronron_pad_admin_password="another")
    assert caught.value.hint


def test_without_a_passphrase_nothing_is_encrypted(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    stack.settings = stack.settings.with_(passphrase=None)
    with pytest.raises(PassphraseError):
        stack.encrypt("config: {}\n", ronron_pad_database_password=VALUE)


def test_secrets_of_the_service_of_pulumi_are_left_to_it(stack: Stack) -> None:
    stack.settings = stack.settings.with_(backend_url="https://api.pulumi.com")
    with pytest.raises(ConfigError, match="keeps them itself") as caught:
        stack.encrypt("config: {}\n", ronron_pad_database_password=VALUE)
    assert "ronron pulumi ours -- config set --secret" in caught.value.hint
