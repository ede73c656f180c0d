"""The resources that a declaration stands for, as the engine is asked to make them."""

from __future__ import annotations

import json
import re
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatons import catalogue
from chatons.declaration.resolved import Declaration, resolve
from chatons.docker.containers import REPLACED_FOR, go_duration
from chatons.docker.host import DockerHost, DockerHostArgs
from chatons.service.edge import password_hash
from chatons.service.service import Service, ServiceArgs
from tests.support.declarations import EVERY_KIND, HOST_KEY, SECRETS, declaration
from tests.support.programs import (
    CONTAINER,
    IMAGE,
    NETWORK,
    PROVIDER,
    VOLUME,
    Program,
    Registered,
    registered,
    run,
    secret,
)

ELSEWHERE = {"docker": "ssh://tech@old.test.example:2222", "host_key": HOST_KEY}
CANONICAL = re.compile(r"(?:\d+h(?:\d|[1-5]\d)m)?(?:(?:[1-9]|[1-5]\d)m)?(?:\d|[1-5]\d)s")
SERVICES = sorted(EVERY_KIND["services"])


@pytest.fixture(scope="module")
def declared() -> Declaration:
    return declaration({("services", "job"): {"kind": "container", "machine": "here", "image": "job:1"}})


@pytest.fixture(scope="module")
def program(declared: Declaration) -> Program:
    return run(declared, {"wiki-secret-TOKEN": None})


def assigned(container: Registered) -> dict[str, str]:
    return dict(variable.split("=", 1) for variable in container.inputs["envs"])


def uploads(container: Registered) -> dict[str, str]:
    return {upload["file"]: upload["content"] for upload in container.inputs["uploads"]}


def secret_variables(container: Registered) -> set[str]:
    if ("envs",) in container.secrets:
        return set(assigned(container))
    return {
        container.inputs["envs"][path[1]].split("=", 1)[0] for path in container.secrets if path[0] == "envs"
    }


# -- which resources there are -------------------------------------------------------------------------


def test_a_service_of_every_kind_is_made(program: Program) -> None:
    kinds = {service["kind"] for service in EVERY_KIND["services"].values()}
    assert kinds == set(catalogue.kinds())
    names = {container.inputs["name"] for container in program.containers}
    assert names == {
        "ronron-local-edge", "ronron-local-job",
        *(f"ronron-local-{name}" for name in SERVICES),
        *(f"ronron-local-{name}-database" for name in SERVICES),
    }  # fmt: skip


def test_everything_is_made_through_the_machine_that_is_named(program: Program) -> None:
    (provider,) = program.of(PROVIDER)
    assert provider.inputs["host"] == "unix:///var/run/docker.sock"
    made = [resource for resource in program.resources if resource.type.startswith("docker:")]
    assert len(made) > 30
    assert {resource.request.provider for resource in made} == {f"{provider.urn}::{provider.name}-id"}


def test_two_machines_have_each_their_own_services_and_edge() -> None:
    program = run(declaration({("machines", "old"): ELSEWHERE, ("services", "team", "machine"): "old"}))
    providers = {provider.name: f"{provider.urn}::{provider.name}-id" for provider in program.of(PROVIDER)}
    for container in program.containers:
        machine = "old" if container.name in {"team", "team-database", "edge-old"} else "here"
        assert container.request.provider == providers[machine], container.name
    here, old = program.one(CONTAINER, "edge-here"), program.one(CONTAINER, "edge-old")
    assert "team.test.example" in uploads(old)["/etc/caddy/Caddyfile"]
    assert "team.test.example" not in uploads(here)["/etc/caddy/Caddyfile"]
    assert [network["name"] for network in old.inputs["networksAdvanced"]] == ["ronron-local-team"]


def test_a_machine_without_services_is_left_alone() -> None:
    program = run(declaration({("machines", "old"): ELSEWHERE}))
    assert [provider.name for provider in program.of(PROVIDER)] == ["here"]


def test_without_public_services_there_is_no_edge() -> None:
    job = {"kind": "container", "machine": "here", "image": "job:1"}
    program = run(declaration({("services",): {"job": job}}))
    assert [container.name for container in program.containers] == ["job"]
    assert "ports" not in program.containers[0].inputs


def test_a_component_that_is_given_no_docker_is_refused(declared: Declaration) -> None:
    job = next(service for service in resolve(declared) if service.name == "job")
    with pytest.raises(ValueError, match="no Docker is named for this component"):
        registered(lambda: Service("job", ServiceArgs(resolved=job, secrets={})))


# -- data ----------------------------------------------------------------------------------------------


def test_no_edit_can_remove_a_volume(program: Program) -> None:
    volumes = program.of(VOLUME)
    assert len(volumes) == 17
    for volume in volumes:
        assert volume.request.protect, volume.name
        assert volume.request.retainOnDelete, volume.name
        assert set(volume.request.ignoreChanges) == {"labels", "driver", "driverOpts"}
        assert set(volume.inputs) == {"name"}, "whatever else stands there could replace it"
        assert volume.inputs["name"] == f"ronron-local-{volume.name.replace('edge-here', 'edge')}"


def test_every_path_that_must_last_is_mounted_from_its_volume(
    declared: Declaration, program: Program
) -> None:
    for service in resolve(declared):
        container = program.one(CONTAINER, service.name)
        mounted = {each["containerPath"]: each["volumeName"] for each in container.inputs["volumes"]}
        assert mounted == {volume.path: volume.name for volume in service.volumes}
        if service.database:
            inputs = program.one(CONTAINER, f"{service.name}-database").inputs
            volume = service.database.volume
            assert inputs["volumes"] == [{"containerPath": volume.path, "volumeName": volume.name}]


def test_names_of_things_do_not_change_with_the_rest_of_the_declaration(program: Program) -> None:
    edits = {
        ("services", "pad", "image"): "etherpad/etherpad:2.5.0",
        ("services", "pad", "title"): "Other",
        ("services", "pad", "memory_mib"): 700,
        ("collective", "name"): "Other",
        ("edge", "http_port"): 8081,
    }

    def names(of: Program) -> set[tuple[str, str, object]]:
        return {
            (each.type, each.name, each.inputs.get("name")) for each in of.resources if each.type != IMAGE
        }

    other = run(declaration(edits))
    assert names(other) == {each for each in names(program) if "job" not in str(each)}


# -- containers ----------------------------------------------------------------------------------------


def test_every_container_has_limits_and_no_swap(program: Program) -> None:
    for container in program.containers:
        assert container.inputs["memory"] > 0, container.name
        assert container.inputs["memorySwap"] == container.inputs["memory"], container.name
        assert float(container.inputs["cpus"]) > 0, container.name


def test_limits_are_those_of_the_declaration() -> None:
    edits = {
        ("services", "pad", "memory_mib"): 700, ("services", "pad", "cpus"): 0.5,
        ("services", "pad", "database"): {"memory_mib": 300, "cpus": 2}, ("edge", "memory_mib"): 64,
        ("database", "memory_mib"): 400,
    }  # fmt: skip
    program = run(declaration(edits))
    found = {
        name: (container.inputs["memory"], container.inputs["cpus"])
        for name in ("pad", "pad-database", "team-database", "edge-here")
        for container in [program.one(CONTAINER, name)]
    }
    assert found == {
        "pad": (700, "0.5"), "pad-database": (300, "2.0"), "team-database": (400, "1.0"),
        "edge-here": (64, "1.0"),
    }  # fmt: skip


def test_logs_have_an_end(program: Program) -> None:
    for container in program.containers:
        assert container.inputs["logDriver"] == "json-file"
        assert container.inputs["logOpts"] == {"max-file": "3", "max-size": "10m"}


def test_every_container_stops_in_its_own_time(program: Program) -> None:
    grace = {container.name: container.inputs["destroyGraceSeconds"] for container in program.containers}
    assert all(seconds >= 15 for seconds in grace.values())
    assert {grace[f"{name}-database"] for name in SERVICES} == {120}
    assert grace["team"] == 60


def test_no_container_has_privileges(program: Program) -> None:
    for container in program.containers:
        assert container.inputs["capabilities"]["drops"] == ["ALL"], container.name
        assert all(name.startswith("CAP_") for name in container.inputs["capabilities"]["adds"])
        assert container.inputs["securityOpts"] == ["no-new-privileges:true"]
        assert not set(container.inputs) & {
            "privileged",
            "devices",
            "pidMode",
            "ipcMode",
            "usernsMode",
            "hosts",
        }
        assert container.inputs["networkMode"] == "bridge"


def test_only_what_an_entrypoint_needs_is_given_back(program: Program) -> None:
    given = {container.name: container.inputs["capabilities"]["adds"] for container in program.containers}
    assert given["pad"] == given["team"] == given["job"] == []
    assert given["wiki"] == ["CAP_NET_RAW"]
    assert given["edge-here"] == ["CAP_NET_BIND_SERVICE"]
    assert "CAP_SYS_ADMIN" not in json.dumps(given)


def test_no_container_has_a_part_in_docker_or_in_the_machine(program: Program) -> None:
    for container in program.containers:
        assert "mounts" not in container.inputs
        for mount in container.inputs["volumes"]:
            assert set(mount) == {"volumeName", "containerPath"}, "a path of the machine"
        assert "docker.sock" not in json.dumps(container.inputs)


def test_a_service_runs_as_the_user_that_the_image_is_made_for(program: Program) -> None:
    users = {container.name: container.inputs.get("user") for container in program.containers}
    assert users["pad"] == "5001:0"
    assert users["team"] == "2000:2000"
    assert users["wiki"] == "1000:1000"
    assert users["board"] is None, "its entrypoint steps down by itself"


def test_what_a_container_declares_reaches_it(program: Program) -> None:
    inputs = program.one(CONTAINER, "wiki").inputs
    assert inputs["readOnly"] is True
    assert inputs["tmpfs"] == {"/run/wiki": "rw,noexec,nosuid,nodev,size=64m"}
    assert inputs["healthcheck"]["tests"] == ["CMD", "true"]
    assert "command" not in inputs


def test_others_wait_until_a_container_is_healthy(program: Program) -> None:
    for container in program.containers:
        has_test = "healthcheck" in container.inputs
        assert has_test == (container.name != "job")
        assert container.inputs["wait"] == has_test, "waiting without a test is an error of the provider"
        assert container.inputs["waitTimeout"] > 0
        assert container.inputs["mustRun"] is True
        assert container.inputs["restart"] == "unless-stopped"


def test_a_service_waits_for_its_database_and_the_edge_for_no_service(program: Program) -> None:
    for name in SERVICES:
        database = program.one(CONTAINER, f"{name}-database")
        assert database.urn in program.one(CONTAINER, name).request.dependencies
    edge = set(program.one(CONTAINER, "edge-here").request.dependencies)
    assert not edge & {container.urn for container in program.containers}


def test_a_change_that_docker_would_not_see_replaces_the_container(program: Program) -> None:
    for container in program.containers:
        assert tuple(container.request.replaceOnChanges) == REPLACED_FOR
        assert container.request.deleteBeforeReplace, "its name is taken as long as the old one is there"


def test_images_are_pulled_before_a_container_goes_and_stay_afterwards(program: Program) -> None:
    for container in program.containers:
        image = program.one(IMAGE, container.name)
        assert image.inputs["keepLocally"] is True
        assert container.inputs["image"] == f"sha256:{container.name}"
        assert image.urn in container.request.dependencies
    assert program.one(IMAGE, "pad").inputs["name"] == "etherpad/etherpad:3.3.1"


def test_labels_are_in_order_and_tell_what_belongs_to_what(program: Program) -> None:
    for container in program.containers:
        labels = [(label["label"], label["value"]) for label in container.inputs["labels"]]
        assert labels == sorted(labels)
        assert {("ronron.project", "ronron"), ("ronron.stack", "local")} <= set(labels)
    assert {"label": "ronron.role", "value": "database"} in program.one(CONTAINER, "pad-database").inputs[
        "labels"
    ]


# -- as the provider reads it back ---------------------------------------------------------------------


def test_times_and_processors_are_written_as_the_provider_reads_them_back(program: Program) -> None:
    for container in program.containers:
        assert re.fullmatch(r"\d+\.\d+", container.inputs["cpus"]), container.name
        health = container.inputs.get("healthcheck", {})
        for name in ("interval", "timeout", "startPeriod"):
            assert not health or CANONICAL.fullmatch(health[name]), (container.name, name)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (5, "5s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s")],
)
def test_a_duration_is_written_as_go_writes_it(seconds: int, written: str) -> None:
    assert go_duration(seconds) == written


@given(st.integers(0, 1_000_000))
def test_a_duration_keeps_its_meaning(seconds: int) -> None:
    text = go_duration(seconds)
    assert CANONICAL.fullmatch(text)
    unit = {"h": 3600, "m": 60, "s": 1}
    assert sum(int(n) * unit[u] for n, u in re.findall(r"(\d+)([hms])", text)) == seconds


# -- networks and ports --------------------------------------------------------------------------------


def test_each_service_has_a_private_network_with_its_database_and_the_edge(program: Program) -> None:
    members: dict[str, set[str]] = {network.inputs["name"]: set() for network in program.of(NETWORK)}
    for container in program.containers:
        for network in container.inputs["networksAdvanced"]:
            members[network["name"]].add(container.name)
    assert members == {
        "ronron-local-job": {"job"},
        **{f"ronron-local-{name}": {name, f"{name}-database", "edge-here"} for name in SERVICES},
    }


def test_a_database_has_one_name_that_only_its_service_can_ask_for(program: Program) -> None:
    for name in SERVICES:
        (network,) = program.one(CONTAINER, f"{name}-database").inputs["networksAdvanced"]
        assert network == {"name": f"ronron-local-{name}", "aliases": ["database"]}


def test_a_network_has_nothing_whose_change_would_recreate_its_containers(program: Program) -> None:
    for network in program.of(NETWORK):
        assert set(network.inputs) == {"name", "driver"}
        assert "labels" in network.request.ignoreChanges


def test_only_the_edge_has_ports_and_only_on_the_address_that_is_declared(program: Program) -> None:
    with_ports = [container.name for container in program.containers if "ports" in container.inputs]
    assert with_ports == ["edge-here"]
    assert program.one(CONTAINER, "edge-here").inputs["ports"] == [
        {"internal": 8080, "external": 8080, "ip": "127.0.0.1", "protocol": "tcp"}
    ]


def test_with_tls_both_ports_are_open() -> None:
    program = run(declaration({("edge",): {"image": "caddy:2.10.2", "tls": "internal", "bind": "192.0.2.1"}}))
    ports = program.one(CONTAINER, "edge-here").inputs["ports"]
    assert [(port["internal"], port["external"], port["ip"]) for port in ports] == [
        (80, 80, "192.0.2.1"), (443, 443, "192.0.2.1"),
    ]  # fmt: skip


# -- secrets -------------------------------------------------------------------------------------------


def test_every_secret_is_marked_wherever_it_goes(program: Program) -> None:
    seen: set[str] = set()

    def look(value: Any, path: tuple[str | int, ...], resource: Registered) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                look(inner, (*path, key), resource)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                look(inner, (*path, index), resource)
        else:
            for key in (*SECRETS, "wiki-secret-TOKEN"):
                if secret(key) in str(value):
                    seen.add(key)
                    covered = any(path[: len(marked)] == marked for marked in resource.secrets)
                    assert covered, f"{key} is in clear in {resource.name} at {path}"

    for resource in program.resources:
        look(resource.inputs, (), resource)
    assert seen == {*SECRETS, "wiki-secret-TOKEN"} - {"members-password"}, "the members' only as a hash"


def test_a_database_reads_its_password_from_a_file_that_nobody_else_can_read(program: Program) -> None:
    for name in SERVICES:
        database = program.one(CONTAINER, f"{name}-database")
        assert ("uploads", 0, "content") in database.secrets
        (upload,) = database.inputs["uploads"]
        assert upload["permissions"] == "0400"
        assert upload["content"] == secret(f"{name}-database-password")
        assert assigned(database)["POSTGRES_PASSWORD_FILE"] == upload["file"]
        assert "POSTGRES_PASSWORD" not in assigned(database)


def test_the_catalogue_hands_secrets_to_the_variables_that_take_them(program: Program) -> None:
    marked = {name: secret_variables(program.one(CONTAINER, name)) for name in SERVICES}
    assert marked == {
        "pad": {"ADMIN_PASSWORD", "DB_PASS"},
        "team": {"MM_SQLSETTINGS_DATASOURCE"},
        "board": {"DATABASE_URL"},
        "wiki": {"DATABASE_PASSWORD", "DATABASE_URL", "TOKEN"},
    }
    assert assigned(program.one(CONTAINER, "wiki"))["TOKEN"] == secret("wiki-secret-TOKEN")
    assert assigned(program.one(CONTAINER, "pad"))["ADMIN_PASSWORD"] == secret("pad-admin-password")


def test_variables_are_in_order_so_that_a_preview_shows_only_changes(program: Program) -> None:
    for container in program.containers:
        names = [variable.split("=", 1)[0] for variable in container.inputs["envs"]]
        assert names == sorted(names)


def test_old_etherpads_get_their_keys_as_secret_files_for_their_group() -> None:
    program = run(declaration({("services", "pad", "image"): "etherpad/etherpad:1.8.14"}))
    pad = program.one(CONTAINER, "pad")
    files = uploads(pad)
    assert set(files) == {"/opt/etherpad-lite/APIKEY.txt", "/opt/etherpad-lite/SESSIONKEY.txt"}
    assert all(re.fullmatch("[0-9a-f]{64}", content) for content in files.values())
    assert len(set(files.values())) == 2
    assert {("uploads", 0, "content"), ("uploads", 1, "content")} <= pad.secrets
    assert {upload["permissions"] for upload in pad.inputs["uploads"]} == {"0440"}
    assert pad.inputs["user"].endswith(":0")


def test_the_members_password_is_only_a_hash_in_a_secret_file(program: Program) -> None:
    edge = program.one(CONTAINER, "edge-here")
    line = uploads(edge)["/etc/caddy/members"]
    expected = password_hash(secret("members-password"), "ronron-local-edge/members")
    assert line == f"members {expected}\n"
    assert ("uploads", 1, "content") in edge.secrets
    assert ("uploads", 0, "content") not in edge.secrets, "routes stay readable in a preview"


def test_a_hash_stays_the_same_until_the_password_or_its_use_changes() -> None:
    first = password_hash("a long password", "a")
    assert first == password_hash("a long password", "a")
    assert first.startswith("$2b$12$")
    assert len({first, password_hash("another password", "a"), password_hash("a long password", "b")}) == 3


# -- machines ------------------------------------------------------------------------------------------


def test_ssh_trusts_the_declared_key_and_asks_nobody() -> None:
    program = run(declaration({("machines", "here"): ELSEWHERE}))
    (provider,) = program.of(PROVIDER)
    # The engine takes inputs of providers as texts.
    options = provider.inputs["sshOpts"]
    words = json.loads(options) if isinstance(options, str) else options
    assert provider.inputs["host"] == ELSEWHERE["docker"]
    assert words[0::2] == ["-o"] * (len(words) // 2)
    assert {
        "BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/dev/null",
        f"KnownHostsCommand=/bin/echo [old.test.example]:2222 {HOST_KEY}",
    } <= set(words)  # fmt: skip
    assert "-i" not in words, "a path of one person's machine"


def test_ssh_without_a_key_of_the_host_makes_no_provider() -> None:
    with pytest.raises(ValueError, match="needs the machine's host key"):
        registered(lambda: DockerHost("old", DockerHostArgs(docker="ssh://tech@old.test.example")))


def test_a_component_takes_the_docker_of_its_caller(declared: Declaration) -> None:
    job = next(service for service in resolve(declared) if service.name == "job")

    def make() -> None:
        host = DockerHost("other", DockerHostArgs(docker="unix:///run/other.sock"))
        Service(
            "job",
            ServiceArgs(resolved=job, secrets={}),
            opts=pulumi.ResourceOptions(providers={"docker": host.provider}),
        )

    program = registered(make)
    (provider,) = program.of(PROVIDER)
    assert program.one(CONTAINER, "job").request.provider.startswith(provider.urn)
