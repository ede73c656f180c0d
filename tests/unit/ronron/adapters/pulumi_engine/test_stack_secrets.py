from __future__ import annotations

import json

from ronron.adapters.pulumi_engine.stack_secrets import secrets_of_config, secrets_of_state

STACK = """
encryptionsalt: v1:x
config:
  ronron:site-secret-GREETING: {secure: v1:a}
  ronron:backup:
    repository: /srv/backups
    drill: weekly
    password: {secure: v1:b}
    keys: [plain, {secure: v1:c}]
  ronron:plain: hello
"""
LISTED = {
    "ronron:site-secret-GREETING": {"value": "tulips", "secret": True},
    "ronron:backup": {
        "value": "{}",
        "objectValue": {
            "repository": "/srv/backups",
            "drill": "weekly",
            "password": "under",
            "keys": ["plain", "stone"],
        },
        "secret": True,
    },
    "ronron:plain": {"value": "hello", "secret": False},
}
MARK = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def test_only_what_is_encrypted_in_the_stack_file_is_a_secret() -> None:
    assert secrets_of_config(STACK, LISTED) == {"tulips", "under", "stone"}


def test_a_key_that_is_in_no_stack_file_is_secret_as_a_whole() -> None:
    listed = {"a:b": {"value": '{"user": "pad", "pin": "8134"}', "secret": True}}
    assert {"pad", "8134"} <= secrets_of_config("", listed)


def test_every_line_of_a_key_is_a_secret() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijk\nx\n"
    found = secrets_of_config("", {"a:key": {"value": key, "secret": True}})
    assert {key, "abcdefghijk", "-----BEGIN KEY-----"} == found


def test_what_the_engine_does_not_list_has_no_secrets() -> None:
    assert secrets_of_config(STACK, None) == frozenset()
    assert secrets_of_config("config: [", LISTED) >= {"tulips"}


def test_secrets_of_a_state_are_those_that_the_engine_marks() -> None:
    resource = {
        "inputs": {
            "length": 20,
            "envs": {**MARK, "plaintext": json.dumps(["MODE=production", "PW=tulips"])},
        },
        "outputs": {"result": {**MARK, "plaintext": json.dumps("under the stone")}, "plain": "hello"},
    }
    exported = {"deployment": {"resources": [resource]}}
    assert secrets_of_state(exported) == {"under the stone"}
    assert secrets_of_state(None) == frozenset()
