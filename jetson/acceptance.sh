#!/bin/sh
# On the board, from any folder: builds, verifies, asks and benches a bundle, and writes one report. See --help.
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
if [ -n "${PYTHON:-}" ]; then python=$PYTHON
elif [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python
else python=python3
fi
needs='import sys, numpy, PIL, tokenizers; sys.exit(sys.version_info < (3, 10))'
if ! why=$("$python" -c "$needs" 2>&1); then
    echo "what: $python cannot run edge-vl [EVL-SETUP]" >&2
    printf 'why:  %s\n' "$(printf '%s\n' "${why:-it is older than Python 3.10}" | tail -n 1)" >&2
    echo "do:   name another with PYTHON=, or install edge-vl's wheel into it (README.md)" >&2
    exit 2
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m jetson.acceptance "$@"
