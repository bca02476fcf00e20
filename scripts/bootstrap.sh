#!/bin/sh
# Creates the environment: finds uv, or installs it into .tools, then installs exactly what requirements.lock pins.
set -eu
venv=${1:-.venv}
python=${PYTHON:-python3}

if command -v uv >/dev/null 2>&1; then
  uv=uv
else
  # A Python marked "externally managed" (PEP 668) refuses `pip install`; a private environment or --target does not.
  if [ ! -x .tools/bin/uv ]; then
    echo "evenhand: uv is not installed; putting a private copy into .tools" >&2
    if "$python" -m venv .tools >/dev/null 2>&1; then
      .tools/bin/python -m pip install --quiet --disable-pip-version-check uv
    else
      rm -rf .tools
      "$python" -m pip install --quiet --disable-pip-version-check --target .tools uv || {
        echo "evenhand: neither 'venv' nor 'pip' works in $python; install uv by hand (https://docs.astral.sh/uv/)" >&2
        exit 1
      }
    fi
  fi
  uv=.tools/bin/uv
fi

"$uv" venv --quiet --allow-existing --python "$python" "$venv"
"$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes requirements.lock
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --editable .
