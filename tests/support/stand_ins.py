"""Programs that stand in for `pulumi` and `go` in tests of how they are found and called."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

SYSTEM_TOOLS = ("sh", "cat", "chmod", "mkdir", "sleep", "nice", "setpriv", "env", "touch")


def program(path: Path, text: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place: a file that a process is just starting cannot be opened for writing (ETXTBSY).
    new = path.with_name(f"{path.name}.new")
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o755)
    return new.replace(path)


def bare_path(folder: Path, *, more: tuple[str, ...] = ()) -> Path:
    """A folder for PATH that has what scripts need, and neither go nor pulumi nor docker."""
    folder.mkdir(parents=True, exist_ok=True)
    for tool in (*SYSTEM_TOOLS, *more):
        found = shutil.which(tool)
        if found and not (folder / tool).exists():
            (folder / tool).symlink_to(found)
    return folder


def engine_script(version: str) -> str:
    """A stand-in for the engine: it says a version, and 'downloads' a plugin unless NO_PLUGINS is set."""
    return f"""
case "$1" in
  version) echo v{version} ;;
  plugin)
    [ -z "$NO_PLUGINS" ] || exit 1
    mkdir -p "$PULUMI_HOME/plugins/resource-$4-v$5"
    echo "#!/bin/sh" > "$PULUMI_HOME/plugins/resource-$4-v$5/pulumi-resource-$4" ;;
  *) exit 1 ;;
esac"""


def engine_on_machine(folder: Path, version: str, *, with_host: bool = True) -> Path:
    """An installation of the engine, with its language host beside it."""
    program(folder / "pulumi", engine_script(version))
    if with_host:
        program(folder / "pulumi-language-python", "exit 1")
        program(folder / "pulumi-language-python-exec", "exit 1")
        program(folder / "pulumi-resource-pulumi-python", "exit 1")
    return folder


def go_script(calls: Path, source: Path, *, version: str = "go1.99.0", build: str = "") -> str:
    """A stand-in for Go: it notes its calls, 'builds' an empty program, and has a module's source.

    Args:
        calls: file in which each build is noted, by the name of what it makes.
        source: the folder of the language host's module.
        version: what it says it is.
        build: shell text that a build runs first.
    """
    program(source / "python/cmd/pulumi-language-python-exec", "exit 0")
    return f"""
case "$1" in
  env) [ "$2" = GOVERSION ] && echo {version} || echo local ;;
  build)
    while [ "$1" != -o ]; do shift; done
    name=${{2##*/}}
    {build}
    echo "$name" >> {shlex.quote(str(calls))}
    echo "#!{sys.executable}" > "$2" && chmod 0755 "$2" ;;
  mod) ;;
  list) echo {shlex.quote(str(source))} ;;
esac"""
