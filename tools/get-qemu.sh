#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Unattended: QEMU >= 10.1 (the first with vfio-user) from Debian's archive into a private directory. Of the host only
# apt-get and dpkg-deb are used, and apt gets a private state: the host's packages, sources and lists stay as they are.
# usage: get-qemu.sh DIR [trixie-backports|sid]     env: MIRROR (default: the archive that this machine's apt uses)
set -euo pipefail
dir=${1:?usage: get-qemu.sh DIR [SUITE]}
suite=${2:-trixie-backports}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

usable() {
	[ -x "$dir/qemu-system-x86_64" ] && "$dir/qemu-system-x86_64" -device vfio-user-pci,help 2>/dev/null | grep -q 'socket='
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
usable && exit 0

if [ -z "${MIRROR:-}" ]; then
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# (no head: with pipefail it would kill apt-get by SIGPIPE and the script with it)
	MIRROR=$(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" "Codename: $codename" | sed -n 1p)
fi
[ -n "$MIRROR" ] || { echo "apt has no archive for this release: check /etc/apt/sources.list*" >&2; exit 1; }
mirror=${MIRROR%/}

apt=$dir/.apt
root=$dir/root
rm -rf "$apt" "$root"
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/etc/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} "$apt/state/lists/partial" \
	"$apt/cache/archives/partial" "$root"
: >"$apt/status"
case $suite in
sid)
	echo "deb [signed-by=$keyring arch=amd64] $mirror sid main" >"$apt/etc/sources.list"
	;;
*)
	printf "deb [signed-by=$keyring arch=amd64] $mirror %s main\n" trixie trixie-backports >"$apt/etc/sources.list"
	printf 'Package: src:qemu:any src:seabios:any\nPin: release n=trixie-backports\nPin-Priority: 900\n' \
		>"$apt/etc/preferences"
	;;
esac
cat >"$apt/apt.conf" <<EOF
Dir::Etc "$apt/etc"; Dir::Etc::sourcelist "sources.list"; Dir::Etc::parts "apt.conf.d";
Dir::State "$apt/state"; Dir::State::status "$apt/status"; Dir::Cache "$apt/cache";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::Retries "5"; Acquire::Check-Valid-Until "false";
EOF
# The host's way to its archives (a proxy, for one) is the only thing that is taken over.
apt-config dump | grep -E '^Acquire::(http|https)::' >>"$apt/apt.conf" || true
export APT_CONFIG=$apt/apt.conf
apt-get -qq update
apt-get -qq -y --download-only --no-install-recommends install qemu-system-x86
for deb in "$apt"/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$root" --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale
done
cat >"$dir/qemu-system-x86_64" <<'EOF'
#!/bin/sh
# private QEMU: its own dynamic loader and libraries, its own firmware
R=$(dirname "$(readlink -f "$0")")/root; L=$R/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$L/qemu"
exec "$L/ld-linux-x86-64.so.2" --library-path "$L" --argv0 qemu-system-x86_64 "$R/usr/bin/qemu-system-x86_64" \
  -L "$R/usr/share/qemu" -L "$R/usr/share/seabios" "$@"
EOF
chmod +x "$dir/qemu-system-x86_64"
usable || { echo "the QEMU of $suite has no vfio-user-pci device" >&2; exit 1; }
