"""The program's side of the engine: reads the configuration, checks it, and reports problems."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

import pulumi
from pydantic import SecretStr
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from chatons import catalogue
from chatons.backup import lost_data
from chatons.declaration import backup_moves, machine_changes, upgrades
from chatons.declaration.load import ENCRYPTED, Declaration, DeclarationError, StackConfiguration, load
from chatons.declaration.secrets import BACKUP_ROLES, PROXMOX_TOKEN
from chatons.docker import preflight
from chatons.proxmox import preflight as proxmox_preflight
from chatons.schema import checks
from chatons.schema.by_hand import ENVIRONMENT, pulumi_command
from chatons.schema.checks import CheckResult
from chatons.schema.problems import NAMESPACE, Problem, render

_MESSAGE_WAS_SHOWN = 32
"""Exit code on which the language host adds no message of its own. Source: pulumi/pulumi, sdk/python/cmd/
pulumi-language-python-exec, PYTHON_PROCESS_EXITED_AFTER_SHOWING_USER_ACTIONABLE_MESSAGE_CODE."""

VOLUME_TYPE = "docker:index/volume:Volume"

EXCLUDE = "RONRON_EXCLUDE"
"""Names of machines that do not answer, with commas; see docs/operations.md."""
GOING_BACK = "RONRON_GOING_BACK"
"""Names of services that may go back to an earlier version, with commas; see docs/operations.md."""

_TRIES = 15
"""With 0.2 s between tries this is 3 s; the engine writes a state of a few MiB in far less."""


@contextmanager
def plain_refusals() -> Iterator[None]:
    """Log the problems of a declaration and exit; with RONRON_DEBUG=1 raise, with a traceback."""
    try:
        yield
    except DeclarationError as error:
        if os.environ.get("RONRON_DEBUG") == "1":
            raise
        # The name alone: the engine does not give the path of the stack file.
        pulumi.log.error(render(error.problems, subject=f"Pulumi.{pulumi.get_stack()}.yaml"))
        sys.exit(_MESSAGE_WAS_SHOWN)


def configuration() -> StackConfiguration:
    """The configuration of the running stack, from the engine."""
    secret_keys = set(pulumi.runtime.get_config_secret_keys_env())
    values: dict[str, object] = {}
    secrets: dict[str, SecretStr | None] = {}
    backup_secrets: dict[str, SecretStr] = {}
    for full_key, text in pulumi.runtime.get_config_env().items():
        namespace, _, key = full_key.partition(":")
        if namespace != NAMESPACE:
            continue
        if full_key not in secret_keys:
            values[key] = _value(text)
        elif key == "backup":
            values[key], backup_secrets = encrypted_backup(_value(text))
        elif text.startswith("{"):
            # A mapping with a secret somewhere inside: the engine does not say where.
            values[key] = ENCRYPTED
        else:
            secrets[key] = SecretStr(text)
    return StackConfiguration(
        stack=pulumi.get_stack(),
        project=pulumi.get_project(),
        values=values,
        secrets=secrets,
        backup_secrets=backup_secrets,
    )


def declaration(stack: StackConfiguration) -> Declaration:
    """The declaration of the running stack, after the checks of version jumps, machines and cluster.

    Raises:
        DeclarationError: a check failed; no resource was registered.
    """
    loaded = load(stack)
    before = last_inventory()
    declared = replace(
        machine_changes.without_spent_permissions(loaded, before),
        known_keys=machine_changes.known_keys(loaded, before),
    )
    back = going_back(os.environ)
    refused = [
        *upgrades.refused(declared, before, back),
        *backup_moves.refused(declared, before),
        *machine_changes.refused(declared, before),
    ]
    outside = _outside(stack, declared, before)
    if checks.is_asked_for(os.environ):
        _log_results([*(CheckResult(name="declaration", problem=problem) for problem in refused), *outside])
    problems = [*refused, *checks.blocking(outside)]
    if problems:
        raise DeclarationError(problems)
    declared = _with_lost_data(declared, before)
    _warn(declared)
    for name in sorted(loaded.machines):
        if loaded.machines[name] != declared.machines[name]:
            pulumi.log.warn(f"`replace` of {name} names no existing machine: remove that line")
    return declared


def _with_lost_data(declared: Declaration, before: object) -> Declaration:
    """The declaration with the services that are held back because their data were lost.

    Raises:
        DeclarationError: the state has to be refreshed first, or the accepted data are of no service.
    """
    accepted = lost_data.accepted_names(os.environ)
    unknown = sorted(accepted - declared.services.keys())
    if unknown:
        known = ", ".join(sorted(declared.services)) or "none"
        remedy = f"name services of this stack: {known}"
        raise DeclarationError(
            [Problem(path=(), problem=f"{lost_data.ACCEPT} names no service: {unknown[0]}", remedy=remedy)]
        )
    declared = replace(declared, accepted=accepted)
    name = os.environ.get(ENVIRONMENT, "")
    lost = lost_data.found(declared, before, volumes_in_state, environment=name, without=excluded(os.environ))
    if lost.problems:
        raise DeclarationError(lost.problems)
    for line in lost.warnings:
        pulumi.log.warn(line)
    for service, volumes in sorted(lost.held.items()):
        ways = (
            f"ronron restore {name} {service}, or ronron update {name} --accept-empty {service}"
            if name
            else f"ronron restore, or {lost_data.ACCEPT}={service} pulumi up"
        )
        pulumi.log.warn(
            f"{service} is held back: its data ({', '.join(volumes)}) are lost. To restore them, or to start "
            f"with empty ones: {ways}"
        )
    return replace(declared, held=lost.held, present=frozenset(lost.present))


def volumes_in_state() -> frozenset[str]:
    """The physical names of the Docker volumes in the state of this stack."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = patiently(
        lambda: pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
    )
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    resources = outputs.values() if isinstance(outputs, Mapping) else ()
    found = (each.get("outputs") for each in resources if each.get("type") == VOLUME_TYPE)
    return frozenset(str(each["name"]) for each in found if isinstance(each, Mapping) and "name" in each)


def _outside(stack: StackConfiguration, declared: Declaration, before: object) -> list[CheckResult]:
    """The results of checks outside of the declaration: the cluster, then the Docker of each machine."""
    without = excluded(os.environ)
    token = stack.secrets.get(PROXMOX_TOKEN)
    cluster = [] if token is None else proxmox_preflight.checks(declared, token, before, without=without)
    return [*cluster, *preflight.checks(declared, without=without)]


def _log_results(results: list[CheckResult]) -> NoReturn:
    """Log every result and end: the run was asked for nothing else."""
    for result in results:
        pulumi.log.info(checks.message(result))
    sys.exit(_MESSAGE_WAS_SHOWN)


def excluded(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the machines that this run leaves out: whoever runs the engine excludes what is on them."""
    return _names_in(environment.get(EXCLUDE, ""))


def going_back(environment: Mapping[str, str]) -> frozenset[str]:
    """Names of the services that may go back to an earlier version: there is a snapshot of its data."""
    return _names_in(environment.get(GOING_BACK, ""))


def _names_in(text: str) -> frozenset[str]:
    return frozenset(name for name in (each.strip() for each in text.split(",")) if name)


def last_inventory() -> object:
    """The last exported inventory of this stack; None before its first update has ended.

    The engine's own function reads it: unlike a StackReference it adds no resource to the state.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    return exported_inventory(
        lambda: pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name}).value
    )


def exported_inventory(read: Callable[[], object], pause: float = 0.2) -> object:
    """The inventory among the outputs of a stack, with retries.

    An update begins to write the state while the program runs, and a file backend removes the old file before
    it writes the new one, so that the state may be absent or empty for a moment.

    Args:
        read: gets the outputs from the engine.
        pause: seconds between two tries.

    Raises:
        DeclarationError: every try failed.
    """
    answer = patiently(read, pause)
    outputs = answer.get("outputs") if isinstance(answer, Mapping) else None
    return outputs.get("inventory") if isinstance(outputs, Mapping) else None


def patiently(read: Callable[[], object], pause: float = 0.2) -> object:
    """Read from the state with retries; see `exported_inventory`.

    Raises:
        DeclarationError: every try failed.
    """
    patient = Retrying(
        stop=stop_after_attempt(_TRIES), wait=wait_fixed(pause), retry=retry_if_exception_type(Exception)
    )
    try:
        return patient(read)
    except RetryError as error:
        cause = error.last_attempt.exception()
        raise DeclarationError(
            [
                Problem(
                    path=(),
                    problem=f"cannot read the last exported inventory, which says which versions run: "
                    f"{cause}",
                    remedy="try again; if it fails again, check the backend with "
                    f"`{pulumi_command('stack output')}`",
                )
            ]
        ) from error


def secret(key: str) -> pulumi.Output[str]:
    """The value of a secret, as a secret output.

    Args:
        key: without the namespace; `backup.<role>` for one inside `ronron:backup`.
    """
    inside, _, role = key.partition(".")
    if inside == "backup" and role in BACKUP_ROLES:
        whole: pulumi.Output[dict[str, str]] = pulumi.Config(NAMESPACE).require_secret_object(inside)
        return whole.apply(lambda declared: str(declared[role]))
    return pulumi.Config(NAMESPACE).require_secret(key)


def encrypted_backup(value: object) -> tuple[object, dict[str, SecretStr]]:
    """`ronron:backup` with `ENCRYPTED` in place of each secret, and the secrets by role.

    The engine says that the value has a secret somewhere inside, not where, and hands it out decrypted.
    """
    if not isinstance(value, Mapping):
        return value, {}
    found = {role: SecretStr(value[role]) for role in BACKUP_ROLES if isinstance(value.get(role), str)}
    return {**value, **dict.fromkeys(found, ENCRYPTED)}, found


def _warn(declared: Declaration) -> None:
    for name, service in sorted(declared.services.items()):
        for warning in catalogue.kind_of(service).warnings(name, service):
            pulumi.log.warn(warning)


def _value(text: str) -> object:
    try:
        return json.loads(text) if text.startswith(("{", "[")) else text
    except json.JSONDecodeError:
        return text
