"""Edits of a stack file that add and remove a service; gives the new text, and writes nothing."""

from __future__ import annotations

import secrets as randomness
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from ronron.commands.pins import is_local
from ronron.commands.program_facts import ProgramFacts, ProgramProblem
from ronron.core.errors import ConfigError, ConfigProblemsError, Problem
from ronron.core.images import read_image
from ronron.policy.notations import nearest, quoted
from ronron.policy.yaml_edit import YamlDocument
from ronron.policy.yaml_text import Path
from ronron.ports import ImageRegistry

CONFIG = "config"
SERVICES: Path = (CONFIG, "ronron:services")
MACHINES: Path = (CONFIG, "ronron:machines")
SALT = "encryptionsalt"
_SECRET_LETTERS = string.ascii_letters + string.digits
SECRET_LENGTH = 40
"""Letters and digits: 238 bits."""

Ask = Callable[[str], ProgramFacts]
"""Asks the program about a text of the stack file."""
Encrypt = Callable[[Mapping[str, SecretStr]], tuple[Mapping[str, str], str | None]]
"""Encrypts secrets by key; also gives the salt that the file needs, if it has none."""


@dataclass(frozen=True)
class Wanted:
    """A new service as a person asks for it.

    Attributes:
        name: of the service.
        kind: of the service.
        hostname: None for a service that is not reachable from outside.
        machine: None for the only one.
        image: None for the one of the kind.
        more: further keys and their values as YAML.
    """

    name: str
    kind: str
    hostname: str | None = None
    machine: str | None = None
    image: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Added:
    """A new service in the text of a stack file.

    Attributes:
        text: of the stack file with it.
        image: with its digest, outside of local stacks.
        machine: that runs it.
        secrets: keys of the secrets that were made.
        kept: keys of secrets that the file had already, of a service of this name that was removed.
        missing: the commands for secrets that only a person knows.
    """

    text: str
    image: str
    machine: str
    secrets: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[str, ...]


def add_service(
    document: YamlDocument, stack: str, wanted: Wanted, ask: Ask, encrypt: Encrypt, registry: ImageRegistry
) -> Added:
    """The text of a stack file with a further service.

    Args:
        document: the stack file.
        stack: its stack.
        wanted: the service.
        ask: asks the program.
        encrypt: encrypts its secrets.
        registry: gives the digest of its image, outside of local stacks.

    Raises:
        ConfigError: the name or the hostname is in use, the kind or the machine is unknown, or the program
            refuses the service.
        ImageRegistryError: the digest of its image is not known.
        EngineError: its secrets cannot be encrypted.
    """
    before = ask(document.text)
    _refuse_used(document, wanted)
    kind = before.kinds.get(wanted.kind)
    if kind is None:
        near = nearest(wanted.kind, before.kinds)
        raise ConfigError(
            f"cannot add a service of the unknown kind {quoted(wanted.kind)}",
            where="--kind",
            hint=f"use {near}" if near else f"use one of: {', '.join(sorted(before.kinds))}",
        )
    machine = _machine(document, wanted.machine)
    image = _image(wanted, kind.image, stack, registry)
    keys = {"kind": wanted.kind, "machine": machine}
    keys |= {"hostname": wanted.hostname} if wanted.hostname is not None else {}
    lines = [f"  {key}: {value}" for key, value in {**keys, "image": image, **wanted.more}.items()]
    with_block = _with_block(document, wanted.name, lines)
    facts = ask(with_block)
    _refuse_new_problems(document.file, wanted.name, before, facts)

    if facts.secrets is None:
        raise ConfigProblemsError(_problems(document.file, facts.problems), subject=document.file)

    keys_of = [f"ronron:{each.key}" for each in facts.secrets if each.random]
    own = {f"ronron:{each.key}" for each in facts.secrets if each.service == wanted.name}
    there = [key for key in keys_of if key in own and document.has(_path(key))]
    new = [key for key in keys_of if key not in there and (key in own or _can_be_written(document, key))]
    text = with_block
    if new:
        values, salt = encrypt({key: SecretStr(random_secret()) for key in new})
        for key in new:
            mapping, last = _place(key)
            edited = YamlDocument(text, file=document.file)
            text = edited.with_entries(mapping, {last: [f"  secure: {values[key]}"]})
        if salt is not None:
            text = YamlDocument(text, file=document.file).with_entries((), {SALT: [salt]})
    made = {key.removeprefix("ronron:") for key in new}
    missing = [
        problem.remedy
        for problem in facts.problems
        if _is_missing_secret(problem) and _secret_of(problem) not in made
    ]
    return Added(text, image, machine, tuple(new), tuple(there), tuple(missing))


def _place(key: str) -> tuple[Path, str]:
    """The mapping of a stack file in which a secret stands, and its key there."""
    outer, _, inner = key.partition(".")
    return ((CONFIG, outer), inner) if inner else ((CONFIG,), outer)


def _path(key: str) -> Path:
    mapping, last = _place(key)
    return (*mapping, last)


def _can_be_written(document: YamlDocument, key: str) -> bool:
    """Whether a secret of the whole stack, such as `ronron:backup.password`, is missing and has a place."""
    mapping, last = _place(key)
    if document.has((*mapping, last)) or not document.has(mapping):
        return False
    try:
        document.with_entries(mapping, {last: ["x"]})
    except ConfigError:  # in braces: a person sets it by the command that is shown
        return False
    return True


def random_secret() -> str:
    """A secret that every kind accepts: 40 letters and digits, letters at both ends."""
    ends = [randomness.choice(string.ascii_letters) for _ in range(2)]
    return ends[0] + "".join(randomness.choice(_SECRET_LETTERS) for _ in range(SECRET_LENGTH - 2)) + ends[1]


def without_service(document: YamlDocument, name: str) -> str:
    """The text without a service. Its secrets stay: its data stays on the machine, and needs them.

    Raises:
        ConfigError: it stands where a person has to edit.
    """
    return document.without([(*SERVICES, name)])


def _refuse_used(document: YamlDocument, wanted: Wanted) -> None:
    if not document.has(SERVICES):
        raise ConfigError(
            "cannot find ronron:services",
            where=document.file,
            hint="add `ronron:services: {}` below `config:`",
        )
    path = (*SERVICES, wanted.name)
    if document.has(path):
        raise ConfigError(
            f"cannot add {quoted(wanted.name)}: there is a service of this name",
            where=f"{document.file}:{document.line(path)}",
            hint="choose another name, or edit that service",
        )
    for name in document.keys(SERVICES):
        taken = (*SERVICES, name, "hostname")
        if wanted.hostname is not None and document.value(taken) == wanted.hostname:
            raise ConfigError(
                f"cannot use the hostname {quoted(wanted.hostname)}: {name} has it",
                where=f"{document.file}:{document.line(taken)}",
                hint="choose a different hostname for each service",
            )


def _machine(document: YamlDocument, wanted: str | None) -> str:
    machines = document.keys(MACHINES)
    if wanted is None:
        if len(machines) == 1:
            return machines[0]
        raise ConfigError(
            f"cannot choose a machine: the stack has {', '.join(machines) or 'none'}",
            where=document.file,
            hint="name one with --machine" if machines else "declare one in ronron:machines",
        )
    if wanted not in machines:
        near = nearest(wanted, machines)
        raise ConfigError(
            f"cannot find the machine {quoted(wanted)}",
            where="--machine",
            hint=f"use {near}" if near else f"use one of: {', '.join(machines) or 'none is declared'}",
        )
    return wanted


def _image(wanted: Wanted, default: str | None, stack: str, registry: ImageRegistry) -> str:
    text = wanted.image or default
    if text is None:
        raise ConfigError(
            f"cannot choose an image: the kind {wanted.kind} has none of its own",
            where="--image",
            hint="name one, such as --image requarks/wiki:2.5",
        )
    image = read_image(text)
    if image is None or image.tag is None:
        raise ConfigError(
            f"cannot use the image {quoted(text)}",
            where="--image",
            hint="write repository:tag, such as postgres:15.14",
        )
    if image.digest is not None or is_local(stack) or image.is_built_here:
        return text
    return str(image.pinned(registry.digest(image)))


def _with_block(document: YamlDocument, name: str, lines: Sequence[str]) -> str:
    try:
        return document.with_entries(SERVICES, {name: list(lines)})
    except ConfigError as error:
        if "cannot read the YAML" in error.message:
            raise ConfigError(
                "cannot use a value of --set or of an option: it is not YAML",
                where=document.file,
                hint="put it in quotes for YAML as well, such as --set 'title=\"Our pad\"'",
            ) from None
        raise


def _refuse_new_problems(file: str, name: str, before: ProgramFacts, after: ProgramFacts) -> None:
    found = _problems(file, _new(before, after), name)
    if found:
        raise ConfigProblemsError(found, subject=f"{name} in {file}")


def _problems(file: str, problems: Sequence[ProgramProblem], name: str = "") -> list[Problem]:
    """What is wrong besides missing secrets."""
    return [
        Problem(f"{file} {problem.key}".rstrip(), problem.problem, problem.remedy + _by_option(problem, name))
        for problem in problems
        if not _is_missing_secret(problem)
    ]


def _by_option(problem: ProgramProblem, name: str) -> str:
    """How a key of the new service is given on the command line; empty for another key."""
    parts = problem.key.removeprefix("ronron:services.").split(".")
    return f"; here as --set {parts[1]}=VALUE" if parts[0] == name and len(parts) > 1 else ""


def _new(before: ProgramFacts, after: ProgramFacts) -> list[ProgramProblem]:
    known = {(problem.key, problem.problem) for problem in before.problems}
    return [problem for problem in after.problems if (problem.key, problem.problem) not in known]


def _is_missing_secret(problem: ProgramProblem) -> bool:
    return problem.problem.startswith("missing secret")


def _secret_of(problem: ProgramProblem) -> str:
    return problem.key.removeprefix("ronron:")
