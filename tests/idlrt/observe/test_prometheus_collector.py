"""The collector for `prometheus_client`: valid for Prometheus, and with the values of `/metrics`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import prometheus_client
import pytest
from hand_written import Users, UserServiceClient, user_service
from programs import require_program
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from idlrt import Server, observe
from idlrt.errors import ConfigurationError
from idlrt.observe import Counts, Metric, PrometheusCollector, Series

COUNT = "rpc_server_call_duration_seconds"


class Sold:
    """A source of a program."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def read(self) -> list[Series]:
        return [self._counts.series()]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(user_service(Users()), metrics=True).start() as server:
        with UserServiceClient.connect(server.address) as client:
            for _ in range(20):
                client.get(1)
        yield server


def registry(*, include_process: bool = False) -> prometheus_client.CollectorRegistry:
    found = prometheus_client.CollectorRegistry(auto_describe=True)
    found.register(PrometheusCollector(include_process=include_process))
    return found


def test_a_registry_has_the_values_of_the_server(server: Server) -> None:
    labels = {"rpc_method": "UserService.get", "rpc_status_code": "ok", "error_type": ""}
    found = registry()
    count = found.get_sample_value(f"{COUNT}_count", labels)
    assert count is not None
    assert count >= 20
    assert found.get_sample_value(f"{COUNT}_bucket", {**labels, "le": "+Inf"}) == count
    # Other servers of this process are counted, too.
    own = server.figures(side="server", by=("method",)).total.pv
    assert own <= (found.get_sample_value("rpc_server_calls_total", {**labels, "caller": ""}) or 0)


@pytest.mark.usefixtures("server")
def test_the_default_registry_has_no_family_twice_and_promtool_finds_nothing() -> None:
    collector = PrometheusCollector()
    prometheus_client.REGISTRY.register(collector)
    try:
        text = prometheus_client.generate_latest()
        types = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]
        openmetrics = generate_openmetrics(prometheus_client.REGISTRY).decode()
    finally:
        prometheus_client.REGISTRY.unregister(collector)
    assert len(types) == len(set(types))
    assert {COUNT, "process_threads", "python_gc_pause_seconds", "process_cpu_seconds_total"} <= set(types)
    program = require_program("promtool", "prometheus")
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert openmetrics.endswith("# EOF\n")


@pytest.mark.usefixtures("server")
def test_process_metrics_are_an_option() -> None:
    names = {family.name for family in registry().collect()}
    assert not names & {"process_cpu_seconds", "process_open_fds", "python", "python_gc_collections"}
    names = {family.name for family in registry(include_process=True).collect()}
    assert {"process_cpu_seconds", "process_open_fds", "python", "python_gc_collections"} <= names


def test_names_that_cannot_be_encoded_do_not_make_metrics_unreadable() -> None:
    counts = Counts(Metric(name="encoded_total", kind="counter", help="Sales", labels=("name",)))
    counts.add(("a\udce4b",))
    source = Sold(counts)
    observe.PROCESS.add(source)
    assert registry().get_sample_value("encoded_total", {"name": "a?b"}) == 1
    assert b'encoded_total{name="a?b"} 1.0' in prometheus_client.generate_latest(registry())


def test_it_enables_metrics_of_clients() -> None:
    program = """
from idlrt import observe
assert not observe.PROCESS.is_enabled
observe.PrometheusCollector()
assert observe.PROCESS.is_enabled
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={})


def test_multiprocess_mode_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"PROMETHEUS_MULTIPROC_DIR is set, .*; use ProcessServer, whose"):
        PrometheusCollector()


def test_a_missing_library_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"not installed; run pip install 'idlc\[prometheus\]'"):
        PrometheusCollector()
