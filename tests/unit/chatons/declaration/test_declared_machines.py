"""Virtual machines that people declare wrong: each refusal names the key and says how to mend it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import SecretStr, TypeAdapter, ValidationError

from chatons.declaration import editor
from chatons.declaration.load import ENCRYPTED, StackConfiguration, load
from chatons.declaration.machine_rules import virtual
from chatons.declaration.resolved import vm_description
from chatons.declaration.secrets import PROXMOX_PBS_PASSWORD, PROXMOX_TOKEN, is_secret_key, required
from chatons.schema.problems import KeyPath, Problem
from chatons.schema.proxmox_values import CalendarEvent, ImageUrl, PublicKey
from tests.support.declarations import (
    ABSENT,
    DATA,
    HOST_KEY,
    PASSWORD,
    PROXMOX,
    SECRETS,
    VM,
    Document,
    Edits,
    configuration,
    declaration,
    problems,
    proxmox_declaration,
    proxmox_document,
)

TOKEN = "ronron@pve!ronron=01234567-89ab-cdef-0123-456789abcdef"
PBS: Document = {"server": "pbs.test.example", "datastore": "collective", "username": "ronron@pbs"}
TWO = proxmox_document({"vm01": {"data": DATA}, "vm02": {"vm_id": 102, "address": "192.0.2.12/24"}})

FIRST, SECOND = ("machines", "vm01", "proxmox"), ("machines", "vm02", "proxmox")
BACKUPS = ("proxmox", "backups")


def stack(edits: Edits | None = None, token: str = TOKEN) -> StackConfiguration:
    """Two machines, and every secret that they need."""
    good = configuration(edits, base=TWO)
    return StackConfiguration(
        stack=good.stack,
        values=good.values,
        secrets={
            **{key: SecretStr(PASSWORD) for key in (*SECRETS, PROXMOX_PBS_PASSWORD)},
            PROXMOX_TOKEN: SecretStr(token),
        },
    )


def only(edits: Edits) -> Problem:
    (problem,) = problems(stack(edits))
    return problem


TABLE: tuple[tuple[KeyPath, object, str, str, str], ...] = (
    # -- values of a machine: where, what, key, problem, remedy --------------------------------------------
    ((*FIRST, "vm_id"), 99, "vm01.proxmox.vm_id", "99 is too small: 100 or more", "from 100 to 999999999"),
    ((*FIRST, "node"), "alice.example", "vm01.proxmox.node", "not a name of a node", "as the cluster shows"),
    ((*FIRST, "datastore"), "-lvm", "vm01.proxmox.datastore", "not a name of a storage", "such as local-lvm"),
    ((*FIRST, "bridge"), "a bridge", "vm01.proxmox.bridge", "not a name of a bridge", "such as vmbr0"),
    ((*FIRST, "pool"), "a/b/c/d", "vm01.proxmox.pool", "not a name of a pool", "as the cluster shows"),
    ((*FIRST, "vlan"), 4095, "vm01.proxmox.vlan", "4094 or less", "from 1 to 4094"),
    ((*FIRST, "memory_mib"), 256, "vm01.proxmox.memory_mib", "512 or more", "a whole number of MiB"),
    ((*FIRST, "disk_gib"), 2, "vm01.proxmox.disk_gib", "4 or more", "write `4`, a whole number of GiB"),
    ((*FIRST, "tags"), ["Production"], "vm01.proxmox.tags.0", "is not a tag", "lower-case"),
    ((*FIRST, "cpu_type"), "x86 64", "vm01.proxmox.cpu_type", "not a CPU model", "or host"),
    ((*FIRST, "mac"), "aa:bb:cc:dd:ee:ff", "vm01.proxmox.mac", "unknown key", "remove it"),
    ((*FIRST, "gatewy"), "192.0.2.1", "vm01.proxmox.gatewy", "nearest known one is 'gateway'", "rename it"),
    ((*FIRST, "data", "size"), 3, "vm01.proxmox.data.size", "unknown key", "remove it"),
    ((*FIRST, "data"), {"gib": 5}, "vm01.proxmox.data.vm_id", "missing", "add `vm_id`"),
    ((*FIRST, "user"), "root", "vm01.proxmox.user", "not a user name", "not root"),
    ((*FIRST, "keys"), [], "vm01.proxmox.keys", "nobody could log in", "public ssh keys"),
    ((*FIRST, "keys"), ["ssh-ed25519 AAAA"], "vm01.proxmox.keys.0", "not a public ssh key", "id_ed25519.pub"),
    ((*FIRST, "keys"), ["~/.ssh/id.pub"], "vm01.proxmox.keys.0", "not a public ssh key", "the one line"),
    ((*FIRST, "keys"), ABSENT, "vm01.proxmox.keys", "missing", "add `keys`"),
    ((*FIRST, "user_data"), "local:iso/x.yaml", "vm01.proxmox.user_data", "not a snippet", ":snippets/"),
    ((*FIRST, "user_data"), "/etc/x.yaml", "vm01.proxmox.user_data", "not a snippet", ":snippets/file"),
    # -- addresses -----------------------------------------------------------------------------------------
    ((*FIRST, "address"), "192.0.2.11", "vm01.proxmox.address", "not an IPv4 address", "/24"),
    ((*FIRST, "address"), "192.0.2.11/255.255.255.0", "vm01.proxmox.address", "not an IPv4 address", "/24"),
    ((*FIRST, "address"), "2001:db8::1/64", "vm01.proxmox.address", "not an IPv4 address", "IPv4"),
    ((*FIRST, "address"), "192.0.2.11/32", "vm01.proxmox.address", "not an IPv4 address with a prefix "
    "length", "/24"),
    ((*FIRST, "address"), "dhcp", "vm01.proxmox.address", "not an IPv4 address with a prefix length", "IPv4"),
    ((*FIRST, "address"), "192.0.2.0/24", "vm01.proxmox.address", "the network itself", "a free address"),
    ((*FIRST, "address"), "192.0.2.255/24", "vm01.proxmox.address", "its broadcast", "a free address"),
    ((*FIRST, "address"), "192.0.2.1/24", "vm01.proxmox.address", "the gateway", "a free address"),
    ((*FIRST, "gateway"), "192.0.3.1", "vm01.proxmox.gateway", "not in 192.0.2.0/24", "prefix length"),
    ((*FIRST, "gateway"), "192.0.2.255", "vm01.proxmox.gateway", "its broadcast", "address of the router"),
    ((*FIRST, "gateway"), "router", "vm01.proxmox.gateway", "not an IPv4 address", "in digits"),
    ((*FIRST, "dns"), ["dns.example"], "vm01.proxmox.dns.0", "not an IP address", "192.0.2.53"),
    # -- images --------------------------------------------------------------------------------------------
    (
        (*FIRST, "image", "url"), "http://images.example/debian.qcow2", "vm01.proxmox.image.url",
        "plain HTTP", "write https://images.example",
    ),
    (
        (*FIRST, "image", "url"), "https://me:word@images.example/debian.qcow2", "vm01.proxmox.image.url",
        "not the URL of an image", "a build that never changes",
    ),
    (
        (*FIRST, "image", "url"), "https://images.example/debian.iso", "vm01.proxmox.image.url",
        "not a disk image", "debian-13-genericcloud",
    ),
    (
        (*FIRST, "image", "url"), "https://cloud.debian.org/images/cloud/trixie/latest/debian-13.qcow2",
        "vm01.proxmox.image.url", "changes without a commit", "a build that never changes",
    ),
    (
        (*FIRST, "image", "checksum"), "md5:00", "vm01.proxmox.image.checksum", "is not a checksum", "in SHA",
    ),
    (
        (*FIRST, "image", "checksum"), "sha512:" + "0" * 64, "vm01.proxmox.image.checksum",
        "sha512 has 128 digits, and this one has 64", "SHA256SUMS",
    ),
    # -- two in one place ----------------------------------------------------------------------------------
    ((*SECOND, "vm_id"), 101, "vm02.proxmox.vm_id", "already belongs to vm01", "choose a different ID"),
    (
        (*SECOND, "vm_id"), 1101, "vm02.proxmox.vm_id", "already belongs to the data disk of vm01",
        "choose a different ID",
    ),
    (
        (*SECOND, "data"), {"vm_id": 102, "gib": 9}, "vm02.proxmox.data.vm_id", "already belongs to vm02",
        "choose a different ID",
    ),
    (
        (*SECOND, "address"), "192.0.2.11/24", "vm02.proxmox.address", "192.0.2.11 already belongs to vm01",
        "choose a different address",
    ),
    (
        ("machines", "old"), {"docker": "ssh://tech@192.0.2.12", "host_key": HOST_KEY}, "old.docker",
        "the address of vm02", "declare each machine once",
    ),
    (
        ("machines", "vm01-data"), {"docker": "unix:///run/docker.sock"}, "vm01-data",
        "owns the data disk of vm01", "choose another name",
    ),
    ((*FIRST, "replace"), 102, "vm01.proxmox.replace", "102 is vm02", "or remove `replace`"),
    ((*FIRST, "replace"), 1101, "vm01.proxmox.replace", "is the data disk of vm01", "or remove `replace`"),
    # -- what a machine is ---------------------------------------------------------------------------------
    (("machines", "vm01"), {"proxmox": VM, "docker": "ssh://a@b", "host_key": HOST_KEY}, "vm01",
     "exactly one of", "keep one of the two"),
    (("machines", "vm01", "host_key"), "ssh-ed25519 AAAA", "vm01.host_key", "not a public host key", "paste"),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value", "key", "said", "remedy"), TABLE)
def test_a_refusal_of_a_machine_names_the_key_and_the_remedy(
    path: KeyPath, value: object, key: str, said: str, remedy: str
) -> None:
    problem = only({path: value})
    assert problem.key == f"ronron:machines.{key}"
    assert said in problem.problem
    assert remedy in problem.remedy


CLUSTER: tuple[tuple[KeyPath, object, str, str, str], ...] = (
    (("proxmox",), ABSENT, "", "vm01 is a virtual machine, and no cluster", "add `ronron:proxmox`"),
    (("proxmox", "endpoint"), ABSENT, ".endpoint", "missing", "add `endpoint`"),
    (
        ("proxmox", "endpoint"), "http://alice.example:8006", ".endpoint", "the token over plain HTTP",
        "write https://alice.example:8006",
    ),
    (
        ("proxmox", "endpoint"), "https://alice.example:8006/api2/json", ".endpoint", "path of the API",
        "the host alone",
    ),
    (
        ("proxmox", "endpoint"), "https://root:word@alice.example:8006/", ".endpoint", "contains a login",
        "ronron:proxmox-token",
    ),
    (("proxmox", "endpoint"), "alice", ".endpoint", "not the URL of a Proxmox VE API", "write https://"),
    (("proxmox", "token"), ENCRYPTED, ".token", "a secret is not possible here", "ronron:proxmox-token"),
    ((*BACKUPS, "schedule"), 230, ".backups.schedule", "a string is required", "in quotes"),
    ((*BACKUPS, "schedule"), "0 3 * * *", ".backups.schedule", "not a calendar event", "02:30"),
    ((*BACKUPS, "keep"), {"daily": 0, "weekly": 0, "monthly": 0}, ".backups", "`keep` would retain no "
    "backup", "keep"),
    ((*BACKUPS, "mode"), "live", ".backups.mode", "known values", "'snapshot', 'suspend' or 'stop'"),
    ((*BACKUPS, "pbs"), {**PBS, "fingerprint": "a1"}, ".backups.pbs.fingerprint", "not a finger", "cert"),
    ((*BACKUPS, "pbs"), {**PBS, "username": "ronron"}, ".backups.pbs.username", "not a user", "user@realm"),
    ((*BACKUPS, "pbs"), {**PBS, "server": "https://x"}, ".backups.pbs.server", "not a host", "bare name"),
    (
        ("proxmox", "backups"), {"storage": "local-lvm", "schedule": "02:30", "pbs": PBS}, ".backups.storage",
        "the storage to create for the backup server", "no storage of the cluster has",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("path", "value", "key", "said", "remedy"), CLUSTER)
def test_a_refusal_of_the_cluster_names_the_key_and_the_remedy(
    path: KeyPath, value: object, key: str, said: str, remedy: str
) -> None:
    problem = only({path: value})
    assert problem.key == f"ronron:proxmox{key}"
    assert said in problem.problem
    assert remedy in problem.remedy


def test_a_good_declaration_of_machines_is_taken_and_the_schema_for_editors_agrees() -> None:
    whole = {
        (*FIRST, "vlan"): 20, (*FIRST, "dns"): ["192.0.2.53", "2001:db8::53"], (*FIRST, "pool"): "a/b",
        (*FIRST, "tags"): ["b", "a"], (*FIRST, "start_order"): 1, (*FIRST, "replace"): 101,
        (*FIRST, "user_data"): "local:snippets/first-boot.yaml", (*FIRST, "image_datastore"): "images",
        ("machines", "vm01", "host_key"): HOST_KEY, (*BACKUPS, "pbs"): {**PBS, "namespace": "a/b"},
    }  # fmt: skip
    for edits in ({}, whole):
        assert problems(stack(edits)) == ()
        written = {"config": {f"ronron:{key}": value for key, value in stack(edits).values.items()}}
        Draft202012Validator(editor.schema()).validate(json.loads(json.dumps(written)))


def test_what_is_left_out_is_filled_in() -> None:
    ((_, declared),) = virtual(
        proxmox_declaration(machines={"vm01": {"data": DATA, "tags": ["b", "a", "b"]}})
    )
    assert (declared.user, declared.cpu_type, declared.image_datastore) == (
        "ronron",
        "x86-64-v2-AES",
        "local",
    )
    assert declared.data_datastore == declared.datastore
    assert declared.tags == ("a", "b")
    assert declared.ip == "192.0.2.11"
    cluster = proxmox_declaration({("proxmox", "endpoint"): "https://alice.test.example:8006"}).proxmox
    assert cluster is not None
    assert cluster.endpoint == PROXMOX["endpoint"]
    assert not cluster.insecure


def test_a_cluster_without_a_machine_is_no_problem_and_needs_no_token() -> None:
    declared = declaration({("proxmox",): PROXMOX})
    assert not {secret.key for secret in required(declared)} & {PROXMOX_TOKEN, PROXMOX_PBS_PASSWORD}


def test_where_a_part_cannot_be_read_nobody_says_that_it_is_absent() -> None:
    assert only({("proxmox",): {"endpoint": "alice"}}).key == "ronron:proxmox.endpoint"


def test_a_machine_is_known_again_by_its_description() -> None:
    assert vm_description(proxmox_declaration(), "vm01") == "Made by Ronron: ronron-local-vm01"


# -- secrets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "keys"),
    [({}, {PROXMOX_TOKEN}), ({(*BACKUPS, "pbs"): PBS}, {PROXMOX_TOKEN, PROXMOX_PBS_PASSWORD})],
)
def test_a_secret_that_machines_need_is_asked_for_with_its_command(edits: Edits, keys: set[str]) -> None:
    bare = configuration(edits, base=TWO)
    found = {problem.key.removeprefix("ronron:"): problem for problem in problems(bare)}
    assert set(found) == keys
    for key, problem in found.items():
        assert problem.remedy == f"pulumi config set --secret ronron:{key} --stack local"
        assert is_secret_key(key, {})


@pytest.mark.parametrize(
    "token",
    [
        "", "ronron", TOKEN.partition("=")[2], TOKEN.partition("!")[0], TOKEN.replace("=", " "), TOKEN + "\n",
        "PVEAPIToken=" + TOKEN, TOKEN[:-1], TOKEN.replace("@pve", ""),
    ],
)  # fmt: skip
def test_a_token_of_another_shape_is_refused_untold(token: str) -> None:
    (problem,) = problems(stack(token=token))
    assert problem.key == "ronron:proxmox-token"
    assert problem.remedy.endswith("pulumi config set --secret ronron:proxmox-token --stack local")
    assert "01234567-89ab" not in problem.problem + problem.remedy


def test_a_token_in_plain_text_is_refused() -> None:
    good = stack()
    plain = StackConfiguration(
        stack=good.stack,
        values={**good.values, PROXMOX_TOKEN: TOKEN},
        secrets={key: value for key, value in good.secrets.items() if key != PROXMOX_TOKEN},
    )
    (problem,) = problems(plain)
    assert "secret in plain text" in problem.problem
    assert TOKEN not in problem.problem + problem.remedy


# -- values ------------------------------------------------------------------------------------------------


def is_taken(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("when", "taken"),
    [
        ("02:30", True), ("2:30", True), ("sat 02:30", True), ("mon..fri 02:30", True), ("*:0/30", True),
        ("mon,wed..fri 22,23:00", True), ("sat *-1..7 15:00", True), ("*-*-01 03:00", True), ("daily", True),
        ("", False), ("sat", False), ("02:30 ", False), ("sat02:30", False), ("tomorrow", False),
        ("25", False), ("Samstag 02:30", False), ("02:30; reboot", False),
    ],
)  # fmt: skip
def test_a_time_of_the_calendar_is_told_from_other_texts(when: str, taken: bool) -> None:
    assert is_taken(CalendarEvent, when) is taken


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("trixie/20251117-2299/debian-13-genericcloud-amd64-20251117-2299.qcow2", True),
        ("trixie/daily-20251117-2299/debian-13-genericcloud-amd64-daily-20251117-2299.qcow2", True),
        ("releases/24.04/release-20250805/ubuntu-24.04-server-cloudimg-amd64.img", True),
        ("mirror/our-debian-3.raw", True),
        ("trixie/latest/debian-13-genericcloud-amd64.qcow2", False),
        ("trixie/daily/latest/debian-13-genericcloud-amd64-daily.qcow2", False),
        ("mirror/debian-13-genericcloud-amd64-daily.qcow2", False),
        ("mirror/debian-latest.qcow2", False), ("noble/current/noble-server-cloudimg-amd64.img", False),
        ("releases/24.04/release/ubuntu-24.04-server-cloudimg-amd64.img", False),
        ("debian-13.tar.xz", False), ("", False), ("a b.qcow2", False), ("x.qcow2?y=1", False),
    ],
)  # fmt: skip
def test_an_image_that_is_put_in_anothers_place_is_told_from_one_that_stays(path: str, taken: bool) -> None:
    assert is_taken(ImageUrl, f"https://images.example/{path}") is taken


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        (HOST_KEY, True), (f"{HOST_KEY} tech@laptop", True), (f"{HOST_KEY} two words", False),
        (HOST_KEY.replace("ssh-ed25519", "ssh-rsa"), False), ("-----BEGIN OPENSSH PRIVATE KEY-----", False),
        (f"{HOST_KEY}\n{HOST_KEY}", False), (f'command="x" {HOST_KEY}', False),
    ],
)  # fmt: skip
def test_a_public_key_is_told_from_other_texts(key: str, taken: bool) -> None:
    assert is_taken(PublicKey, key) is taken


@given(st.text(max_size=40))
def test_no_text_but_an_address_is_taken_for_one(text: str) -> None:
    found = problems(stack({(*FIRST, "address"): text}))
    assert all(problem.path[:3] == FIRST and problem.remedy for problem in found)


def test_the_order_of_machines_changes_no_refusal() -> None:
    twice: Edits = {(*SECOND, "vm_id"): 101, (*SECOND, "address"): "192.0.2.11/24"}
    turned = {**TWO, "machines": dict(reversed(TWO["machines"].items()))}
    found = [problem.key for problem in problems(configuration(twice, base=turned), ask_for_secrets=False)]
    assert found == ["ronron:machines.vm02.proxmox.vm_id", "ronron:machines.vm02.proxmox.address"]
    assert load(configuration({}, base=turned), ask_for_secrets=False) == declaration(base=TWO)
