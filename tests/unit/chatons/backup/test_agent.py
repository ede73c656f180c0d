"""The resources and the configuration of each service's agent."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from chatons.backup import agent_files, hook
from chatons.declaration.resolved import Declaration, resolve
from chatons.schema.image_reference import ImageReference
from tests.support.declarations import BACKUP, EVERY_KIND, OFF_SITE, Edits, declaration
from tests.support.programs import CONTAINER, IMAGE, VOLUME, Program, Registered, run, secret

SERVICES = sorted(EVERY_KIND["services"])
FILES_ONLY = {
    "kind": "container", "machine": "here", "image": "files:1", "volumes": {"kept": "/kept"},
    "sqlite": {"kept": ["app.sqlite", "db/more.sqlite"]},
}  # fmt: skip
NOTHING_KEPT = {"kind": "container", "machine": "here", "image": "job:1"}


@pytest.fixture(scope="module")
def declared() -> Declaration:
    return declaration(
        {("backup",): BACKUP, ("services", "files"): FILES_ONLY, ("services", "job"): NOTHING_KEPT}
    )


@pytest.fixture(scope="module")
def program(declared: Declaration) -> Program:
    return run(declared)


def uploads(container: Registered) -> dict[str, dict[str, Any]]:
    return {upload["file"]: upload for upload in container.inputs["uploads"]}


def document_of(program: Program, service: str) -> dict[str, Any]:
    """The configuration of an agent."""
    document: dict[str, Any] = json.loads(
        uploads(program.one(CONTAINER, f"{service}-backup"))["/etc/ronron-agent.json"]["content"]
    )
    return document


def changed(edits: Edits) -> Program:
    return run(declaration({("backup",): BACKUP, **edits}))


# -- which agents there are ----------------------------------------------------------------------------


def test_every_service_with_data_has_an_agent(program: Program) -> None:
    agents = {each.name for each in program.containers if each.name.endswith("-backup")}
    assert agents == {f"{name}-backup" for name in (*SERVICES, "files")}


def test_without_a_repository_there_is_no_agent_and_no_snapshot_before_a_change() -> None:
    program = run()
    assert not [each.name for each in program.resources if "backup" in each.name]
    for container in program.containers:
        assert not container.request.hooks.before_delete


def test_a_service_that_is_excluded_from_backups_has_neither() -> None:
    program = changed({("services", "pad", "backup"): False})
    assert "pad-backup" not in {each.name for each in program.containers}
    for name in ("pad", "pad-database"):
        assert not program.one(CONTAINER, name).request.hooks.before_delete


# -- in which order ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_the_agent_starts_after_the_database_and_before_the_service(program: Program, name: str) -> None:
    agent = program.one(CONTAINER, f"{name}-backup")
    assert program.one(CONTAINER, f"{name}-database").urn in agent.request.dependencies
    assert agent.urn in program.one(CONTAINER, name).request.dependencies
    assert program.one(CONTAINER, name).urn not in agent.request.dependencies


def test_every_container_with_data_has_the_hook(program: Program) -> None:
    hooked = set()
    for container in program.containers:
        hooks = container.request.hooks
        assert list(hooks.before_delete) == list(hooks.before_update)
        if hooks.before_delete:
            assert list(hooks.before_delete) == [hook.NAME]
            hooked.add(container.name)
    assert hooked == {"files", *SERVICES, *(f"{name}-database" for name in SERVICES)}


def test_the_name_of_the_hook_is_in_states_and_never_changes() -> None:
    assert hook.NAME == "ronron-snapshot-before-change"


def test_labels_have_what_the_hook_needs(program: Program) -> None:
    def labels(name: str) -> dict[str, str]:
        return {each["label"]: each["value"] for each in program.one(CONTAINER, name).inputs["labels"]}

    assert labels("pad") == {
        "ronron.project": "ronron", "ronron.stack": "local", "ronron.service": "pad",
        "ronron.machine": "here", "ronron.role": "service", "ronron.version": "3.3.1",
        "ronron.image": "etherpad/etherpad:3.3.1",
    }  # fmt: skip
    # A new version of the service must not replace the database.
    assert set(labels("pad-database")) == set(labels("pad")) - {"ronron.version", "ronron.image"}


def test_adding_or_removing_backups_changes_no_service(program: Program) -> None:
    without = run()
    for name in (*SERVICES, *(f"{name}-database" for name in SERVICES)):
        assert program.one(CONTAINER, name).inputs == without.one(CONTAINER, name).inputs


# -- the image -----------------------------------------------------------------------------------------


def test_an_agent_is_built_from_the_image_of_its_database(program: Program) -> None:
    for name in SERVICES:
        image = program.one(IMAGE, f"{name}-backup")
        assert image.inputs["build"] == {
            "context": "components/chatons/images/backup_agent",
            "buildArgs": {"BASE": "postgres:15.14"},
            "useLegacyBuilder": True,
        }
        assert program.one(IMAGE, f"{name}-database").urn in image.request.dependencies
        assert image.inputs["keepLocally"] is True
        assert image.inputs["name"] == agent_files.image_name(ImageReference.parse("postgres:15.14"))
        assert program.one(CONTAINER, f"{name}-backup").inputs["image"] == f"sha256:{name}-backup"


def test_a_service_without_a_database_has_an_agent_from_the_common_image(program: Program) -> None:
    base = program.one(IMAGE, "files-backup-base")
    assert base.inputs["name"] == "postgres:15.14"
    assert base.urn in program.one(IMAGE, "files-backup").request.dependencies
    other = run(declaration({
        ("backup",): {**BACKUP, "image": "debian:12"}, ("services", "files"): FILES_ONLY,
    }))  # fmt: skip
    assert other.one(IMAGE, "files-backup-base").inputs["name"] == "debian:12"
    assert other.one(IMAGE, "pad-backup").inputs["build"]["buildArgs"] == {"BASE": "postgres:15.14"}


def test_images_with_the_same_base_are_built_one_after_the_other(program: Program) -> None:
    images = [program.one(IMAGE, f"{name}-backup") for name in ("board", "files", "pad", "team", "wiki")]
    for before, after in itertools.pairwise(images):
        assert before.urn in after.request.dependencies


def test_the_name_of_an_image_depends_on_its_content(tmp_path: Path) -> None:
    base = ImageReference.parse("postgres:15.14")
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    first = agent_files.image_name(base, tmp_path)
    assert first.startswith("ronron-backup-agent:")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert agent_files.image_name(base, tmp_path) == first
    assert agent_files.image_name(ImageReference.parse("postgres:15.15"), tmp_path) != first
    (tmp_path / "more.py").write_text("")
    second = agent_files.image_name(base, tmp_path)
    (tmp_path / "more.py").write_text("pass\n")
    assert len({first, second, agent_files.image_name(base, tmp_path)}) == 3


# -- what an agent may ---------------------------------------------------------------------------------


def test_an_agent_can_read_all_files_of_its_service_and_change_none(program: Program) -> None:
    for name in SERVICES:
        inputs = program.one(CONTAINER, f"{name}-backup").inputs
        assert inputs["capabilities"] == {"drops": ["ALL"], "adds": ["CAP_DAC_READ_SEARCH"]}
        data = [each for each in inputs["volumes"] if each["containerPath"].startswith("/data/")]
        assert all(each["readOnly"] for each in data)
        assert [each["name"] for each in inputs["networksAdvanced"]] == [f"ronron-local-{name}"]
        assert inputs["hostname"] == inputs["name"] == f"ronron-local-{name}-backup"
        assert inputs["init"] is True
        assert inputs["destroyGraceSeconds"] == 60
        assert "ports" not in inputs


def test_an_agent_mounts_only_its_own_part_of_a_local_repository(program: Program) -> None:
    for name in SERVICES:
        mounts = program.one(CONTAINER, f"{name}-backup").inputs["volumes"]
        assert {each["containerPath"]: each["hostPath"] for each in mounts if "hostPath" in each} == {
            "/repository": f"/srv/backups/ronron-local/{name}",
            "/reconciler": "/srv/backups/ronron-local/reconciler",
        }


def test_an_agent_of_a_remote_repository_mounts_no_host_directory() -> None:
    program = changed({("backup",): OFF_SITE})
    for name in SERVICES:
        mounts = program.one(CONTAINER, f"{name}-backup").inputs["volumes"]
        assert not [each for each in mounts if "hostPath" in each]


def test_the_state_of_an_agent_is_on_a_protected_volume(program: Program) -> None:
    volume = program.one(VOLUME, "pad-backup")
    assert volume.inputs == {"name": "ronron-local-pad-backup"}
    assert volume.request.protect
    assert volume.request.retainOnDelete
    mounts = program.one(CONTAINER, "pad-backup").inputs["volumes"]
    assert {"volumeName": "ronron-local-pad-backup", "containerPath": "/var/lib/ronron-agent"} in mounts


def test_volumes_that_can_be_recreated_are_not_mounted(program: Program) -> None:
    roles = {name: set(document_of(program, name)["volumes"]) for name in (*SERVICES, "files")}
    assert roles == {
        "pad": {"var", "plugins"}, "team": {"config", "data", "plugins", "client-plugins"},
        "board": {"data", "plugins"}, "wiki": {"pages"}, "files": {"kept"},
    }  # fmt: skip
    for name, kept in roles.items():
        mounts = program.one(CONTAINER, f"{name}-backup").inputs["volumes"]
        seen = {each["containerPath"] for each in mounts if each["containerPath"].startswith("/data/")}
        assert seen == {f"/data/{role}" for role in kept}


# -- the configuration of an agent ---------------------------------------------------------------------


def test_the_configuration_has_the_documented_keys(program: Program) -> None:
    page = (Path(__file__).parents[4] / "docs" / "backup-agent.md").read_text()
    example = json.loads(page.split("```json\n", 1)[1].split("```", 1)[0])
    for name in (*SERVICES, "files"):
        document = document_of(program, name)
        assert set(document) == set(example)
        assert set(document["running"]) == set(example["running"])
        assert document["database"] is None or set(document["database"]) == set(example["database"])
    elsewhere = document_of(changed({("backup",): OFF_SITE}), "pad")
    assert set(elsewhere["ssh"]) == set(example["ssh"])


def test_the_configuration_describes_the_service(program: Program) -> None:
    document = document_of(program, "pad")
    assert document["repository"] == "/repository"
    assert document["ssh"] is None
    assert document["host"] == "ronron-local-pad"
    assert document["running"] == {
        "version": "3.3.1", "image": "etherpad/etherpad:3.3.1", "image_digest": None,
    }  # fmt: skip
    assert document["database"] == {
        "host": "database", "port": 5432, "name": "pad", "user": "pad", "major": 15,
    }  # fmt: skip
    assert set(document["counts"]) == {"pads", "authors"}
    assert document["max_age_hours"] is None
    assert document["forget"] is True
    files = document_of(program, "files")
    assert files["database"] is None
    assert files["counts"] == {}
    assert files["sqlite"] == ["/data/kept/app.sqlite", "/data/kept/db/more.sqlite"]


def test_the_configuration_has_the_address_of_a_remote_repository() -> None:
    document = document_of(changed({("backup",): OFF_SITE}), "pad")
    assert document["repository"] == "sftp://backup@vault.test.example:2222//srv/backups/ronron-local/pad"
    assert (document["ssh"]["user"], document["ssh"]["host"], document["ssh"]["port"]) == (
        "backup", "vault.test.example", 2222,
    )  # fmt: skip
    assert document["forget"] is False
    assert document["max_age_hours"] == 48


@pytest.mark.parametrize(("backup", "roles"), [(BACKUP, ()), (OFF_SITE, ("ssh_key",))])
def test_secrets_are_files_for_root_only_and_encrypted_in_the_state(
    backup: dict[str, Any], roles: tuple[str, ...]
) -> None:
    agent = changed({("backup",): backup}).one(CONTAINER, "pad-backup")
    files = {path: each for path, each in uploads(agent).items() if path.startswith("/run/ronron-agent/")}
    expected = {
        "/run/ronron-agent/repository-password": secret("backup.password"),
        "/run/ronron-agent/database-password": secret("pad-database-password"),
        **({"/run/ronron-agent/ssh-key": secret("backup.ssh_key")} if roles else {}),
    }
    assert {path: each["content"] for path, each in files.items()} == {
        path: f"{content}\n" for path, content in expected.items()
    }
    assert {each["permissions"] for each in files.values()} == {"0400"}
    for index, each in enumerate(agent.inputs["uploads"]):
        assert (("uploads", index, "content") in agent.secrets) == (each["file"] in files)
    assert "open-sesame" not in uploads(agent)["/etc/ronron-agent.json"]["content"]


def test_every_count_is_one_read_only_query(declared: Declaration) -> None:
    for service in resolve(declared):
        for question in service.description.counts.values():
            assert question.startswith("select count(*) from ")
            assert ";" not in question
