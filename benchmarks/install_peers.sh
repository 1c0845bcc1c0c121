#!/bin/sh
# Installs what the C++ and Go servers of `python -m benchmarks servers` are built with (benchmarks/native_peers.py):
# Debian's packages, for root. Go itself is not installed: Debian's is too old for Apache Thrift's library. Says what
# is missing afterwards; those servers are not measured. REAL_SERVERS=no leaves the machine as it is.
set -u
packages="g++ thrift-compiler libthrift-dev libboost-dev libevent-dev"

missing_packages() {
	for package in $packages; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || printf ' %s' "$package"
	done
}

if [ "${REAL_SERVERS:-yes}" != no ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	missing=$(missing_packages)
	if [ -n "$missing" ]; then
		echo "==> installing$missing"
		export DEBIAN_FRONTEND=noninteractive
		install() { timeout 300 apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends $missing >/dev/null 2>&1; }
		install || { timeout 120 apt-get update -q >/dev/null 2>&1 && install; } || echo "    installation failed" >&2
	fi
fi

if command -v dpkg-query >/dev/null; then
	missing=$(missing_packages)
	[ -z "$missing" ] || echo "==> NOT RUN: servers in C++ and Go; they need$missing"
fi
command -v go >/dev/null || echo "==> NOT RUN: servers in Go; they need Go 1.26 or newer"
exit 0
