#!/bin/sh
# Makes .venv with what requirements.lock pins, and nothing else. Python's own modules do it as far as they go;
# uv, pinned by hash and kept in the cache, installs the rest in seconds instead of a minute.
# The second run sees that nothing changed, and ends at once.
set -eu
cd "$(dirname "$0")/.."

cache=${RONRON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ronron}
python=${PYTHON:-python3}
say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'error: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    stop "$python is not Python 3.11 or newer" "install it, or name it: make PYTHON=/path/to/python3.11 ..."

# The Python that is on the machine, also where somebody's virtual environment (this one, even) comes first on PATH.
python=$("$python" -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))')

version=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' toolchain/bootstrap.lock)
wanted="$("$python" -c 'import platform, sys; print(sys.executable, platform.python_version())') $(
    cat requirements.lock components/pyproject.toml reconciler/pyproject.toml toolchain/bootstrap.lock toolchain/setup.sh | cksum
)"
if [ "$(cat .venv/setup 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

uv=$cache/uv-$version/uv
if [ ! -x "$uv" ]; then
    say "getting uv $version"
    mkdir -p "$cache"
    making=$(mktemp -d "$cache/uv.making.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    if ! "$python" -m venv "$making/venv" >"$making/log" 2>&1; then
        # Debian keeps a part of Python's own venv module in a package of its own.
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
            stop "$python cannot make a virtual environment: $(tail -n 1 "$making/log")" \
                "run \`sudo apt-get install python3-venv\`, or what your system calls it, and this again"
        say "installing python3-venv"
        apt-get update -qq >"$making/log" 2>&1 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends -y python3-venv \
                >>"$making/log" 2>&1 ||
            stop "cannot install python3-venv: $(tail -n 1 "$making/log")" "install it by hand, and run this again"
        rm -rf "$making/venv"
        "$python" -m venv "$making/venv"
    fi
    "$making/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement toolchain/bootstrap.lock ||
        stop "cannot get uv $version" "check that a Python package index is reachable (pip config list), and run this again"
    mkdir "$making/uv"
    mv "$making/venv/bin/uv" "$making/uv/uv"
    # Two runs at once make the same file: the first rename wins.
    mv -T "$making/uv" "$cache/uv-$version" 2>/dev/null || [ -x "$uv" ] ||
        stop "cannot write $cache/uv-$version" "remove it, and run this again"
fi

say "installing what requirements.lock pins into .venv"
# Packages come from the index that pip and uv have on this machine; the hashes pin their contents.
"$uv" venv --quiet --clear --no-project --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
# Compiled once here: each start of `ronron` and of a program of the engine would else compile for itself.
export VIRTUAL_ENV=$PWD/.venv UV_LINK_MODE=${UV_LINK_MODE:-copy} UV_COMPILE_BYTECODE=1
"$uv" pip sync --quiet --require-hashes requirements.lock ||
    stop "cannot install what requirements.lock pins" \
        "check that a Python package index is reachable (uv: UV_DEFAULT_INDEX, SSL_CERT_FILE), and run this again"
"$uv" pip install --quiet --no-deps --no-build-isolation --editable components --editable reconciler ||
    stop "cannot install chatons and ronron into .venv" "run \`make clean\`, and this again"
printf '%s\n' "$wanted" >.venv/setup
