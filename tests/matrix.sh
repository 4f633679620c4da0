#!/usr/bin/env bash
# Without any extra: the loader on the oldest `datasets` with the oldest Python at hand, the loader on the newest
# `datasets` with every Python between, and the fast suite with the newest Python (the one there is, where there is but
# one). What needs an optional package is left out by the tests themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

pythons() { # one interpreter for each minor version: those on PATH, then pyenv's
    local minor found
    for minor in 11 12 13 14; do
        for found in "$(command -v "python3.$minor" || true)" \
            "$(compgen -G "$(pyenv root 2>/dev/null)/versions/3.$minor.*/bin/python" | tail -n 1)"; do
            if [ -n "$found" ] && "$found" -c "import sys; sys.exit(sys.version_info[:2] != (3, $minor))" \
                2>/dev/null; then
                echo "$found"
                break
            fi
        done
    done
}

check() { # python, requirement, tests...
    local venv name python=$1
    name=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-${2//[^A-Za-z0-9.]/}
    venv=.venv-matrix-$name
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --upgrade pip
    "$venv/bin/python" -m pip install --quiet --editable ".[demo]" "$2" \
        pytest pytest-timeout pytest-xdist hypothesis scipy scikit-video imageio-ffmpeg
    echo "== $("$venv/bin/python" --version), $("$venv/bin/python" -m pip freeze | grep '^datasets=')"
    OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q -n auto --maxprocesses 4 --dist loadfile -m "not slow" "${@:3}"
}

mapfile -t found < <(pythons)
[ "${#found[@]}" -gt 0 ] || { echo "no Python from 3.11 on was found" >&2; exit 1; }
loader=(tests/test_{loader,import_hook,hub_loading,hub_layout,tree,clip}.py)
check "${found[0]}" "datasets==4.0.0" "${loader[@]}"
for ((between = 1; between < ${#found[@]} - 1; between++)); do
    check "${found[between]}" "datasets>=5" "${loader[@]}"
done
check "${found[-1]}" "datasets>=5"
