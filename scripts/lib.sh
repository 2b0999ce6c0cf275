# shellcheck shell=bash
# What the scripts share. To be sourced; it prints nothing and changes nothing by itself.

set -euo pipefail

# For the scripts that source this file.
# shellcheck disable=SC2034
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/stepcell

# The software that a script for Octopus, GitHub or TeamCity expects to find in an execution image.
EXECUTION_PACKAGES=wget,unzip,apt-utils,curl,software-properties-common,ca-certificates,sqlite3

bold='' plain=''
if [ -t 1 ]; then
    bold=$'\033[1m' plain=$'\033[0m'
fi

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "'$1' needs root, and sudo is not installed"
    fi
}

# codename: what this machine's distribution release is called, such as bookworm
codename() (
    . /etc/os-release
    echo "${VERSION_CODENAME:-bookworm}"
)

# apt_sources: the files of this machine's own apt configuration that name its release
apt_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -f "$file" ] && grep -Eq "^(deb |Suites:).*\b$(codename)\b" "$file"; then
            echo "$file"
        fi
    done
}

# apt_proxy FILE: writes what this machine's apt knows of proxies, for an apt with another root
apt_proxy() {
    apt-config dump | grep -E '^Acquire::(https?|ftp)::Proxy' >"$1" || true
}

# make_layout LAYOUT TAG ROOTFS.tar: an OCI layout whose one image has the archive as its one layer
make_layout() {
    umoci init --layout "$1"
    umoci new --image "$1:$2"
    umoci raw add-layer --image "$1:$2" --history.created_by "ADD $2 /" "$3"
    umoci config --image "$1:$2" --config.cmd /bin/sh \
        --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}

# Both images below are kept in the cache; each function prints the reference of its image. They are
# made beside their place and renamed, so that an interrupted run leaves nothing half made.

# busybox_image: a few megabytes, in a second, from busybox-static alone
busybox_image() {
    local layout=$CACHE/images/busybox work name
    if [ ! -d "$layout" ]; then
        mkdir -p "$CACHE/images"
        work=$(mktemp -d "$CACHE/images/new.XXXXXX")
        mkdir -p "$work/root"/{bin,etc,home/app,root,tmp,var/tmp,proc,sys,dev}
        chmod 1777 "$work/root/tmp" "$work/root/var/tmp"
        cp "$(command -v busybox)" "$work/root/bin/busybox"
        for name in $("$work/root/bin/busybox" --list); do
            [ "$name" = busybox ] || ln -s busybox "$work/root/bin/$name"
        done
        printf '%s\n' root:x:0:0:root:/root:/bin/sh app:x:1000:1000:app:/home/app:/bin/sh \
            nobody:x:65534:65534:nobody:/:/bin/false >"$work/root/etc/passwd"
        printf '%s\n' root:x:0: tools:x:20:app app:x:1000: nogroup:x:65534: >"$work/root/etc/group"
        tar -C "$work/root" --numeric-owner --owner=0 --group=0 --exclude=./home/app \
            -cf "$work/root.tar" .
        tar -C "$work/root" --numeric-owner --owner=1000 --group=1000 -rf "$work/root.tar" ./home/app
        make_layout "$work/layout" latest "$work/root.tar" >&2
        mv -T "$work/layout" "$layout"
        rm -rf "$work"
    fi
    echo "oci:$layout:latest"
}

# execution_image: a Debian root with what deployment scripts expect; a minute or two, the first time
execution_image() {
    local layout=$CACHE/images/execution work mode=auto sources
    if [ ! -d "$layout" ]; then
        mkdir -p "$CACHE/images"
        work=$(mktemp -d "$CACHE/images/new.XXXXXX")
        [ "$(id -u)" = 0 ] || mode=unshare
        apt_proxy "$work/proxy.conf"
        mapfile -t sources < <(apt_sources)
        mmdebstrap --quiet --mode="$mode" --variant=minbase --include="$EXECUTION_PACKAGES" \
            --aptopt="$work/proxy.conf" "$(codename)" - "${sources[@]}" >"$work/root.tar" ||
            fail "mmdebstrap could not make a Debian: is its archive in reach?"
        make_layout "$work/layout" latest "$work/root.tar" >&2
        mv -T "$work/layout" "$layout"
        rm -rf "$work"
    fi
    echo "oci:$layout:latest"
}
