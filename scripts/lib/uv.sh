# Sourced by the scripts that need uv, from the root of the repository: puts a uv that serves it on PATH.
#
# The first of: uv on PATH, .tools from an earlier run, pip in a venv there, pip without one, and as root a venv once
# apt-get has installed python3-venv. Inputs: Python 3.10 or newer. Changes: .tools and, in the last case, the machine.
# Ends the script with exit code 2 when none works.

# Nothing but packages is downloaded: a Python that is missing is an error.
export UV_PYTHON_DOWNLOADS=never
# Behind a proxy with a certificate of its own, only the system knows it.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=true; fi
# The environment of whoever calls is not the one these scripts work in.
unset VIRTUAL_ENV

find_python() {
  local candidate
  for candidate in python3 python3.{10..19} python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.10 or newer is needed and was not found on PATH" >&2
  return 1
}

# A uv that is older than pyproject.toml requires answers nothing here; `uv --version` would.
uv_serves() { uv cache dir >/dev/null 2>&1; }

install_into_venv() {
  rm -rf .tools/venv
  "$1" -m venv .tools/venv >/dev/null 2>&1 &&
    .tools/venv/bin/python -m pip install --quiet --disable-pip-version-check uv &&
    ln -sf ../venv/bin/uv .tools/bin/uv
}

install_without_venv() {
  "$1" -m pip install --quiet --disable-pip-version-check --upgrade --target .tools/packages uv 2>/dev/null &&
    ln -sf ../packages/bin/uv .tools/bin/uv
}

install_venv_module() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends python3-venv; } >/dev/null
}

ensure_uv() {
  local python
  if uv_serves; then return; fi
  PATH="$PWD/.tools/bin:$PATH"
  if uv_serves; then return; fi
  python="$(find_python)" || return
  mkdir -p .tools/bin
  install_into_venv "$python" || install_without_venv "$python" ||
    { install_venv_module && install_into_venv /usr/bin/python3; } || true
  if ! uv_serves; then
    echo "uv cannot be installed with $python: it needs venv or pip, and access to a package index" >&2
    return 1
  fi
}

ensure_uv || exit 2
