"""The store of the collector: what is put is read, a gap is a gap, retention, size, and errors that say what to do."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from idlrt.collector.store import CellStore, Level, Query, Retention, StoreError
from idlrt.errors import ConfigurationError
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import OTHER, Labels, Metric, Series

CALLS = Metric(name="calls_seconds", kind="histogram", help="Calls", labels=("method", "rpc_status_code"))
RETRIES = Metric(name="retries_total", kind="counter", help="Retries", labels=("mode",))
CONNECTIONS = Metric(name="connections", kind="gauge", help="Connections")
STATE = Metric(name="state", kind="gauge", help="State", merge="max")
ONE = {"service": "orders", "instance": "10.0.0.1:9090", "host": "h1", "zone": "eu-1"}
TWO = {"service": "orders", "instance": "10.0.0.2:9090", "host": "h2", "zone": "eu-2"}
# A multiple of all steps.
T = 1_800_057_600.0
DAY = 86400.0
LONG = 1e9
SMALL = Retention(
    (
        Level(step=10, cells=6, keep=LONG, keep_instances=LONG),
        Level(step=60, cells=10, keep=LONG, keep_instances=LONG),
        Level(step=600, cells=6, keep=LONG, keep_instances=LONG, is_coarse=True),
    )
)


class Clock:
    """Virtual time."""

    def __init__(self) -> None:
        self.at = T

    def __call__(self) -> float:
        return self.at


Opened = Callable[..., CellStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    """Opens the store of the test, closing the one before."""
    stores: list[CellStore] = []

    def opened(retention: Retention = SMALL, **options: int) -> CellStore:
        for each in stores:
            each.close()
        stores.append(CellStore(tmp_path / "metrics.db", retention=retention, now=clock, **options))
        return stores[-1]

    yield opened
    for each in stores:
        each.close()


def calls(count: int, *, method: str = "get", status: str = "ok", nanoseconds: int = 3_000_000) -> Series:
    made = Histogram.of([nanoseconds] * count)
    return Series(
        CALLS, {(method, status): Histogram(made.counts, count, made.sum, made.min, made.max, 10 * count, 20)}
    )


def retries(number: float) -> Series:
    return Series(RETRIES, {("failover",): number})


def gauge(number: float, metric: Metric = CONNECTIONS) -> Series:
    return Series(metric, {(): number})


def counts(values: object) -> list[int | None]:
    assert isinstance(values, list)
    return [each.count if isinstance(each, Histogram) else each for each in values]


def test_what_was_committed_is_read_and_a_step_without_data_is_a_gap(opened: Opened) -> None:
    store = opened()
    store.put(ONE, T + 10, [calls(5), retries(2)])
    store.put(ONE, T + 30, [])
    assert not store.read(CALLS.name, T, T + 40).groups
    store.commit()
    found = store.read(CALLS.name, T, T + 40, step=10)
    assert (found.start, found.step, found.steps) == (T, 10, 4)
    assert counts(found.groups[0].values) == [5, None, 0, None]
    first = found.groups[0].values[0]
    assert isinstance(first, Histogram)
    assert (first.sum, first.min, first.max, first.received, first.sent) == (15_000_000, 3_000_000, 3_000_000, 50, 20)
    assert store.read(RETRIES.name, T, T + 40, step=10).groups[0].values == [2, None, 0, None]


def test_a_gap_is_one_of_all_programs_of_a_group(opened: Opened, clock: Clock) -> None:
    store = opened()
    store.put(ONE, T + 10, [calls(5), retries(1)])
    store.put(TWO, T + 20, [calls(1, method="set")])
    store.put(TWO, T + 30, [gauge(1.0)])
    store.commit()

    def read(*by: str, step: float = 10, **where: str) -> dict[tuple[str, ...], list[int | None]]:
        found = store.read(CALLS.name, T, T + 4 * step, step=step, by=by, where=where)
        return {tuple(each.labels.values()): counts(each.values) for each in found.groups}

    for _ in range(2):
        assert read() == {(): [5, 1, 0, None]}
        assert read("instance") == {(ONE["instance"],): [5, None, None, None], (TWO["instance"],): [None, 1, 0, None]}
        assert read("method") == {("get",): [5, 0, 0, None], ("set",): [0, 1, 0, None]}
        assert read("method", zone="eu-2") == {("set",): [None, 1, 0, None]}
        assert read("service", "method", step=600) == {
            ("orders", "get"): [5, *[None] * 3],
            ("orders", "set"): [1, *[None] * 3],
        }
        assert store.read(RETRIES.name, T, T + 40, step=10).groups[0].values == [1, 0, 0, None]
        assert store.read(CONNECTIONS.name, T, T + 40, step=10).groups[0].values == [None, None, 1, None]
        clock.at += DAY
        store.maintain()


def test_a_step_that_ends_on_a_boundary_counts_in_the_cell_before(opened: Opened) -> None:
    store = opened()
    store.put(ONE, T + 10, [retries(1)])
    store.put(ONE, T + 10.5, [retries(2)])
    store.commit()
    assert store.read(RETRIES.name, T, T + 20, step=10).groups[0].values == [1, 2]


def test_groups_by_resource_and_labels(opened: Opened) -> None:
    store = opened()
    store.put(ONE, T + 10, [calls(5), calls(1, method="set"), calls(2, status="timeout")])
    store.put(TWO, T + 10, [calls(3)])
    store.commit()

    def read(*by: str, **where: str) -> dict[tuple[str, ...], list[int | None]]:
        found = store.read(CALLS.name, T, T + 10, step=10, by=by, where=where)
        return {tuple(each.labels.values()): counts(each.values) for each in found.groups}

    assert read() == {(): [11]}
    assert read("instance") == {(ONE["instance"],): [8], (TWO["instance"],): [3]}
    assert read("method") == {("get",): [10], ("set",): [1]}
    assert read("zone", "method") == {("eu-1", "get"): [7], ("eu-1", "set"): [1], ("eu-2", "get"): [3]}
    assert read("rpc_status_code") == {("ok",): [9], ("timeout",): [2]}
    assert read(method="get") == {(): [10]}
    assert read(instance=TWO["instance"]) == {(): [3]}
    assert read("method", rpc_status_code="timeout") == {("get",): [2]}
    assert read("service", "instance", zone="eu-2") == {("orders", TWO["instance"]): [3]}
    assert read(zone="eu-3") == {}


def test_a_label_takes_precedence_over_a_key_of_the_resource(opened: Opened) -> None:
    attempts = Metric(name="attempts_total", kind="counter", help="Attempts", labels=("instance",))
    store = opened()
    store.put(ONE, T + 10, [Series(attempts, {("10.1.1.1:80",): 4.0})])
    store.commit()
    found = store.read(attempts.name, T, T + 10, step=10, by=("instance",))
    assert [each.labels for each in found.groups] == [{"instance": "10.1.1.1:80"}]


def test_the_smaller_groups_are_one(opened: Opened, clock: Clock) -> None:
    store = opened()
    for method in range(6):
        store.put(ONE, T + 10, [calls(method + 1, method=f"m{method}")])
    store.commit()
    for _ in range(2):
        found = store.read(CALLS.name, T, T + 10, step=10, by=("method",), limit=2)
        assert [(each.labels["method"], counts(each.values)) for each in found.groups] == [
            ("m5", [6]),
            ("m4", [5]),
            (OTHER, [10]),
        ]
        clock.at += DAY
        store.maintain()


def test_the_smaller_groups_can_be_left_out(opened: Opened, clock: Clock) -> None:
    store = opened()
    # More groups than are looked up one by one.
    for method in range(100):
        store.put(ONE, T + 10, [calls(method + 1, method=f"m{method}")])
    store.commit()
    for _ in range(2):
        found = store.read(CALLS.name, T, T + 10, step=10, by=("method",), limit=2, has_others=False)
        assert [(each.labels["method"], counts(each.values)) for each in found.groups] == [
            ("m99", [100]),
            ("m98", [99]),
        ]
        whole = Query(metric=CALLS.name, start=T, end=T + 600, by=("method",), limit=1, values="count", is_whole=True)
        one, other = store.read_many([whole])[0].groups
        assert (one.labels["method"], one.values, other.labels["method"], other.values) == (
            *("m99", [100.0]),
            *(OTHER, [4950.0]),
        )
        clock.at += DAY
        store.maintain()


def test_a_file_of_the_first_version_is_upgraded(opened: Opened, tmp_path: Path, clock: Clock) -> None:
    store = opened()
    for method in range(100):
        store.put(ONE, T + 10, [calls(method + 1, method=f"m{method}")])
    store.commit()
    clock.at += DAY
    store.roll_up()
    store.close()
    with sqlite3.connect(tmp_path / "metrics.db") as file:
        for table in ("pending_summary", "block_summary"):
            file.execute(f"DROP TABLE {table}")
        file.execute("PRAGMA user_version = 1")
    file.close()
    found = opened().read(CALLS.name, T, T + 10, step=10, by=("method",), limit=1)
    assert [(each.labels["method"], counts(each.values)) for each in found.groups] == [("m99", [100]), (OTHER, [4950])]


def test_gauges_are_the_last_values_with_their_range(opened: Opened, clock: Clock) -> None:
    store = opened()
    for at, number in ((12, 5.0), (18, 3.0), (15, 9.0), (11, 1.0)):
        store.put(ONE, T + at, [gauge(number), gauge(number, STATE)])
    store.put(TWO, T + 15, [gauge(100.0), gauge(2.0, STATE)])
    store.commit()
    for _ in range(2):
        whole = store.read(CONNECTIONS.name, T, T + 60, step=60).groups[0]
        assert (whole.values, whole.lows, whole.highs) == ([103.0], [101.0], [109.0])
        one = store.read(CONNECTIONS.name, T, T + 60, step=10, where={"host": "h1"}).groups[0]
        assert one.values == [None, 3.0, None, None, None, None]
        assert store.read(STATE.name, T, T + 60, step=60).groups[0].values == [3.0]
        clock.at += DAY
        store.roll_up()


def test_rolled_up_histograms_have_percentiles_within_the_error(opened: Opened, clock: Clock) -> None:
    store = opened()
    durations = [int(1.07**i * 1000) for i in range(200)]
    store.put(ONE, T + 10, [Series(CALLS, {("get", "ok"): Histogram.of(durations)})])
    store.commit()
    clock.at += DAY
    store.maintain()
    for step, error in ((10, 0.008), (60, 0.008), (600, 0.04)):
        found = store.read(CALLS.name, T, T + 600, step=step)
        assert found.error == error
        histogram = found.groups[0].values[0]
        assert isinstance(histogram, Histogram)
        assert (histogram.count, histogram.sum) == (200, sum(durations))
        for quantile in (0.01, 0.5, 0.9, 0.99, 0.999):
            exact = durations[math.ceil(quantile * 200) - 1] / 1e9
            assert histogram.percentile(quantile) == pytest.approx(exact, rel=error, abs=3e-9)


def test_a_late_cell_is_added_where_it_belongs(opened: Opened, clock: Clock) -> None:
    store = opened()
    store.put(ONE, T + 10, [retries(1), calls(1), gauge(1.0)])
    store.commit()
    clock.at += 2 * DAY
    store.maintain()
    store.put(ONE, T + 5, [retries(2), calls(2), gauge(7.0)])
    store.put(ONE, T + 25, [retries(4)])
    store.commit()
    for _ in range(2):
        for step, expected in ((10, [3, None, 4]), (60, [7]), (600, [7])):
            assert store.read(RETRIES.name, T, T + max(step, 30), step=step).groups[0].values == expected
            assert counts(store.read(CALLS.name, T, T + 10, step=step).groups[0].values) == [3]
        assert store.read(CONNECTIONS.name, T, T + 10, step=600).groups[0].values == [1.0]
        store.maintain()


def test_a_restart_continues_the_cell(opened: Opened) -> None:
    store = opened()
    store.put(ONE, T + 3, [retries(1), calls(1)])
    store.commit()
    store.put(ONE, T + 4, [retries(100)])
    store = opened()
    store.put(ONE, T + 6, [retries(2), calls(2)])
    store.commit()
    assert store.read(RETRIES.name, T, T + 10, step=10).groups[0].values == [3]
    assert counts(store.read(CALLS.name, T, T + 10, step=10).groups[0].values) == [3]
    assert [each.name for each in store.metrics()] == [CALLS.name, RETRIES.name]
    assert store.labels(CALLS.name) == {"method": ["get"], "rpc_status_code": ["ok"]}
    assert store.resources() == [ONE]


def test_a_clock_that_jumps_loses_and_doubles_nothing(opened: Opened, clock: Clock) -> None:
    store = opened()
    for jump in (0.0, 500.0, -3000.0, 90_000.0, -90_000.0, 20.0):
        clock.at += jump
        store.put(ONE, clock.at, [retries(1)])
        store.commit()
        store.maintain()
    values = store.read(RETRIES.name, T - 2 * DAY, T + 2 * DAY, step=600).groups[0].values
    assert sum(each for each in values if isinstance(each, float)) == 6


def test_a_time_in_the_future_counts_as_now(opened: Opened) -> None:
    store = opened()
    store.put(ONE, T + 1e9, [retries(1)])
    store.put(ONE, math.nan, [retries(2)])
    store.commit()
    assert store.read(RETRIES.name, T - 10, T, step=10).groups[0].values == [3]


def test_a_clock_far_ahead_deletes_nothing(opened: Opened, clock: Clock) -> None:
    store = opened(Retention((Level(step=10, cells=6, keep=7200, keep_instances=7200),)))
    store.put(ONE, T, [retries(1)])
    store.commit()
    clock.at += 1000 * DAY
    store.maintain()
    store.maintain()
    assert store.read(RETRIES.name, T - 10, T, step=10).groups[0].values == [1]


def test_each_level_is_kept_for_its_time(opened: Opened, clock: Clock) -> None:
    levels = Retention(
        (
            Level(step=10, cells=6, keep=600, keep_instances=300),
            Level(step=60, cells=10, keep=DAY, keep_instances=6000),
        )
    )
    store = opened(levels)
    for _ in range(720):
        clock.at += 10
        store.put(ONE, clock.at, [calls(1)])
        store.commit()
        store.maintain()
    now = clock.at
    # A long time ago there are only coarser cells, and after 6000 s only those of the service.
    assert store.read(CALLS.name, now - 200, now, step=10).step == 10
    assert store.read(CALLS.name, T, now, step=10).step == 60
    assert sum(each or 0 for each in counts(store.read(CALLS.name, T, now).groups[0].values)) == 720
    by_instance = store.read(CALLS.name, T, now, by=("instance",)).groups[0].values
    assert counts(by_instance)[:10] == [None] * 10
    assert counts(by_instance)[-60:] == [6] * 60
    # A cell that is too old for its level is still added to the coarser ones.
    store.put(TWO, T + 10, [calls(1)])
    store.commit()
    store.maintain()
    assert sum(each or 0 for each in counts(store.read(CALLS.name, T, now).groups[0].values)) == 721


def test_series_without_cells_are_forgotten(opened: Opened, clock: Clock) -> None:
    store = opened(Retention((Level(step=10, cells=6, keep=600, keep_instances=600),)))
    store.put(ONE, clock.at, [retries(1)])
    store.commit()
    for _ in range(4):
        clock.at += 3600
        store.put(TWO, clock.at, [gauge(1.0)])
        store.commit()
        store.maintain()
    assert [each.name for each in store.metrics()] == [CONNECTIONS.name]
    assert store.open_series == 2
    store.put(ONE, clock.at, [retries(5)])
    store.commit()
    assert store.read(RETRIES.name, clock.at - 10, clock.at, step=10).groups[0].values == [5]


def test_the_finest_level_makes_room_first(opened: Opened, clock: Clock) -> None:
    store = opened(max_bytes=4 << 20)
    durations = [int(1.01**i * 1000) for i in range(1400)]
    given = 0
    while not store.used_bytes > 6 << 20:
        for _ in range(6):
            clock.at += 10
            many: dict[Labels, Histogram] = {(f"m{method}", "ok"): Histogram.of(durations) for method in range(40)}
            store.put(ONE, clock.at, [Series(CALLS, many)])
            given += 40 * len(durations)
        store.commit()
        store.roll_up()
    before = store.used_bytes
    store.maintain()
    assert store.used_bytes <= 4 << 20 < before
    assert store.read(CALLS.name, T, clock.at, step=10).step > 10
    found = store.read(CALLS.name, T, clock.at, step=600)
    assert sum(each or 0 for each in counts(found.groups[0].values)) == given


def test_series_beyond_the_maximum_count_as_other(opened: Opened) -> None:
    store = opened(max_series=4)
    for method in range(10):
        store.put(ONE, T + 10, [calls(1, method=f"m{method}"), retries(1)])
    store.commit()
    assert store.overflowed > 0
    assert store.open_series <= 6
    found = store.read(CALLS.name, T, T + 10, step=10, by=("service", "method"))
    assert {tuple(each.labels.values()) for each in found.groups} == {
        ("orders", "m0"),
        ("orders", "m1"),
        (OTHER, OTHER),
    }
    assert sum(each or 0 for group in found.groups for each in counts(group.values)) == 10


def test_values_that_do_not_fit_their_metric_are_skipped_and_told(opened: Opened) -> None:
    store = opened()
    wrong = [
        Series(RETRIES, {("a", "b"): 1.0}),
        Series(RETRIES, {("a",): math.nan}),
        Series(RETRIES, {("a",): Histogram()}),
        Series(CALLS, {("a", "b"): 1.0}),
        Series(CONNECTIONS, {(): math.inf}),
    ]
    store.put(ONE, T, [*wrong, retries(1)])
    store.commit()
    assert store.skipped == 5
    assert [each.name for each in store.metrics()] == [RETRIES.name]


def test_too_much_that_is_not_committed_is_refused(opened: Opened) -> None:
    store = opened(max_buffered=17)
    for number in range(1, 4):
        store.put(ONE, T + 10 * number, [retries(1)])
    with pytest.raises(StoreError, match=r"cannot keep more metrics for .*: 24 cells were not written; commit them"):
        store.put(ONE, T + 40, [retries(1)])
    store.commit()
    assert store.buffered == 0
    store.put(ONE, T + 40, [retries(1)])


def test_a_description_that_has_changed_is_read_with_the_one_before(opened: Opened) -> None:
    more = Metric(name=RETRIES.name, kind="counter", help="Retries", labels=("mode", "reason"))
    store = opened()
    store.put(ONE, T + 10, [retries(1)])
    store.put(ONE, T + 20, [Series(more, {("failover", "timeout"): 2.0})])
    store.commit()
    found = store.read(RETRIES.name, T, T + 20, step=10, by=("mode",))
    assert [(each.labels, each.values) for each in found.groups] == [({"mode": "failover"}, [1, 2])]
    assert found.metric == more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 10, "end": 10}, "the end must be after the start"),
        ({"start": math.nan, "end": 10}, "the end must be after the start"),
        ({"start": 0, "end": 10, "step": 0}, "step: must be greater than 0, got 0"),
        ({"start": 0, "end": 1e9, "step": 10}, "step: 100000000 steps are too many, the maximum is 20000"),
        ({"start": 0, "end": 10, "step": 10, "is_whole": True}, "step: must be absent for one step of the whole time"),
        ({"start": 0, "end": 10, "values": "all"}, "values: must be 'full' or 'count', got 'all'"),
        ({"start": 0, "end": 10, "limit": 0}, "limit: must be at least 1, got 0"),
    ],
)
def test_arguments_of_queries_are_checked(opened: Opened, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        opened().read(RETRIES.name, **arguments)  # type: ignore[arg-type]


def test_a_metric_that_does_not_exist_has_no_groups(opened: Opened) -> None:
    found = opened().read("nothing", T, T + 3600)
    assert (found.metric, found.groups, found.step, found.steps) == (None, (), 10, 360)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(
        ConfigurationError, match=r"metrics\.db': it is a database of another program; use another file"
    ):
        CellStore(path)
    path.write_bytes(b"This is text." * 1000)
    with pytest.raises(ConfigurationError, match=r"cannot open the metrics in '.*metrics\.db': file is not a database"):
        CellStore(path)
    with pytest.raises(ConfigurationError, match="use a folder that exists and is writable"):
        CellStore(tmp_path / "missing" / "metrics.db")


def test_a_file_of_a_newer_version_is_refused(opened: Opened, tmp_path: Path) -> None:
    opened().close()
    with sqlite3.connect(tmp_path / "metrics.db") as file:
        file.execute("PRAGMA user_version = 3")
    file.close()
    with pytest.raises(ConfigurationError, match="it has version 3, this program reads version 2; upgrade the program"):
        opened()


def test_a_file_with_other_steps_is_refused(opened: Opened) -> None:
    opened().close()
    longer = Retention((*SMALL.levels, Level(step=1200, cells=6, keep=LONG, keep_instances=LONG, is_coarse=True)))
    opened(longer).close()
    opened().close()
    with pytest.raises(ConfigurationError, match="it has cells of 10 s, 60 s, 600 s, 1200 s in blocks of 6, 10, 6, 6"):
        opened(Retention((Level(step=20, cells=6, keep=LONG, keep_instances=LONG),)))


def test_a_second_writer_is_refused(opened: Opened, tmp_path: Path) -> None:
    opened()
    with pytest.raises(ConfigurationError, match="another process writes to it"):
        CellStore(tmp_path / "metrics.db")


def test_a_closed_store_cannot_be_read(opened: Opened) -> None:
    store = opened()
    store.close()
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.metrics()


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ((), "must have 1 to 8 levels, got 0"),
        ((Level(step=0, cells=6, keep=1, keep_instances=1),), "a level must have a step of at least 1 s"),
        ((SMALL.levels[1], SMALL.levels[0]), "steps must be multiples of the step before, got 60 s and 10 s"),
        (
            (SMALL.levels[2], Level(step=1200, cells=6, keep=1, keep_instances=1)),
            "a level above a coarse one must be coarse",
        ),
    ],
)
def test_retention_is_checked(levels: tuple[Level, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Retention(levels)
