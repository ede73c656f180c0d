"""The settings of a container as texts that are compared and shown.

Docker describes a setting in several ways, and changes some of what it describes by itself. Each rule below
gives one text for all descriptions that mean the same, so that no difference is reported which nobody made.
Values that may be secret (variables, labels, commands) become short hashes: they are compared, never shown.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from ronron.core.redact import redact
from ronron.core.value import Value

HASH = "#"
"""The first character of a text that stands for a value that is not shown."""

_DIGITS = 8
"""Of a hash: enough to find a change, too few to find a value by trying all."""

_LONGEST = 1000
_SHORT_ID = 12
_NO_NAME = 64
"""Docker names a volume that nobody named by so many hexadecimal digits."""

_MIB = 1024 * 1024
_DEFAULT_NETWORKS = frozenset({"", "default", "bridge"})
_ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, never bound


class Difference(Value):
    """One setting that differs from what was made: what it was, and what it is; empty for not set."""

    setting: str
    was: str
    now: str

    @property
    def shown(self) -> Difference:
        """The same without hashes, for whoever stores or prints it elsewhere."""
        return self.with_(was=_without_hash(self.was), now=_without_hash(self.now))

    def __str__(self) -> str:
        secret = self.was.startswith(HASH) or self.now.startswith(HASH)
        if not self.now:
            return f"{self.setting} removed" if secret else f"{self.setting}: removed, was {self.was}"
        if secret:
            return f"{self.setting} {'changed' if self.was else 'added'}"
        return f"{self.setting}: {self.now}, was {self.was or 'not set'}"


def _without_hash(text: str) -> str:
    return HASH if text.startswith(HASH) else text


def differences(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Difference, ...]:
    """The settings that differ, by name."""
    return tuple(
        Difference(setting=name, was=was.get(name, ""), now=now.get(name, ""))
        for name in sorted({*was, *now})
        if was.get(name, "") != now.get(name, "")
    )


def settings_of(inspected: Mapping[str, Any]) -> Mapping[str, str]:
    """The settings of a container, by name; one that is not set is left out.

    Args:
        inspected: what Docker's API answers to an inspection.
    """
    name = str(inspected.get("Name") or "").removeprefix("/")
    config, host = inspected.get("Config") or {}, inspected.get("HostConfig") or {}
    found = {
        "image": str(inspected.get("Image") or "").removeprefix("sha256:")[:_SHORT_ID],
        "user": str(config.get("User") or ""),
        "working directory": str(config.get("WorkingDir") or ""),
        "hostname": _hostname(inspected, config),
        "stop signal": str(config.get("StopSignal") or ""),
        "command": _hashed(name, config.get("Cmd") or []),
        "entrypoint": _hashed(name, config.get("Entrypoint") or []),
        "health check": _hashed(name, config.get("Healthcheck") or {}),
        **_named("variable", name, (_split(one) for one in config.get("Env") or ())),
        **_named("label", name, (config.get("Labels") or {}).items()),
        **_limits(host),
        **_rights(host),
        **_ports(host),
        **_mounts(inspected, host),
        **_networks(inspected, name),
    }
    return {key: _storable(name, text) for key, text in found.items() if text}


def _storable(name: str, text: str) -> str:
    """A text that a store keeps as it is: one that redaction would change is compared by its hash."""
    return text if len(text) <= _LONGEST and redact(text) == text else _hashed(name, text)


# -- rules -----------------------------------------------------------------------------------------


def _hostname(inspected: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Docker's own hostname is the beginning of the id, so it is no setting."""
    hostname = str(config.get("Hostname") or "")
    own = str(inspected.get("Id") or "")[:_SHORT_ID]
    return "" if hostname == own else hostname


def _split(variable: str) -> tuple[str, str]:
    name, _, value = variable.partition("=")
    return name, value


def _named(what: str, name: str, pairs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Variables and labels by name: their order has no meaning."""
    return {f"{what} {key}": _hashed(name, value) for key, value in pairs}


def _limits(host: Mapping[str, Any]) -> dict[str, str]:
    """Limits: 0, -1 and an absent key all mean none."""
    return {
        "memory": _mib(host.get("Memory")),
        "memory and swap": _mib(host.get("MemorySwap")),
        "reserved memory": _mib(host.get("MemoryReservation")),
        "cpus": f"{(host.get('NanoCpus') or 0) / 1e9:g}" if host.get("NanoCpus") else "",
        "cpu shares": _number(host.get("CpuShares")),
        "cpu quota": _number(host.get("CpuQuota")),
        "cpu period": _number(host.get("CpuPeriod")),
        "cpu set": str(host.get("CpusetCpus") or ""),
        "processes": _number(host.get("PidsLimit")),
        "size of /dev/shm": _mib(host.get("ShmSize")),
        "ulimits": ", ".join(
            sorted(
                f"{one.get('Name')}={one.get('Soft')}:{one.get('Hard')}" for one in host.get("Ulimits") or ()
            )
        ),
        "restart policy": _restart_policy(host.get("RestartPolicy") or {}),
        "log": _log(host.get("LogConfig") or {}),
    }


def _restart_policy(policy: Mapping[str, Any]) -> str:
    """`no` and an empty name are the same."""
    name, limit = str(policy.get("Name") or ""), policy.get("MaximumRetryCount") or 0
    if name in {"", "no"}:
        return ""
    return f"{name}:{limit}" if limit else name


def _log(log: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in sorted((log.get("Config") or {}).items()))
    driver = str(log.get("Type") or "")
    return f"{driver} ({options})" if options else driver


def _rights(host: Mapping[str, Any]) -> dict[str, str]:
    mode = str(host.get("NetworkMode") or "")
    return {
        "added capabilities": _capabilities(host.get("CapAdd")),
        "dropped capabilities": _capabilities(host.get("CapDrop")),
        "privileged": "yes" if host.get("Privileged") else "",
        "read-only": "yes" if host.get("ReadonlyRootfs") else "",
        "security options": ", ".join(sorted(host.get("SecurityOpt") or ())),
        "network mode": "" if mode in _DEFAULT_NETWORKS else mode,
        "process namespace": str(host.get("PidMode") or ""),
        "init": "yes" if host.get("Init") else "",
        "devices": ", ".join(sorted(str(one.get("PathOnHost")) for one in host.get("Devices") or ())),
        "extra hosts": ", ".join(sorted(host.get("ExtraHosts") or ())),
        "dns": ", ".join(host.get("Dns") or ()),
        "sysctls": ", ".join(f"{key}={value}" for key, value in sorted((host.get("Sysctls") or {}).items())),
    }


def _capabilities(names: Iterable[str] | None) -> str:
    """With or without `CAP_`, in either case, in any order."""
    return ", ".join(sorted({str(one).upper().removeprefix("CAP_") for one in names or ()}))


def _ports(host: Mapping[str, Any]) -> dict[str, str]:
    """Published ports as they were asked for: one that Docker chooses differs from start to start."""
    found = {}
    for port, bindings in (host.get("PortBindings") or {}).items():
        texts = set()
        for binding in bindings or ():
            address = str(binding.get("HostIp") or "")
            chosen = str(binding.get("HostPort") or "0")
            texts.add(f"{'all addresses' if address in _ALL_ADDRESSES else address}:{chosen}")
        found[f"port {port}"] = ", ".join(sorted(texts))
    return found


def _mounts(inspected: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, str]:
    """Mounts by path; a volume without a name has another one in each container."""
    found = {}
    for mount in inspected.get("Mounts") or ():
        kind, path = str(mount.get("Type") or ""), str(mount.get("Destination") or "")
        if kind == "tmpfs":
            continue
        source = str(mount.get("Name") or "") if kind == "volume" else str(mount.get("Source") or "")
        what = f"{kind} without a name" if kind == "volume" and is_nameless(source) else f"{kind} {source}"
        found[f"mount {path}"] = what if mount.get("RW", True) else f"{what}, read-only"
    for path, options in (host.get("Tmpfs") or {}).items():
        found[f"mount {path}"] = f"tmpfs {options}".strip()
    return found


def is_nameless(volume: str) -> bool:
    """Whether Docker chose the name of a volume."""
    return len(volume) == _NO_NAME and all(digit in "0123456789abcdef" for digit in volume)


def _networks(inspected: Mapping[str, Any], name: str) -> dict[str, str]:
    """Networks with the aliases that were asked for.

    Docker adds the short id and, from version 25 on, the name; addresses, gateways and endpoints differ from
    start to start.
    """
    own = {str(inspected.get("Id") or "")[:_SHORT_ID], name}
    return {
        f"network {network}": ", ".join(["attached", *sorted(set(end.get("Aliases") or ()) - own)])
        for network, end in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).items()
    }


def _mib(size: object) -> str:
    return f"{size / _MIB:g} MiB" if isinstance(size, int) and size > 0 else ""


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) and value > 0 else ""


def _hashed(salt: str, value: object) -> str:
    """A hash of a value; empty for an empty list or mapping.

    The salt makes equal values of two containers different.
    """
    if value in ([], {}, None):
        return ""
    text = json.dumps([salt, value], sort_keys=True)
    return HASH + sha256(text.encode()).hexdigest()[:_DIGITS]
