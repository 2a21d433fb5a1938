# Puts a suitable uv on PATH. Source it from the root of the repository in scripts that need uv.
#
# Tries in order: uv on PATH; .tools of an earlier run; pip in a new venv in .tools; pip without a venv; and, as root, a
# venv after installing python3-venv with apt-get. Inputs: Python 3.10 or newer. Changes: .tools and, in the last case,
# the machine. Exits the script with code 2 if nothing works.

# Download packages only: a missing Python is an error.
export UV_PYTHON_DOWNLOADS=never
# The certificate of a TLS-intercepting proxy is only in the system's store.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=true; fi
# The caller's virtual environment must not be used.
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

# Fails if uv is older than pyproject.toml requires, unlike `uv --version`.
uv_is_suitable() { uv cache dir >/dev/null 2>&1; }

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
  if uv_is_suitable; then return; fi
  PATH="$PWD/.tools/bin:$PATH"
  if uv_is_suitable; then return; fi
  python="$(find_python)" || return
  mkdir -p .tools/bin
  install_into_venv "$python" || install_without_venv "$python" ||
    { install_venv_module && install_into_venv /usr/bin/python3; } || true
  if ! uv_is_suitable; then
    echo "uv cannot be installed with $python: it needs venv or pip, and access to a package index" >&2
    return 1
  fi
}

ensure_uv || exit 2
