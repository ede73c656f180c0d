"""Plugins of the engine: found on the machine, downloaded by the engine, or built from Go modules."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import commands, go_build
from toolchain.cache import Cache, Progress
from toolchain.errors import NotThisWay, ToolchainError
from toolchain.piece import Piece, Where

INSTALL_SECONDS = 60.0
"""For the engine's own download of a plugin (about 40 MB)."""

NICENESS = 10
"""Where engine and plugins are built side by side, a plugin takes what the engine leaves of the processors
(while it waits for downloads and links), and what both need is mostly compiled once."""


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One plugin: what it differs in from the others, and the ways to it.

    Attributes:
        package: its name for the engine; the Go module that it is built from is `<package>_plugin`.
        version: the official plugin that the published SDK asks for.
        called: its name for people.
        server: where the engine downloads it from; None for Pulumi's own place.
    """

    package: str
    version: str
    called: str
    server: str | None = None

    @property
    def file(self) -> str:
        """The program, relative to a folder of plugins."""
        return f"{self._folder}/{self._program}"

    def find(self, cache: Cache, environ: Mapping[str, str] | None = None) -> Piece | None:
        """The plugin, without making anything. Its `path` is the folder of plugins that it is in."""
        on_machine = machine_plugins(os.environ if environ is None else environ)
        half_made = (on_machine / f"{self._folder}.partial").exists()  # the engine's own sign
        if (on_machine / self.file).is_file() and not half_made:
            return self._piece(on_machine, "machine")
        folder = cache.find(self._key, [self.file])
        if folder is None:
            return None
        return self._piece(folder, "download" if cache.origin(folder).origin == "download" else "built")

    def ensure(
        self,
        cache: Cache,
        progress: Progress,
        *,
        downloader: str | None,
        may_build: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> Piece:
        """The plugin; obtained now if it is missing.

        Args:
            cache: where it is kept.
            progress: prints what is done.
            downloader: the engine, which downloads plugins; None where that is not worth a try.
            may_build: whether minutes of building are worth it where no download answers.
            environ: where the machine's plugins are looked for.

        Raises:
            ToolchainError: it cannot be built here.
            NotThisWay: there is no download, and it may not be built.
        """
        found = self.find(cache, environ)
        if found is None:
            cache.obtain(
                self._key,
                [self.file],
                lambda folder: self._make(cache, folder, progress, downloader, may_build=may_build),
                piece=self.called,
                progress=progress,
            )
            found = self.find(cache, environ)
        if found is None:
            raise AssertionError(f"the cache has no {self.called} although it was just made")
        progress(f"{self.called}: {found.version} ({found.origin}), {found.path}")
        return found

    @property
    def _folder(self) -> str:
        return f"resource-{self.package}-v{self.version}"

    @property
    def _program(self) -> str:
        return f"pulumi-resource-{self.package}"

    @property
    def _module(self) -> str:
        return f"{self.package}_plugin"

    @property
    def _key(self) -> str:
        return f"plugins-{self.package}-{self.version}-{go_build.module_key(self._module)}"

    def _make(
        self, cache: Cache, folder: Path, progress: Progress, downloader: str | None, *, may_build: bool
    ) -> tuple[str, str]:
        log = cache.logs / f"{self.package}-plugin.log"
        if downloader:
            progress(f"{self.called}: downloading {self.version}")
            try:
                self._install(folder, downloader, log)
            except NotThisWay as reason:
                progress(f"{self.called}: no download ({reason})")
            else:
                return self.version, "download"
        if not may_build:
            raise NotThisWay("no download site is reachable")
        (folder / self._folder).mkdir()
        go_build.build(
            self._module,
            ".",
            folder / self.file,
            stamp={"main.version": self.version},
            log=log,
            progress=progress,
            niceness=NICENESS,
        )
        return self.version, "built"

    def _install(self, folder: Path, engine: str, log: Path) -> None:
        home = folder / "home"
        place = ["--server", self.server] if self.server else []
        try:
            commands.run(
                [engine, "plugin", "install", "resource", self.package, self.version, *place],
                environment={"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                log=log,
                deadline=INSTALL_SECONDS,
                hint="",
            )
            (home / "plugins" / self._folder).rename(folder / self._folder)
        except (ToolchainError, OSError) as error:
            shutil.rmtree(folder / self._folder, ignore_errors=True)
            raise NotThisWay("the engine cannot download it") from error
        finally:
            shutil.rmtree(home, ignore_errors=True)

    def _piece(self, folder: Path, origin: Where) -> Piece:
        return Piece(name=self.called, ok=True, version=self.version, origin=origin, path=str(folder))


def machine_plugins(environ: Mapping[str, str]) -> Path:
    """Where the engine keeps plugins on this machine."""
    return Path(environ.get("HOME") or Path.home()) / ".pulumi" / "plugins"


def together(cache: Cache, plugins: Sequence[Plugin], environ: Mapping[str, str] | None = None) -> str | None:
    """The one folder that has all of these plugins, if `join` has made it or they lie together anyway."""
    files = _files(cache, plugins, environ)
    if len(files) < len(plugins):
        return None
    if len(set(files.values())) == 1:
        return str(next(iter(files.values())))
    joined = cache.find(_joined_key(files), list(files))
    return str(joined) if joined else None


def join(
    cache: Cache, plugins: Sequence[Plugin], progress: Progress, environ: Mapping[str, str] | None = None
) -> str | None:
    """Put those of these plugins that are there into one folder: the engine looks into one only.

    Returns:
        The folder; None if a plugin is missing.

    Raises:
        ToolchainError: the cache cannot be written to.
    """
    files = _files(cache, plugins, environ)
    if len(files) == len(plugins) and len(set(files.values())) > 1:
        cache.obtain(
            _joined_key(files),
            list(files),
            lambda made: _link(made, files),
            piece="plugins",
            progress=progress,
        )
    return together(cache, plugins, environ)


def _files(cache: Cache, plugins: Sequence[Plugin], environ: Mapping[str, str] | None) -> dict[str, Path]:
    """Folder of plugins by the program's path below it."""
    found = {plugin.file: plugin.find(cache, environ) for plugin in plugins}
    return {file: Path(piece.path) for file, piece in found.items() if piece and piece.path}


def _joined_key(files: Mapping[str, Path]) -> str:
    text = "\0".join(f"{folder}/{file}" for file, folder in sorted(files.items()))
    return f"plugins-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _link(made: Path, files: Mapping[str, Path]) -> tuple[str, str]:
    for file, folder in files.items():
        # The engine passes over a folder that is a link, but not over a program that is one.
        (made / file).parent.mkdir()
        (made / file).symlink_to(folder / file)
    return "", "built"
