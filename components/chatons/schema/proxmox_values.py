"""The types of values of Proxmox VE: names that the cluster accepts, addresses, images.

Each refusal has a remedy.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from chatons.schema.values import Matching, Word, refuse

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])"
_ENDPOINT = re.compile(rf"https://{_HOST}(?::\d{{1,5}})?/?", re.ASCII)
_WRITE_ENDPOINT = "write https:// and the host alone, such as https://pve.picasoft.example:8006/"

_IMAGE_URL = re.compile(rf"https://{_HOST}(?::\d{{1,5}})?(?:/[\w.~+%-]+)+", re.ASCII)
_IMAGE_FILES = (".qcow2", ".img", ".raw")
_WRITE_IMAGE = (
    "name a build that never changes, such as https://cloud.debian.org/images/cloud/trixie/"
    "<build>/debian-13-genericcloud-amd64-<build>.qcow2"
)
_MOVING_PARTS = {"latest", "current", "daily", "release"}
"""Directories whose files are replaced. Source: cloud.debian.org, cloud-images.ubuntu.com."""

_DIGITS = {"sha256": 64, "sha512": 128}

_PUBLIC_KEY = re.compile(
    r"(?P<type>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) (?P<key>[A-Za-z0-9+/]+=*)(?: [\w.@+-]+)?",
    re.ASCII,
)

_NUMBER = r"(?:\*|\d{1,4}(?:\.\.\d{1,4})?)(?:/\d{1,4})?"
_NUMBERS = rf"{_NUMBER}(?:,{_NUMBER})*"
_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)"
_DATE = rf"{_NUMBERS}(?:-{_NUMBERS}){{1,2}}"
_DAYS = rf"{_DAY}(?:\.\.{_DAY})?(?:,{_DAY}(?:\.\.{_DAY})?)*"


def _endpoint(value: str) -> str:
    if "@" in value:
        refuse(
            "this endpoint contains a login, which everybody who reads the stack file would see",
            "remove it, and set the secret ronron:proxmox-token",
        )
    if value.startswith("http://"):
        refuse(
            f"{value!r} sends the token over plain HTTP", f"write {value.replace('http://', 'https://', 1)}"
        )
    if "/api2" in value:
        refuse(f"{value!r} contains the path of the API, which is appended to it", _WRITE_ENDPOINT)
    if not _ENDPOINT.fullmatch(value):
        refuse(f"{value!r} is not the URL of a Proxmox VE API", _WRITE_ENDPOINT)
    return value.rstrip("/") + "/"


def _image_url(value: str) -> str:
    if value.startswith("http://"):
        refuse(f"{value!r} is downloaded over plain HTTP", f"write {value.replace('http://', 'https://', 1)}")
    if not _IMAGE_URL.fullmatch(value):
        refuse(f"{value!r} is not the URL of an image", _WRITE_IMAGE)
    if not value.endswith(_IMAGE_FILES):
        refuse(f"{value!r} is not a disk image: it ends with none of {', '.join(_IMAGE_FILES)}", _WRITE_IMAGE)
    *directories, file = value.split("/")[3:]
    # The file at such a URL is replaced, and then no longer has the declared checksum.
    if _MOVING_PARTS & set(directories) or re.search(r"[-_.](?:latest|daily|current)(?![-_.]?\d)", file):
        refuse(f"{value!r} changes without a commit", _WRITE_IMAGE)
    return value


def _checksum(value: str) -> str:
    algorithm, _, digits = value.partition(":")
    if algorithm not in _DIGITS or not re.fullmatch("[0-9a-f]+", digits, re.ASCII):
        refuse(
            f"{value!r} is not a checksum",
            "write sha512: or sha256: and the digits in lower case, as in SHA512SUMS beside the image",
        )
    if len(digits) != _DIGITS[algorithm]:
        refuse(
            f"a checksum of {algorithm} has {_DIGITS[algorithm]} digits, and this one has {len(digits)}",
            "copy the whole line from SHA512SUMS or SHA256SUMS beside the image",
        )
    return value


def _public_key(value: str) -> str:
    match = _PUBLIC_KEY.fullmatch(value)
    try:
        blob = base64.b64decode(match["key"], validate=True) if match else b""
    except binascii.Error:
        blob = b""
    if match is None or match["type"].encode() not in blob[:64]:
        refuse("this is not a public ssh key", "paste the one line of a file such as ~/.ssh/id_ed25519.pub")
    return value


def _network_address(value: str) -> str:
    try:
        found = ipaddress.IPv4Interface(value)
    except ValueError:
        found = None
    if found is None or "/" not in value or str(found) != value or found.network.prefixlen > 30:
        refuse(
            f"{value!r} is not an IPv4 address with a prefix length",
            "write an IPv4 address such as 192.0.2.11/24",
        )
    return value


def _ip_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        refuse(f"{value!r} is not an IP address", "write it in digits, such as 192.0.2.53")


def _ipv4_address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        refuse(f"{value!r} is not an IPv4 address", "write it in digits, such as 192.0.2.1")


def _some(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        refuse("nobody could log in", "write the public ssh keys of the people who may, and that of Ronron")
    return value


def _sorted(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(value)))


VmId = Annotated[int, Field(ge=100, le=999_999_999, examples=[101])]
"""Of a virtual machine, unique in the cluster. Source: Proxmox VE, pve-common, JSONSchema, pve-vmid."""
NodeName = Annotated[
    str, Matching(_LABEL, "a name of a node", "write it as the cluster shows it, such as alice", "alice")
]
StorageName = Annotated[
    str,
    Matching(
        r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]",
        "a name of a storage",
        "write it as the cluster shows it, such as local-lvm",
        "local-lvm",
    ),
    Field(max_length=100),
]
PoolName = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}",
        "a name of a pool",
        "write it as the cluster shows it, such as collective",
        "collective",
    ),
    Field(max_length=100),
]
BridgeName = Annotated[
    str,
    Matching(
        r"[A-Za-z][A-Za-z0-9_.-]{1,14}",
        "a name of a bridge",
        "write it as the node shows it, such as vmbr0",
        "vmbr0",
    ),
]
Tag = Annotated[
    str,
    Matching(
        r"[a-z0-9_][a-z0-9_.+-]*",
        "a tag",
        "use lower-case letters, digits, underscores, dots and dashes",
        "ronron",
    ),
    Field(max_length=60),
]
Tags = Annotated[tuple[Tag, ...], AfterValidator(_sorted), Field(strict=False)]
"""Sorted and unique, as the cluster stores them: another order would show as a change in each preview."""
Snippet = Annotated[
    str,
    Matching(
        r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]:snippets/[\w.-]+\.(?:yaml|yml|cfg)",
        "a snippet",
        "write storage:snippets/file, such as local:snippets/first-boot.yaml",
        "local:snippets/first-boot.yaml",
    ),
]
CpuType = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}",
        "a CPU model",
        "write it as the node shows it, such as x86-64-v2-AES or host",
        "host",
    ),
]
GuestUser = Annotated[
    str,
    Matching(
        r"(?!root$)[a-z_][a-z0-9_-]{0,31}",
        "a user name",
        "use lower-case letters, digits and dashes; not root, as which the images permit no login",
        "ronron",
    ),
]
Endpoint = Annotated[Word, AfterValidator(_endpoint), Field(examples=["https://pve.picasoft.example:8006/"])]
"""With a slash at the end."""
ImageUrl = Annotated[
    Word,
    AfterValidator(_image_url),
    Field(examples=["https://images.picasoft.example/20251117-2299/debian-13-20251117-2299.qcow2"]),
]
Checksum = Annotated[str, AfterValidator(_checksum), Field(examples=["sha256:" + "1f" * 32])]
"""`sha256:` or `sha512:` and the digits."""
PublicKey = Annotated[
    str,
    AfterValidator(_public_key),
    Field(examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"]),
]
"""A public ssh key; a comment without spaces may follow."""
PublicKeys = Annotated[
    tuple[PublicKey, ...], AfterValidator(_some), Field(strict=False, json_schema_extra={"minItems": 1})
]
NetworkAddress = Annotated[str, AfterValidator(_network_address), Field(examples=["192.0.2.11/24"])]
"""IPv4, with the prefix length."""
IpAddress = Annotated[str, AfterValidator(_ip_address), Field(examples=["192.0.2.53"])]
Ipv4Address = Annotated[str, AfterValidator(_ipv4_address), Field(examples=["192.0.2.1"])]
CalendarEvent = Annotated[
    str,
    Matching(
        rf"(?:{_DAYS} )?(?:{_DATE} )?{_NUMBERS}:{_NUMBERS}|daily|weekly|monthly",
        "a calendar event",
        'write it in quotes as Proxmox VE does, such as "02:30" or "sat 02:30"',
        "02:30",
    ),
    Field(max_length=128),
]
"""As far as Proxmox VE and systemd agree. Source: Proxmox VE administration guide, Schedule Format."""
PbsServer = Annotated[
    str,
    Matching(
        rf"{_HOST}(?::\d{{1,5}})?",
        "a host",
        "write the bare name or address, such as pbs.picasoft.example",
        "pbs.picasoft.example",
    ),
]
PbsName = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9_][A-Za-z0-9._-]{2,31}",
        "a name of a datastore",
        "write it as the backup server shows it, such as collective",
        "collective",
    ),
]
PbsNamespace = Annotated[
    str,
    Matching(
        r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*){0,6}",
        "a namespace",
        "write it as the backup server shows it, such as picasoft/staging",
        "picasoft/staging",
    ),
    Field(max_length=256),
]
PbsUser = Annotated[
    str,
    Matching(
        r"[^\s:/@!]+@[A-Za-z][A-Za-z0-9._-]+(?:![A-Za-z0-9][A-Za-z0-9._-]*)?",
        "a user of a backup server",
        "write user@realm, or user@realm!token, such as ronron@pbs!pve",
        "ronron@pbs!pve",
    ),
]
Fingerprint = Annotated[
    str,
    Matching(
        r"(?:[0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}",
        "a fingerprint",
        "copy the one of SHA-256 that `proxmox-backup-manager cert info` prints on the backup server",
        "1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f:1f",
    ),
    AfterValidator(str.lower),
]
