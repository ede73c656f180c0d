"""A backup job and a storage of Proxmox VE as dynamic resources that call its API.

The engine runs the providers in a separate process, which imports this module from the project's directory.
The state contains the inputs; token and password are encrypted there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from pulumi import Input, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

from chatons.machine.tracebacks import without_traceback
from chatons.proxmox.api import ProxmoxApi, ProxmoxError

_LONGEST_ID = 50
"""Source: PVE/API2/Backup.pm (pve-manager), parameter `id`."""

_FIXED = ("server", "datastore")
"""Settings of a storage that Proxmox VE cannot change. Source: PVE/Storage/PBSPlugin.pm (pve-storage)."""
_OPTIONAL = ("port", "fingerprint", "namespace")

Properties = dict[str, Any]


def job_id(scope: str) -> str:
    """The id of the backup job of a stack.

    Args:
        scope: `<project>-<stack>`.
    """
    name = "ronron-" + re.sub(r"[^A-Za-z0-9_-]", "-", scope.removeprefix("ronron-"))
    if len(name) <= _LONGEST_ID:
        return name
    digest = hashlib.sha256(scope.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_ID - 9]}-{digest}"


class BackupJobProvider(ResourceProvider):
    """Creates the declared job, or adopts the job with that id and updates it."""

    serialize_as_secret_always = False

    @without_traceback(ProxmoxError)
    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Compare the inputs. Only another id replaces the job."""
        return _difference(_olds, _news, replaces=("job",))

    @without_traceback(ProxmoxError)
    def create(self, props: Properties) -> CreateResult:
        """Create the job, or adopt the existing job with that id."""
        _put_job(props)
        return CreateResult(props["job"], _known(props))

    @without_traceback(ProxmoxError)
    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Update the job; create it again if somebody deleted it."""
        _put_job(_news)
        return UpdateResult(_known(_news))

    @without_traceback(ProxmoxError)
    def read(self, id_: str, props: Properties) -> ReadResult:
        """Read the job from the cluster."""
        with _api(props) as api:
            job = _job(api, id_)
        if job is None:
            return ReadResult("", {})
        settings = {key: _text(key, job.get(key)) for key in props.get("settings", {}) if key in job}
        return ReadResult(id_, {**_known(props), "settings": settings})

    @without_traceback(ProxmoxError)
    def delete(self, _id: str, _props: Properties) -> None:
        """Delete the job. Its backups stay."""
        with _api(_props) as api:
            if _job(api, _id) is not None:
                api.delete(f"/cluster/backup/{_id}")


class PbsStorageProvider(ResourceProvider):
    """Adds a Proxmox Backup Server to the cluster as a storage."""

    serialize_as_secret_always = False

    @without_traceback(ProxmoxError)
    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        """Compare the inputs. Another server or datastore replaces the storage."""
        return _difference(_olds, _news, replaces=("storage", *_FIXED))

    @without_traceback(ProxmoxError)
    def create(self, props: Properties) -> CreateResult:
        """Create the storage, or adopt the existing one of that name if it has the same datastore."""
        _put_storage(props)
        return CreateResult(props["storage"], _known(props))

    @without_traceback(ProxmoxError)
    def update(self, _id: str, _olds: Properties, _news: Properties) -> UpdateResult:
        """Update the storage."""
        _put_storage(_news)
        return UpdateResult(_known(_news))

    @without_traceback(ProxmoxError)
    def read(self, id_: str, props: Properties) -> ReadResult:
        """Read the storage from the cluster, which does not return the password."""
        with _api(props) as api:
            existing = _storage(api, id_)
        if existing is None:
            return ReadResult("", {})
        wanted = props.get("settings", {})
        settings = {key: str(existing[key]) for key in {*wanted, *_OPTIONAL} if key in existing}
        fixed = {key: existing.get(key, "") for key in _FIXED}
        return ReadResult(id_, {**_known(props), **fixed, "settings": settings})

    @without_traceback(ProxmoxError)
    def delete(self, _id: str, _props: Properties) -> None:
        """Remove the storage from the cluster. The data on the backup server stays."""
        with _api(_props) as api:
            if _storage(api, _id) is not None:
                api.delete(f"/storage/{_id}")


class BackupJob(Resource, module="chatons", name="BackupJob"):
    """A job of `/cluster/backup`.

    Inputs: `endpoint`, `insecure`, `token` (secret), `job` (its id), `settings` (with the API's names).
    """

    def __init__(self, name: str, props: Mapping[str, Input[Any]], opts: ResourceOptions) -> None:
        super().__init__(BackupJobProvider(), name, dict(props), opts)


class PbsStorage(Resource, module="chatons", name="PbsStorage"):
    """A storage of the type `pbs`.

    Inputs: `endpoint`, `insecure`, `token` (secret), `storage` (its id), `server`, `datastore`, `password`
    (secret), `settings` (with the API's names).
    """

    def __init__(self, name: str, props: Mapping[str, Input[Any]], opts: ResourceOptions) -> None:
        super().__init__(PbsStorageProvider(), name, dict(props), opts)


def _api(props: Properties) -> ProxmoxApi:
    return ProxmoxApi(str(props["endpoint"]), str(props["token"]), insecure=bool(props["insecure"]))


def _known(props: Properties) -> Properties:
    return {key: value for key, value in props.items() if not key.startswith("__")}


def _difference(olds: Properties, news: Properties, replaces: tuple[str, ...]) -> DiffResult:
    differ = [key for key, value in _known(news).items() if olds.get(key) != value]
    # Delete the old one first: the name is unique.
    return DiffResult(
        changes=bool(differ),
        replaces=[key for key in replaces if key in differ],
        delete_before_replace=True,
    )


def _put_job(props: Properties) -> None:
    id_, settings = str(props["job"]), {key: str(value) for key, value in props["settings"].items()}
    with _api(props) as api:
        if _job(api, id_) is None:
            api.post("/cluster/backup", id=id_, **settings)
        else:
            api.put(f"/cluster/backup/{id_}", **settings)


def _job(api: ProxmoxApi, id_: str) -> dict[str, Any] | None:
    """A job from the list: the API answers a request for one missing job with a general error."""
    return next((job for job in api.get("/cluster/backup") if job.get("id") == id_), None)


def _put_storage(props: Properties) -> None:
    id_ = str(props["storage"])
    settings = {key: str(value) for key, value in props["settings"].items()}
    secret = {"password": str(props["password"])}
    fixed = {key: str(props[key]) for key in _FIXED}
    with _api(props) as api:
        existing = _storage(api, id_)
        if existing is None:
            api.post("/storage", storage=id_, type="pbs", **fixed, **secret, **settings)
            return
        if existing.get("type") != "pbs" or any(str(existing.get(key)) != fixed[key] for key in _FIXED):
            raise ProxmoxError(
                f"the cluster already has another storage {id_}",
                "choose another name for `storage` of `ronron:proxmox.backups`",
                path=("proxmox", "backups", "storage"),
            )
        removed = ",".join(key for key in _OPTIONAL if key in existing and key not in settings)
        api.put(f"/storage/{id_}", **secret, **settings, **({"delete": removed} if removed else {}))


def _storage(api: ProxmoxApi, id_: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = next(
        (storage for storage in api.get("/storage") if storage.get("storage") == id_), None
    )
    return found


def _text(key: str, value: object) -> str:
    """A setting as the inputs write it: the API returns the retention as an unordered mapping."""
    if key != "prune-backups":
        return str(value)
    pairs = (
        value.items() if isinstance(value, dict) else (part.split("=", 1) for part in str(value).split(","))
    )
    retention = {str(name): str(number) for name, number in pairs}
    order = ("keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly")
    return ",".join(f"{name}={retention[name]}" for name in order if name in retention)
