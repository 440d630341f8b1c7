# The environment of the tools: Python packages at pinned versions, and the native parts. Sourced, POSIX sh.
#
#   . setup/environment.sh
#   kos_environment ROOT [EXTRA…]     extras: test, server (as in pyproject.toml)
#
# It exports KOS_PYTHON, the Python to use, and KOS_ROOT, the tree to use: ROOT, or a copy below ~/.cache/kos where
# ROOT is read-only. It writes only there, and asks before a Debian package is installed. What is done already is
# known by a hash of what it was done from, so a second call takes milliseconds.

_kos_say() { printf 'kos: %s\n' "$*" >&2; }

_kos_fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# The first Python for which the lock files hold wheels (PYTHONS in setup/lock.py).
_kos_find_python() {
    for _kos_candidate in python3 python3.13 python3.12 python3.11; do
        if "$_kos_candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$_kos_candidate"
            return
        fi
    done
    _kos_fail "Python 3.11, 3.12 or 3.13 was not found" "apt-get install python3 python3-venv (Debian 12 or newer)"
}

# What an installed set of packages depends on, in one word: its lock file, this file, and the interpreter.
_kos_packages_hash() {
    { cat "$1/setup/environment.sh" "$2" && readlink -f "$KOS_VENV/bin/python"; } | sha256sum | cut -c 1-64
}

_kos_native_hash() {
    find "$1/native" "$1/src/kos/abi" "$1/src/kos/build/native.py" -type f ! -name '*.pyc' -print0 |
        sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-64
}

_kos_lock_of() {
    if [ "$2" = base ]; then echo "$1/setup/requirements.lock"; else echo "$1/setup/requirements-$2.lock"; fi
}

_kos_packages_ready() {
    [ -x "$KOS_VENV/bin/python" ] && [ ! -e "$KOS_VENV/.kos-incomplete" ] &&
        [ "$(cat "$KOS_VENV/.kos-$2" 2>/dev/null)" = "$(_kos_packages_hash "$1" "$(_kos_lock_of "$1" "$2")")" ]
}

_kos_native_ready() {
    [ -e "$1/src/kos/app/_native.abi3.so" ] && [ "$(cat "$KOS_VENV/.kos-native" 2>/dev/null)" = "$(_kos_native_hash "$1")" ]
}

_kos_make_venv() {
    "$KOS_VENV/bin/python" -m pip --version >/dev/null 2>&1 && return
    _kos_python=$(_kos_find_python) || exit 1
    "$_kos_python" -c 'import ensurepip, venv' 2>/dev/null || "$1/setup/packages.sh" setup || exit 1
    "$_kos_python" -c 'import ensurepip, venv' 2>/dev/null || _kos_fail "$_kos_python has no working venv module" \
        "apt-get install python3-venv, or put Debian's python3 first in PATH"
    _kos_say "making a Python environment in $KOS_VENV"
    "$_kos_python" -m venv --clear "$KOS_VENV" >&2 || _kos_fail "no environment could be made in $KOS_VENV" \
        "is there room, and may you write there?"
}

_kos_install_packages() { # ROOT EXTRA…
    _kos_root=$1
    shift
    _kos_options=
    [ ! -e "$KOS_VENV/.kos-incomplete" ] || _kos_options=--force-reinstall
    _kos_make_venv "$_kos_root"
    # A bundle for machines without a network brings every package; nothing else is asked then.
    if [ -d "$_kos_root/setup/wheels" ]; then
        PIP_NO_INDEX=1
        PIP_FIND_LINKS=file://$(echo "$_kos_root/setup/wheels" | sed 's/ /%20/g')
        export PIP_NO_INDEX PIP_FIND_LINKS
    fi
    : >"$KOS_VENV/.kos-incomplete"
    for _kos_extra in "$@"; do
        _kos_say "installing Python packages ($_kos_extra)"
        _kos_lock=$(_kos_lock_of "$_kos_root" "$_kos_extra")
        # The lock holds the whole closure, so nothing is resolved here and nothing unpinned can come in.
        "$KOS_VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
            $_kos_options --requirement "$_kos_lock" >&2 ||
            _kos_fail "the Python packages could not be installed" "is the package index reachable? Try again"
    done
    # The sources are used where they are, by a path file: nothing is built and nothing is written into ROOT/src.
    for _kos_site in "$KOS_VENV"/lib/python3*/site-packages; do
        echo "$_kos_root/src" >"$_kos_site/kos.pth"
    done
    for _kos_extra in "$@"; do
        _kos_packages_hash "$_kos_root" "$(_kos_lock_of "$_kos_root" "$_kos_extra")" >"$KOS_VENV/.kos-$_kos_extra"
    done
    rm "$KOS_VENV/.kos-incomplete"
}

_kos_build_native() {
    _kos_say "building the native parts"
    _kos_hash=$(_kos_native_hash "$1")
    for _kos_module in kos.build.native kos.device.launcher; do
        "$KOS_PYTHON" -m "$_kos_module" >/dev/null ||
            _kos_fail "the native parts could not be built" "see what it printed above"
    done
    echo "$_kos_hash" >"$KOS_VENV/.kos-native"
}

_kos_missing() { # ROOT EXTRA…
    _kos_root=$1
    shift
    for _kos_extra in "$@"; do
        _kos_packages_ready "$_kos_root" "$_kos_extra" || echo "$_kos_extra"
    done
}

# Where ROOT is read-only and nobody with the right to has set it up, a copy of the sources is.
_kos_use_copy() {
    _kos_copy=${XDG_CACHE_HOME:-$HOME/.cache}/kos/tree-$(echo "$KOS_ROOT" | sha256sum | cut -c 1-16)
    mkdir -p "$_kos_copy" || _kos_fail "neither $KOS_ROOT nor $_kos_copy can be written" "set XDG_CACHE_HOME"
    for _kos_part in pyproject.toml setup native src examples; do
        cp -Rpu "$KOS_ROOT/$_kos_part" "$_kos_copy/"
    done
    chmod -R u+w "$_kos_copy"/[!.]*
    KOS_ROOT=$_kos_copy
    KOS_VENV=$KOS_ROOT/.venv
}

kos_environment() {
    KOS_ROOT=$1
    KOS_VENV=$KOS_ROOT/.venv
    shift
    for _kos_extra in "$@"; do
        [ -f "$(_kos_lock_of "$KOS_ROOT" "$_kos_extra")" ] || _kos_fail "no such extra: $_kos_extra" "test, server"
    done
    if [ ! -w "$KOS_ROOT" ] &&
        { [ -n "$(_kos_missing "$KOS_ROOT" base "$@")" ] || ! _kos_native_ready "$KOS_ROOT"; }; then
        _kos_use_copy
    fi
    KOS_PYTHON=$KOS_VENV/bin/python
    export KOS_ROOT KOS_PYTHON
    [ -n "$(_kos_missing "$KOS_ROOT" base "$@")" ] || ! _kos_native_ready "$KOS_ROOT" || return 0
    # One first start works, the others wait for it and then find everything done.
    (
        flock 9
        _kos_todo=$(_kos_missing "$KOS_ROOT" base "$@")
        # shellcheck disable=SC2086  # a list of extras
        [ -z "$_kos_todo" ] || _kos_install_packages "$KOS_ROOT" $_kos_todo
        _kos_native_ready "$KOS_ROOT" || _kos_build_native "$KOS_ROOT"
    ) 9>"$KOS_VENV.lock" || exit 1
}
