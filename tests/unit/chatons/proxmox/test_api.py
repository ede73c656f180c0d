"""The client of the API of Proxmox VE, with canned answers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from chatons.proxmox.api import ENDPOINT, TOKEN, ProxmoxApi, ProxmoxError

SECRET = "7a3d4ab6-1f0e-4d8f-9d0a-6f6f3a1c1c11"
TOKEN_VALUE = f"ronron@pve!ronron={SECRET}"
Handler = Callable[[httpx.Request], httpx.Response]


def api(handler: Handler) -> ProxmoxApi:
    return ProxmoxApi("https://pve.test.example:8006/", TOKEN_VALUE, transport=httpx.MockTransport(handler))


def error_of(answer: httpx.Response) -> ProxmoxError:
    with api(lambda _: answer) as client, pytest.raises(ProxmoxError) as caught:
        client.get("/cluster/status")
    assert SECRET not in f"{caught.value} {caught.value!r}"
    return caught.value


def answer(status: int, reason: str, **document: object) -> httpx.Response:
    extensions = {"reason_phrase": reason.encode()}
    return httpx.Response(status, json={"data": None, **document}, extensions=extensions)


def test_requests_have_path_parameters_and_token() -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"data": [1]})

    with api(handler) as client:
        assert client.get("/cluster/resources", type="vm") == [1]
        client.put("/nodes/alice/qemu/101/config", protection=0)
        client.post("/cluster/backup", **{"prune-backups": "keep-daily=7"})
        client.delete("/cluster/backup/a")
    assert str(requests[0].url) == "https://pve.test.example:8006/api2/json/cluster/resources?type=vm"
    assert requests[0].headers["authorization"] == f"PVEAPIToken={TOKEN_VALUE}"
    assert [request.method for request in requests] == ["GET", "PUT", "POST", "DELETE"]
    assert requests[2].content == b"prune-backups=keep-daily%3D7"


@pytest.mark.parametrize(
    ("status", "reason", "problem", "remedy"),
    [
        (401, "invalid token value!", "was refused: invalid token value!", "pveum user token add ronron@pve"),
        (
            401,
            "no such token 'ronron' for user 'ronron@pve'",
            "is unknown to the cluster",
            "token add ronron@pve ronron",
        ),
        (401, "no such user ('ronron@pve')", "is unknown to the cluster", "token add ronron@pve ronron"),
        (401, "token expired", "has expired", "token modify ronron@pve ronron --expire 0"),
        (
            401,
            "user account expired",
            "belongs to an expired account",
            "pveum user modify ronron@pve --expire 0",
        ),
        (401, "user 'ronron@pve' is disabled", "belongs to a disabled user", "modify ronron@pve --enable 1"),
        (
            403,
            "Permission check failed (/, Sys.Audit)",
            "permission denied for the token: Permission",
            "docs/operations.md",
        ),
    ],
)
def test_an_error_of_the_token_has_the_command_that_fixes_it(
    status: int, reason: str, problem: str, remedy: str
) -> None:
    error = error_of(answer(status, reason))
    assert error.path == TOKEN
    assert problem in error.problem
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("status", "reason", "problem"),
    [
        (595, "No route to host", "a node of the cluster is unreachable: No route to host"),
        (500, "cluster not ready - no quorum?", "the cluster cannot change anything: cluster not ready"),
        (
            500,
            "storage 'x' does not exist",
            "the cluster refused /cluster/status: storage 'x' does not exist",
        ),
    ],
)
def test_an_error_of_the_cluster_has_its_own_reason(status: int, reason: str, problem: str) -> None:
    error = error_of(answer(status, reason))
    assert error.path == ENDPOINT
    assert error.problem.startswith(problem)
    assert error.remedy


def test_an_error_of_a_parameter_names_it() -> None:
    error = error_of(answer(400, "Parameter verification failed.", errors={"vmid": "VM 101 already exists"}))
    assert "vmid: VM 101 already exists" in error.problem
    assert error.status == 400


def test_the_secret_of_the_token_is_masked() -> None:
    assert "***" in error_of(answer(500, f"cannot use {SECRET}")).problem


def test_an_endless_answer_is_an_error() -> None:
    error = error_of(httpx.Response(200, content=iter([b"x" * 65_536] * 400)))
    assert "is larger than 8 MiB" in error.problem


def test_redirects_are_not_followed() -> None:
    error = error_of(httpx.Response(302, headers={"location": "https://elsewhere.test.example/"}))
    assert "is not a Proxmox VE" in error.problem
