"""Services whose data were lost: which are held back, and who may release them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chatons.backup import lost_data
from chatons.backup.data_hook import DataBeforeCreate, RecreatedError
from chatons.backup.lost_data import LostData
from chatons.declaration.resolved import Declaration, resolve, volume_names
from chatons.docker.endpoint import EndpointError, Names, Ran
from chatons.inventory import inventory
from chatons.schema.image_reference import ImageReference
from chatons.schema.models import Machine
from tests.support.declarations import BACKUP, declaration

DECLARED = declaration({("backup",): BACKUP})
SCOPE = DECLARED.name()
WIKI = (f"{SCOPE}-wiki-database", f"{SCOPE}-wiki-pages")
BEFORE = {"id": "0123456789abcdef" * 4, "taken": "2026-11-28T03:00:00+00:00"}


def says(state: str, *recreated: str, word: str | None = None) -> Ran:
    """The answer of an agent to `data`."""
    data = {"state": state, "lineage": "", "recreated": list(recreated), "since": None, "word": word}
    return Ran(code=0, out=json.dumps({"data": data, "before": BEFORE if recreated else None}), err="")


OLD_AGENT = Ran(code=2, out="", err="invalid choice: 'data'")
FAILED = Ran(code=1, out='{"error": {"code": "unreachable"}}', err="")


@dataclass
class Docker:
    """A Docker with these volumes and containers, whose agents give one answer."""

    volumes: set[str] = field(default_factory=set)
    containers: set[str] = field(default_factory=set)
    answer: Ran | Exception = FAILED
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def names(self) -> Names:
        """See Endpoint."""
        return Names(volumes=frozenset(self.volumes), containers=frozenset(self.containers))

    def run_inside(self, container: str, command: Sequence[str], _seconds: float) -> Ran:
        """See Endpoint."""
        self.asked.append((container, tuple(command)))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def version(self) -> str:
        """See Endpoint."""
        raise AssertionError("nobody calls it")

    def has(self, _image: ImageReference) -> bool:
        """See Endpoint."""
        raise AssertionError("nobody calls it")

    def why_not_pulled(self, _image: ImageReference) -> str | None:
        """See Endpoint."""
        raise AssertionError("nobody calls it")


def whole() -> Docker:
    """A Docker on which everything that is declared exists."""
    services = list(resolve(DECLARED))
    return Docker(
        volumes={name for service in services for name in volume_names(DECLARED, service.name)},
        containers={
            name
            for service in services
            for name in (service.container, service.backup.container if service.backup else "")
        },
    )


def without(*volumes: str, containers: Collection[str] = (), answer: Ran | Exception = FAILED) -> Docker:
    docker = whole()
    docker.volumes -= set(volumes)
    docker.containers -= set(containers)
    docker.answer = answer
    return docker


def exported(declared: Declaration = DECLARED, held: Collection[str] = ()) -> Any:
    """The last inventory as the engine hands it back."""
    document = json.loads(json.dumps(inventory(declared)))
    for name in held:
        document["services"][name]["held"] = {"volumes": [f"{SCOPE}-{name}-database"]}
    return document


def found(
    docker: Docker,
    previous: Any,
    *,
    state: Collection[str] = (),
    declared: Declaration = DECLARED,
    **more: Any,
) -> LostData:
    return lost_data.found(declared, previous, lambda: state, connect=lambda _: docker, **more)


# -- what was lost ---------------------------------------------------------------------------------------


def test_while_everything_exists_nothing_is_asked() -> None:
    docker = whole()
    lost = found(docker, exported())
    assert (lost.held, lost.problems, lost.warnings) == ({}, [], [])
    assert docker.asked == []
    assert lost.present == {"board", "pad", "team", "wiki"}


def test_a_new_service_is_created() -> None:
    lost = found(Docker(), None)
    assert (lost.held, lost.problems, lost.warnings) == ({}, [], [])


@pytest.mark.parametrize("missing", [WIKI, WIKI[:1], WIKI[1:]])
def test_a_service_whose_volumes_are_gone_is_held_back(missing: tuple[str, ...]) -> None:
    lost = found(without(*missing, containers=[f"{SCOPE}-wiki"]), exported())
    assert lost.held == {"wiki": missing}
    assert lost.problems == []


def test_after_the_loss_of_a_machine_every_service_is_held_back() -> None:
    lost = found(Docker(), exported())
    assert set(lost.held) == {"board", "pad", "team", "wiki"}


def test_volumes_that_the_state_still_has_stop_the_update_with_the_commands() -> None:
    lost = found(without(*WIKI), exported(), state=WIKI, environment="ours")
    assert lost.held == {}
    (problem,) = lost.problems
    assert problem.key == "ronron:services.wiki"
    assert f"{WIKI[0]} and {WIKI[1]} of wiki no longer exists on here" in problem.problem
    for command in ("ronron pulumi ours -- refresh", "ronron update ours", "ronron restore ours wiki"):
        assert f"`{command}`" in problem.remedy
    by_hand = found(without(*WIKI), exported(), state=WIKI).problems[0]
    assert "`pulumi refresh`" in by_hand.remedy


def test_the_state_is_read_only_when_a_volume_is_missing() -> None:
    def refused() -> Collection[str]:
        raise AssertionError("read")

    assert lost_data.found(DECLARED, exported(), refused, connect=lambda _: whole()).problems == []


def test_accepted_data_hold_nothing_back() -> None:
    declared = replace(DECLARED, accepted=frozenset({"wiki"}))
    assert found(without(*WIKI), exported(), declared=declared).held == {}


def test_lost_data_without_a_backup_are_a_warning() -> None:
    declared = declaration()
    lost = found(without(*WIKI), exported(declared), declared=declared)
    assert lost.held == {}
    assert lost.warnings == [f"creates {WIKI[0]} and {WIKI[1]} empty: it was lost, and has no backup"]


def test_a_service_on_an_excluded_machine_is_not_looked_at() -> None:
    assert found(Docker(), exported(), without=["here"]).held == {}


def test_a_machine_that_does_not_answer_is_left_to_the_checks_of_machines() -> None:
    class Dead(Docker):
        def names(self) -> Names:
            raise EndpointError("connection refused")

    assert found(Dead(), exported()).held == {}


# -- released ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        pytest.param(says("recreated", "database"), True, id="nobody did anything"),
        pytest.param(says("unknown"), True, id="the repository is unreachable"),
        pytest.param(says("known"), True, id="another repository, such as a disk that is not mounted"),
        pytest.param(FAILED, True, id="the agent fails"),
        pytest.param(EndpointError("no such container"), True, id="there is no agent"),
        pytest.param(Ran(code=0, out="nonsense", err=""), True, id="it says nonsense"),
        pytest.param(says("known", word="restored"), False, id="restored"),
        pytest.param(says("known", word="accepted"), False, id="accepted"),
        pytest.param(OLD_AGENT, False, id="an agent of an earlier version"),
    ],
)
def test_a_held_service_is_released_when_its_agent_says_so(answer: Ran | Exception, held: bool) -> None:
    docker = without(containers=[f"{SCOPE}-wiki"], answer=answer)
    lost = found(docker, exported(held=["wiki"]))
    assert lost.held == ({"wiki": (WIKI[0],)} if held else {})
    assert docker.asked == [(f"{SCOPE}-wiki-backup", ("ronron-agent", "data"))]


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        pytest.param(says("recreated", "database", "/data/pages"), WIKI, id="recreated"),
        pytest.param(says("recreated", "/data/pages"), WIKI[1:], id="one volume"),
        pytest.param(says("known"), (), id="somebody removed the container"),
        pytest.param(FAILED, (), id="the agent fails"),
        pytest.param(OLD_AGENT, (), id="an agent of an earlier version"),
    ],
)
def test_a_service_without_a_container_is_held_back_when_its_agent_says_so(
    answer: Ran, held: tuple[str, ...]
) -> None:
    """The state of the stack was lost, too, so that no inventory says that the service was live."""
    docker = without(containers=[f"{SCOPE}-wiki"], answer=answer)
    assert found(docker, None).held == ({"wiki": held} if held else {})


def test_names_of_accepted_services_come_from_a_variable() -> None:
    assert lost_data.accepted_names({lost_data.ACCEPT: " pad, wiki,"}) == {"pad", "wiki"}
    assert lost_data.accepted_names({}) == frozenset()


# -- before a container is created -------------------------------------------------------------------------


def hook(docker: Docker, warned: list[str] | None = None, **more: Any) -> DataBeforeCreate:
    def connect(_machine: Machine) -> Docker:
        return docker

    return DataBeforeCreate(
        services={each.container: each for each in resolve(DECLARED)},
        machines=DECLARED.machines,
        connect=connect,
        warn=(warned if warned is not None else []).append,
        **more,
    )


@pytest.mark.parametrize("answer", [says("known"), says("known", word="restored"), OLD_AGENT])
def test_a_service_on_its_own_data_is_created(answer: Ran) -> None:
    warned: list[str] = []
    hook(Docker(answer=answer), warned).check(f"{SCOPE}-wiki")
    assert warned == []


def test_a_service_on_data_that_were_recreated_is_not_created() -> None:
    docker = Docker(answer=says("recreated", "database", "/data/pages"))
    with pytest.raises(RecreatedError) as caught:
        hook(docker, environment="ours").check(f"{SCOPE}-wiki")
    text = str(caught.value)
    assert f"wiki is not created: its data ({WIKI[0]}, {WIKI[1]}) were recreated" in text
    assert "the newest is 0123456789ab of 2026-11-28T03:00:00+00:00" in text
    assert "ronron restore ours wiki" in text
    assert "ronron update ours --accept-empty wiki" in text
    with pytest.raises(RecreatedError, match="RONRON_ACCEPT_EMPTY=wiki pulumi up"):
        hook(docker).check(f"{SCOPE}-wiki")


@pytest.mark.parametrize("answer", [FAILED, EndpointError("connection refused")])
def test_an_agent_that_cannot_say_is_a_warning(answer: Ran | Exception) -> None:
    """The first update of a service may come before its repository is reachable."""
    warned: list[str] = []
    hook(Docker(answer=answer), warned).check(f"{SCOPE}-wiki")
    assert "cannot ask the backup agent of wiki" in warned[0]


def test_the_agent_is_told_that_a_person_accepted_the_data() -> None:
    docker = Docker(answer=Ran(code=0, out="{}", err=""))
    hook(docker, accepted=frozenset({"wiki"})).check(f"{SCOPE}-wiki")
    assert docker.asked == [(f"{SCOPE}-wiki-backup", ("ronron-agent", "accept-data"))]
    docker.answer = FAILED
    with pytest.raises(RecreatedError, match="cannot tell the backup agent of wiki"):
        hook(docker, accepted=frozenset({"wiki"})).check(f"{SCOPE}-wiki")


def test_a_container_of_no_service_with_a_backup_is_not_asked_about() -> None:
    docker = Docker()
    hook(docker).check(f"{SCOPE}-edge")
    assert docker.asked == []
