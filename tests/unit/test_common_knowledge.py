"""What is written in two places, and must be the same in both. Decision 15 says why there are two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chatons.declaration.configuration import Configuration
from chatons.declaration.rules import is_local as is_local_for_the_program
from chatons.machine.ssh import SshAddress
from chatons.machine.ssh import ssh_options as options_of_the_program
from chatons.schema.image_reference import LOCAL_REPOSITORIES
from chatons.schema.image_reference import ImageReference as ImageOfTheProgram
from chatons.schema.problems import nearest as nearest_in_a_declaration
from ronron.adapters.docker_agents.connection import ssh_options as options_of_the_reconciler
from ronron.adapters.pulumi_engine.environment import environment
from ronron.adapters.pulumi_engine.environment import secrets as secrets_of_the_engine
from ronron.commands.pins import KEY, is_local
from ronron.core.images import BUILT_HERE, read_image
from ronron.core.redact import is_secret_name
from ronron.policy.notations import nearest as nearest_in_a_policy
from ronron.settings import EngineSettings, load_settings

SECRET_NAMES = {
    "PROXMOX_VE_API_TOKEN": True,
    "S3_SECRET": True,
    "DATABASE_PASSWORD": True,
    "smtp_passwd": True,
    "SSH_PASSPHRASE": True,
    "AWS_ACCESS_KEY_ID": True,
    "CLOUD_CREDENTIALS": True,
    "REGION": False,
    "HTTP_TIMEOUT": False,
}

SAME_SSH_OPTIONS = (
    "BatchMode",
    "ConnectTimeout",
    "ServerAliveInterval",
    "StrictHostKeyChecking",
    "UserKnownHostsFile",
    "GlobalKnownHostsFile",
    "KnownHostsCommand",
)
"""They decide whom ssh trusts and how long it waits. Others differ: the program shares one connection, the
reconciler opens a tunnel."""

NEAREST = [
    ("machin", ["machine", "hostname"], "machine"),
    ("hostnam", ["machine", "hostname"], "hostname"),
    ("aproval", ["automatic", "approval"], "approval"),
    ("xyz", ["machine", "hostname"], None),
]


@pytest.mark.parametrize(("name", "secret"), SECRET_NAMES.items())
def test_a_variable_is_secret_by_its_name_everywhere(
    name: str, secret: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_secret_name(name) is secret
    monkeypatch.setenv(name, "a long value")
    monkeypatch.setenv("RONRON_PASS_ENVIRONMENT", name)
    settings = load_settings(state=tmp_path, repository=str(tmp_path))
    assert ("a long value" in settings.secrets()) is secret
    engine = EngineSettings(home=tmp_path, backend_url=f"file://{tmp_path}", pass_environment=(name,))
    known = secrets_of_the_engine(engine, environment(engine, {name: "a long value"}))
    assert ("a long value" in known) is secret


@pytest.mark.parametrize("port", [22, 2222])
def test_both_halves_trust_the_same_ssh_host(port: int) -> None:
    key = "ssh-ed25519 AAAA"
    words = options_of_the_program(SshAddress(user="tech", host="old01.example", port=port), key)
    program = dict(word.split("=", 1) for word in words if word != "-o")
    reconciler = options_of_the_reconciler("old01.example", port, key)
    assert {name: program[name] for name in SAME_SSH_OPTIONS} == {
        name: reconciler[name] for name in SAME_SSH_OPTIONS
    }
    differing = {name for name in program.keys() & reconciler.keys() if program[name] != reconciler[name]}
    assert differing == {"ControlMaster", "ControlPath"}


@pytest.mark.parametrize(("word", "known", "expected"), NEAREST)
@pytest.mark.parametrize("nearest", [nearest_in_a_declaration, nearest_in_a_policy])
def test_both_halves_suggest_the_same_word(
    nearest: Callable[[str, list[str]], str | None], word: str, known: list[str], expected: str | None
) -> None:
    assert nearest(word, known) == expected


IMAGES = [
    "postgres:15.14",
    "etherpad/etherpad:1.8.14-npm",
    "localhost:5000/a/b:1",
    f"registry.example/a__b-c.d:v1@sha256:{'a' * 64}",
    "registry:5000/x",
    "Etherpad:1",
    "a//b:1",
    f"a:1@sha512:{'a' * 64}",
    "a:1@sha256:1",
    "-a:1",
    "a b",
    "",
]


@pytest.mark.parametrize("text", IMAGES)
def test_both_halves_read_the_same_references_of_images(text: str) -> None:
    try:
        program = ImageOfTheProgram.parse(text)
    except ValueError:
        assert read_image(text) is None
        return
    reconciler = read_image(text)
    assert reconciler is not None
    assert (reconciler.repository, reconciler.tag, reconciler.digest) == (
        program.repository,
        program.tag,
        program.digest,
    )


def test_both_halves_know_which_images_no_registry_has() -> None:
    assert BUILT_HERE == LOCAL_REPOSITORIES


@pytest.mark.parametrize("stack", ["local", "local-2", "locally", "staging"])
def test_both_halves_know_which_stacks_need_no_digests(stack: str) -> None:
    assert is_local(stack) is is_local_for_the_program(stack)


def test_every_image_of_a_declaration_has_the_key_that_is_pinned() -> None:
    schema = Configuration.model_json_schema()
    described = list(schema["$defs"].values())
    names = {
        name
        for part in (schema, *described)
        for name, field in part.get("properties", {}).items()
        for shape in (field, *field.get("anyOf", ()))
        if "sha256:digest" in shape.get("description", "") and shape.get("type") == "string"
    }
    assert names == {KEY}
