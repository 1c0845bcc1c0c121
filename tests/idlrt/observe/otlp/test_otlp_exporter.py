"""The exporter: what it sends and when, failures that lose nothing, the end of programs, and forks."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from free_ports import free_port
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe import Counts, Histograms, Metric, OtlpExporter, Series, export_otlp

SALES = Metric(name="shop_sales_total", kind="counter", help="Sales", labels=("shop",))
WAITS = Metric(name="shop_wait_seconds", kind="histogram", help="Waits", labels=("shop",))
OPEN = Metric(name="shop_open", kind="gauge", help="Open shops", labels=("shop",))


class Shop:
    """A source of a program."""

    def __init__(self, name: str) -> None:
        self.labels = (name,)
        self.sales = Counts(SALES)
        self.waits = Histograms(WAITS)
        observe.PROCESS.add(self)

    def read(self) -> list[Series]:
        return [self.sales.series(), self.waits.series(), Series(OPEN, {self.labels: 1})]

    def sell(self, *nanoseconds: int) -> None:
        for each in nanoseconds:
            self.sales.add(self.labels)
            self.waits.record(self.labels, each)


class Kept(MetricExporter):
    """An exporter of the SDK that keeps what it gets, or fails.

    Attributes:
        received: what it got.
        before: called before it takes something.
        is_shut_down: whether it has been shut down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: list[MetricsData] = []
        self.before: Callable[[], object] = lambda: None
        self.is_shut_down = threading.Event()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        try:
            self.before()
        except RuntimeError:
            return MetricExportResult.FAILURE
        self.received.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.is_shut_down.set()

    def points(self, name: str, shop: Shop) -> list[Any]:
        """Return the data points of a shop, one of each export that has one."""
        return [
            point
            for data in self.received
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
            if metric.name == name
            for point in metric.data.data_points
            if point.attributes == {"shop": shop.labels[0]}
        ]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    shop = Shop(request.node.name)
    yield shop
    observe.PROCESS.remove(shop)


def started(kept: Kept, **options: Any) -> OtlpExporter:
    """An exporter that only exports when it is asked to."""
    return export_otlp(exporter=lambda: kept, **{"interval": 3600, **options})


def test_cumulative_values_are_those_since_the_start(kept: Kept, shop: Shop) -> None:
    with started(kept) as exporter:
        for _ in range(2):
            shop.sell(5, 7)
            assert exporter.flush(TIMEOUT)
        assert [each.value for each in kept.points("shop.sales", shop)] == [2, 4]
        waits = kept.points("shop.wait", shop)
        assert [(each.count, each.sum) for each in waits] == [(2, 12e-9), (4, 24e-9)]
        starts = {each.start_time_unix_nano for each in waits}
        assert len(starts) == 1
        assert starts.pop() < waits[0].time_unix_nano < waits[1].time_unix_nano
        resource = kept.received[0].resource_metrics[0].resource.attributes
        assert resource["process.pid"] == os.getpid()
    assert kept.is_shut_down.is_set()


def test_deltas_add_up_although_an_export_fails(kept: Kept, shop: Shop) -> None:
    def fail() -> None:
        raise RuntimeError

    with started(kept, temporality="delta") as exporter:
        shop.sell(5)
        assert exporter.flush(TIMEOUT)
        kept.before = fail
        shop.sell(7)
        assert not exporter.flush(TIMEOUT)
        kept.before = lambda: None
        shop.sell(9)
        assert exporter.flush(TIMEOUT)
        assert exporter.flush(TIMEOUT)
        first, second = kept.points("shop.wait", shop)
        assert [(each.count, each.sum) for each in (first, second)] == [(1, 5e-9), (2, 16e-9)]
        assert second.start_time_unix_nano == first.time_unix_nano
        assert [each.value for each in kept.points("shop.sales", shop)] == [1, 2]
        # What is not counted is there in each export.
        assert [each.value for each in kept.points("shop.open", shop)] == [1, 1, 1]


def test_low_memory_is_delta_without_the_counters_of_the_system(kept: Kept, shop: Shop) -> None:
    observe.watch_process()
    with started(kept, temporality="lowmemory") as exporter:
        shop.sell(5)
        assert exporter.flush(TIMEOUT)
    metrics = {each.name: each.data for each in kept.received[0].resource_metrics[0].scope_metrics[0].metrics}
    temporality = {name: getattr(data, "aggregation_temporality", None) for name, data in metrics.items()}
    assert [temporality[name] for name in ("shop.sales", "shop.wait", "process.cpu.time")] == [1, 1, 2]


def test_it_exports_in_its_interval_and_when_it_is_closed(kept: Kept, shop: Shop) -> None:
    shop.sell(5)
    exporter = started(kept, interval=0.001)
    eventually(lambda: len(kept.received) > 2, "several exports")
    exporter.close()
    assert not exporter.is_running
    assert not exporter.flush()
    exporter.close()
    before = len(kept.received)
    shop.sell(5)
    exporter = started(kept)
    assert exporter.start() is exporter
    exporter.close()
    assert len(kept.received) == before + 1
    assert kept.points("shop.sales", shop)[-1].value == 2


def test_it_may_be_started_again(shop: Shop) -> None:
    made: list[Kept] = []

    def make() -> Kept:
        made.append(Kept())
        return made[-1]

    exporter = OtlpExporter(exporter=make, interval=3600)
    assert not exporter.is_running
    for _ in range(2):
        exporter.start()
        shop.sell(5)
        exporter.close(timeout=TIMEOUT)
    assert [each.points("shop.sales", shop)[0].value for each in made] == [1, 2]


def test_closing_does_not_wait_for_an_export_that_hangs(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    entered = threading.Event()

    def hang() -> None:
        entered.set()
        assert kept.is_shut_down.wait(TIMEOUT)
        raise RuntimeError

    kept.before = hang
    exporter = started(kept, interval=0.001)
    assert entered.wait(TIMEOUT)
    assert not exporter.flush(0.01)
    with caplog.at_level(logging.WARNING, "idlrt.observe"):
        exporter.close(timeout=0.01)
    assert not exporter.is_running
    assert caplog.messages[0] == "stopping the export of metrics: the last one was not finished within 0.01 s"
    eventually(lambda: "idlrt otlp" not in {each.name for each in threading.enumerate()}, "the thread to end")


def test_failures_are_logged_once_with_their_reason(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        logging.getLogger(__name__).error("Failed to export metrics batch code: 400, reason: Bad Request")
        raise RuntimeError

    kept.before = fail
    with caplog.at_level(logging.INFO), started(kept) as exporter:
        for _ in range(3):
            assert not exporter.flush(TIMEOUT)
        kept.before = lambda: None
        assert exporter.flush(TIMEOUT)
    why = "Failed to export metrics batch code: 400, reason: Bad Request"
    assert caplog.messages == [
        f"cannot export metrics by OTLP: {why}; retrying every 3600 s",
        "exporting metrics again",
    ]


@pytest.mark.slow
def test_a_receiver_that_is_down_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with caplog.at_level(logging.INFO), export_otlp(interval=3600) as exporter:
        assert not exporter.flush(TIMEOUT)
    (message,) = caplog.messages
    # Without time for a second attempt the SDK says no more than that.
    assert re.match("cannot export metrics by OTLP: .*(Connection refused|due to timeout)", message)


# In the tests below a program prints what it exports.
CONSOLE = """
import os, sys, threading
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
from idlrt import observe
from idlrt.observe import Counts, Metric, Series

class Source:
    def __init__(self):
        self.counts = Counts(Metric(name="shop_sales_total", kind="counter", help="Sales"))
    def read(self):
        return [self.counts.series()]

source = Source()
observe.PROCESS.add(source)
console = lambda: ConsoleMetricExporter(formatter=lambda data: data.to_json(indent=None) + "\\n")
exporter = observe.export_otlp(exporter=console, interval=3600)
source.counts.add((), 5)
"""


def exported(program: str) -> list[tuple[int, int, int]]:
    """Run a program; returns the process, the start time and the sales of each export."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE + program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        (resource,) = json.loads(line)["resource_metrics"]
        for metric in resource["scope_metrics"][0]["metrics"]:
            if metric["name"] == "shop.sales":
                (point,) = metric["data"]["data_points"]
                pid = resource["resource"]["attributes"]["process.pid"]
                found.append((pid, point["start_time_unix_nano"], point["value"]))
    return found


def test_the_end_of_a_program_is_exported() -> None:
    assert [sales for _, _, sales in exported("")] == [5]


def test_a_forked_child_exports_what_it_counts_once_it_is_started_there() -> None:
    program = """
pid = os.fork()
if pid == 0:
    assert not exporter.is_running and not exporter.flush()
    source.counts.add((), 1)
    exporter.start()
    exporter.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert exporter.is_running
"""
    (child, child_start, child_sales), (parent, parent_start, parent_sales) = exported(program)
    assert (child_sales, parent_sales) == (1, 5)
    assert child != parent
    assert child_start >= parent_start


@pytest.mark.parametrize("module", ["opentelemetry.sdk.metrics.export", "opentelemetry.exporter.otlp.proto.http"])
def test_a_missing_sdk_is_an_error_that_says_what_to_install(module: str) -> None:
    program = f"""
import sys
sys.modules[{module!r}] = None
from idlrt import observe
from idlrt.errors import ConfigurationError
try:
    observe.export_otlp()
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = "cannot export metrics by OTLP: the OpenTelemetry SDK is not installed; run pip install 'idlc[otlp]'"
    assert done.stdout.strip() == expected


def test_an_exporter_that_cannot_be_created_is_an_error() -> None:
    def make() -> MetricExporter:
        raise ConfigurationError("no such receiver")

    with pytest.raises(ConfigurationError, match="no such receiver"):
        export_otlp(exporter=make)
