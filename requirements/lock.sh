#!/bin/sh
# Usage: requirements/lock.sh PYTHON. Resolves pyproject.toml into hashed lock files, with uv in a throwaway environment.
# torch is left out: the CPU and CUDA builds share a version and differ in hash, so `make setup` pins its version alone.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9
find_links=$("$scratch/venv/bin/pip" config get global.find-links 2>/dev/null || true)
lock() {
    "$scratch/venv/bin/uv" pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-package torch \
        ${find_links:+--find-links "$find_links"} --constraint requirements/held.txt --upgrade "$@"
}
lock --python-version 3.11 --extra dev pyproject.toml --output-file requirements/workbench.txt
lock --python-version 3.10 --extra cpu --extra serve pyproject.toml --output-file requirements/device-3.10.txt
lock --python-version 3.11 --extra cpu --extra serve pyproject.toml --output-file requirements/device-3.11.txt
lock --python-version 3.12 --extra cpu --extra serve pyproject.toml --output-file requirements/device-3.12.txt
