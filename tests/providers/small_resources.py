"""What the stand-in does with an image, a backup job and a storage on a Proxmox Backup Server.

Source: https://github.com/bpg/terraform-provider-proxmox (0.111.1):
fwprovider/nodes/resource_download_file.go, fwprovider/cluster/backup/model.go,
fwprovider/storage/resource_pbs.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.providers.api import Api, RefusedError

Inputs = Mapping[str, Any]

_GONE = ("does not exist", "No such job")

_JOB = {
    "all": "all", "compress": "compress", "enabled": "enabled", "mode": "mode",
    "notesTemplate": "notes-template", "pool": "pool", "repeatMissed": "repeat-missed",
    "schedule": "schedule", "storage": "storage",
}  # fmt: skip
_PBS = {
    "datastore": "datastore", "fingerprint": "fingerprint", "namespace": "namespace", "password": "password",
    "server": "server", "username": "username",
}  # fmt: skip


class Image:
    """`download.File`."""

    computed = ("size",)

    def create(self, api: Api, inputs: Inputs) -> str:
        """Have the node download it; gives the id of the volume."""
        node, storage = inputs["nodeName"], inputs["datastoreId"]
        found = api.get(f"/nodes/{node}/query-url-metadata", url=inputs["url"])
        name = inputs.get("fileName") or found["filename"]
        form = {
            "content": inputs["contentType"],
            "filename": name,
            "url": inputs["url"],
            "checksum": inputs.get("checksum"),
            "checksum-algorithm": inputs.get("checksumAlgorithm"),
        }
        path = f"/nodes/{node}/storage/{storage}"
        form = {key: value for key, value in form.items() if value is not None}
        id_ = f"{storage}:{inputs['contentType']}/{name}"
        try:
            api.post(f"{path}/download-url", form)
        except RefusedError as problem:
            if "refusing to override existing file" not in str(problem) or not inputs["overwriteUnmanaged"]:
                raise
            api.delete(f"{path}/content/{id_}")
            api.post(f"{path}/download-url", form)
        return id_

    def read(self, api: Api, id_: str, state: Inputs) -> dict[str, Any] | None:
        """What is there of it, None when it is not."""
        if "nodeName" not in state:
            raise RefusedError("an image cannot be imported: its id does not name the node")
        path = f"/nodes/{state['nodeName']}/storage/{state['datastoreId']}/content"
        found = [each for each in api.get(path) if each["volid"] == id_]
        name = id_.rsplit("/", 1)[1]
        return {**state, "fileName": name, "size": found[0]["size"]} if found else None

    def update(self, api: Api, id_: str, inputs: Inputs) -> None:
        """Nothing of it is kept by the node."""

    def delete(self, api: Api, id_: str, state: Inputs) -> None:
        """Delete the file."""
        path = f"/nodes/{state['nodeName']}/storage/{state['datastoreId']}/content/{id_}"
        _unless_gone(lambda: api.delete(path))


class Job:
    """`backup.Job`."""

    computed = ()

    def create(self, api: Api, inputs: Inputs) -> str:
        """Make it; gives its id."""
        api.post("/cluster/backup", {**self._form(inputs), "id": inputs["resourceId"]})
        return str(inputs["resourceId"])

    def read(self, api: Api, id_: str, state: Inputs) -> dict[str, Any] | None:
        """What is there of it, None when it is not."""
        job = _unless_gone(lambda: api.get(f"/cluster/backup/{id_}"))
        if job is None:
            return None
        now = {key: job[name] for key, name in _JOB.items() if name in job}
        truths: dict[str, Any] = {
            key: bool(now[key]) for key in ("all", "enabled", "repeatMissed") if key in now
        }
        vmids = {"vmids": job["vmid"].split(",")} if job.get("vmid") else {}
        kept = {"pruneBackups": job["prune-backups"]} if "prune-backups" in job else {}
        return {**state, **now, **truths, **vmids, **kept, "resourceId": id_}

    def update(self, api: Api, id_: str, inputs: Inputs) -> None:
        """Change it in place."""
        form = self._form(inputs)
        there = api.get(f"/cluster/backup/{id_}")
        known = [*_JOB.values(), "vmid", "prune-backups"]
        gone = [name for name in known if name in there and name not in form]
        api.put(f"/cluster/backup/{id_}", {**form, **({"delete": ",".join(gone)} if gone else {})})

    def delete(self, api: Api, id_: str, _: Inputs) -> None:
        """Delete it."""
        _unless_gone(lambda: api.delete(f"/cluster/backup/{id_}"))

    @staticmethod
    def _form(inputs: Inputs) -> dict[str, Any]:
        form = {name: inputs[key] for key, name in _JOB.items() if key in inputs}
        form = {key: int(value) if isinstance(value, bool) else value for key, value in form.items()}
        if inputs.get("vmids"):
            form["vmid"] = ",".join(inputs["vmids"])
        if inputs.get("pruneBackups"):
            form["prune-backups"] = ",".join(
                f"{key}={n}" for key, n in sorted(inputs["pruneBackups"].items())
            )
        return form


class Pbs:
    """`storage.Pbs`."""

    computed = ("shared",)

    def create(self, api: Api, inputs: Inputs) -> str:
        """Make it; gives its name."""
        form = {name: inputs[key] for key, name in _PBS.items() if key in inputs}
        form["content"] = ",".join(inputs.get("contents", ["backup"]))
        api.post("/storage", {**form, "type": "pbs", "storage": inputs["resourceId"]})
        return str(inputs["resourceId"])

    def read(self, api: Api, id_: str, state: Inputs) -> dict[str, Any] | None:
        """What is there of it, None when it is not; the password is not given back."""
        store = _unless_gone(lambda: api.get(f"/storage/{id_}"))
        if store is None:
            return None
        now = {key: store[name] for key, name in _PBS.items() if name in store}
        return {**state, **now, "contents": store["content"].split(","), "resourceId": id_, "shared": True}

    def update(self, api: Api, id_: str, inputs: Inputs) -> None:
        """Change what is no reason for a new one."""
        form = {"content": ",".join(inputs.get("contents", ["backup"]))}
        if "fingerprint" in inputs:
            form["fingerprint"] = inputs["fingerprint"]
        api.put(f"/storage/{id_}", form)

    def delete(self, api: Api, id_: str, _: Inputs) -> None:
        """Take it out of the cluster's storages; what is on it stays."""
        _unless_gone(lambda: api.delete(f"/storage/{id_}"))


KINDS: dict[str, Image | Job | Pbs] = {
    "proxmoxve:download/file:File": Image(),
    "proxmoxve:backup/job:Job": Job(),
    "proxmoxve:storage/pbs:Pbs": Pbs(),
}


def _unless_gone(ask: Callable[[], Any]) -> Any:
    """The answer; None where what was asked about is not there."""
    try:
        return ask()
    except RefusedError as problem:
        if any(word in str(problem) for word in _GONE):
            return None
        raise
