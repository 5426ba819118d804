#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Unattended: the headers that a DPDK driver needs and Debian's libdpdk-dev leaves out, from the source package of the installed
# version, into a private directory. Of the host only apt-get and tar are used, and apt gets a private state; apt checks the
# archive's signature and the package's checksums.
# usage: dpdk-driver-headers.sh            makes dpdk-driver-headers/VERSION/include in the cache
#        dpdk-driver-headers.sh --where    prints that directory; exit status 1 when it is not there
# env: OUTBOARD_CACHE
set -euo pipefail

HEADERS='lib/ethdev/ethdev_driver.h lib/ethdev/ethdev_vdev.h lib/eal/include/dev_driver.h drivers/bus/vdev/bus_vdev_driver.h'
# Installed ones, to see that the source is that of what is installed.
SAME='lib/ethdev/rte_ethdev.h lib/ethdev/rte_ethdev_core.h lib/eal/include/rte_dev.h drivers/bus/vdev/rte_bus_vdev.h'

fail() {
	echo "dpdk-driver-headers: $1" >&2
	exit 1
}

case $#,${1:-} in
0,) where='' ;;
1,--where) where=1 ;;
*) fail 'usage: dpdk-driver-headers.sh [--where]' ;;
esac
OB_TOP=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
# shellcheck source=tools/common.sh
. "$OB_TOP/tools/common.sh"
top=$OUTBOARD_CACHE/dpdk-driver-headers
version=$(dpkg-query -W -f '${source:Version}' libdpdk-dev 2>/dev/null) || fail 'libdpdk-dev is not installed'
dir=$top/$version

usable() {
	[ -f "$dir/SHA256SUMS" ] && (cd "$dir/include" && sha256sum --quiet --strict -c ../SHA256SUMS) >/dev/null 2>&1
}

if [ -n "$where" ]; then
	usable || exit 1
	echo "$dir/include"
	exit 0
fi
usable && exit 0

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || fail "$keyring is missing: install debian-archive-keyring"
# The archives that the machine's apt takes Debian's binary packages from have the source packages too.
sources=$(apt-get indextargets --format "deb-src [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
	'Created-By: Packages' 'Origin: Debian' | sort -u)
[ -n "$sources" ] || fail 'apt knows no archive of Debian: check /etc/apt/sources.list*, then apt-get update'

mkdir -p "$top"
tmp=$(mktemp -d "$top/.headers.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/etc/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} "$tmp/state/lists/partial" \
	"$tmp/cache/archives/partial" "$tmp/source" "$tmp/new/include"
: >"$tmp/status"
echo "$sources" >"$tmp/etc/sources.list"
cat >"$tmp/apt.conf" <<CONF
Dir::Etc "$tmp/etc"; Dir::Etc::sourcelist "sources.list"; Dir::Etc::parts "apt.conf.d";
Dir::State "$tmp/state"; Dir::State::status "$tmp/status"; Dir::Cache "$tmp/cache";
APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::Retries "3"; Acquire::http::Timeout "20"; Acquire::Check-Valid-Until "false";
CONF
# The host's way to its archives (a proxy, for one) is the only thing that is taken over.
apt-config dump | grep -E '^Acquire::(http|https)::' >>"$tmp/apt.conf" || true
export APT_CONFIG=$tmp/apt.conf

apt-get -qq --error-on=any update || fail 'apt cannot read the lists of source packages (see above)'
(cd "$tmp/source" && apt-get -qq --download-only source "dpdk=$version") ||
	fail "apt cannot fetch the source of dpdk $version: is the installed version still in the archive? (apt-get update && apt-get upgrade)"
orig=("$tmp"/source/dpdk_*.orig.tar.xz)
dsc=("$tmp"/source/dpdk_*.dsc)
if ! [ -f "${orig[0]}" ] || ! [ -f "${dsc[0]}" ]; then
	fail "the source package of dpdk $version is not of the form that is known"
fi
# apt has checked the .dsc by the archive's signature, and this file by it; once more, as nothing else would notice.
sum=$(sed -n '/^Checksums-Sha256:/,/^[^ ]/p' "${dsc[0]}" | awk -v f="${orig[0]##*/}" '$3 == f { print $1 }')
echo "$sum  ${orig[0]}" | sha256sum --quiet --strict -c || fail "the checksum of ${orig[0]##*/} is wrong"

patterns=()
for f in $HEADERS $SAME; do
	patterns+=("*/$f")
done
mkdir "$tmp/tree"
tar -C "$tmp/tree" --strip-components=1 -xf "${orig[0]}" --wildcards "${patterns[@]}" ||
	fail "dpdk $version has no $HEADERS"
installed=$(pkg-config --variable=includedir libdpdk)
for f in $SAME; do
	found=''
	for inc in "$installed" "$installed/dpdk" /usr/include/dpdk; do
		[ ! -f "$inc/${f##*/}" ] || found=$inc/${f##*/}
	done
	cmp -s "$tmp/tree/$f" "$found" || fail "the source of dpdk $version differs from the installed ${f##*/}"
done
for f in $HEADERS; do
	cp "$tmp/tree/$f" "$tmp/new/include/"
done
(cd "$tmp/new/include" && sha256sum -- *.h >../SHA256SUMS)
chmod 755 "$tmp/new" "$tmp/new/include"
rm -rf "$dir"
mv "$tmp/new" "$dir"
usable || fail 'could not write the headers'
