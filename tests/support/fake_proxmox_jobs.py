"""The backup jobs of the fake Proxmox VE: `/cluster/backup`, which fakepve answers but does not keep.

Source: PVE/API2/Backup.pm and PVE/Jobs/VZDump.pm of pve-manager (https://git.proxmox.com).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from fakepve import PveError

PRUNE = "prune-backups"


class Jobs:
    """Mixin of the fake cluster: `jobs` by their id, as they are written to jobs.cfg."""

    jobs: dict[str, dict[str, Any]]
    storages: dict[str, Any]
    require: Any
    vms: list[Any]

    def _routes_jobs(self) -> list[tuple[str, str, Any]]:
        one = "/cluster/backup/{id}"
        return [
            ("GET", "/cluster/backup", self._job_list),
            ("POST", "/cluster/backup", self._job_create),
            ("GET", one, self._job_read),
            ("PUT", one, self._job_update),
            ("DELETE", one, self._job_delete),
            ("GET", "/cluster/backup-info/not-backed-up", self._not_backed_up),
        ]

    async def _job_list(self, _: Mapping[str, Any], __: str) -> list[dict[str, Any]]:
        return [_shown(id_, job) for id_, job in sorted(self.jobs.items())]

    async def _job_read(self, asked: Mapping[str, Any], _: str) -> dict[str, Any]:
        return _shown(asked["id"], self._job(asked["id"]))

    async def _job_create(self, asked: Mapping[str, Any], user: str) -> None:
        id_ = asked.get("id") or f"backup-{uuid.uuid4().hex[:8]}"
        self._check_job(asked, user)
        if id_ in self.jobs:
            raise PveError(500, f"Job '{id_}' already exists")
        if not any(asked.get(key) for key in ("all", "vmid", "pool")):
            raise PveError(500, "selection is empty")
        self.jobs[id_] = {"enabled": 1, **{key: _plain(asked[key]) for key in asked if key != "id"}}

    async def _job_update(self, asked: Mapping[str, Any], user: str) -> None:
        job = self._job(asked["id"])
        self._check_job(asked, user)
        for key in str(asked.get("delete") or "").split(","):
            job.pop(key, None)
        job.update({key: _plain(asked[key]) for key in asked if key not in ("id", "delete")})

    async def _job_delete(self, asked: Mapping[str, Any], _: str) -> None:
        self._job(asked["id"])
        del self.jobs[asked["id"]]

    async def _not_backed_up(self, _: Mapping[str, Any], __: str) -> list[dict[str, Any]]:
        if any(job.get("all") for job in self.jobs.values()):
            return []
        held = {each for job in self.jobs.values() for each in str(job.get("vmid", "")).split(",")}
        return [
            {"vmid": vm.vmid, "name": vm.name, "type": "qemu"} for vm in self.vms if str(vm.vmid) not in held
        ]

    def purge(self, vm_id: int) -> None:
        """Remove a guest from all jobs, and delete a job without guests: PVE::VZDump."""
        for id_, job in list(self.jobs.items()):
            held = [each for each in str(job.get("vmid", "")).split(",") if each]
            if str(vm_id) in held:
                held.remove(str(vm_id))
                job["vmid"] = ",".join(held)
                if not held:
                    del self.jobs[id_]

    def _job(self, id_: str) -> dict[str, Any]:
        if id_ not in self.jobs:
            raise PveError(400, "Parameter verification failed.", {"id": f"No such job '{id_}'"})
        return self.jobs[id_]

    def _check_job(self, asked: Mapping[str, Any], user: str) -> None:
        storage = asked.get("storage")
        if storage is None:
            return
        self.require(user, f"/storage/{storage}", "Datastore.AllocateSpace")
        if storage not in self.storages:
            raise PveError(500, f"storage '{storage}' does not exist")


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _shown(id_: str, job: Mapping[str, Any]) -> dict[str, Any]:
    shown = {**job, "id": id_, "type": "vzdump"}
    if isinstance(job.get(PRUNE), str):
        shown[PRUNE] = dict(pair.split("=") for pair in job[PRUNE].split(","))
    return shown
