"""Backups of whole virtual machines by Proxmox VE, in addition to the backups of services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from chatons.proxmox.backup_job import BackupJob, PbsStorage, job_id
from chatons.schema.proxmox_models import MachineBackups, Proxmox


@dataclass(frozen=True, kw_only=True)
class MachineBackupArgs:
    """Arguments of a MachineBackup; checked by the declaration."""

    scope: str
    """`<project>-<stack>`: the name of the job is derived from it."""
    cluster: Proxmox
    """With `backups`."""
    token: pulumi.Input[str]
    """Secret."""
    vm_ids: Sequence[int]
    """The machines in the job."""
    pbs_password: pulumi.Input[str] | None = None
    """Secret; required with `backups.pbs`."""


class MachineBackup(pulumi.ComponentResource):
    """One backup job of the cluster, and its storage if a Proxmox Backup Server is declared.

    Both have fixed names, so an existing job or storage of that name is adopted, never duplicated. No backup
    is ever deleted: without the job its backups stay, and without the storage the data on the backup server
    stays.

    Why these are not resources of the plugin: docs/decisions/0009-backup-jobs-by-our-own-resource.md.
    """

    job: BackupJob

    def __init__(
        self, name: str, args: MachineBackupArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("chatons:index:MachineBackup", name, {}, opts)
        backups = args.cluster.backups
        if backups is None:
            raise ValueError("no backups of machines are declared")
        storage = _storage(name, args, backups, self)
        self.job = BackupJob(
            name,
            {
                "endpoint": args.cluster.endpoint,
                "insecure": args.cluster.insecure,
                "token": pulumi.Output.secret(args.token),
                "job": job_id(args.scope),
                "settings": {
                    "storage": backups.storage,
                    "schedule": backups.schedule,
                    "vmid": ",".join(str(vm_id) for vm_id in sorted(args.vm_ids)),
                    "mode": backups.mode,
                    "prune-backups": _retention(backups),
                    "compress": "zstd",
                    "enabled": "1",
                    # A node that was down at that time makes the backup later.
                    "repeat-missed": "1",
                    "notes-template": "{{guestname}}",
                    "comment": f"Made by Ronron: {args.scope}",
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[storage] if storage is not None else [],
                additional_secret_outputs=["token"],
            ),
        )
        self.register_outputs({"job": job_id(args.scope)})


def _storage(
    name: str, args: MachineBackupArgs, backups: MachineBackups, parent: pulumi.Resource
) -> PbsStorage | None:
    pbs = backups.pbs
    if pbs is None:
        return None
    if args.pbs_password is None:
        raise ValueError("a Proxmox Backup Server needs a password")
    host, port = _host_and_port(pbs.server)
    return PbsStorage(
        name,
        {
            "endpoint": args.cluster.endpoint,
            "insecure": args.cluster.insecure,
            "token": pulumi.Output.secret(args.token),
            "storage": backups.storage,
            "server": host,
            "datastore": pbs.datastore,
            "password": pulumi.Output.secret(args.pbs_password),
            "settings": {
                "username": pbs.username,
                "content": "backup",
                **({"port": port} if port else {}),
                **({"fingerprint": pbs.fingerprint} if pbs.fingerprint else {}),
                **({"namespace": pbs.namespace} if pbs.namespace else {}),
            },
        },
        opts=pulumi.ResourceOptions(parent=parent, additional_secret_outputs=["token", "password"]),
    )


def _host_and_port(server: str) -> tuple[str, str]:
    """Host and port of `host:port`; an IPv6 address has its colons inside brackets."""
    host, colon, port = server.rpartition(":")
    return (host, port) if colon and port.isdigit() else (server, "")


def _retention(backups: MachineBackups) -> str:
    keep = {"daily": backups.keep.daily, "weekly": backups.keep.weekly, "monthly": backups.keep.monthly}
    return ",".join(f"keep-{name}={number}" for name, number in keep.items() if number)
