"""Holds a service back whose data were lost, so that it never starts on empty volumes in silence.

A service that was live, and whose volumes no longer exist on its machine, has lost its data. The update
creates its volumes, its database and its backup agent, and not its own container: nobody can write into empty
data before a person has restored a snapshot, or has said that empty is right. The agent knows which was done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from chatons.declaration.resolved import Declaration, ResolvedService, resolve
from chatons.docker.endpoint import Endpoint, EndpointError, Names, endpoint
from chatons.schema.models import Machine
from chatons.schema.problems import Problem

ACCEPT = "RONRON_ACCEPT_EMPTY"
"""Names of services, with commas: their data were lost, and a person says that empty is right."""

ANSWER_SECONDS = 120.0
"""Of an agent that may have to read its repository first."""

_NOT_UNDERSTOOD = 2
_DATABASE = "database"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What an agent says of its service's data.

    Attributes:
        state: `known`, `recreated` or `unknown`.
        recreated: the places that were recreated: `database`, or the path of files in the agent.
        word: `restored` or `accepted`, where a person did that; None before.
        newest: id and time of the newest snapshot of the data before, for people; empty where there is none.
    """

    state: str
    recreated: tuple[str, ...] = ()
    word: str | None = None
    newest: str = ""

    @property
    def waits(self) -> bool:
        """Whether a person has to restore or to accept."""
        return self.state == "recreated"


@dataclass(kw_only=True)
class LostData:
    """What is known of lost data.

    Attributes:
        held: names of the lost volumes, by the service that is held back.
        problems: what has to be done before an update.
        warnings: lines for people.
        present: services whose container exists.
    """

    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    present: set[str] = field(default_factory=set)


def found(
    declaration: Declaration,
    previous: object,
    in_state: Callable[[], Collection[str]],
    *,
    environment: str = "",
    connect: Callable[[Machine], Endpoint] = endpoint,
    without: Collection[str] = (),
) -> LostData:
    """The services whose data were lost.

    A machine whose Docker does not answer is left to the checks of machines.

    Args:
        declaration: a checked one.
        previous: the last exported inventory of the stack; anything else counts as a first update.
        in_state: reads the physical names of the volumes in the state of the stack, when one is missing.
        environment: the environment's name, for hints; empty where nobody knows it.
        connect: opens the connection to the Docker of a machine.
        without: names of the machines that the update excludes.
    """
    lost = LostData()
    names: dict[str, Names | None] = {}
    for service in resolve(declaration):
        machine = service.declared.machine
        if machine in without or not (service.volumes or service.database):
            continue
        reachable = declaration.reachable(machine)
        if machine not in names:
            names[machine] = _names(reachable, connect)
        there = names[machine]
        if there is None:
            continue

        def ask(service: ResolvedService = service, reachable: Machine = reachable) -> Answer | None:
            return answer(service, connect(reachable))

        if service.container in there.containers:
            lost.present.add(service.name)
        accepted = service.name in declaration.accepted
        _judge(
            lost, service, _before(previous, service), there, in_state, ask,
            accepted=accepted, environment=environment,
        )  # fmt: skip
    return lost


def _judge(
    lost: LostData,
    service: ResolvedService,
    before: Mapping[str, object],
    there: Names,
    in_state: Callable[[], Collection[str]],
    ask: Callable[[], Answer | None],
    *,
    accepted: bool,
    environment: str,
) -> None:
    """Judge one service; `before` is empty where the last inventory has it not on this machine."""
    known = {each.get("name") for each in _items(before.get("volumes")) if isinstance(each, Mapping)}
    missing = tuple(name for name in _volumes(service) if name in known and name not in there.volumes)
    if missing:
        if set(missing) & set(in_state()):
            lost.problems.append(_not_refreshed(service, missing, environment))
        elif service.backup is None:
            lost.warnings.append(f"creates {' and '.join(missing)} empty: it was lost, and has no backup")
        elif not accepted and set(missing) & set(_restorable(service)):
            lost.held[service.name] = missing
        return
    if service.backup is None or accepted:
        return
    held = before.get("held")
    if isinstance(held, Mapping):
        said = ask()
        if said is None or said.state != "known" or said.word is None:
            lost.held[service.name] = tuple(str(name) for name in _items(held.get("volumes")))
    elif service.container not in there.containers and service.backup.container in there.containers:
        said = ask()
        if said is not None and said.waits:
            lost.held[service.name] = places(service, said.recreated)


def answer(service: ResolvedService, docker: Endpoint) -> Answer | None:
    """What the agent of a service says of its data; None where it does not say.

    An agent that knows no such command was made before it could record anything.
    """
    assert service.backup is not None  # noqa: S101
    try:
        ran = docker.run_inside(service.backup.container, ["ronron-agent", "data"], ANSWER_SECONDS)
        if ran.code == _NOT_UNDERSTOOD:
            return Answer(state="known", word="accepted")
        document = json.loads(ran.out)
        data, newest = document["data"], document["before"]
        return Answer(
            state=str(data["state"]),
            recreated=tuple(str(each) for each in data["recreated"]),
            word=data["word"],
            newest=f"{newest['id'][:12]} of {newest['taken']}" if newest else "",
        )
    except (EndpointError, ValueError, KeyError, TypeError):
        return None


def places(service: ResolvedService, recreated: Collection[str]) -> tuple[str, ...]:
    """The physical names of volumes, from the places of an agent's answer."""
    by_place = {f"/data/{volume.role}": volume.name for volume in service.volumes}
    if service.database is not None:
        by_place[_DATABASE] = service.database.volume.name
    return tuple(sorted(by_place[place] for place in recreated if place in by_place))


def accepted_names(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the services whose data a person accepted, from the environment of the process."""
    names = (name.strip() for name in environment.get(ACCEPT, "").split(","))
    return frozenset(name for name in names if name)


def _names(machine: Machine, connect: Callable[[Machine], Endpoint]) -> Names | None:
    try:
        return connect(machine).names()
    except EndpointError:
        return None


def _volumes(service: ResolvedService) -> list[str]:
    database = [service.database.volume.name] if service.database is not None else []
    return [*database, *(volume.name for volume in service.volumes)]


def _restorable(service: ResolvedService) -> Iterator[str]:
    """The names of the volumes that a snapshot brings back."""
    if service.database is not None:
        yield service.database.volume.name
    if service.backup is not None:
        yield from (volume.name for volume in service.backup.files)


def _before(previous: object, service: ResolvedService) -> Mapping[str, object]:
    services = previous.get("services") if isinstance(previous, Mapping) else None
    before = services.get(service.name) if isinstance(services, Mapping) else None
    if not isinstance(before, Mapping) or before.get("machine") != service.declared.machine:
        return {}
    return before


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _not_refreshed(service: ResolvedService, missing: Collection[str], environment: str) -> Problem:
    if environment:
        refresh, update = f"ronron pulumi {environment} -- refresh", f"ronron update {environment}"
        restore = f"ronron restore {environment} {service.name}"
    else:
        refresh, update, restore = "pulumi refresh", "pulumi up", "ronron restore"
    return Problem(
        path=("services", service.name),
        problem=f"the volume {' and '.join(missing)} of {service.name} no longer exists on "
        f"{service.declared.machine}: its data are lost",
        remedy=f"run `{refresh}`, which removes what is gone from the state, and `{update}`, which creates "
        f"the volumes and holds {service.name} back until you have restored it: `{restore}`",
    )
