"""Features: outcomes, durations, steps, decorators, bounds."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from measured import Ticks, counts, grown, process_counts

from idlrt import observe
from idlrt.errors import ConfigurationError
from idlrt.observe import OTHER, Histogram
from idlrt.observe.features import Features

DURATION = "feature_duration_seconds"
STEP = "feature_step_duration_seconds"


class OutOfStock(Exception):
    pass


def results(features: Features) -> dict[tuple[str, ...], float]:
    return counts(features.read(), DURATION)


def test_a_use_without_an_exception_is_ok_and_has_its_duration() -> None:
    clock = Ticks()
    features = Features(clock)
    with features.feature("checkout"):
        clock.pass_by(1.5)
    (series, _) = features.read()
    assert series.values == {("checkout", "ok", "server", ""): Histogram.of([1_500_000_000])}


def test_an_exception_is_an_error_with_its_class_and_passes() -> None:
    features = Features()
    with pytest.raises(ValueError, match="x"), features.feature("checkout"):
        raise ValueError("x")
    assert results(features) == {("checkout", "error", "server", "ValueError"): 1}


def test_expected_exceptions_are_success() -> None:
    features = Features()
    for expected in (OutOfStock, (KeyError, OutOfStock)):
        with pytest.raises(OutOfStock), features.feature("checkout", expected=expected):
            raise OutOfStock
    assert results(features) == {("checkout", "ok", "server", ""): 2}


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
def test_what_was_cancelled_is_abandoned(kind: type[BaseException]) -> None:
    features = Features()
    with pytest.raises(kind), features.feature("checkout"):
        raise kind
    assert results(features) == {("checkout", "abandoned", "server", kind.__name__): 1}


def test_a_cancelled_task_abandons_its_feature() -> None:
    features = Features()

    async def run() -> None:
        async def work() -> None:
            async with features.feature("checkout"):
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert results(features) == {("checkout", "abandoned", "server", "CancelledError"): 1}


def test_a_failure_without_an_exception() -> None:
    features = Features()
    with features.feature("checkout") as feature:
        feature.fail("payment_declined")

    def sell() -> None:
        with features.feature("checkout", expected=OutOfStock) as feature:
            feature.fail(OutOfStock)
            raise OutOfStock

    with pytest.raises(OutOfStock):
        sell()
    assert results(features) == {
        ("checkout", "error", "server", "payment_declined"): 1,
        ("checkout", "error", "server", "OutOfStock"): 1,
    }


def test_steps_are_measured_within_each_other_and_end_as_they_end() -> None:
    clock = Ticks()
    features = Features(clock)

    def sell() -> None:
        with features.feature("checkout") as feature:
            with feature.step("pay"):
                clock.pass_by(1)
                with observe.step("authorize"):
                    clock.pass_by(2)
            with observe.step("reserve"):
                raise OutOfStock

    with pytest.raises(OutOfStock):
        sell()
    assert next(iter(each.values for each in features.read() if each.metric.name == STEP)) == {
        ("checkout", "pay", "ok", "server"): Histogram.of([3_000_000_000]),
        ("checkout", "authorize", "ok", "server"): Histogram.of([2_000_000_000]),
        ("checkout", "reserve", "error", "server"): Histogram.of([0]),
    }


def test_a_step_outside_of_features_records_nothing() -> None:
    before = process_counts(STEP)
    with observe.step("alone"):
        pass
    assert observe.current_feature() is None
    assert grown(before, STEP) == {}


def test_the_innermost_feature_is_current_also_in_its_tasks() -> None:
    features = Features()

    async def run() -> None:
        async def part(name: str) -> None:
            async with observe.step(name):
                await asyncio.sleep(0)

        async with features.feature("outer") as outer:
            async with features.feature("inner") as inner:
                assert observe.current_feature() is inner
                await asyncio.gather(part("a"), part("b"))
            assert observe.current_feature() is outer

    asyncio.run(run())
    assert counts(features.read(), STEP) == {("inner", "a", "ok", "server"): 1, ("inner", "b", "ok", "server"): 1}


def test_threads_name_the_feature_of_their_steps() -> None:
    features = Features()
    with features.feature("checkout") as feature:

        def work() -> None:
            with observe.step("lost"), feature.step("found"):
                pass

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert counts(features.read(), STEP) == {("checkout", "found", "ok", "server"): 1}


def test_a_feature_may_end_in_another_context() -> None:
    features = Features()

    def generate() -> Iterator[int]:
        with features.feature("export"):
            yield 1

    rows = generate()
    assert contextvars.copy_context().run(next, rows) == 1
    rows.close()  # type: ignore[attr-defined]
    assert results(features) == {("export", "abandoned", "server", "GeneratorExit"): 1}


def test_functions_are_measured_at_each_call() -> None:
    before, steps = process_counts(DURATION), process_counts(STEP)

    @observe.feature("buy", expected=OutOfStock)
    def buy(count: int, *, price: int = 2) -> int:
        """Buy."""
        if not count:
            raise OutOfStock
        return pay(count * price)

    @observe.step("pay")
    def pay(amount: int) -> int:
        return amount

    @observe.feature("search")
    async def search(text: str) -> str:
        await asyncio.sleep(0)
        with observe.step("rank"):
            return text

    assert buy(3, price=5) == 15
    with pytest.raises(OutOfStock):
        buy(0)
    assert asyncio.run(search("x")) == "x"
    assert (buy.__name__, buy.__doc__) == ("buy", "Buy.")
    assert grown(before, DURATION) == {("buy", "ok", "server", ""): 2, ("search", "ok", "server", ""): 1}
    assert grown(steps, STEP) == {("buy", "pay", "ok", "server"): 1, ("search", "rank", "ok", "server"): 1}


def test_calls_of_a_decorated_function_may_overlap() -> None:
    features = Features()

    @features.feature("recursive")
    def down(depth: int) -> int:
        return 1 + down(depth - 1) if depth else 0

    assert down(5) == 5
    assert results(features) == {("recursive", "ok", "server", ""): 6}


def test_generator_functions_are_refused() -> None:
    def rows() -> Iterator[int]:
        yield 1

    async def pages() -> AsyncIterator[int]:
        yield 1

    for each in (rows, pages):
        with pytest.raises(ConfigurationError, match=r"cannot measure .* as feature 'export': .* use `with` inside"):
            observe.feature("export")(each)


def test_a_block_measures_one_use() -> None:
    feature = Features().feature("checkout")
    with feature:
        pass
    with pytest.raises(ConfigurationError, match=r"call observe\.feature\(\) for each use"):
        feature.__enter__()


@pytest.mark.parametrize("name", ["", " pay", "a\nb", "_OTHER", "x" * 101, 5])
def test_names_are_checked(name: str) -> None:
    for kind in (observe.feature, observe.step):
        with pytest.raises(ConfigurationError, match="must have between 1 and 100 printable characters"):
            kind(name)


def test_expected_exceptions_are_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"feature 'a': expected: must be exception classes"):
        observe.feature("a", expected=(OutOfStock(),))  # type: ignore[arg-type]


def test_names_beyond_the_maximum_count_as_other() -> None:
    features = Features(max_features=2)
    for name in ("a", "b", "c", "d", "a"):
        with features.feature(name) as feature, feature.step("s"):
            pass
    ok = ("ok", "server", "")
    assert results(features) == {("a", *ok): 2, ("b", *ok): 1, (OTHER, *ok): 2}
    assert counts(features.read(), STEP)[(OTHER, OTHER, "ok", "server")] == 2
    assert counts(features.read(), "rpc_observe_dropped_total")[("feature",)] >= 2


def test_names_of_steps_are_bounded() -> None:
    features = Features()
    with features.feature("checkout") as feature:
        for number in range(600):
            with feature.step(f"step {number}"):
                pass
    found = counts(features.read(), STEP)
    assert len(found) == 501
    assert found[("checkout", OTHER, "ok", "server")] == 100
