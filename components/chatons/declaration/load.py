"""Checks the configuration of a stack: gives its declaration, or every problem in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from chatons import catalogue
from chatons.declaration import rules, wrong_values
from chatons.declaration import secrets as required_secrets
from chatons.declaration.configuration import Configuration
from chatons.declaration.resolved import Declaration
from chatons.schema.by_hand import pulumi_command
from chatons.schema.models import Service
from chatons.schema.problems import NAMESPACE, DeclarationError, KeyPath, Problem, nearest, unknown
from chatons.schema.values import ENCRYPTED, REFUSED, Encrypted

__all__ = ["ENCRYPTED", "Declaration", "DeclarationError", "StackConfiguration", "load"]


@dataclass(frozen=True, kw_only=True)
class StackConfiguration:
    """The keys of one stack under `ronron:`, without the namespace.

    Attributes:
        stack: name of the stack.
        project: name of the project, the first part of every physical name.
        values: the plain values; `ENCRYPTED` for each secret inside one.
        secrets: the keys of secrets, with their values if known. Never shown, never stored.
        backup_secrets: the values of the secrets inside `backup`, if known.
    """

    stack: str
    project: str = NAMESPACE
    values: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, SecretStr | None] = field(default_factory=dict)
    backup_secrets: Mapping[str, SecretStr] = field(default_factory=dict)


def load(configuration: StackConfiguration, *, ask_for_secrets: bool = True) -> Declaration:
    """Check a configuration.

    Args:
        configuration: the configuration of the stack.
        ask_for_secrets: False to accept a stack whose secrets are not set yet.

    Raises:
        DeclarationError: it cannot be used; has every problem found, in the order of the keys.
    """
    values = {key: value for key, value in configuration.values.items() if key in Configuration.model_fields}
    services = values.get("services")
    known_services = services if isinstance(services, Mapping) else {}
    misplaced = list(_secrets_inside(values))
    parsed, wrong_shape = _parse(values)
    reported = {problem.path for problem in misplaced}
    problems = [*_top_level(configuration, known_services), *misplaced]
    problems += [problem for problem in wrong_shape if problem.path not in reported]
    declaration = Declaration(stack=configuration.stack, project=configuration.project, **parsed)
    problems += rules.broken(declaration, complete=not wrong_shape and not misplaced)
    problems += _unfit(configuration, known_services)
    if ask_for_secrets:
        problems += _missing_secrets(configuration, declaration)
    if problems:
        raise DeclarationError(_in_order(problems))
    return declaration


def _top_level(configuration: StackConfiguration, services: Mapping[str, object]) -> Iterator[Problem]:
    # When `services` is unreadable, a secret cannot be matched with a service.
    readable = isinstance(configuration.values.get("services", {}), Mapping)
    for key in configuration.values:
        if key in Configuration.model_fields:
            continue
        if key in _FORGOTTEN_PATHS:
            yield _forgotten_path(configuration.stack, key)
        elif required_secrets.is_secret_key(key, services):
            yield Problem(
                path=(key,),
                problem="this is a secret in plain text",
                remedy=f"change the password where it is used, and set the new one as a secret: "
                f"{required_secrets.command(configuration.stack, key)}",
            )
        else:
            yield _unknown_key((key,), _known_top_level(services))
    for key in configuration.secrets if readable else ():
        if key in _FORGOTTEN_PATHS:
            yield _forgotten_path(configuration.stack, key)
        elif (
            key not in Configuration.model_fields
            and not required_secrets.is_secret_key(key, services)
            and not required_secrets.is_retained(key)
        ):
            yield _unknown_key((key,), _known_top_level(services))


_FORGOTTEN_PATHS = {required_secrets.backup_key(role): role for role in required_secrets.BACKUP_ROLES}


def _forgotten_path(stack: str, key: str) -> Problem:
    role = _FORGOTTEN_PATHS[key]
    remove = pulumi_command(f"config rm {NAMESPACE}:{key}", stack=stack)
    return Problem(
        path=(key,),
        problem=f"this sets a top-level key {key!r}, and not `{role}` of `backup`",
        remedy=f"remove it with `{remove}`, and set it again with "
        f"--path: {required_secrets.backup_command(stack, role)}",
    )


def _known_top_level(services: Mapping[str, object]) -> list[str]:
    return [
        *Configuration.model_fields,
        *required_secrets.COMMON,
        *(f"{name}-{role}" for name in services for role in required_secrets.ROLES),
    ]


def _secrets_inside(values: Mapping[str, object]) -> Iterator[Problem]:
    """Secrets inside plain values: the engine decrypts them, and nothing marks them as secret any more."""
    for key, value in values.items():
        if key == "backup":
            continue
        own = "<service>-secret-<VARIABLE>" if key != "proxmox" else required_secrets.PROXMOX_TOKEN
        for path in _encrypted_paths((key,), value):
            yield Problem(
                path=path,
                problem="a secret is not possible here: it would be in the state unencrypted",
                remedy=f"set it as a key of its own, {NAMESPACE}:{own}",
            )


def _encrypted_paths(path: KeyPath, value: object) -> Iterator[KeyPath]:
    if isinstance(value, Encrypted):
        yield path
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _encrypted_paths((*path, key), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _encrypted_paths((*path, index), inner)


def _parse(values: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """Validate each top-level key separately, so that one broken key does not hide problems in the others."""
    parsed: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, field_info in Configuration.model_fields.items():
        default: Any = {} if field_info.is_required() else field_info.get_default()
        parsed[key] = default
        if key not in values:
            if field_info.is_required():
                problems.append(_missing((key,)))
        elif isinstance(values[key], Encrypted):
            continue  # reported already
        elif key == "services":
            parsed[key], found = _parse_services(values[key])
            problems += found
        else:
            try:
                parsed[key] = _ADAPTERS[key].validate_python(values[key])
            except ValidationError as error:
                problems += _problems(error, (key,))
    return parsed, problems


def _parse_services(value: object) -> tuple[dict[str, Service], list[Problem]]:
    if not isinstance(value, Mapping):
        return {}, [_not_a_mapping(("services",))]
    services: dict[str, Service] = {}
    problems: list[Problem] = []
    for name, declared in value.items():
        try:
            services |= _ADAPTERS["services"].validate_python({name: declared})
        except ValidationError as error:
            problems += _problems(error, ("services",))
    return services, problems


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    key: TypeAdapter(field_info.rebuild_annotation())
    for key, field_info in Configuration.model_fields.items()
}


def _missing_secrets(configuration: StackConfiguration, declaration: Declaration) -> Iterator[Problem]:
    for secret in required_secrets.required(declaration):
        if secret.key not in configuration.secrets and secret.key not in configuration.values:
            yield Problem(
                path=(secret.key,),
                problem=f"missing secret: {secret.purpose}",
                remedy=required_secrets.command(configuration.stack, secret.key),
            )
    for role in required_secrets.backup_roles(declaration):
        if getattr(declaration.backup, role) is None:
            yield Problem(
                path=("backup", role),
                problem=f"missing secret: {required_secrets.BACKUP_ROLES[role]}",
                remedy=required_secrets.backup_command(configuration.stack, role),
            )


def _unfit(configuration: StackConfiguration, services: Mapping[str, object]) -> Iterator[Problem]:
    for key, secret in configuration.secrets.items():
        if secret is not None and required_secrets.is_secret_key(key, services):
            problem = required_secrets.unfit(key, secret, configuration.stack)
            if problem is not None:
                yield problem
    for role, secret in configuration.backup_secrets.items():
        problem = required_secrets.unfit_for_backup(role, secret, configuration.stack)
        if problem is not None:
            yield problem


def _problems(error: ValidationError, path: KeyPath) -> Iterator[Problem]:
    schema = _schema()
    for details in error.errors(include_url=False):
        yield _problem(details, (*path, *details["loc"]), schema)


@cache
def _schema() -> dict[str, Any]:
    # Pydantic takes some 10 ms to write it.
    return Configuration.model_json_schema(mode="validation")


def _problem(details: ErrorDetails, location: KeyPath, schema: dict[str, Any]) -> Problem:
    path = tuple(part for index, part in enumerate(location) if not _is_mark(location, index))
    context = details.get("ctx", {})
    match details["type"]:
        case str(kind) if kind == REFUSED:
            return Problem(path=path, problem=context["problem"], remedy=context["remedy"])
        case "missing":
            return _missing(path)
        case "extra_forbidden":
            return _unknown_key(path, _known_keys(schema, location[:-1]))
        case "union_tag_not_found":
            return _missing((*path, "kind"))
        case "union_tag_invalid":
            return unknown("kind", str(context["tag"]), catalogue.kinds(), (*path, "kind"))
        case "model_type" | "dict_type" | "model_attributes_type":
            return _not_a_mapping(path)
        case "literal_error":
            return Problem(
                path=path, problem="not one of the known values", remedy=f"use {context['expected']}"
            )
    explained = wrong_values.explain(details, schema, location)
    if explained is not None:
        return Problem(path=path, problem=explained[0], remedy=explained[1])
    message = details["msg"]
    return Problem(
        path=path,
        problem=message[:1].lower() + message[1:],
        remedy=f"write {_described(schema, location)}",
    )


def _described(schema: dict[str, Any], location: KeyPath) -> str:
    """What a key means, from its description."""
    return str(wrong_values.field_at(schema, location).get("description", "another value"))


def _is_mark(location: KeyPath, index: int) -> bool:
    """Whether a part of pydantic's location is no key: a kind of service, or `[key]`."""
    return location[index] == "[key]" or (
        location[0] == "services" and index == 2 and location[2] in catalogue.kinds()
    )


def _known_keys(schema: dict[str, Any], location: KeyPath) -> list[str]:
    """The keys that are allowed at a location, from the JSON Schema of the models."""
    return list(wrong_values.node_at(schema, location).get("properties", {}))


_RENAMED: dict[KeyPath, str] = {("backup", "promise"): "max_age"}
"""Keys of earlier versions, with their present names."""


def _unknown_key(path: KeyPath, known: list[str]) -> Problem:
    if path in _RENAMED:
        return Problem(
            path=path,
            problem=f"this key is now called {_RENAMED[path]!r}",
            remedy=f"rename it to {_RENAMED[path]!r}",
        )
    guess = nearest(str(path[-1]), known)
    return Problem(
        path=path,
        problem="unknown key" + (f"; the nearest known one is {guess!r}" if guess else ""),
        remedy=f"rename it to {guess!r}" if guess else "remove it",
    )


def _missing(path: KeyPath) -> Problem:
    return Problem(path=path, problem="this key is missing", remedy=f"add `{path[-1]}`")


def _not_a_mapping(path: KeyPath) -> Problem:
    return Problem(
        path=path,
        problem="a mapping of keys to values is required",
        remedy="write `key: value` lines below it",
    )


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Sorted by top-level key as documented, in stable order, without repetitions."""
    order = {key: index for index, key in enumerate(Configuration.model_fields)}
    unique = list(dict.fromkeys(problems))
    return sorted(
        unique, key=lambda problem: order.get(str(problem.path[0]) if problem.path else "", len(order))
    )
