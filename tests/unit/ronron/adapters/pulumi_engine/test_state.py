"""An exported state, read into what the reconciler asks of it."""

from __future__ import annotations

import json

import pytest

from ronron.adapters.pulumi_engine.state import ExportedState
from ronron.core.containers import MadeContainer
from ronron.core.errors import EngineError
from ronron.core.model import Change, Operation, StackState

STACK = "urn:pulumi:dev::tiny::pulumi:pulumi:Stack::tiny-dev"
PROVIDER = "urn:pulumi:dev::tiny::pulumi:providers:docker::laptop"
LAMP = "urn:pulumi:dev::tiny::tiny:index:Lamp::lamp"
SHELF = "urn:pulumi:dev::tiny::tiny:index:Shelf::shelf"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "AAAA"}


def resource(urn: str, **more: object) -> dict[str, object]:
    return {"urn": urn, "type": urn.split("::")[2], **more}


def exported(*resources: object, pending: object = None) -> ExportedState:
    deployment = {"resources": list(resources), "pending_operations": pending}
    return ExportedState(json.dumps({"version": 3, "deployment": deployment}))


@pytest.mark.parametrize("deployment", [None, {}, {"resources": None}, {"resources": []}])
def test_a_stack_without_anything_is_there(deployment: object) -> None:
    state = ExportedState(json.dumps({"version": 3, "deployment": deployment})).stack()
    assert state == StackState(exists=True)


def test_operations_that_did_not_end_are_told_with_what_they_were() -> None:
    state = exported(
        pending=[
            {"type": "creating", "resource": resource(LAMP)},
            {"type": "deleting", "resource": resource(SHELF)},
            {"type": "creating"},
        ]
    ).stack()
    assert state.pending == (f"creating {LAMP}", f"deleting {SHELF}", "creating unknown")
    assert state.pending_creates == (LAMP, "unknown")


def test_the_inventory_is_an_output_of_the_stack_alone() -> None:
    state = exported(
        resource(LAMP, outputs={"inventory": "of the lamp"}),
        resource(STACK, outputs={"inventory": {"version": 1}}),
    ).stack()
    assert state.inventory == {"version": 1}


def test_containers_have_the_machine_of_their_provider_and_the_volumes_of_the_stack() -> None:
    container = "urn:pulumi:dev::tiny::ronron:components:Service$docker:index/container:Container::pad"
    volume = "urn:pulumi:dev::tiny::docker:index/volume:Volume::files"
    kinds = {"type": "docker:index/container:Container", "custom": True, "provider": f"{PROVIDER}::04da6b54"}
    mounts = [{"volumeName": "tiny-files"}, {"volumeName": "of-another-hand"}, {"hostPath": "/srv"}]
    pad = resource(
        container,
        **kinds,
        id="1" * 64,
        modified="2026-11-25T12:00:00Z",
        outputs={"name": "tiny-pad", "volumes": mounts, "envs": SECRET},
    )
    once = resource(
        f"{container}-once", **kinds, id="2" * 64, inputs={"mustRun": False}, outputs={"name": "tiny-once"}
    )
    leaving = resource(f"{container}-old", **kinds, id="3" * 64, delete=True)
    files = resource(volume, custom=True, outputs={"name": "tiny-files"})
    made, job = exported(pad, once, leaving, files).stack().containers
    assert made == MadeContainer(
        urn=container,
        name="tiny-pad",
        id="1" * 64,
        machine="laptop",
        modified="2026-11-25T12:00:00Z",
        volumes=("tiny-files",),
    )
    assert (job.name, job.must_run) == ("tiny-once", False)


@pytest.mark.parametrize("outputs", [None, {}, {"inventory": SECRET}, {"inventory": {"a": [SECRET]}}])
def test_an_inventory_that_is_secret_or_not_there_is_none(outputs: object) -> None:
    assert exported(resource(STACK, outputs=outputs)).stack().inventory is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", "{}", '{"deployment": 7}', '{"deployment": [1]}']
)
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match="cannot read the exported state") as caught:
        ExportedState(text)
    assert "`.bak`" in caught.value.hint


@pytest.mark.parametrize(
    ("done", "agrees"),
    [
        pytest.param([], True, id="nothing was done"),
        pytest.param([(LAMP, Operation.CREATE)], True, id="made, and there"),
        pytest.param([(SHELF, Operation.CREATE)], False, id="made, and not there"),
        pytest.param([(SHELF, Operation.IMPORT)], False, id="imported, and not there"),
        pytest.param([(SHELF, Operation.DELETE)], True, id="deleted, and not there"),
        pytest.param([(LAMP, Operation.DELETE)], False, id="deleted, and there"),
        pytest.param([(LAMP, Operation.DISCARD)], False, id="discarded, and there"),
        pytest.param([(LAMP, Operation.DELETE), (LAMP, Operation.CREATE)], True, id="the last word counts"),
        pytest.param([(SHELF, Operation.UPDATE)], True, id="an update alone says nothing"),
    ],
)
def test_a_state_agrees_with_what_was_done(done: list[tuple[str, Operation]], agrees: bool) -> None:
    changes = [Change(urn=urn, operation=operation) for urn, operation in done]
    assert exported(resource(STACK), resource(LAMP)).agrees(changes) is agrees


def test_the_old_half_of_a_replacement_is_not_there_any_more() -> None:
    state = exported(resource(LAMP, delete=True))
    assert state.agrees([Change(urn=LAMP, operation=Operation.CREATE_REPLACEMENT)]) is False


@pytest.mark.parametrize(
    ("resources", "empty"),
    [
        pytest.param((), True, id="nothing"),
        pytest.param((resource(STACK), resource(PROVIDER)), True, id="the engine's own"),
        pytest.param((resource(STACK), resource(LAMP)), False, id="a resource"),
        pytest.param((resource(LAMP, delete=True),), False, id="one that is leaving"),
    ],
)
def test_what_is_empty_may_be_written_over(resources: tuple[object, ...], empty: bool) -> None:
    assert exported(*resources).is_empty is empty


def test_an_operation_that_did_not_end_is_not_nothing() -> None:
    pending = [{"resource": resource(LAMP), "type": "creating"}]
    assert exported(resource(STACK), pending=pending).is_empty is False


def test_the_same_resources_are_known_by_their_ids_and_not_by_their_secrets() -> None:
    one = exported(resource(LAMP, id="lamp-1", modified="2026-11-25", outputs={"key": SECRET}))
    same = exported(resource(LAMP, id="lamp-1", modified="2026-11-26"))
    another = exported(resource(LAMP, id="lamp-2"))
    assert one.identities() == same.identities()
    assert one.identities() != another.identities()


def test_the_way_to_a_machine_is_a_provider_of_its_name() -> None:
    host = "urn:pulumi:dev::tiny::chatons:index:DockerHost$pulumi:providers:docker::pica02"
    provider = {"urn": host, "type": "pulumi:providers:docker"}
    service = resource("urn:pulumi:dev::tiny::chatons:index:Service::pica02")
    state = exported(resource(STACK), resource(PROVIDER), provider, service, {**provider, "delete": True})
    assert state.providers_of("pica02") == (host,)
    assert state.providers_of("laptop") == (PROVIDER,)
    assert state.providers_of("pica") == ()


VOLUME = "urn:pulumi:dev::tiny::chatons:index:Service$docker:index/volume:Volume::pad-data"
HOOKS = {"BeforeDelete": ["snapshot"], "BeforeUpdate": ["snapshot"]}


def test_what_the_engine_does_not_simply_delete_is_guarded() -> None:
    state = exported(
        resource(LAMP, custom=True),
        resource(SHELF, custom=True, id="s", protect=True, provider=f"{PROVIDER}::4a1b"),
        resource(VOLUME, custom=True, id="tiny-dev-pad-data"),
        resource(f"{LAMP}2", custom=True, resourceHooks=HOOKS),
        resource(f"{LAMP}3", custom=True, retainOnDelete=True, inputs={"nodeName": "alice"}),
        resource(f"{LAMP}4", custom=True, protect=True, delete=True),
        resource(f"{LAMP}5", custom=True, protect=True, external=True),
        resource(f"{LAMP}6", protect=True),
    ).stack()
    assert [(one.name, one.id, one.place) for one in state.guarded] == [
        ("shelf", "s", "laptop"), ("pad-data", "tiny-dev-pad-data", ""), ("lamp2", "", ""),
        ("lamp3", "", "alice"),
    ]  # fmt: skip
    assert [(one.protected, one.retained, one.hooked) for one in state.guarded] == [
        (True, False, False), (False, False, False), (False, False, True), (False, True, False),
    ]  # fmt: skip


def test_what_is_released_keeps_everything_but_what_holds_it() -> None:
    kept = resource(LAMP, custom=True, protect=True, resourceHooks=HOOKS)
    state = exported(
        kept,
        resource(VOLUME, custom=True, protect=True, resourceHooks=HOOKS, outputs={"name": SECRET}),
        resource(SHELF, custom=True, resourceHooks={"BeforeDelete": ["snapshot"]}),
    )
    changed = state.releasing([VOLUME], [SHELF])
    assert changed is not None
    assert json.loads(changed)["deployment"]["resources"] == [
        kept,
        resource(
            VOLUME,
            custom=True,
            retainOnDelete=True,
            resourceHooks={"BeforeUpdate": ["snapshot"]},
            outputs={"name": SECRET},
        ),
        resource(SHELF, custom=True),
    ]
    assert ExportedState(changed).releasing([VOLUME], [SHELF]) is None
