"""The cache outside the clone: complete pieces or none, whoever is killed or comes at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from toolchain.cache import ORIGIN, Cache, cache_root, recipe_hash
from toolchain.errors import ToolchainError

ROOT = Path(__file__).resolve().parents[3]


def quiet(line: str) -> None:
    pass


def tool(folder: Path) -> tuple[str, str]:
    (folder / "tool").write_text("whole")
    return "1.2.3", "built"


def obtain(cache: Cache, key: str = "tool-1.2.3") -> Path:
    return cache.obtain(key, ["tool"], tool, piece="tool", progress=quiet)


def contents(cache: Cache) -> set[str]:
    return {path.name for path in cache.root.iterdir()} - {".locks", ".making"}


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"RONRON_CACHE": "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/ronron"),
        ({"HOME": "/h"}, "/h/.cache/ronron"),
        ({"RONRON_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/ronron"),
    ],
)
def test_the_cache_is_where_the_settings_say(environ: dict[str, str], root: str) -> None:
    assert cache_root(environ) == Path(root)


def test_a_piece_is_made_once_and_says_where_it_came_from(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first = obtain(cache)

    def again(folder: Path) -> tuple[str, str]:
        raise AssertionError("made a second time")

    second = cache.obtain("tool-1.2.3", ["tool"], again, piece="tool", progress=quiet)
    assert first == second
    assert (second / "tool").read_text() == "whole"
    origin = cache.origin(second)
    assert (origin.piece, origin.version, origin.origin) == ("tool", "1.2.3", "built")


def test_another_version_is_another_piece(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert obtain(cache, "tool-1") != obtain(cache, "tool-2")
    assert contents(cache) == {"tool-1", "tool-2"}


def test_nothing_is_kept_of_a_piece_whose_making_fails(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def breaks(folder: Path) -> tuple[str, str]:
        (folder / "tool").write_text("ha")
        raise ToolchainError("cannot build tool", "Do something.")

    with pytest.raises(ToolchainError, match="cannot build tool"):
        cache.obtain("tool-1", ["tool"], breaks, piece="tool", progress=quiet)
    assert contents(cache) == set()
    assert list((tmp_path / ".making").iterdir()) == []
    assert (obtain(cache, "tool-1") / "tool").read_text() == "whole"


def test_a_maker_that_leaves_a_file_out_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(ToolchainError, match="gave no other") as caught:
        cache.obtain("tool-1", ["tool", "other"], tool, piece="tool", progress=quiet)
    assert caught.value.hint
    assert contents(cache) == set()


@pytest.mark.parametrize("damage", ["tool", ORIGIN])
def test_a_piece_of_which_a_file_was_removed_is_made_again(tmp_path: Path, damage: str) -> None:
    cache = Cache(tmp_path)
    (obtain(cache) / damage).unlink()
    assert cache.find("tool-1.2.3", ["tool"]) is None
    assert (obtain(cache) / "tool").read_text() == "whole"
    assert list((tmp_path / ".making").iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"piece": "to', "[]", "{}"])
def test_a_piece_whose_record_is_damaged_is_made_again(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path)
    (obtain(cache) / ORIGIN).write_text(text)
    assert cache.find("tool-1.2.3", ["tool"]) is None
    assert cache.origin(obtain(cache)).version == "1.2.3"


MAKER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from toolchain.cache import Cache

    root, mark, mode = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

    def make(folder):
        (folder / "tool").write_text("half")
        with mark.open("a") as made:
            made.write("x")
        print("making", flush=True)
        sys.stdin.readline()  # until the test lets it go on
        (folder / "tool").write_text("whole")
        return "1.2.3", "built"

    def say(line):
        print(line, flush=True)

    folder = Cache(root).obtain("tool-1.2.3", ["tool"], make, piece="tool", progress=say)
    print("have", (folder / "tool").read_text(), flush=True)
    """
)


def maker(root: Path, mark: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKER, str(root), str(mark), "go"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_killed_maker_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    cache, mark = Cache(tmp_path / "cache"), tmp_path / "mark"
    killed = maker(cache.root, mark)
    try:
        assert line_of(killed) == "making"
    finally:
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert cache.find("tool-1.2.3", ["tool"]) is None
    assert len(list((cache.root / ".making").iterdir())) == 1
    assert (obtain(cache) / "tool").read_text() == "whole"
    assert list((cache.root / ".making").iterdir()) == []


def test_of_two_processes_at_once_one_makes_and_the_other_waits_for_it(tmp_path: Path) -> None:
    root, mark = tmp_path / "cache", tmp_path / "mark"
    first = maker(root, mark)
    try:
        assert line_of(first) == "making"
        second = maker(root, mark)
        try:
            assert line_of(second) == "tool-1.2.3: another run is making it; waiting"
            assert second.poll() is None
            assert first.stdin is not None
            first.stdin.write("\n")
            first.stdin.flush()
            assert line_of(first) == "have whole"
            assert line_of(second) == "have whole"
        finally:
            end(second)
    finally:
        end(first)
    assert mark.read_text() == "x"


def test_a_lock_of_one_piece_does_not_hold_up_another(tmp_path: Path) -> None:
    cache, said = Cache(tmp_path), list[str]()
    with cache.lock("one", progress=said.append), cache.lock("two", progress=said.append):
        assert said == []


def test_threads_wait_for_each_other_as_processes_do(tmp_path: Path) -> None:
    cache, begun, go_on, order = Cache(tmp_path), threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        with cache.lock("one", progress=quiet):
            begun.set()
            go_on.wait(10)
            order.append("first")

    def waiting(line: str) -> None:
        order.append(line)
        go_on.set()

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(10)
    with cache.lock("one", progress=waiting):
        order.append("second")
    thread.join()
    assert order == ["one: another run is making it; waiting", "first", "second"]


def test_a_cache_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolchainError, match="cannot make") as caught:
        obtain(Cache(tmp_path / "file" / "cache"))
    assert "RONRON_CACHE" in caught.value.hint


def test_the_hash_of_a_recipe_follows_names_contents_executable_bits_and_texts(tmp_path: Path) -> None:
    def made(name: str, *, file: str = "a", text: str = "one", mode: int = 0o644) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / file).write_text(text)
        (folder / file).chmod(mode)
        return folder

    plain = made("plain")
    same = recipe_hash(plain)
    assert len(same) == 64
    assert recipe_hash(made("copy")) == same
    others = [
        recipe_hash(made("name", file="b")),
        recipe_hash(made("text", text="two")),
        recipe_hash(made("mode", mode=0o755)),
        recipe_hash(plain, "more"),
        recipe_hash(plain, "mo", "re"),
        recipe_hash(plain, ""),
    ]
    assert len({same, *others}) == 7
