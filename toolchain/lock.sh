#!/bin/sh
# Pins what the distributions and the tests ask for, with hashes and without the address of any index.
set -eu
cd "$(dirname "$0")/.."
cache=${RONRON_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ronron}
version=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' toolchain/bootstrap.lock)
exec "$cache/uv-$version/uv" pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --no-header \
    --python-version 3.11 --group dev components/pyproject.toml reconciler/pyproject.toml --output-file requirements.lock
