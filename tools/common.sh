# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# What every command of `outboard` stands on: messages, the cache, set-up steps that run once, and the builds.
# Needs: OB_TOP, the top of the tree. Everything here talks on stderr; stdout belongs to the command.

# ---- messages -------------------------------------------------------------------------------------------------------

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	export C_B=$'\e[1m'
	C_DIM=$'\e[2m' C_RED=$'\e[31m' C_YEL=$'\e[33m' C_GRN=$'\e[32m' C_0=$'\e[0m'
else
	export C_B=''
	C_DIM='' C_RED='' C_YEL='' C_GRN='' C_0=''
fi

say() {
	printf '%s%-8s%s %s\n' "$C_GRN" "$1" "$C_0" "$2" >&2
}

warn() {
	printf '%swarning:%s %s\n' "$C_YEL" "$C_0" "$1" >&2
}

# die MESSAGE [WHAT TO DO...]: each further argument is a line of advice.
die() {
	printf '%soutboard:%s %s\n' "$C_RED" "$C_0" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '          %s\n' "$@" >&2
	exit 1
}

# usage_error MESSAGE: for a wrong command line; 2, so that a script can tell it from a failed run.
usage_error() {
	printf '%soutboard:%s %s\n' "$C_RED" "$C_0" "$1" >&2
	printf "          see '%s'\n" "${2:-./outboard help}" >&2
	exit 2
}

# ---- the cache ------------------------------------------------------------------------------------------------------

# Downloads and what is made from them; may be thrown away at any time.
if [ -z "${OUTBOARD_CACHE:-}" ]; then
	if [ "$(id -u)" = 0 ]; then
		OUTBOARD_CACHE=/var/cache/outboard
	else
		OUTBOARD_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/outboard
	fi
fi
case $OUTBOARD_CACHE in
/*) ;;
*) die "OUTBOARD_CACHE is '$OUTBOARD_CACHE': it must be an absolute path" ;;
esac
export OUTBOARD_CACHE

need_cache() {
	if ! mkdir -p "$OUTBOARD_CACHE/log" 2>/dev/null || ! [ -w "$OUTBOARD_CACHE" ]; then
		die "cannot write to the cache $OUTBOARD_CACHE" "set OUTBOARD_CACHE to a directory of yours"
	fi
}

need_root() {
	[ "$(id -u)" = 0 ] || die "$1 needs root" "run it again as root: sudo ./outboard ..."
}

# run_logged NAME COMMAND...: quiet when it works; its last lines and the whole log's place when it does not. OB_VERBOSE=1 shows all.
run_logged() {
	local log=$OUTBOARD_CACHE/log/$1.log rc=0
	shift
	if [ -n "${OB_VERBOSE:-}" ]; then
		"$@" 9>&- >&2
		return
	fi
	"$@" >"$log" 2>&1 9>&- </dev/null || rc=$?
	if [ $rc != 0 ]; then
		tail -n 25 "$log" | sed 's/^/    /' >&2
		printf '    %s(exit status %d; all of it: %s)%s\n' "$C_DIM" $rc "$log" "$C_0" >&2
	fi
	return $rc
}

# once NAME KEY COMMAND...: runs the command unless it already succeeded under this key (a hash of its inputs). One caller at a time.
once() {
	local name=$1 key=$2 stamp=$OUTBOARD_CACHE/.$1.stamp
	shift 2
	need_cache
	(
		flock 9
		[ "$(cat "$stamp" 2>/dev/null)" = "$key" ] && exit 0
		rm -f "$stamp"
		"$@" || exit 1
		echo "$key" >"$stamp"
	) 9>"$OUTBOARD_CACHE/.$name.lock"
}

key_of() {
	cat -- "$@" | sha256sum | cut -c 1-16
}

# ---- Debian packages ------------------------------------------------------------------------------------------------

packages_of() {
	local g
	for g in "$@"; do
		sed -n "s/^$g: //p" "$OB_TOP/tools/packages.list"
	done | tr ' ' '\n' | sort -u
}

missing_packages() {
	local want have
	want=$(packages_of "$@")
	# shellcheck disable=SC2086
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $want 2>/dev/null | sed -n 's/^installed //p' | sort -u)
	comm -23 <(echo "$want") <(echo "$have") | paste -s -d ' '
}

apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

# need_packages GROUP...: installs by name what of these groups is not there.
need_packages() {
	local missing release
	command -v apt-get >/dev/null ||
		die "this is not a Debian system (no apt-get)" "Outboard is built and tested on Debian 12 (bookworm)."
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && echo "$ID ${VERSION_CODENAME:-}")
	[ "$release" = 'debian bookworm' ] || [ -n "${OUTBOARD_ANY_RELEASE:-}" ] ||
		die "packages are missing, and this is $release, not Debian 12 (bookworm): $missing" \
			"use a Debian 12 machine or container, or set OUTBOARD_ANY_RELEASE=1 to try the packages of this release"
	[ "$(id -u)" = 0 ] ||
		die "Debian packages are missing and only root can install them" "run: sudo apt-get install --no-install-recommends $missing"
	need_cache
	say setup "Debian packages: installing $(wc -w <<<"$missing") (${missing:0:90}$([ ${#missing} -le 90 ] || echo ...))"
	# shellcheck disable=SC2086
	{
		run_logged apt-update apt_get update && run_logged apt-install apt_get install -y --no-install-recommends $missing
	} || die "apt-get could not install the packages (see above)" \
		"unreachable archive: check the network, the proxy and /etc/apt/sources.list*" \
		"then run the same command again; it goes on where it stopped"
	missing=$(missing_packages "$@")
	[ -z "$missing" ] || die "apt-get reported success, but these are still missing: $missing"
}

# ---- QEMU, guest, sysroot, hugepages --------------------------------------------------------------------------------

make_qemu() {
	say setup "private QEMU >= 10.1: fetching it into $OUTBOARD_CACHE/qemu"
	run_logged qemu "$OB_TOP/tools/get-qemu.sh" "$OUTBOARD_CACHE/qemu"
}

need_qemu() {
	local key
	key=$(key_of "$OB_TOP/tools/get-qemu.sh")
	[ -x "$OUTBOARD_CACHE/qemu/qemu-system-x86_64" ] || rm -f "$OUTBOARD_CACHE/.qemu.stamp"
	once qemu "$key" make_qemu ||
		die "could not get QEMU >= 10.1 from Debian's archive (see above)" \
			"the archive of this machine's apt must carry trixie and trixie-backports" \
			"another archive: MIRROR=http://... ./outboard setup"
}

make_sysroot() {
	say setup "arm64 sysroot: making it in $OUTBOARD_CACHE/arm64-sysroot (about 100 MB to fetch)"
	# shellcheck disable=SC2046
	run_logged sysroot "$OB_TOP/tools/arm64/make-sysroot.sh" "$OUTBOARD_CACHE/arm64-sysroot" $(packages_of sysroot)
}

need_sysroot() {
	local key
	key=$(packages_of sysroot | cat - "$OB_TOP/tools/arm64/make-sysroot.sh" | sha256sum | cut -c 1-16)
	[ -d "$OUTBOARD_CACHE/arm64-sysroot/usr/lib" ] || rm -f "$OUTBOARD_CACHE/.sysroot.stamp"
	[ "$(cat "$OUTBOARD_CACHE/.sysroot.stamp" 2>/dev/null)" = "$key" ] || need_root "making the arm64 sysroot"
	once sysroot "$key" make_sysroot ||
		die "could not make the arm64 sysroot (see above)" "check that apt reaches its archives: apt-get update"
}

# DPDK's headers for drivers: the benches' traffic generator is one. Returns 1, with a warning, when they cannot be had; what has failed is
# tried again after an hour.
need_driver_headers() {
	local failed=$OUTBOARD_CACHE/.driver-headers.failed
	"$OB_TOP/tools/dpdk-driver-headers.sh" --where >/dev/null && return 0
	[ -z "$(find "$failed" -mmin -60 2>/dev/null)" ] || return 1
	say setup "DPDK's driver headers: fetching them into $OUTBOARD_CACHE/dpdk-driver-headers"
	if run_logged driver-headers "$OB_TOP/tools/dpdk-driver-headers.sh"; then
		rm -f "$failed"
		return 0
	fi
	touch "$failed"
	warn "DPDK's driver headers cannot be fetched (see above): the traffic generator of the benches is not built"
	return 1
}

# Hugepages make the cards faster and are never needed. They are taken only where they are not missed, and given back by
# hugepages_release.
HUGE_WANT=512        # 2 MB each
HUGE_SPARE_KB=8388608 # what must be available before we take any

hugepages() {
	local path=/proc/sys/vm/nr_hugepages state=$OUTBOARD_CACHE/.hugepages.before free avail before
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	avail=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	if [ -n "${OUTBOARD_NO_HUGE:-}" ] || [ ! -w "$path" ]; then
		say setup "hugepages: none asked for; running without"
		return
	fi
	if [ "${free:-0}" -ge $HUGE_WANT ]; then
		return
	fi
	if [ "${avail:-0}" -lt $HUGE_SPARE_KB ]; then
		say setup "hugepages: not enough free memory for them ($((avail / 1024)) MB); running without"
		return
	fi
	before=$(cat "$path")
	[ -e "$state" ] || echo "$before" >"$state"
	echo $((before + HUGE_WANT)) >"$path" 2>/dev/null || true
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	if [ "${free:-0}" -lt $HUGE_WANT ]; then
		hugepages_release
		say setup "hugepages: the kernel does not give them; running without"
	else
		say setup "hugepages: $free x 2 MB"
	fi
}

hugepages_release() {
	local state=$OUTBOARD_CACHE/.hugepages.before
	[ -s "$state" ] || return 0
	cat "$state" >/proc/sys/vm/nr_hugepages 2>/dev/null || true
	rm -f "$state"
}

# ---- builds ---------------------------------------------------------------------------------------------------------

JOBS=${OUTBOARD_JOBS:-$(nproc)}

# configure DIR CC OPTION...: sets up a build directory, or brings its options up to date when this list of them changed.
configure() {
	local dir=$OB_TOP/$1 cc=$2 key
	shift 2
	key="$cc $* ${CONFIG_KEY:-}"
	[ -f "$dir/build.ninja" ] && [ "$(cat "$dir/.outboard-options" 2>/dev/null)" = "$key" ] && return 0
	# A directory that somebody set up by hand without options is the plain build already.
	if [ $# -eq 0 ] && [ -f "$dir/build.ninja" ] && [ ! -e "$dir/.outboard-options" ]; then
		return 0
	fi
	rm -rf "$dir"
	say build "configuring ${dir##*/}/"
	CC=$cc run_logged "meson-${dir##*/}" meson setup "$dir" "$OB_TOP" "$@" || die "meson could not configure ${dir##*/}/ (see above)"
	echo "$key" >"$dir/.outboard-options"
}

# compile DIR [TARGET...]
compile() {
	local dir=$1 log
	shift
	log=$OUTBOARD_CACHE/log/ninja-$dir.$$.log
	if [ -t 2 ] || [ -n "${OB_VERBOSE:-}" ]; then
		ninja -C "$OB_TOP/$dir" -j "$JOBS" "$@" >&2 || die "$dir/ does not build (see above)"
	else
		ninja -C "$OB_TOP/$dir" -j "$JOBS" "$@" >"$log" 2>&1 || {
			sed -n '/^FAILED/,$p' "$log" | grep -v '^\[' | tail -n 60 >&2
			grep -q '^FAILED' "$log" || tail -n 25 "$log" >&2
			die "$dir/ does not build (see above; all of it: $log)"
		}
		say build "$dir/: $(tail -n 1 "$log" | sed 's/^\[\([0-9]*\)\/.*/\1 steps/; s/^ninja: no work to do./up to date/')"
		rm -f "$log"
	fi
}

build_plain() {
	need_packages build
	need_cache
	if need_driver_headers && [ -f "$OB_TOP/build/build.ninja" ] && ! grep -q librte_net_obgen.so "$OB_TOP/build/build.ninja"; then
		# The directory was made without them.
		run_logged meson-build meson setup --reconfigure "$OB_TOP/build" "$OB_TOP" || die "meson could not configure build/ (see above)"
	fi
	configure build gcc
	compile build
}

# What a card would run: optimised as a whole, asserts off. For benches; only what they start.
build_release() {
	need_packages build
	need_cache
	need_driver_headers || die "the traffic generator of the benches cannot be built without DPDK's driver headers (see above)"
	configure build-release gcc --buildtype=release -Db_lto=true
	compile build-release dpu-fw/card/ob-card ctrl/cli/obctl tests/bench/obgen/librte_net_obgen.so tests/vhost_bench tests/block_initiator
}

build_san() {
	need_packages build
	need_cache
	# (what gcc warns of changes with the sanitizers; its warnings are errors in the plain build)
	configure build-san gcc -Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false
	compile build-san
}

build_fuzz() {
	need_packages build fuzz
	need_cache
	# (clang's warnings need not agree with gcc's, either)
	configure build-fuzz clang -Dfuzz=true -Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false
	compile build-fuzz
}

build_coverage() {
	local flags="['-fprofile-instr-generate','-fcoverage-mapping']"
	need_packages build fuzz
	need_cache
	configure build-coverage clang -Dfuzz=true -Dwerror=false -Db_sanitize=address -Db_lundef=false "-Dc_args=$flags" "-Dc_link_args=$flags"
	compile build-coverage "$@"
}

build_arm64() {
	local ini=$OUTBOARD_CACHE/arm64-sysroot.ini
	need_packages build arm64
	need_sysroot
	printf "[constants]\nsysroot = '%s'\n" "$OUTBOARD_CACHE/arm64-sysroot" >"$ini.$$" && mv "$ini.$$" "$ini"
	# A changed cross file makes the directory anew.
	CONFIG_KEY=$(key_of "$ini" "$OB_TOP/tools/arm64/aarch64-linux-gnu.ini") configure build-arm64 "" --cross-file "$ini" --cross-file "$OB_TOP/tools/arm64/aarch64-linux-gnu.ini"
	compile build-arm64
}
