#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Makes an arm64 sysroot of this machine's Debian release without touching dpkg's state: no foreign architecture, no
# binfmt, no chroot, no maintainer scripts. The archives are those that this machine's apt is configured with.
# usage: make-sysroot.sh DIR PACKAGE...          needs: mmdebstrap, root
set -eu
[ $# -ge 2 ] || { echo "usage: $0 DIR PACKAGE..." >&2; exit 2; }
dir=$1
shift
# shellcheck source=/dev/null
. /etc/os-release
packages=$(echo "$*" | tr ' ' ,)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
new=$dir.new

trap 'rm -f "$dir.list"' EXIT
rm -rf "$new"
apt-get indextargets --format "\$(REPO_URI) \$(CODENAME) \$(COMPONENT)" "Created-By: Packages" | sort -u |
	grep " $VERSION_CODENAME" | sed "s#^#deb [signed-by=$keyring] #" >"$dir.list"
[ -s "$dir.list" ] || { echo "apt knows no archive of $VERSION_CODENAME: run 'apt-get update'" >&2; exit 1; }
mmdebstrap --quiet --mode=root --variant=extract --architectures=arm64 --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
	"$VERSION_CODENAME" "$new" - <"$dir.list"
# A sysroot is there whole or not at all: an interrupted run leaves only DIR.new.
rm -rf "$dir"
mv "$new" "$dir"
