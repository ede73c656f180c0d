"""Which resources an exported state says are half-made."""

from __future__ import annotations

import json

import pytest

from ronron.adapters.pulumi_engine.state import ExportedState

MACHINE = "urn:pulumi:dev::tiny::chatons:index:VirtualMachine::pica01"
VM = "urn:pulumi:dev::tiny::chatons:index:VirtualMachine$proxmoxve:index/vmLegacy:VmLegacy::pica01"
HOLDER = f"{VM}-data"
PAD = "urn:pulumi:dev::tiny::docker:index/container:Container::pad"
THROUGH = "urn:pulumi:dev::tiny::pulumi:providers:{}::{}::1abd4cc5-52a2-4065-9129-143829ed3733"


def exported(*half_made: str) -> ExportedState:
    """A machine with its data disk, and a pad on it."""
    cluster, docker = THROUGH.format("proxmoxve", "proxmox"), THROUGH.format("docker", "pica01")
    resources: list[dict[str, object]] = [
        {"urn": MACHINE},
        {"urn": VM, "parent": MACHINE, "provider": cluster},
        {"urn": HOLDER, "parent": MACHINE, "provider": cluster},
        {"urn": PAD, "provider": docker},
        {"urn": PAD, "provider": docker, "delete": True, "initErrors": ["it is leaving"]},
    ]
    for one in resources:
        one["type"] = str(one["urn"]).split("::")[2].rpartition("$")[2]
        if one["urn"] in half_made:
            one["initErrors"] = ["VM is locked (backup)"]
    return ExportedState(json.dumps({"version": 3, "deployment": {"resources": resources[::-1]}}))


def test_what_is_whole_or_leaving_is_not_looked_at() -> None:
    assert exported().init_errors() == ()


def test_what_has_errors_is_half_made() -> None:
    assert exported(VM, PAD).init_errors() == (PAD, VM)
    assert exported(VM).init_errors(but_on=("pica02",)) == (VM,)


@pytest.mark.parametrize("urn", [VM, HOLDER, PAD])
def test_what_belongs_to_a_machine_that_is_left_out_stays_as_it_is(urn: str) -> None:
    assert exported(urn).init_errors(but_on=("pica02", "pica01")) == ()
