"""`ronron add service`: what is written, and what is refused. The program is the one of this repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from ruamel.yaml import YAML

from chatons.catalogue import kinds
from chatons.declaration.secrets import unfit
from chatons.declaration.stack_file import read
from chatons.validate import needs_of, problems_of
from ronron.commands.program_facts import ProgramFacts
from ronron.commands.service_blocks import Added, Wanted, add_service, random_secret, without_service
from ronron.core.errors import ConfigError, ImageRegistryError, PassphraseError
from ronron.core.images import read_image
from ronron.policy.yaml_edit import YamlDocument
from ronron.testing import FakeImageRegistry

DIGEST = f"sha256:{'1' * 64}"
OURS = """\
# ours
config:
  pulumi:disable-default-providers: [docker]
  ronron:collective: {name: Picasoft, domain: picasoft.example, contact: tech@picasoft.example, country: FR}
  ronron:machines:
    laptop: {docker: "unix:///var/run/docker.sock"}   # under the desk
  ronron:edge: {image: "caddy:2.10.2@DIGEST", tls: internal}
  ronron:database: {image: "postgres:15.14@DIGEST"}
  ronron:services:
    board:
      kind: kanboard
      machine: laptop
      hostname: board.picasoft.example     # the old one
      image: kanboard/kanboard:v1.2.53@DIGEST
  ronron:board-database-password: {secure: v1:aaa}
encryptionsalt: v1:salt
""".replace("DIGEST", DIGEST)
PAD = Wanted("pad", "etherpad", hostname="pad.picasoft.example")


class File:
    """A stack file, and all that stands around an edit of it."""

    def __init__(self, place: Path, text: str = OURS, stack: str = "ours") -> None:
        self.place = place
        self.text = text
        self.stack = stack
        images = [kind.image for kind in kinds().values() if kind.image]
        self.registry = FakeImageRegistry(dict.fromkeys([*images, "requarks/wiki:2.5"], DIGEST))
        self.encrypted: dict[str, str] = {}
        self.salt: str | None = None

    def ask(self, text: str) -> ProgramFacts:
        file = self.place / f"Pulumi.{self.stack}.yaml"
        file.write_text(text)
        rows = [
            {"key": one.problem.key, "problem": one.problem.problem, "remedy": one.problem.remedy}
            for one in problems_of(file, self.stack, ask_for_secrets=True)
        ]
        return ProgramFacts.model_validate({"problems": rows, **needs_of(file, self.stack)})

    def encrypt(self, secrets: Mapping[str, SecretStr]) -> tuple[Mapping[str, str], str | None]:
        self.encrypted |= {key: value.get_secret_value() for key, value in secrets.items()}
        return {key: f"v1:of-{key}" for key in secrets}, self.salt

    def add(self, wanted: Wanted) -> Added:
        document = YamlDocument(self.text, file="stacks/Pulumi.ours.yaml")
        return add_service(document, self.stack, wanted, self.ask, self.encrypt, self.registry)

    def refused(self, wanted: Wanted) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self.add(wanted)
        assert caught.value.hint
        assert self.encrypted == {}
        return caught.value


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


def test_a_service_gets_a_block_with_its_pinned_image_and_its_secrets(file: File) -> None:
    added = file.add(PAD)
    services, secrets = OURS.partition("  ronron:board-database-password")[::2]
    own, salt = secrets.partition("encryptionsalt")[::2]
    assert added.text == (
        f"{services}"
        "    pad:\n"
        "      kind: etherpad\n"
        "      machine: laptop\n"
        "      hostname: pad.picasoft.example\n"
        f"      image: etherpad/etherpad:3.3.1@{DIGEST}\n"
        f"  ronron:board-database-password{own}"
        "  ronron:pad-admin-password:\n"
        "    secure: v1:of-ronron:pad-admin-password\n"
        "  ronron:pad-database-password:\n"
        "    secure: v1:of-ronron:pad-database-password\n"
        f"encryptionsalt{salt}"
    )
    assert added.secrets == ("ronron:pad-admin-password", "ronron:pad-database-password")
    assert file.ask(added.text).problems == ()


BACKUP = '  ronron:backup:\n    repository: /srv/backups\n    schedule: "0 3 * * *"\n'


def test_the_password_of_the_backups_is_made_with_the_first_service(tmp_path: Path) -> None:
    text = OURS.replace("  ronron:services:", f"{BACKUP}  ronron:services:")
    added = File(tmp_path, text).add(PAD)
    assert "ronron:backup.password" in added.secrets
    backup = YAML(typ="safe", pure=True).load(added.text)["config"]["ronron:backup"]
    assert backup["password"] == {"secure": "v1:of-ronron:backup.password"}
    assert added.missing == ()
    assert File(tmp_path).ask(added.text).problems == ()
    again = File(tmp_path, added.text).add(replace(PAD, name="notes", hostname="notes.picasoft.example"))
    assert "ronron:backup.password" not in again.secrets


def test_a_password_that_has_no_line_of_its_own_is_left_to_a_person(tmp_path: Path) -> None:
    backup = '  ronron:backup: {repository: /srv/backups, schedule: "0 3 * * *"}\n'
    added = File(tmp_path, OURS.replace("  ronron:services:", f"{backup}  ronron:services:")).add(PAD)
    (command,) = added.missing
    assert "config set --secret --path 'ronron:backup.password'" in command


def test_the_key_of_another_machine_is_left_to_a_person(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
    sftp = BACKUP.replace("/srv/backups", "sftp://ronron@vault.example:22//srv/backups")
    sftp += f"    host_key: {key}\n"
    added = File(tmp_path, OURS.replace("  ronron:services:", f"{sftp}  ronron:services:")).add(PAD)
    (command,) = added.missing
    assert "config set --secret --path 'ronron:backup.ssh_key'" in command
    assert command.endswith(" < KEYFILE")


def test_a_stack_file_with_problems_gets_no_service_without_its_secrets(tmp_path: Path) -> None:
    error = File(tmp_path, OURS.replace(f"caddy:2.10.2@{DIGEST}", "caddy:2.10.2")).refused(PAD)
    assert "'caddy:2.10.2' has no digest" in error.message
    assert error.hint.startswith("run ronron pin ours")


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_the_program_accepts_a_service_of_each_kind(kind: str, file: File) -> None:
    more = {"port": "3000", "volumes": "{content: /wiki}", "database": "{}"} if kind == "container" else {}
    image = None if kinds()[kind].image else "requarks/wiki:2.5"
    added = file.add(Wanted("new", kind, hostname="new.picasoft.example", image=image, more=more))
    assert file.ask(added.text).problems == ()
    assert YAML(typ="safe", pure=True).load(added.text)["config"]["ronron:services"]["new"]["kind"] == kind


def test_the_image_of_each_kind_is_a_tag_of_a_version() -> None:
    for kind in kinds().values():
        if kind.image is not None:
            image = read_image(kind.image)
            assert image is not None
            assert image.tag is not None
            assert any(letter.isdigit() for letter in image.tag)
            assert image.digest is None


def test_a_local_stack_needs_no_registry(tmp_path: Path) -> None:
    file = File(tmp_path, stack="local")
    file.registry.digests.clear()
    assert file.add(PAD).image == "etherpad/etherpad:3.3.1"
    assert file.registry.asked == []


def test_an_image_with_a_digest_is_taken_as_it_is(file: File) -> None:
    file.registry.digests.clear()
    image = f"registry.example/etherpad:3.3.1@sha256:{'2' * 64}"
    assert file.add(replace(PAD, image=image)).image == image


def test_without_a_digest_nothing_is_added(file: File) -> None:
    file.registry.unreachable.add("docker.io")
    with pytest.raises(ImageRegistryError, match="cannot reach the registry"):
        file.add(PAD)


def test_a_first_secret_brings_the_salt(tmp_path: Path) -> None:
    file = File(tmp_path, OURS.replace("encryptionsalt: v1:salt\n", ""))
    file.salt = "v1:new:v1:salt"
    assert file.add(PAD).text.endswith("encryptionsalt: v1:new:v1:salt\n")


def test_secrets_of_a_removed_service_are_used_again(file: File) -> None:
    first = file.add(PAD).text
    gone = without_service(YamlDocument(first, file="stacks/Pulumi.ours.yaml"), "pad")
    assert file.ask(gone).problems == ()
    file.text = gone
    file.encrypted.clear()
    again = file.add(PAD)
    assert again.text == first
    assert again.secrets == ()
    assert again.kept == ("ronron:pad-admin-password", "ronron:pad-database-password")
    assert file.encrypted == {}


def test_a_secret_that_only_a_person_knows_is_named_with_its_command(tmp_path: Path) -> None:
    file = File(tmp_path, OURS.replace("config:\n", "config:\n  ronron:members: {basic: {user: us}}\n"))
    added = file.add(replace(PAD, more={"members_only": "true"}))
    (command,) = added.missing
    assert "ronron:members-password" in command


def test_a_problem_that_was_there_before_is_not_in_the_way(tmp_path: Path) -> None:
    file = File(tmp_path, OURS.replace("ronron:board-database-password: {secure: v1:aaa}", "other:a: 1"))
    assert file.add(PAD).secrets


def test_secrets_fit_every_kind(file: File) -> None:
    file.add(PAD)
    for key, value in file.encrypted.items():
        assert unfit(key.removeprefix("ronron:"), SecretStr(value), "ours") is None
    made = {random_secret() for _ in range(200)}
    assert len(made) == 200
    for secret in made:
        for role in ("admin-password", "database-password"):
            assert unfit(f"pad-{role}", SecretStr(secret), "ours") is None


@pytest.mark.parametrize(
    ("changes", "where", "message", "hint"),
    [
        ({"name": "board"}, "stacks/Pulumi.ours.yaml:10", "service of this name", "choose another name"),
        ({"name": "Pad"}, "ronron:services.Pad", "'Pad' is not a name", "lower-case letters"),
        ({"name": "p" * 31}, "ronron:services.ppp", "is not a name", "1 to 30"),
        ({"kind": "ehterpad"}, "--kind", "unknown kind `ehterpad`", "use etherpad"),
        ({"kind": "wordpress"}, "--kind", "unknown kind `wordpress`", "use one of: container, etherpad"),
        ({"machine": "latop"}, "--machine", "cannot find the machine `latop`", "use laptop"),
        ({"machine": "zzz"}, "--machine", "cannot find the machine `zzz`", "use one of: laptop"),
        (
            {"hostname": "board.picasoft.example"},
            "Pulumi.ours.yaml:13",
            "board has it",
            "a different hostname",
        ),
        ({"hostname": "pad"}, "ronron:services.pad.hostname", "is not a hostname", "--set hostname=VALUE"),
        ({"hostname": None}, "ronron:services.pad.hostname", "this key is missing", "add `hostname`"),
        ({"image": "etherpad/etherpad"}, "--image", "cannot use the image", "repository:tag"),
        ({"image": "etherpad/etherpad:latest"}, "services.pad.image", "follows `latest`", "tag of a version"),
        ({"more": {"titel": "x"}}, "ronron:services.pad.titel", "nearest known one is 'title'", "rename it"),
        ({"more": {"memory_mib": "384M"}}, "pad.memory_mib", "a whole number is required", "write `384`"),
        ({"more": {"title": "a: b: c"}}, "stacks/Pulumi.ours.yaml", "it is not YAML", "quotes"),
        ({"kind": "container", "image": None}, "--image", "has none of its own", "--image requarks/wiki"),
    ],
)
def test_what_is_refused(changes: dict[str, object], where: str, message: str, hint: str, file: File) -> None:
    file.registry.digests["etherpad/etherpad:latest"] = DIGEST
    error = file.refused(replace(PAD, **changes))  # type: ignore[arg-type]
    assert where in error.where
    assert message in error.message
    assert hint in error.hint


def test_several_machines_need_a_choice(tmp_path: Path) -> None:
    two = OURS.replace("  ronron:edge", '    attic: {docker: "unix:///run/attic.sock"}\n  ronron:edge')
    error = File(tmp_path, two).refused(PAD)
    assert "the stack has laptop, attic" in error.message
    assert File(tmp_path, two).add(replace(PAD, machine="attic")).machine == "attic"


def test_a_wrong_passphrase_changes_nothing(file: File) -> None:
    def refuse(_secrets: Mapping[str, SecretStr]) -> tuple[Mapping[str, str], str | None]:
        raise PassphraseError("cannot open the stack's secrets: wrong passphrase")

    with pytest.raises(PassphraseError):
        add_service(YamlDocument(OURS, file="x"), "ours", PAD, file.ask, refuse, file.registry)


def test_every_secret_of_a_removed_service_may_stay(tmp_path: Path) -> None:
    place = tmp_path / "Pulumi.ours.yaml"
    place.write_text(OURS)
    assert read(place, "ours").configuration.secrets
    gone = without_service(YamlDocument(OURS, file="x"), "board")
    assert "ronron:services: {}" in gone
    assert File(tmp_path).ask(gone).problems == ()
