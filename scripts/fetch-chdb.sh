#!/bin/sh
# Fetches libchdb.so, the embedded ClickHouse engine, into the user's cache
# folder and prints its path on standard output. Progress and errors go to
# standard error.
#
# The version and its integrity hash are pinned here; npm only transports the
# bytes, from whatever registry or mirror its own configuration names. The
# folder appears by one rename, so a reader never sees half a library, and two
# runs at once end with one good copy.
#
# Environment:
#   ANNALS_CHDB      path of a libchdb.so that is already there (air gap):
#                    nothing is fetched
#   XDG_CACHE_HOME   where caches live (default: $HOME/.cache)
#
# Exit codes: 0 the library is there; 1 it could not be fetched; 3 there is no
# package for this platform.
set -eu

version=26.7.3-stable.1
package=@chdb/lib-linux-x64-gnu
integrity=XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
download_mb=178
disk_mb=566

say() { printf '%s\n' "chdb: $*" >&2; }
die() {
	code=$1
	shift
	say "$*"
	exit "$code"
}

if [ -n "${ANNALS_CHDB:-}" ]; then
	[ -f "$ANNALS_CHDB" ] || die 1 "ANNALS_CHDB names $ANNALS_CHDB, which is not a file"
	printf '%s\n' "$ANNALS_CHDB"
	exit 0
fi

cache=${XDG_CACHE_HOME:-${HOME:?set HOME or XDG_CACHE_HOME}/.cache}/annals
target=$cache/chdb-$version
if [ -f "$target/libchdb.so" ]; then
	printf '%s\n' "$target/libchdb.so"
	exit 0
fi

platform=$(uname -s)-$(uname -m)
if [ "$platform" != Linux-x86_64 ]; then
	die 3 "no engine is packaged for $platform (only Linux-x86_64 with glibc); annals up runs without search there: archive, proof and replay work. To search, give it a ClickHouse server, or point ANNALS_CHDB at a libchdb.so of version $version"
fi
if command -v ldd >/dev/null 2>&1 && ldd --version 2>&1 | grep -qi musl; then
	die 3 "the engine needs glibc and this system has musl; annals up runs without search here: archive, proof and replay work. To search, give it a ClickHouse server"
fi

command -v npm >/dev/null 2>&1 ||
	die 1 "npm is not installed; it transports the engine ($package@$version). Install Node 20 or later, or put libchdb.so somewhere and set ANNALS_CHDB=/path/to/libchdb.so"
npm_version=$(npm --version 2>/dev/null) || die 1 "npm is there but does not run: try 'npm --version'"
case ${npm_version%%.*} in
'' | *[!0-9]*) die 1 "npm --version answered '$npm_version', which is not a version" ;;
esac
[ "${npm_version%%.*}" -ge 8 ] || die 1 "npm $npm_version is too old (8 or later is needed, it comes with Node 20)"
command -v openssl >/dev/null 2>&1 || command -v node >/dev/null 2>&1 ||
	die 1 "neither openssl nor node is installed; one of them is needed to check the engine's hash"

mkdir -p "$cache"
free_mb=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
need_mb=$((download_mb + disk_mb + 50))
[ "$free_mb" -ge "$need_mb" ] ||
	die 1 "$cache has $free_mb MB free; $need_mb MB are needed while unpacking. Free some, or set XDG_CACHE_HOME to another disk"

work=$(mktemp -d "$cache/.chdb-$version.XXXXXX")
npm_pid= # the download, when one runs
progress_pid=
cleanup() {
	[ -z "$npm_pid" ] || kill "$npm_pid" 2>/dev/null || :
	[ -z "$progress_pid" ] || kill "$progress_pid" 2>/dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "fetching ClickHouse's engine $version ($download_mb MB to download, $disk_mb MB on disk, once) into $target"
# npm pack runs no scripts of the package and needs no project; the empty
# working folder keeps a nearby .npmrc or package.json from having a say.
(
	cd "$work"
	exec npm pack --ignore-scripts --loglevel=error --fetch-retries=3 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=10000 "$package@$version" >"$work/name" 2>"$work/npm.err"
) &
npm_pid=$!
(
	# npm is silent when its output is no terminal; one line every five
	# seconds tells that it lives. Its cache holds the bytes as they come.
	seconds=0
	while sleep 5; do
		seconds=$((seconds + 5))
		have=$(du -sm "$work" 2>/dev/null | awk '{ print $1 }')
		say "still fetching: ${seconds} s, ${have:-0} MB written"
	done
) &
progress_pid=$!
if wait "$npm_pid"; then ok=yes; else ok=no; fi
npm_pid=
kill "$progress_pid" 2>/dev/null || :
wait "$progress_pid" 2>/dev/null || :
progress_pid=
if [ "$ok" = no ]; then
	sed 's/^/chdb: npm: /' "$work/npm.err" >&2
	die 1 "npm could not fetch $package@$version from $(npm config get registry 2>/dev/null). Behind a mirror: 'npm config set registry URL'; without a network: set ANNALS_CHDB=/path/to/libchdb.so"
fi
tarball=$work/$(tail -n 1 "$work/name")
[ -f "$tarball" ] || die 1 "npm said it packed '$(cat "$work/name")', which is not there"

say "checking the SHA-512 and unpacking"
if command -v openssl >/dev/null 2>&1; then
	got=$(openssl dgst -sha512 -binary "$tarball" | openssl base64 -A)
else
	got=$(node -e 'const h = require("crypto").createHash("sha512"); require("fs").createReadStream(process.argv[1]).on("data", d => h.update(d)).on("end", () => console.log(h.digest("base64")))' "$tarball")
fi
[ "$got" = "$integrity" ] ||
	die 1 "the package's SHA-512 is $got, expected $integrity: what the registry served is not the engine this version was built for; nothing was installed"

mkdir "$work/out"
tar -xzf "$tarball" -C "$work/out" --strip-components=1 package/libchdb.so package/package.json
[ -s "$work/out/libchdb.so" ] || die 1 "the package holds no libchdb.so"
chmod 755 "$work/out"
chmod 644 "$work/out/libchdb.so" "$work/out/package.json"

# Another run may have won meanwhile; -T refuses to move into its folder.
if ! mv -T "$work/out" "$target" 2>"$work/mv.err"; then
	[ -f "$target/libchdb.so" ] || die 1 "cannot move the engine into place: $(cat "$work/mv.err")"
fi
say "ready: $target/libchdb.so"
printf '%s\n' "$target/libchdb.so"
