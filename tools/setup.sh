# Sourced by the launchers `lighter` and `test`, which set $root. Installs what is missing on Debian and Ubuntu, saying what and why, asks
# nothing, and builds dist/lighter. Everything it says goes to standard error; what apt, npm and bun say goes to .cache/setup.log.

setup_log=$root/.cache/setup.log
setup_bun_version=$(sed -n 's/.*"bun": ">=\([0-9.]*\)".*/\1/p' "$root/package.json")

setup_say() { echo "lighter: $*" >&2; }

# setup_run WHAT REMEDY COMMAND...: runs a step with its output in the log; when it fails, says which and what to do.
setup_run() {
	setup_what=$1 setup_remedy=$2
	shift 2
	echo "+ $*" >>"$setup_log"
	"$@" >>"$setup_log" 2>&1 </dev/null && return 0
	setup_say "$setup_what failed. The end of $setup_log:"
	tail -n 15 "$setup_log" | sed 's/^/    /' >&2
	setup_say "$setup_remedy"
	return 1
}

setup_has() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || [ -x "/usr/libexec/podman/$1" ]; }

# setup_want PACKAGE WHY: one more package of the distribution to install.
setup_want() {
	setup_packages="$setup_packages $1"
	setup_reasons="$setup_reasons
  $1: $2"
}

# The programs and files that the daemon cannot do without.
setup_wants() {
	setup_has crun || setup_has runc || setup_want crun "the OCI runtime that starts containers"
	setup_has conmon || setup_want conmon "the monitor of each container, which outlives the daemon"
	setup_has nft || setup_want nftables "the rules behind published ports and networks"
	setup_has ip || setup_want iproute2 "to look at the networks it makes"
	setup_has ps || setup_want procps "to list the processes of a container"
	setup_has tini || setup_has docker-init || setup_has catatonit || setup_want tini "the first process of containers with --init"
	[ -s /etc/ssl/certs/ca-certificates.crt ] || setup_want ca-certificates "to trust registries"
	set -- /usr/lib/*/libseccomp.so.2 /lib/*/libseccomp.so.2 /usr/lib/libseccomp.so.2
	for setup_file; do [ -e "$setup_file" ] && return; done
	setup_want libseccomp2 "to compile the system call filter"
}

# What the tests need beside it. Docker's clients, its registry and a static busybox are unpacked into .cache and not installed.
setup_wants_of_tests() {
	setup_has skopeo || setup_want skopeo "tests: copies images between formats"
	setup_has umoci || setup_want umoci "tests: unpacks images, to compare with"
	setup_has tmux || setup_want tmux "tests: the terminals of interactive commands"
	setup_has mmdebstrap || setup_want mmdebstrap "tests: makes Debian images and fresh machines"
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || setup_want debian-archive-keyring "tests: to trust Debian's packages"
	python3 -m pip --version >/dev/null 2>&1 || setup_want python3-pip "tests: fetches docker-py"
	setup_has runc || setup_want runc "tests: the second OCI runtime"
	setup_has zstd || setup_want zstd "tests: packs archives"
	setup_has xz || setup_want xz-utils "tests: packs archives"
	setup_has bzip2 || setup_want bzip2 "tests: packs archives"
}

# The bun to build with, at the pinned version: of the PATH, else our own copy.
setup_find_bun() {
	for setup_bun in "$(command -v bun)" "$root/.cache/bun/$setup_bun_version/bun"; do
		[ -x "$setup_bun" ] && [ "$("$setup_bun" --version 2>/dev/null)" = "$setup_bun_version" ] && return 0
	done
	setup_bun=
	return 1
}

# The npm package that holds bun's binary for this machine. It needs no install script, which some configurations forbid.
setup_bun_package() {
	case $(uname -m) in
	x86_64) if grep -qw avx2 /proc/cpuinfo; then echo @oven/bun-linux-x64; else echo @oven/bun-linux-x64-baseline; fi ;;
	aarch64) echo @oven/bun-linux-aarch64 ;;
	*) setup_say "there is no bun for $(uname -m): Lighter runs on x86_64 and aarch64" && return 1 ;;
	esac
}

setup_install_packages() {
	setup_say "installing from the distribution's packages:$setup_reasons"
	if [ "$(id -u)" != 0 ]; then
		setup_say "that needs root. Run as root: apt-get install --no-install-recommends$setup_packages"
		return 1
	fi
	if ! command -v apt-get >/dev/null; then
		setup_say "there is no apt-get here (Lighter installs by itself on Debian and Ubuntu). Install by hand:$setup_packages"
		return 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	setup_apt_install && return 0
	setup_say "refreshing the package lists"
	setup_run "apt-get update" "Check /etc/apt and the network, then run this again." apt-get update || return 1
	setup_run "apt-get install$setup_packages" "Check /etc/apt and the network, then run this again." setup_apt_install
}

# shellcheck disable=SC2086 # a list of words
setup_apt_install() { apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $setup_packages >>"$setup_log" 2>&1 </dev/null; }

setup_install_bun() {
	setup_package=$(setup_bun_package) || return 1
	setup_say "installing bun $setup_bun_version (npm package $setup_package), the runtime that Lighter is built with"
	setup_folder=$root/.cache/bun/$setup_bun_version
	mkdir -p "$setup_folder"
	[ -e "$setup_folder/package.json" ] || echo '{ "private": true }' >"$setup_folder/package.json"
	setup_run "npm install $setup_package" "Check that npm reaches its registry (npm ping), then run this again." \
		npm install --prefix "$setup_folder" --no-audit --no-fund --ignore-scripts --no-save --force "$setup_package@$setup_bun_version" || return 1
	ln -sf "node_modules/$setup_package/bin/bun" "$setup_folder/bun"
	setup_find_bun && return 0
	setup_say "the bun that npm installed in $setup_folder does not run or is not version $setup_bun_version. Try $setup_folder/bun --version."
	return 1
}

# Packages of bun.lock; `all` takes what the tests need, too. A folder that has those already keeps them.
setup_install_modules() {
	setup_flags=--frozen-lockfile
	[ "$1" = all ] || [ -d "$root/node_modules/typescript" ] || setup_flags="--frozen-lockfile --production"
	[ -d "$root/node_modules" ] || setup_say "installing the npm packages of bun.lock"
	# shellcheck disable=SC2086
	setup_run "bun install" "Check that bun reaches the npm registry, then run this again." \
		"$setup_bun" install --cwd "$root" --no-progress $setup_flags
}

# True when no source is newer than the executable.
setup_built() {
	[ -z "$LIGHTER_REBUILD" ] && [ -x "$root/dist/lighter" ] && [ -L "$root/dist/docker" ] &&
		[ -z "$(find "$root/src" "$root/package.json" "$root/bun.lock" "$root/tools/build.ts" -newer "$root/dist/lighter" ! -name '*.test.ts' -print -quit)" ]
}

# Lists what is missing; true when nothing is.
setup_nothing_missing() {
	setup_missing=
	setup_miss() { setup_missing=1 && setup_say "missing: $*"; }
	[ -z "$setup_reasons" ] || setup_miss "packages of the distribution:$setup_reasons"
	[ -n "$setup_bun" ] || setup_miss "bun $setup_bun_version, to build with (comes from npm)"
	[ -d "$root/node_modules" ] || setup_miss "the npm packages of bun.lock"
	setup_built || setup_miss "dist/lighter made from these sources (bun builds it)"
	[ -z "$setup_missing" ]
}

# setup_lighter [MODULES]: brings everything into place, one process at a time. MODULES is `all` for the tests.
setup_lighter() {
	setup_packages="" setup_reasons=""
	setup_wants
	[ -z "$1" ] || setup_wants_of_tests
	if ! setup_find_bun && [ -z "$(command -v npm)" ]; then
		setup_want npm "to install bun, the runtime that Lighter is built with"
	fi
	if [ -n "$LIGHTER_NO_INSTALL" ]; then
		setup_nothing_missing
		return
	fi
	mkdir -p "$root/.cache" "$root/dist" 2>/dev/null && : >>"$setup_log" 2>/dev/null || {
		[ -x "$root/dist/lighter" ] && return 0
		setup_say "cannot write to $root: run once as its owner or as root"
		return 1
	}
	exec 9>"$root/.cache/setup.lock"
	flock 9
	: >"$setup_log"
	setup_steps "$1"
	setup_result=$?
	exec 9>&-
	return $setup_result
}

setup_steps() {
	if [ -n "$setup_packages" ]; then
		# Without root the client is still of use, once it is built.
		setup_install_packages || { [ "$(id -u)" != 0 ] && [ -x "$root/dist/lighter" ] && return 0; } || return 1
	fi
	setup_find_bun || setup_install_bun || return 1
	if [ "$1" = all ] || ! setup_built; then setup_install_modules "$1" || return 1; fi
	if ! setup_built; then
		setup_say "building dist/lighter"
		setup_run "the build" "This is a defect of Lighter: please report it with the lines above." "$setup_bun" "$root/tools/build.ts" || return 1
	fi
	: >"$root/dist/.ready"
}
