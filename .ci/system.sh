#!/usr/bin/env bash
# Install what tests need beyond Python: Chromium for the report, SLURM, and Apptainer and its tools. Needs root and apt on
# Debian 12; a second call does nothing.
#
# Debian 12 has no Apptainer. Debian's unstable release has one that needs a newer libc than Debian 12's: its two binaries get a
# private copy of that libc, nothing else changes, neither the system's libc nor apt's sources. The package made is kept in CACHE.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo ".ci/system.sh: needs root; run it with sudo"; exit 1; }
command -v apt-get > /dev/null || { echo ".ci/system.sh: needs apt (Debian 12)"; exit 1; }
CACHE=${SYSTEM_CACHE:-/var/cache/asymgrpo}
TOOLS=(debootstrap squashfs-tools squashfuse fuse-overlayfs fuse2fs uidmap patchelf)
SLURM=(slurm-wlm slurmdbd munge mariadb-server) # tests/cluster/slurm_up.sh starts it; no service is enabled
export DEBIAN_FRONTEND=noninteractive

install() { apt-get -qq install -y --no-install-recommends "$@" > /dev/null; }

# Quiet and quick: apt is only asked when something is missing.
missing() { for package in "$@"; do dpkg -s "$package" 2> /dev/null | grep -q '^Status: install ok installed' || echo "$package"; done; }

packages() {
    local -a absent
    mapfile -t absent < <(missing "$@")
    [ ${#absent[@]} = 0 ] && return
    echo ".ci/system.sh: installs ${absent[*]}"
    apt-get -qq update
    install "${absent[@]}"
}

# Download apptainer and libc6 of unstable, join them into one package for Debian 12 at "$1".
repack() {
    local work libs=/usr/lib/x86_64-linux-gnu/apptainer/glibc
    work=$(mktemp -d)
    mkdir -p "$work"/{lists/partial,cache/archives/partial,download} "$(dirname "$1")"
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | sort -u | head -n 1)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > "$work/sources.list"
    local -a apt=(-qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::State::status=/var/lib/dpkg/status
        -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" update
    (cd "$work/download" && apt-get "${apt[@]}" download apptainer/sid libc6/sid)
    dpkg-deb -x "$work"/download/libc6_*.deb "$work/libc"
    dpkg-deb -R "$work"/download/apptainer_*.deb "$work/package"
    mkdir -p "$work/package$libs"
    cp -a "$work"/libc/usr/lib/x86_64-linux-gnu/*.so* "$work/package$libs/"
    for binary in usr/bin/apptainer usr/lib/x86_64-linux-gnu/apptainer/bin/starter; do
        patchelf --set-interpreter $libs/ld-linux-x86-64.so.2 --force-rpath --set-rpath $libs "$work/package/$binary"
    done
    sed -i -E -e 's/^(Version: .*)$/\1~bookworm1/' -e 's/libc6 \(>= 2\.38\)/libc6 (>= 2.36)/' \
        -e 's/containernetworking-plugins, //' "$work/package/DEBIAN/control"
    rm -f "$work/package/DEBIAN/md5sums"
    dpkg-deb -Zgzip -z1 -b --root-owner-group "$work/package" "$work/apptainer.deb" > /dev/null
    mv "$work/apptainer.deb" "$1"
    rm -rf "$work"
}

# Root inside a container is one of these users outside: what `apptainer build --fakeroot` needs.
subordinate_ids() {
    for file in /etc/subuid /etc/subgid; do
        grep -qs '^root:' "$file" || echo "root:100000:65536" >> "$file"
    done
}

packages "${TOOLS[@]}" "${SLURM[@]}" chromium fonts-dejavu-core
if ! command -v apptainer > /dev/null; then
    [ -s "$CACHE/apptainer.deb" ] || repack "$CACHE/apptainer.deb"
    install "$CACHE/apptainer.deb"
fi
subordinate_ids
apptainer --version
