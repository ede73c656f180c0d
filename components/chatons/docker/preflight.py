"""Checks of each machine before an update: its Docker answers, and its images are available.

The program runs them in previews too. The Docker provider would fail in the middle of an update, after it has
removed the old container.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from chatons.declaration.resolved import (
    Declaration,
    agent_base,
    base_path,
    database_image,
    is_backed_up,
)
from chatons.docker.endpoint import Endpoint, EndpointError, endpoint
from chatons.schema.by_hand import pulumi_command
from chatons.schema.checks import CheckResult
from chatons.schema.image_reference import LOCAL_REPOSITORIES, ImageReference
from chatons.schema.models import Machine
from chatons.schema.problems import KeyPath, Problem

DEADLINE_SECONDS = 120.0
"""For all machines together; they are checked in parallel."""

Images = dict[ImageReference, KeyPath]


def _asked(
    declaration: Declaration,
    connect: Callable[[Machine], Endpoint],
    deadline: float,
    without: Collection[str],
) -> tuple[dict[str, str], list[Problem]]:
    """Docker's version on each machine that answers, by name, and the problems."""
    versions: dict[str, str] = {}
    used = used_machines(declaration)
    wanted = {
        name: images(declaration, name)
        for name in used
        if name not in without and not _is_to_be_made(declaration, name)
    }
    answers: queue.SimpleQueue[tuple[str, list[Problem] | Exception]] = queue.SimpleQueue()

    def ask(name: str) -> None:
        try:
            answers.put(
                (name, list(_machine(name, declaration.reachable(name), wanted[name], connect, versions)))
            )
        except Exception as error:  # noqa: BLE001  # raised again where it can be seen
            answers.put((name, error))

    # Daemon threads, so that one that hangs does not prevent the program from ending with a message.
    for name in wanted:
        threading.Thread(target=ask, args=(name,), daemon=True).start()
    found: dict[str, list[Problem]] = {}
    end = time.monotonic() + deadline
    while len(found) < len(wanted):
        try:
            name, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, Exception):
            raise answer
        found[name] = answer
    for name in wanted:
        found.setdefault(
            name, [_unreachable(name, declaration.machines[name], f"no answer in {deadline:g} seconds")]
        )
    problems = [problem for name in wanted for problem in found[name]]
    # A copy: a thread that timed out may still write.
    return dict(versions), problems if len(used) < 2 else [_or_without(problem) for problem in problems]


def checks(
    declaration: Declaration,
    connect: Callable[[Machine], Endpoint] = endpoint,
    deadline: float = DEADLINE_SECONDS,
    without: Collection[str] = (),
) -> list[CheckResult]:
    """Check Docker and the images on each machine that runs a service. Machines to be created are skipped.

    Args:
        declaration: a checked one.
        connect: opens the connection to the Docker of a machine.
        deadline: seconds for all machines together.
        without: names of machines that the update excludes; they are not checked.
    """
    versions, wrong = _asked(declaration, connect, deadline, without)
    good = [
        CheckResult(
            name=f"Docker on {name}",
            found=declaration.machines[name].docker_address,
            version=versions[name],
        )
        for name in sorted(versions)
    ]
    return [*good, *(CheckResult(name=_name(problem), problem=problem) for problem in wrong)]


def used_machines(declaration: Declaration) -> list[str]:
    """The machines that run at least one service, in order of name."""
    return sorted({service.machine for service in declaration.services.values()})


def images(declaration: Declaration, machine: str) -> Images:
    """Every image that a machine needs, with the path of the key that names it."""
    found: Images = {}
    for name, service in sorted(declaration.services.items()):
        if service.machine != machine:
            continue
        found.setdefault(service.image, ("services", name, "image"))
        database = database_image(declaration, name) if service.has_database else None
        if database is not None:
            own = service.database is not None and service.database.image is not None
            found.setdefault(
                database, ("services", name, "database", "image") if own else ("database", "image")
            )
        base = agent_base(declaration, name) if is_backed_up(declaration, name) else None
        if base is not None:
            # The agent's own image is built on the machine, from this one.
            found.setdefault(base, base_path(declaration, name))
        if service.hostname is not None and declaration.edge is not None:
            found.setdefault(declaration.edge.image, ("edge", "image"))
    return found


def _is_to_be_made(declaration: Declaration, name: str) -> bool:
    """Whether a machine is not set up yet, or may be replaced: its setup installs Docker."""
    virtual = declaration.machines[name].proxmox
    return virtual is not None and (name not in declaration.known_keys or virtual.replace is not None)


def _machine(
    name: str,
    machine: Machine,
    wanted: Images,
    connect: Callable[[Machine], Endpoint],
    versions: dict[str, str],
) -> Iterator[Problem]:
    """The problems of one machine; adds its Docker's version to `versions`."""
    try:
        docker = connect(machine)
        versions[name] = docker.version()
        for image, path in wanted.items():
            yield from _image(name, docker, image, path)
    except EndpointError as error:
        yield _unreachable(name, machine, str(error))


def _image(machine: str, docker: Endpoint, image: ImageReference, path: KeyPath) -> Iterator[Problem]:
    if docker.has(image):
        return
    if image.is_local:
        yield Problem(
            path=path,
            problem=f"{image} is not on {machine}, and no registry has images under {LOCAL_REPOSITORIES}",
            remedy="build it there with `make demo`, or use an image of a registry",
        )
        return
    reason = docker.why_not_pulled(image)
    if reason is not None:
        yield Problem(
            path=path,
            problem=f"{machine} cannot pull {image}: {reason}",
            remedy="check name, tag and digest, and that the machine reaches the registry",
        )


def _unreachable(name: str, machine: Machine, reason: str) -> Problem:
    virtual = machine.proxmox
    return Problem(
        path=("machines", name, "docker" if virtual is None else "proxmox"),
        problem=f"Docker on {name} does not answer at {machine.docker_address}: {reason}",
        remedy=_check(machine.docker_address)
        if virtual is None
        else f"check whether it runs, on {virtual.node}: `qm status {virtual.vm_id}`, `qm terminal "
        f"{virtual.vm_id}`; then try `docker -H {machine.docker_address} version`",
    )


def _or_without(problem: Problem) -> Problem:
    """With the command that excludes an unreachable machine, when there are others to update."""
    if problem.path[:1] != ("machines",) or problem.path[2:] not in (("docker",), ("proxmox",)):
        return problem
    name = problem.path[1]
    around = pulumi_command(
        f"up --exclude '**$pulumi:providers:docker::{name}' --exclude-dependents",
        before=f"RONRON_EXCLUDE={name}",
    )
    return replace(problem, remedy=f"{problem.remedy}; to update the others meanwhile: {around}")


def _name(problem: Problem) -> str:
    """The name of the check that found a problem."""
    kind, *rest = problem.path
    return f"Docker on {rest[0]}" if kind == "machines" else f"image of {rest[0] if len(rest) > 1 else kind}"


def _check(address: str) -> str:
    if address.startswith("ssh://"):
        return f"try `docker -H {address} version`, and compare host_key with the machine's own"
    return "start it, for instance with `systemctl start docker`, and see that you are in the group docker"
