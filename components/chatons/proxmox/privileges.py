"""The privileges that the token needs on each path, and those that it lacks. Pure.

Sources: the permissions of each request in the schema of the API (Proxmox VE 9.0), and PVE/API2/Qemu.pm of
qemu-server for the parts of a machine's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import Declaration
from chatons.proxmox.answers import owned_ids
from chatons.proxmox.api import TOKEN
from chatons.schema.problems import Problem

CLUSTER, MACHINES, STORAGE, NETWORK, POOL = (
    "RonronCluster",
    "RonronMachines",
    "RonronStorage",
    "RonronNetwork",
    "RonronPool",
)
"""The roles that docs/operations.md creates."""

AGENT = {9: "VM.GuestAgent.Audit", 8: "VM.Monitor"}
"""The privilege to query the guest agent, by the major version of Proxmox VE."""

MACHINE = (
    "VM.Allocate", "VM.Audit", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk",
    "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Migrate",
    "VM.PowerMgmt",
)  # fmt: skip

Granted = Mapping[str, Mapping[str, int]]
"""The answer to GET /access/permissions: privileges by path; 1 for those that apply below the path too."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """A privilege that the token needs.

    Attributes:
        paths: the privilege on one of these paths is enough.
        grant: the path on which to grant it.
        role: the role that contains it.
    """

    privilege: str
    paths: tuple[str, ...]
    grant: str
    role: str


def needed(declaration: Declaration, major: int) -> Iterator[Need]:
    """Every privilege for the creation and update of the declared machines.

    Args:
        declaration: a checked one.
        major: major version of Proxmox VE.
    """
    backups = declaration.proxmox.backups if declaration.proxmox is not None else None
    # The download of images and the backup job need both on the root path.
    for privilege in ("Sys.Audit", "Sys.Modify"):
        yield Need(privilege=privilege, paths=("/",), grant="/", role=CLUSTER)
    for _, machine in virtual(declaration):
        for vm_id in owned_ids(machine):
            pool = (f"/pool/{machine.pool}",) if machine.pool else ()
            for privilege in (*MACHINE, AGENT[9 if major >= 9 else 8]):
                yield Need(privilege=privilege, paths=(f"/vms/{vm_id}", *pool), grant="/vms", role=MACHINES)
        yield from _storage(machine.datastore, "Datastore.AllocateSpace", "Datastore.Audit")
        yield from _storage(machine.data_datastore, "Datastore.AllocateSpace", "Datastore.Audit")
        # Datastore.Allocate: to delete an image that no machine uses any more.
        yield from _storage(
            machine.image_datastore, "Datastore.Allocate", "Datastore.AllocateTemplate", "Datastore.Audit"
        )
        if machine.user_data is not None:
            yield from _storage(machine.user_data.partition(":")[0], "Datastore.Audit")
        bridge = f"/sdn/zones/localnetwork/{machine.bridge}"
        yield Need(
            privilege="SDN.Use",
            paths=(bridge, *((f"{bridge}/{machine.vlan}",) if machine.vlan else ())),
            grant=bridge,
            role=NETWORK,
        )
        for privilege in ("Pool.Allocate", "Pool.Audit") if machine.pool else ():
            path = f"/pool/{machine.pool}"
            yield Need(privilege=privilege, paths=(path,), grant=path, role=POOL)
    if backups is not None:
        yield from _storage(backups.storage, "Datastore.AllocateSpace", "Datastore.Audit")
        if backups.pbs is not None:
            yield Need(privilege="Datastore.Allocate", paths=("/storage",), grant="/storage", role=STORAGE)


def missing_privileges(
    declaration: Declaration, major: int, granted: Granted, token_id: str
) -> Problem | None:
    """One problem that names every missing privilege; None when none is missing.

    Args:
        declaration: a checked one.
        major: major version of Proxmox VE.
        granted: the privileges of the token.
        token_id: `user@realm!name`.
    """
    missing: dict[tuple[str, str], list[str]] = {}
    for need in needed(declaration, major):
        if not any(is_granted(granted, path, need.privilege) for path in need.paths):
            found = missing.setdefault((need.grant, need.role), [])
            if need.privilege not in found:
                found.append(need.privilege)
    if not missing:
        return None
    named = "; ".join(f"{', '.join(privileges)} on {path}" for (path, _), privileges in missing.items())
    user = token_id.partition("!")[0]
    commands = " && ".join(
        f'pveum role modify {role} --append 1 --privs "{" ".join(privileges)}" && '
        f"pveum acl modify {path} --users {user} --tokens '{token_id}' --roles {role}"
        + (" --propagate 0" if path == "/" else "")
        for (path, role), privileges in missing.items()
    )
    return Problem(
        path=TOKEN,
        problem=f"the token {token_id} lacks {named}",
        remedy=f"on a node, run: {commands} (docs/operations.md describes these roles)",
    )


def is_granted(granted: Granted, path: str, privilege: str) -> bool:
    """Whether a privilege applies to a path: on itself, or on its nearest listed parent."""
    if path in granted:
        return privilege in granted[path]
    above = path
    while above != "/":
        above = above.rpartition("/")[0] or "/"
        if above in granted:
            return bool(granted[above].get(privilege))
    return False


def _storage(name: str, *privileges: str) -> Iterator[Need]:
    path = f"/storage/{name}"
    for privilege in privileges:
        yield Need(privilege=privilege, paths=(path,), grant=path, role=STORAGE)
