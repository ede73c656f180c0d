"""What must hold before an update begins, asked of Dockers that answer as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from chatons.declaration.resolved import Declaration
from chatons.docker.endpoint import Endpoint, EndpointError, Names, Ran
from chatons.docker.preflight import checks, images, used_machines
from chatons.machine.ssh import SshAddress, ssh_options
from chatons.schema.checks import blocking
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from chatons.schema.problems import Problem
from tests.support.declarations import BACKUP, EVERY_KIND, HOST_KEY, declaration, proxmox_declaration

ELSEWHERE = {"docker": "ssh://tech@old.test.example", "host_key": HOST_KEY}
JOB = {"kind": "container", "machine": "old", "image": "job:1"}


@dataclass
class ToldDocker:
    """A Docker that has and gives what it is told.

    Attributes:
        there: images that are on the machine.
        refused: why a registry does not hand out an image; every other one it does.
        dead: why it does not answer at all.
        before: done before it answers.
        asked: images that were looked up in a registry.
    """

    there: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)
    dead: str | None = None
    before: Callable[[], object] = lambda: None
    asked: list[str] = field(default_factory=list)

    def version(self) -> str:
        """See Endpoint."""
        self.before()
        if self.dead is not None:
            raise EndpointError(self.dead)
        return "20.10.24"

    def names(self) -> Names:
        """See Endpoint."""
        raise AssertionError("the checks do not call it")

    def has(self, image: ImageReference) -> bool:
        """See Endpoint."""
        return str(image) in self.there

    def why_not_pulled(self, image: ImageReference) -> str | None:
        """See Endpoint."""
        self.asked.append(str(image))
        return self.refused.get(str(image))

    def run_inside(self, container: str, command: Sequence[str], seconds: float) -> Ran:
        """See Endpoint."""
        raise AssertionError(f"nothing runs in {container} before an update: {command}, {seconds}")


def found(
    declared: Declaration,
    *dockers: tuple[str, ToldDocker],
    deadline: float = 30,
    without: frozenset[str] = frozenset(),
) -> list[Problem]:
    """Ask Dockers by the address of their machine."""
    by_address = dict(dockers)

    def connect(machine: Machine) -> Endpoint:
        return by_address[machine.docker_address]

    return blocking(checks(declared, connect, deadline, without))


HERE = "unix:///var/run/docker.sock"
OLD = "ssh://tech@old.test.example"


@pytest.fixture
def two_machines() -> Declaration:
    return declaration({("machines", "old"): ELSEWHERE, ("services", "job"): JOB})


def test_nothing_stands_in_the_way_where_docker_answers_and_images_can_be_had() -> None:
    docker = ToldDocker()
    assert found(declaration(), (HERE, docker)) == []
    assert sorted(docker.asked) == sorted(str(image) for image in images(declaration(), "here"))


def test_an_image_that_is_there_is_asked_of_no_registry() -> None:
    docker = ToldDocker(there=frozenset(str(image) for image in images(declaration(), "here")))
    assert found(declaration(), (HERE, docker)) == []
    assert docker.asked == []


def test_an_image_that_cannot_be_had_is_told_by_the_key_that_asks_for_it() -> None:
    docker = ToldDocker(refused={"postgres:15.14": "manifest unknown", "wiki:1.0.0": "access denied"})
    told = {problem.key: problem for problem in found(declaration(), (HERE, docker))}
    assert set(told) == {"ronron:database.image", "ronron:services.wiki.image"}
    assert told["ronron:database.image"].problem == "here cannot pull postgres:15.14: manifest unknown"
    assert told["ronron:services.wiki.image"].remedy.startswith("check name, tag and digest")


def test_an_image_that_only_a_build_makes_is_not_looked_for_elsewhere() -> None:
    built = "ronron-local/etherpad:1.8.14"
    docker = ToldDocker()
    (problem,) = found(declaration({("services", "pad", "image"): built}), (HERE, docker))
    assert problem.key == "ronron:services.pad.image"
    assert f"{built} is not on here" in problem.problem
    assert "make demo" in problem.remedy
    assert built not in docker.asked


def test_a_docker_that_does_not_answer_is_told_with_its_reason_and_a_command() -> None:
    (problem,) = found(declaration(), (HERE, ToldDocker(dead="connection refused")))
    assert problem.key == "ronron:machines.here.docker"
    assert problem.problem == f"Docker on here does not answer at {HERE}: connection refused"
    assert "systemctl start docker" in problem.remedy


def test_a_docker_behind_ssh_is_tried_by_hand_with_its_own_address(two_machines: Declaration) -> None:
    (problem,) = found(
        two_machines, (HERE, ToldDocker()), (OLD, ToldDocker(dead="Host key verification failed."))
    )
    assert problem.key == "ronron:machines.old.docker"
    assert f"docker -H {OLD} version" in problem.remedy
    assert "host_key" in problem.remedy


def test_what_is_wrong_on_one_machine_hides_nothing_on_another(two_machines: Declaration) -> None:
    here = ToldDocker(refused={"caddy:2.10.2": "no such host"})
    old = ToldDocker(refused={"job:1": "manifest unknown"})
    keys = [problem.key for problem in found(two_machines, (HERE, here), (OLD, old))]
    assert keys == ["ronron:edge.image", "ronron:services.job.image"]


def test_a_machine_that_runs_nothing_is_not_asked() -> None:
    declared = declaration({("machines", "old"): ELSEWHERE})
    assert used_machines(declared) == ["here"]
    assert found(declared, (HERE, ToldDocker())) == []


def test_a_machine_that_is_left_out_is_not_asked(two_machines: Declaration) -> None:
    dead = ToldDocker(dead="no route to host")
    assert found(two_machines, (HERE, ToldDocker()), (OLD, dead), without=frozenset({"old"})) == []


def test_a_silent_machine_comes_with_the_way_around_it_where_there_are_others(
    two_machines: Declaration,
) -> None:
    dead = ToldDocker(dead="no route to host")
    (problem,) = found(two_machines, (HERE, ToldDocker()), (OLD, dead))
    assert problem.remedy.endswith(
        "to update the others meanwhile: RONRON_EXCLUDE=old pulumi up"
        " --exclude '**$pulumi:providers:docker::old' --exclude-dependents"
    )
    (alone,) = found(declaration(), (HERE, dead))
    assert "RONRON_EXCLUDE" not in alone.remedy


def test_machines_are_asked_at_the_same_time(two_machines: Declaration) -> None:
    both = threading.Barrier(2, timeout=20)
    told = found(two_machines, (HERE, ToldDocker(before=both.wait)), (OLD, ToldDocker(before=both.wait)))
    assert told == []


def test_a_machine_that_never_answers_is_given_up(two_machines: Declaration) -> None:
    for_ever = threading.Event()
    try:
        (problem,) = found(
            two_machines,
            (HERE, ToldDocker()),
            (OLD, ToldDocker(before=lambda: for_ever.wait(60))),
            deadline=0.5,
        )
    finally:
        for_ever.set()
    assert problem.key == "ronron:machines.old.docker"
    assert "no answer in 0.5 seconds" in problem.problem


def test_a_mistake_of_our_own_is_not_taken_for_a_machine_that_is_away() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        found(declaration(), (HERE, ToldDocker(before=broken)))


def test_a_virtual_machine_that_is_still_to_be_made_is_not_asked() -> None:
    assert found(proxmox_declaration()) == []


def test_a_declared_key_makes_no_virtual_machine_be_there() -> None:
    assert found(proxmox_declaration({("machines", "vm01", "host_key"): HOST_KEY})) == []


def test_everything_that_was_looked_at_is_told_with_the_version_of_docker() -> None:
    declared = declaration({("machines", "old"): ELSEWHERE, ("services", "job"): JOB})
    dockers = {HERE: ToldDocker(refused={"wiki:1.0.0": "no such image"}), OLD: ToldDocker(dead="no route")}
    told = {check.name: check for check in checks(declared, lambda machine: dockers[machine.docker_address])}
    assert (told["Docker on here"].found, told["Docker on here"].version) == (HERE, "20.10.24")
    assert told["Docker on old"].problem is not None
    assert told["image of wiki"].problem is not None
    assert len(told) == 3


def test_a_virtual_machine_that_is_there_is_asked_with_the_key_it_was_known_by() -> None:
    declared = replace(proxmox_declaration(), known_keys={"vm01": HOST_KEY})
    assert declared.reachable("vm01").host_key == HOST_KEY
    (problem,) = found(declared, ("ssh://ronron@192.0.2.11", ToldDocker(dead="no route to host")))
    assert problem.key == "ronron:machines.vm01.proxmox"
    assert "ssh://ronron@192.0.2.11: no route to host" in problem.problem
    assert "on alice: `qm status 101`" in problem.remedy


def test_a_virtual_machine_that_may_be_recreated_need_not_answer() -> None:
    declared = replace(
        proxmox_declaration(machines={"vm01": {"replace": 101}}), known_keys={"vm01": HOST_KEY}
    )
    assert found(declared) == []


def test_every_image_of_a_machine_has_the_key_that_asks_for_it() -> None:
    edits = {
        ("services", "wiki", "database"): {"image": "postgres:17.6"},
        ("machines", "old"): ELSEWHERE,
        ("services", "job"): JOB,
    }
    declared = declaration(edits)
    assert {str(image): ".".join(map(str, path)) for image, path in images(declared, "here").items()} == {
        "etherpad/etherpad:3.3.1": "services.pad.image",
        "mattermost/mattermost-team-edition:11.7.3": "services.team.image",
        "kanboard/kanboard:v1.2.53": "services.board.image",
        "wiki:1.0.0": "services.wiki.image",
        "postgres:15.14": "database.image",
        "postgres:17.6": "services.wiki.database.image",
        "caddy:2.10.2": "edge.image",
    }
    assert {str(image) for image in images(declared, "old")} == {"job:1"}


# -- ssh ---------------------------------------------------------------------------------------------------


def words(options: list[str]) -> Iterator[tuple[str, str]]:
    for flag, option in zip(options[::2], options[1::2], strict=True):
        assert flag == "-o"
        name, _, value = option.partition("=")
        yield name, value


@pytest.mark.parametrize(
    ("address", "user", "host", "port", "known_as"),
    [
        ("ssh://tech@old.test.example", "tech", "old.test.example", 22, "old.test.example"),
        ("ssh://tech@old.test.example:22", "tech", "old.test.example", 22, "old.test.example"),
        ("ssh://tech@old.test.example:2222", "tech", "old.test.example", 2222, "[old.test.example]:2222"),
    ],
)
def test_a_host_is_known_by_the_name_under_which_ssh_looks_for_it(
    address: str, user: str, host: str, port: int, known_as: str
) -> None:
    parsed = SshAddress.parse(address)
    assert parsed == SshAddress(user=user, host=host, port=port)
    assert (
        dict(words(ssh_options(parsed, HOST_KEY)))["KnownHostsCommand"] == f"/bin/echo {known_as} {HOST_KEY}"
    )


def test_ssh_asks_nobody_and_trusts_one_key_only() -> None:
    options = dict(words(ssh_options(SshAddress.parse(OLD), HOST_KEY)))
    assert options["BatchMode"] == "yes"
    assert options["StrictHostKeyChecking"] == "yes"
    assert options["UserKnownHostsFile"] == options["GlobalKnownHostsFile"] == "/dev/null"
    assert int(options["ConnectTimeout"]) <= 10


def test_an_address_without_a_user_is_no_way_in() -> None:
    with pytest.raises(ValueError, match="names no user and host"):
        SshAddress.parse("ssh://old.test.example")


def test_the_same_stack_has_the_same_options_for_everybody() -> None:
    """They are kept in the state: a path of one person would be a change to the next."""
    options = ssh_options(SshAddress.parse(OLD), HOST_KEY)
    assert options == ssh_options(SshAddress.parse(OLD), HOST_KEY)
    assert not [option for option in options if "/home/" in option or "/root" in option]


def test_every_kind_is_declared_on_the_machine_that_is_asked() -> None:
    assert {service["machine"] for service in EVERY_KIND["services"].values()} == {"here"}


def test_what_an_agent_is_built_from_is_there_and_its_own_image_needs_no_registry() -> None:
    files = {"kind": "container", "machine": "here", "image": "files:1", "volumes": {"kept": "/kept"}}
    wanted = images(
        declaration({("backup",): {**BACKUP, "image": "debian:12"}, ("services",): {"files": files}}), "here"
    )
    assert {str(image): path for image, path in wanted.items()} == {
        "files:1": ("services", "files", "image"), "debian:12": ("backup", "image"),
    }  # fmt: skip
    common = images(declaration({("backup",): BACKUP, ("services",): {"files": files}}), "here")
    assert ("database", "image") in common.values()
    assert not [image for image in wanted if "backup-agent" in str(image)]
