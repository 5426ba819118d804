#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Guest kernel and initramfs of the lab, made once and kept in the cache.
#
# usage: build-guest.sh [storage]
#   prints two paths: the kernel image and the initramfs.
#   storage: with what disks are tested with, which makes it five times as large.
# environment:
#   OUTBOARD_CACHE         where results are kept (default /var/cache/outboard)
#   OUTBOARD_GUEST_KERNEL  Debian package of the kernel (default: linux-image-cloud-<arch>)
#
# The kernel is Debian's own, unpacked and never installed. The programs of the initramfs are
# those of this machine, so it has to be a Debian 12 with the packages named in need() below.
set -euo pipefail
umask 022
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

here=$(cd "$(dirname "$0")" && pwd)
cache=${OUTBOARD_CACHE:-/var/cache/outboard}/guest
kernel_pkg=${OUTBOARD_GUEST_KERNEL:-linux-image-cloud-$(dpkg --print-architecture)}

modules="virtio_pci virtio_net virtio_blk af_packet ipv6 8021q nvme"
programs="busybox:busybox-static dash:dash kmod:kmod ip:iproute2 ss:iproute2
	ping:iputils-ping iperf3:iperf3 ethtool:ethtool dhclient:isc-dhcp-client
	tcpdump:tcpdump curl:curl socat:socat"
case ${1:-} in
"") ;;
storage)
	modules+=" ext4 dm_crypt xts aesni_intel"
	programs+=" nvme:nvme-cli fio:fio mkfs.ext4:e2fsprogs e2fsck:e2fsprogs fstrim:util-linux
		blkdiscard:util-linux blockdev:util-linux lsblk:util-linux cryptsetup:cryptsetup-bin"
	;;
*) echo "usage: build-guest.sh [storage]" >&2; exit 2 ;;
esac

die() { echo "build-guest: $*" >&2; exit 1; }

# Sets 'paths' to where each program is, or says which packages are missing.
need() {
	local p missing=
	paths=
	for p in $programs cpio:cpio depmod:kmod; do
		if path=$(command -v "${p%%:*}"); then
			paths+=" $path"
		else
			missing+=" ${p##*:}"
		fi
	done
	[ -z "$missing" ] || die "missing packages; install them with: apt-get install$missing"
}

# Unpacks the newest kernel of the archive into $1.
fetch_kernel() {
	local dir=$1 work pkg=$kernel_pkg dep
	work=$(mktemp -d "$cache/kernel.XXXXXX")
	chmod 755 "$work"
	cd "$work"
	# The archive's index may be missing or stale: refresh it once, when the download fails.
	dep=$(apt-cache depends "$pkg" 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
	if ! apt-get -qq -o APT::Sandbox::User=root download "${dep:-$pkg}" 2>/dev/null; then
		apt-get -qq update || die "cannot read the Debian archive (apt-get update failed)"
		dep=$(apt-cache depends "$pkg" | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ {print $2; exit}')
		apt-get -qq -o APT::Sandbox::User=root download "${dep:-$pkg}" || die "cannot download ${dep:-$pkg}"
	fi
	dpkg -x ./*.deb root
	rm -f ./*.deb
	rm -rf root/usr
	depmod -b root "$(basename root/lib/modules/*)"
	echo "${dep:-$pkg}" > package
	rm -rf "$dir"
	mv "$work" "$dir"
	cd "$here"
}

# Copies program $1 and what it is linked with into the tree $2.
add_program() {
	local lib
	cp -L "$1" "$2/usr/bin/"
	{ ldd "$1" 2>/dev/null || true; } | awk '/=> \//{print $3} $1 ~ /^\/lib64\//{print $1}' | while read -r lib; do
		[ -e "$2$lib" ] || install -D -m 755 "$lib" "$2$lib"
	done
}

# Copies module $1 with all it depends on from the kernel tree $2 into the tree $3.
add_module() {
	local v
	v=$(basename "$2"/lib/modules/*)
	grep -qE "/$(echo "$1" | sed 's/[-_]/[-_]/g')\.ko" "$2/lib/modules/$v/modules.builtin" && return 0
	modprobe -d "$2" -S "$v" --show-depends "$1" 2>/dev/null | awk '$1 == "insmod" {print $2}' | while read -r ko; do
		install -D -m 644 "$ko" "$3/lib/modules/$v/$(basename "$ko")"
	done
}

build_initrd() {
	local kernel=$1 out=$2 t v p m a
	t=$(mktemp -d "$cache/initrd.XXXXXX")
	v=$(basename "$kernel"/lib/modules/*)
	mkdir -p "$t"/{bin,usr/bin,proc,sys,dev,tmp,run,etc/dhcp,root,var/lib/dhcp,var/run,lib/modules/$v,lib64}
	ln -s usr/bin "$t/sbin"
	# Debian's merged /usr: the libraries below land in /lib and /lib64 under the names that ldd prints.
	for p in $paths; do
		case $p in */cpio|*/depmod) continue ;; esac
		add_program "$(readlink -f "$p" | grep -q /busybox$ && readlink -f "$p" || echo "$p")" "$t"
	done
	for a in $(busybox --list); do
		[ -e "$t/usr/bin/$a" ] || ln -s /usr/bin/busybox "$t/bin/$a"
	done
	# Debian's busybox shell runs its applets before looking at PATH (ip, ping ...): dash is /bin/sh.
	ln -sf /usr/bin/dash "$t/bin/sh"
	# The kernel's request_module() wants /sbin/modprobe, and soft dependencies want the real kmod.
	for a in modprobe insmod rmmod lsmod; do
		rm -f "$t/bin/$a"
		ln -sf kmod "$t/usr/bin/$a"
	done
	for m in $modules; do add_module "$m" "$kernel" "$t"; done
	cp "$kernel/lib/modules/$v"/modules.{builtin,builtin.modinfo,order} "$t/lib/modules/$v/"
	depmod -b "$t" "$v"
	[ -n "$(find "$t/lib/modules" -name 'virtio_net.ko')" ] || die "the guest kernel has no virtio_net module"
	echo 'root:x:0:0:root:/root:/bin/sh' > "$t/etc/passwd"
	echo 'root:x:0:' > "$t/etc/group"
	echo '127.0.0.1 localhost' > "$t/etc/hosts"
	install -m 755 "$here/init" "$t/init"
	install -m 755 "$here/agent" "$here/net-up" "$here/dhclient-script" "$t/usr/bin/"
	install -m 644 "$here/profile" "$t/etc/profile"
	install -m 644 "$here/dhclient.conf" "$t/etc/dhcp/"
	# Not compressed: unpacking under emulation costs more than reading from memory.
	(cd "$t" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) > "$out.new"
	mv "$out.new" "$out"
	rm -rf "$t"
}

need
mkdir -p "$cache"
exec 9> "$cache/.lock"
flock 9
kernel=$cache/kernel-$(echo "$kernel_pkg" | tr -c 'a-z0-9\n' _)
[ -s "$kernel/package" ] || fetch_kernel "$kernel"
key=$({ echo "$modules"; cat "$here"/{build-guest.sh,init,agent,net-up,dhclient-script,dhclient.conf,profile} "$kernel/package" $paths; } |
	sha256sum | cut -c 1-16)
initrd=$cache/initrd-$key.cpio
if [ ! -s "$initrd" ]; then
	# A lab that is up may still boot from the previous one, so only old ones go.
	find "$cache" -name 'initrd-*.cpio' -mtime +7 -delete
	find "$cache" -maxdepth 1 -name 'initrd.??????' -mmin +60 -exec rm -rf {} +
	build_initrd "$kernel/root" "$initrd"
fi
echo "$(echo "$kernel"/root/boot/vmlinuz-*)"
echo "$initrd"
