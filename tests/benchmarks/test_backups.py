"""What a backup costs: time beside restic alone on the same files, and memory while a database streams."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import pytest
from docker.models.containers import Container

from tests.support.backup_targets import served
from tests.support.containers import Containers, runs

MIB = 1024 * 1024
FILES, FILE_BYTES = 4096, 256 * 1024
"""One GiB as a chat keeps it: attachments of some hundred KiB."""
SCRATCH = "/var/lib/ronron-agent/bare"
RESTIC = (
    "restic", "-r", f"{SCRATCH}/repository", "--cache-dir", f"{SCRATCH}/cache",
    "--password-file", "/run/ronron-agent/repository-password",
)  # fmt: skip
ROUNDS = 9


def took(container: Container, *words: str) -> float:
    """Seconds that a command takes inside a container."""
    begun = time.perf_counter()
    code, said = runs(container, *words)
    seconds = time.perf_counter() - begun
    assert code == 0, said
    return seconds


@dataclass
class Peak:
    """The most memory that all processes of a container had together, without what is in files."""

    bytes: int = 0


@contextmanager
def peak_of(container: Container) -> Iterator[Peak]:
    """Look at the memory of a container's processes twice a second for the block."""
    peak, over = Peak(), Event()

    def watch() -> None:
        while not over.wait(0.5):
            # A process may end while its file is read.
            _, text = runs(container, "sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null")
            kibibytes = sum(
                int(found) for found in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB$", text, re.M)
            )
            peak.bytes = max(peak.bytes, kibibytes * 1024)

    watching = Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        over.set()
        watching.join(30)


@pytest.mark.timeout(900)
def test_an_unchanged_gibibyte_costs_three_tenths_more_than_restic_alone_and_one_look_at_the_repository(
    here: Containers, agent_image: str, record_property: Callable[[str, object], None]
) -> None:
    """Restic stretches the password for half a second whenever it opens a repository.

    Bare restic opens it once. A snapshot that was looked at afterwards has to open it twice, so what one look
    takes in the same run is allowed besides.
    """
    service = served(here, agent_image, None, roles=("files",))
    service.in_volume("files", f"head -c {FILES * FILE_BYTES} /dev/urandom | split -a 4 -b {FILE_BYTES}")
    agent = service.agent

    def ours() -> float:
        return took(agent, "ronron-agent", "backup", "--reason", "asked")

    def bare() -> float:
        return took(agent, *RESTIC, "backup", "--json", "/data/files")

    def look() -> float:
        return took(agent, *RESTIC, "snapshots", "--json", "--no-lock")

    took(agent, "mkdir", "-p", SCRATCH)
    took(agent, *RESTIC, "init")
    first = (ours(), bare())
    rounds = [(ours(), bare(), look()) for _ in range(ROUNDS)]
    our, alone, looked = (statistics.median(column) for column in zip(*rounds, strict=True))
    record_property("ratio", our / alone)
    print(
        f"unchanged GiB: {our:.2f} s, restic alone {alone:.2f} s (ratio {our / alone:.2f}), one look "
        f"{looked:.2f} s (ratio without {(our - looked) / alone:.2f}); first {first[0]:.1f}, {first[1]:.1f} s"
    )
    assert our - looked <= 1.3 * alone


@pytest.mark.timeout(1800)
def test_an_agent_streams_a_database_of_two_gibibytes_in_two_hundred_mebibytes_of_memory(
    here: Containers, agent_image: str, postgres_image: str, record_property: Callable[[str, object], None]
) -> None:
    service = served(here, agent_image, postgres_image)
    service.sql(
        "create table large (id int, body text); alter table large alter body set storage external;"
        "with block as (select string_agg(md5(random()::text), '') as body from generate_series(1, 8192))"
        " insert into large select number, number || body from block, generate_series(1, 8192) as number"
    )
    size = int(service.sql("select pg_database_size(current_database())"))
    assert size >= 2048 * MIB
    agent = service.start(mem_limit="200m", memswap_limit="200m")

    with peak_of(agent) as peak:
        seconds = took(agent, "ronron-agent", "backup", "--reason", "asked")
    agent.reload()
    assert agent.attrs["State"]["Running"]
    assert not agent.attrs["State"]["OOMKilled"]
    record_property("mebibytes", peak.bytes / MIB)
    print(f"database of {size / MIB:.0f} MiB: {seconds:.0f} s, at most {peak.bytes / MIB:.0f} MiB of memory")
    assert 0 < peak.bytes <= 200 * MIB
