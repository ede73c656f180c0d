"""What the stand-in does with a `VmLegacy`: inputs to the configuration of a guest, and back.

Source: https://github.com/bpg/terraform-provider-proxmox, proxmoxtf/resource/vm/vm.go (0.111.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

from tests.providers.api import Api, RefusedError
from tests.providers.table import RESOURCES, TYPES, filled

TYPE = "proxmoxve:index/vmLegacy:VmLegacy"
ROWS = RESOURCES[TYPE]
COMPUTED = ("ipv4Addresses", "ipv6Addresses", "macAddresses", "networkInterfaceNames")
AT_ONCE = {"name", "description", "tags", "onboot", "protection", "startup"}
"""What a guest that runs takes on at once."""
FIRST_BOOT = {"ciuser", "cicustom", "nameserver", "sshkeys"}
_CLOUD_INIT = "ide2"

Whole = Mapping[str, Any]


class HalfMadeError(Exception):
    """A guest is there, and something failed after that.

    Attributes:
        vm_id: of the guest.
    """

    def __init__(self, vm_id: str, reason: str) -> None:
        super().__init__(reason)
        self.vm_id = vm_id


def create(api: Api, inputs: Whole) -> str:
    """Make a guest; gives its id.

    Raises:
        RefusedError: nothing was made.
        HalfMadeError: it is there, and not as it is to be.
    """
    whole = filled(inputs, ROWS)
    node = whole["nodeName"]
    vm_id = str(whole.get("vmId") or api.get("/cluster/nextid"))
    disks = {disk["interface"]: disk for disk in whole.get("disks", [])}
    form = {**_config(whole), **{name: _new_drive(disk) for name, disk in disks.items()}, "vmid": vm_id}
    if "initialization" in whole:
        form[_CLOUD_INIT] = f"{whole['initialization']['datastoreId']}:cloudinit,media=cdrom"
    if whole.get("poolId"):
        form["pool"] = whole["poolId"]
    here = f"/nodes/{node}/qemu/{vm_id}"
    try:
        api.post(f"/nodes/{node}/qemu", form)
    except RefusedError as problem:
        # The official one tries again what failed, and then takes this for its own success.
        if "already exists" not in str(problem):
            raise
    try:
        for name, disk in disks.items():
            if disk.get("importFrom"):
                api.put(f"{here}/resize", {"disk": name, "size": f"{disk['size']}G"})
        if whole["started"]:
            api.post(f"{here}/status/start")
    except RefusedError as problem:
        raise HalfMadeError(vm_id, str(problem)) from problem
    return vm_id


def read(api: Api, vm_id: str, state: Whole) -> dict[str, Any] | None:
    """What a guest is, put over what was known of it; None when it is gone."""
    found = [each for each in api.get("/cluster/resources", type="vm") if str(each["vmid"]) == vm_id]
    if not found:
        return None
    node = found[0]["node"]
    config = api.get(f"/nodes/{node}/qemu/{vm_id}/config")
    running = api.get(f"/nodes/{node}/qemu/{vm_id}/status/current")["status"] == "running"
    now: dict[str, Any] = {
        **state,
        **_read(config, state),
        "nodeName": node,
        "vmId": int(vm_id),
        "started": running,
    }
    if found[0].get("pool"):
        now["poolId"] = found[0]["pool"]
    agent = now.get("agent", {})
    asks = running and agent.get("enabled") and not agent.get("waitForIp", {}).get("disabled")
    return {**now, **_addresses(api, f"/nodes/{node}/qemu/{vm_id}" if asks else None)}


def keep_hardware(whole: Whole, was: Whole) -> None:
    """Let network devices have the addresses that they were given; written down they seldom are."""
    for device, known in zip(whole.get("networkDevices", []), was.get("networkDevices", []), strict=False):
        # Not known of one that was made and then did not start.
        if "macAddress" in known:
            device.setdefault("macAddress", known["macAddress"])


def update(api: Api, vm_id: str, state: Whole, inputs: Whole) -> None:
    """Make a guest what it is to be."""
    whole, was = filled(inputs, ROWS), filled(state, ROWS)
    keep_hardware(whole, was)
    if whole["nodeName"] != was["nodeName"]:
        raise RefusedError("the stand-in moves no guest to another node")
    here = f"/nodes/{was['nodeName']}/qemu/{vm_id}"
    wanted, there = _config(whole), _config(was)
    changed = {key: value for key, value in wanted.items() if there.get(key) != value}
    gone = sorted(set(there) - set(wanted))
    drives = api.get(f"{here}/config")
    before = {disk["interface"]: disk for disk in was.get("disks", [])}
    running = api.get(f"{here}/status/current")["status"] == "running"
    restart = bool((set(changed) | set(gone)) - AT_ONCE)
    larger = {}
    for disk in whole.get("disks", []):
        name = disk["interface"]
        if name not in before:
            changed[name] = _new_drive(disk)
        elif _options(disk) != _options(before[name]):
            changed[name] = ",".join([drives[name].split(",")[0], *_options(disk)])
        if name in before and disk["size"] < before[name]["size"]:
            volume = str(drives[name]).split(",")[0]
            raise RefusedError(f"Cannot shrink {volume} in VM {vm_id}, it is not supported!")
        if name in before and disk["size"] > before[name]["size"]:
            larger[name] = f"{disk['size']}G"
    if larger and restart and running and not whole["rebootAfterUpdate"]:
        raise RefusedError(
            "cannot resize disks while the VM is running because this change requires the VM to be "
            "powered off, but automatic power-offs/reboots are disabled by 'reboot_after_update = false'"
        )
    if changed or gone:
        api.put(f"{here}/config", {**changed, **({"delete": ",".join(gone)} if gone else {})})
    if any(key in FIRST_BOOT or key.startswith("ipconfig") for key in [*changed, *gone]):
        api.put(f"{here}/cloudinit", {})
    for name, size in larger.items():
        api.put(f"{here}/resize", {"disk": name, "size": size})
    _power(
        api, here, running=running, started=whole["started"], restart=restart and whole["rebootAfterUpdate"]
    )


def delete(api: Api, vm_id: str, state: Whole) -> None:
    """Take a guest away."""
    whole = filled(state, ROWS)
    here = f"/nodes/{whole['nodeName']}/qemu/{vm_id}"
    try:
        if api.get(f"{here}/status/current")["status"] != "stopped":
            api.post(f"{here}/status/{'stop' if whole['stopOnDestroy'] else 'shutdown'}")
        unreferenced = int(whole["deleteUnreferencedDisksOnDestroy"])
        how = {"purge": int(whole["purgeOnDestroy"]), "destroy-unreferenced-disks": unreferenced}
        api.delete(here, **how)
    except RefusedError as problem:
        if "does not exist" not in str(problem):
            raise


def _power(api: Api, here: str, *, running: bool, started: bool, restart: bool) -> None:
    if started and not running:
        api.post(f"{here}/status/start")
    elif running and not started:
        api.post(f"{here}/status/shutdown")
    elif running and restart:
        api.post(f"{here}/status/reboot")


def _config(whole: Whole) -> dict[str, Any]:
    """The configuration without disks, as it is written."""
    cpu, memory = filled(whole.get("cpu", {}), TYPES["VmLegacyCpu"]), whole.get("memory", {})
    agent, first = whole.get("agent", {}), whole.get("initialization", {})
    config = {
        "agent": f"enabled={int(agent.get('enabled', False))},fstrim_cloned_disks=0,type=virtio",
        "balloon": memory.get("floating", 0),
        "cores": cpu["cores"],
        "cpu": cpu["type"],
        "memory": memory.get("dedicated", 512),
        "onboot": int(whole["onBoot"]),
        "ostype": whole.get("operatingSystem", {}).get("type", "other"),
        "protection": int(whole["protection"]),
        "scsihw": whole["scsiHardware"],
        "sockets": cpu["sockets"],
        "boot": f"order={';'.join(whole['bootOrders'])}" if whole.get("bootOrders") else None,
        "description": whole.get("description"),
        "name": whole.get("name"),
        "startup": f"order={whole['startup']['order']}" if "startup" in whole else None,
        "tags": ";".join(whole.get("tags", [])) or None,
        **{f"serial{index}": each["device"] for index, each in enumerate(whole.get("serialDevices", []))},
        **{f"net{index}": _network(each) for index, each in enumerate(whole.get("networkDevices", []))},
        **_first_boot(first),
    }
    return {key: value for key, value in config.items() if value is not None}


def _network(device: Whole) -> str:
    mac = f"={device['macAddress']}" if device.get("macAddress") else ""
    tag = f",tag={device['vlanId']}" if device["vlanId"] else ""
    return f"{device['model']}{mac},bridge={device['bridge']}{tag}"


def _first_boot(first: Whole) -> dict[str, Any]:
    account, servers = first.get("userAccount", {}), first.get("dns", {}).get("servers", [])
    keys = "\n".join(account.get("keys", []))
    config: dict[str, Any] = {
        "ciuser": account.get("username"),
        "cicustom": f"vendor={first['vendorDataFileId']}" if first.get("vendorDataFileId") else None,
        "nameserver": " ".join(servers) or None,
        "sshkeys": quote(keys, safe="") if keys else None,
    }
    for index, each in enumerate(first.get("ipConfigs", [])):
        parts = []
        for version, address, gateway in (("ipv4", "ip", "gw"), ("ipv6", "ip6", "gw6")):
            known = each.get(version, {})
            parts += [f"{address}={known['address']}"] if known.get("address") else []
            parts += [f"{gateway}={known['gateway']}"] if known.get("gateway") else []
        config[f"ipconfig{index}"] = ",".join(parts) or None
    return config


def _options(disk: Whole) -> list[str]:
    written = {
        "aio": "io_uring",
        "backup": int(disk["backup"]),
        "cache": "none",
        "discard": disk["discard"],
        "iothread": int(disk["iothread"]),
        "replicate": 1,
        "serial": disk.get("serial") or None,
        "ssd": int(disk["ssd"]),
    }
    return [f"{key}={value}" for key, value in written.items() if value is not None]


def _new_drive(disk: Whole) -> str:
    if disk.get("importFrom"):
        return ",".join([f"{disk['datastoreId']}:0", *_options(disk), f"import-from={disk['importFrom']}"])
    what = disk.get("pathInDatastore") or disk["size"]
    return ",".join([f"{disk['datastoreId']}:{what}", *_options(disk)])


def _read(config: Whole, state: Whole) -> dict[str, Any]:
    """The inputs that a configuration stands for."""
    now: dict[str, Any] = {
        "agent": {
            **state.get("agent", {}),
            "enabled": str(config.get("agent", "")).startswith(("1", "enabled=1")),
        },
        "bootOrders": str(config.get("boot", "order=")).removeprefix("order=").split(";"),
        "cpu": {
            "cores": config.get("cores", 1),
            "sockets": config.get("sockets", 1),
            "type": config.get("cpu", "qemu64"),
        },
        "description": str(config.get("description", "")),
        "disks": _disks(config, state),
        "memory": {"dedicated": int(config.get("memory", 512)), "floating": config.get("balloon", 0)},
        "name": config.get("name", ""),
        "networkDevices": [
            _device(str(config[key])) for key in sorted(config) if re.fullmatch(r"net\d+", key)
        ],
        "onBoot": bool(config.get("onboot", 0)),
        "operatingSystem": {"type": config.get("ostype", "other")},
        "protection": bool(config.get("protection", 0)),
        "scsiHardware": config.get("scsihw", "lsi"),
        "serialDevices": [
            {"device": config[key]} for key in sorted(config) if re.fullmatch(r"serial\d+", key)
        ],
        "tags": [tag for tag in str(config.get("tags", "")).split(";") if tag],
    }
    if "startup" in config:
        now["startup"] = {"order": int(str(config["startup"]).removeprefix("order="))}
    if _CLOUD_INIT in config:
        now["initialization"] = _read_first_boot(config)
    return now


def _disks(config: Whole, state: Whole) -> list[dict[str, Any]]:
    known = {disk["interface"]: disk for disk in state.get("disks", [])}
    names = sorted(key for key in config if re.fullmatch(r"(scsi|virtio|sata)\d+", key))
    order = [name for name in known if name in names] + [name for name in names if name not in known]
    disks = []
    for name in order:
        volume, *parts = str(config[name]).split(",")
        datastore, _, path = volume.partition(":")
        options = dict(part.split("=", 1) for part in parts)
        disks.append(
            {
                **known.get(name, {}),
                "backup": options.get("backup", "1") == "1",
                "datastoreId": datastore,
                "discard": options.get("discard", "ignore"),
                "interface": name,
                "iothread": options.get("iothread") == "1",
                "pathInDatastore": path,
                "serial": options.get("serial", ""),
                "size": _gib(options.get("size", "0")),
                "ssd": options.get("ssd") == "1",
            }
        )
    return disks


def _gib(size: str) -> int:
    return int(size[:-1]) // 1024 ** "GMK".index(size[-1]) if size[-1] in "GMK" else 0


def _device(value: str) -> dict[str, Any]:
    first, *rest = value.split(",")
    model, _, mac = first.partition("=")
    options = dict(part.split("=", 1) for part in rest)
    return {
        "bridge": options.get("bridge", ""),
        "macAddress": mac,
        "model": model,
        "vlanId": int(options.get("tag", 0)),
    }


def _read_first_boot(config: Whole) -> dict[str, Any]:
    first: dict[str, Any] = {"datastoreId": str(config[_CLOUD_INIT]).split(":")[0], "ipConfigs": []}
    for key in sorted(key for key in config if re.fullmatch(r"ipconfig\d+", key)):
        options = dict(part.split("=", 1) for part in str(config[key]).split(","))
        found = {}
        for version, address, gateway in (("ipv4", "ip", "gw"), ("ipv6", "ip6", "gw6")):
            known = {"address": options.get(address), "gateway": options.get(gateway)}
            if options.get(address):
                found[version] = {name: value for name, value in known.items() if value}
        first["ipConfigs"].append(found)
    if "nameserver" in config:
        first["dns"] = {"servers": str(config["nameserver"]).split()}
    if "ciuser" in config or "sshkeys" in config:
        keys = [key for key in unquote(str(config.get("sshkeys", ""))).split("\n") if key]
        first["userAccount"] = {"username": config.get("ciuser", ""), "keys": keys}
    vendor = re.search(r"vendor=([^,]+)", str(config.get("cicustom", "")))
    if vendor:
        first["vendorDataFileId"] = vendor.group(1)
    return first


def _addresses(api: Api, here: str | None) -> dict[str, Any]:
    """What the agent tells; nothing where there is none, or nobody asks."""
    interfaces: list[dict[str, Any]] = []
    if here:
        with suppress(RefusedError):
            interfaces = api.get(f"{here}/agent/network-get-interfaces")["result"]

    def of(version: str) -> list[list[str]]:
        return [
            [
                found["ip-address"]
                for found in each.get("ip-addresses", [])
                if found["ip-address-type"] == version
            ]
            for each in interfaces
        ]

    return {
        "ipv4Addresses": of("ipv4"),
        "ipv6Addresses": of("ipv6"),
        "macAddresses": [each["hardware-address"].upper() for each in interfaces],
        "networkInterfaceNames": [each["name"] for each in interfaces],
    }
