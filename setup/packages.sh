#!/bin/sh
# Install the Debian packages of some groups of debian-packages.txt that are missing, after asking.
#
#   setup/packages.sh [--yes] [GROUP…]      no group: all of them; KOS_YES=1 agrees as --yes does
#
# It never removes, upgrades or configures anything, and installs nothing that the list does not name.
set -eu
list=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)/debian-packages.txt

fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

yes=${KOS_YES:-}
groups=
for argument in "$@"; do
    case $argument in
    --yes) yes=1 ;;
    -*) fail "unknown option $argument" "setup/packages.sh [--yes] GROUP…" ;;
    *)
        awk -v group="$argument" '!/^#/ && $2 == group { found = 1 } END { exit !found }' "$list" ||
            fail "no group '$argument' in setup/debian-packages.txt" \
                "groups: $(awk '!/^#/ && NF { print $2 }' "$list" | sort -u | tr '\n' ' ')"
        groups="$groups $argument"
        ;;
    esac
done

[ -n "$groups" ] || groups=" $(awk '!/^#/ && NF { print $2 }' "$list" | sort -u | tr '\n' ' ')"

missing=
for package in $(awk -v groups="$groups " '!/^#/ && NF && index(groups, " " $2 " ") { print $1 }' "$list"); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=unknown
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "KOS needs these Debian packages:" >&2
for package in $missing; do
    awk -v package="$package" \
        '$1 == package { $2 = ""; name = $1; $1 = ""; sub(/^ +/, ""); printf "  %-24s %s\n", name, $0; exit }' "$list" >&2
done
command -v apt-get >/dev/null || fail "this is not a Debian system" "install these by its own package manager"

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "only root can install them" "as root: apt-get install$missing"
    sudo=sudo
fi
if [ -z "$yes" ]; then
    [ -t 0 ] || fail "they are missing and nobody is here to ask" "agree with --yes, or: apt-get install$missing"
    printf 'Install them now? [y/N] ' >&2
    read -r answer || answer=
    case $answer in
    [yY]*) ;;
    *) fail "not installed" "when you are ready: ${sudo:+sudo }apt-get install$missing" ;;
    esac
fi
# shellcheck disable=SC2086  # a list of package names
install() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >&2; }
# A machine that never asked for the package lists, or whose lists are old, gets them and tries again.
install || { $sudo apt-get update >&2 && install; } || fail "apt-get could not install them" "see what it printed above"
