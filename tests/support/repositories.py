"""Real git repositories for tests: bare ones that are pushed to, with nobody's configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "tech@chaton.example",
    "GIT_AUTHOR_NAME": "Tech",
    "GIT_COMMITTER_EMAIL": "tech@chaton.example",
    "GIT_COMMITTER_NAME": "Tech",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "PATH": os.environ.get("PATH", os.defpath),
}


def git(*arguments: str | Path, at: Path, stdin: bytes = b"") -> str:
    """Run git in a directory and give its output without the last line end; raises where it fails."""
    done = subprocess.run(
        ["git", *map(str, arguments)],
        cwd=at,
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        words = " ".join(map(str, arguments))
        raise AssertionError(
            f"git {words} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
        )
    return os.fsdecode(done.stdout).removesuffix("\n")


class Repository:
    """A bare repository; its methods are what collectives do with theirs, in one git process each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *, branch: str = "main", object_format: str = "sha1") -> Repository:
        """Make an empty one, whose default branch will be `branch`."""
        path.mkdir(parents=True)
        git(
            "init",
            "--quiet",
            "--bare",
            "--template=",
            f"--initial-branch={branch}",
            f"--object-format={object_format}",
            at=path,
        )
        return cls(path)

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        *,
        branch: str = "main",
        executable: Collection[str] = (),
        links: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
        message: str = "Change things",
    ) -> str:
        """Push a commit on top of a branch, which is made where it is not there.

        Args:
            files: path -> new content; None removes one. All others stay as they are.
            branch: its short name.
            executable: paths among `files` that get the executable bit.
            links: path -> target of symbolic links.
            submodules: path -> commit of another repository.
            message: of the commit.

        Returns:
            The full hash of the commit.
        """
        name = f"refs/heads/{branch}"
        stream = [
            f"commit {name}",
            "mark :1",
            "committer Tech <tech@chaton.example> now",
            _data(message.encode()),
        ]
        if self.at(name):
            stream.append(f"from {name}^0")
        lines = "\n".join(stream).encode() + b"\n"
        for path, content in files.items():
            if content is None:
                lines += b"D " + _quoted(path) + b"\n"
            else:
                mode = "100755" if path in executable else "100644"
                lines += f"M {mode} inline ".encode() + _quoted(path) + b"\n" + _blob(content)
        for path, target in (links or {}).items():
            lines += b"M 120000 inline " + _quoted(path) + b"\n" + _blob(target)
        for path, commit in (submodules or {}).items():
            lines += f"M 160000 {commit} ".encode() + _quoted(path) + b"\n"
        lines += b"get-mark :1\n"
        return self.git("fast-import", "--quiet", "--date-format=now", "--force", stdin=lines)

    def tag(self, name: str, commit: str, *, annotated: bool = False) -> None:
        """Push a tag by its short name."""
        self.git("tag", "--force", *(["--annotate", "--message=As it is"] if annotated else []), name, commit)

    def move(self, reference: str, commit: str) -> None:
        """Force-push: let a full name stand at any commit."""
        self.git("update-ref", reference, commit)

    def delete(self, reference: str) -> None:
        """Delete a branch or a tag by its full name."""
        self.git("update-ref", "-d", reference)

    def at(self, reference: str) -> str:
        """The object that a full name stands at; empty where it is not there."""
        return self.git("for-each-ref", "--format=%(objectname)", reference)

    def clone(self, to: Path) -> Path:
        """A working clone, to commit in and to push from with `git(..., at=clone)`."""
        git("clone", "--quiet", self.path, to, at=self.path)
        return to

    def git(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Any git command in the repository."""
        return git(*arguments, at=self.path, stdin=stdin)


def _quoted(path: str) -> bytes:
    """A path as git-fast-import(1) takes any: in quotes, with C's escapes; not UTF-8 by `os.fsdecode`."""
    raw = os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + raw + b'"'


def _data(content: bytes) -> str:
    return f"data {len(content)}\n{content.decode()}"


def _blob(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return f"data {len(raw)}\n".encode() + raw + b"\n"
