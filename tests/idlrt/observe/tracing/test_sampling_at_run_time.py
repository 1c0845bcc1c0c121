"""Sampling rules from a registry apply at run time, and rules about tags to calls that get them later."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eventually import eventually
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.config.checks import check
from idlrt.config.store import change
from idlrt.core import CallNext
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.dynamic import DynamicSampling
from idlrt.observe.tracing.sampling import Always, Never, Rules, Sampler, SampleRequest, read_rules, standard_sampler
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.switch import TRACING
from idlrt.registry import Registry
from idlrt.server import Server

USER_42 = [{"tags": {"user": "42"}, "force": True}]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry.connect(f"memory://{uuid.uuid4().hex}") as made:
        yield made


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    TRACING.use(None)


class Shop(Users):
    """`get` finds out who the user is, and calls another server."""

    def __init__(self, behind: UserServiceClient | None = None) -> None:
        super().__init__()
        self.behind = behind

    def get(self, id: int) -> User:
        with observe.span("authenticate"):
            observe.put("user", str(id))
        if self.behind is not None:
            self.behind.get(id)
        return User(id=id, name="Ada")


def recorded(active: ActiveTracing) -> list[tuple[str, str]]:
    """Return kind and name of all recorded spans, in the order of their starts."""
    return [(each.kind, each.name) for each in sorted(active.store.recent(), key=lambda each: each.started_at)]


def set_rules(registry: Registry, rules: Any, **settings: str | None) -> None:
    change(registry, "web", {"sampling.rules": json.dumps(rules) if rules else None, **settings})


def test_every_call_of_one_user_for_ten_minutes(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.observe")
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    with (
        observe.trace("web", sampler="never", registry=registry) as active,
        Server(user_service(Users())).start() as behind,
        UserServiceClient.connect(behind.address, framing="header") as to_behind,
        Server(user_service(Shop(to_behind))).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        client.get(42)
        set_rules(registry, [{**USER_42[0], "until": until}])
        eventually(lambda: "sampling of web: 1 rule, sampler of the program" in caplog.messages)
        client.get(7)
        assert recorded(active) == []
        client.get(42)
        eventually(lambda: len(active.store.recent()) == 4)
        get = "UserService.get"
        # From its beginning, although the user is known only when the handler runs; and the server behind, too.
        assert recorded(active) == [
            ("server", get), ("internal", "authenticate"), ("client", get), ("server", get),
        ]  # fmt: skip
        spans = sorted(active.store.recent(), key=lambda each: each.started_at)
        assert [each.parent_id for each in spans[1:]] == [spans[0].span_id, spans[0].span_id, spans[2].span_id]
        assert {each.trace_id for each in spans} == {spans[0].trace_id}
        assert spans[0].attributes["tag.user"] == spans[3].attributes["tag.user"] == "42"
        assert spans[0].attributes["rpc.response.status_code"] == "ok"

        set_rules(registry, None)
        eventually(lambda: "sampling of web: 0 rules, sampler of the program" in caplog.messages)
        client.get(42)
        assert len(active.store.recent()) == 4


def test_a_tag_of_the_caller_forces_a_trace_that_the_caller_has_dropped(registry: Registry) -> None:
    # A gateway that samples little, and sends the user as baggage.
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00", "baggage": "user=42,rpc_tags=user"}
    rules = read_rules(USER_42)
    with (
        observe.trace("web", sampler=0.0, rules=rules) as active,
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(server.address, framing="header", filters=[Headers(headers)]) as client,
    ):
        client.get(1)
        eventually(lambda: len(active.store.recent()) == 1)
        [span] = active.store.recent()
        assert (span.trace_id, span.parent_id, span.context.is_sampled) == ("a" * 32, "b" * 16, True)
        headers["baggage"] = "user=43,rpc_tags=user"
        client.get(1)
        assert len(active.store.recent()) == 1


class Headers:
    """Filter that replaces the headers of traces."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers

    async def __call__(self, call: Any, next: CallNext) -> Any:
        call.trace = None
        call.metadata.update(self.headers)
        return await next(call)


def test_tags_of_strangers_force_nothing(registry: Registry) -> None:
    headers = {"baggage": "user=42,rpc_tags=user"}
    with (
        observe.trace("web", sampler=0.0, rules=read_rules(USER_42), trusted=[]) as active,
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(server.address, framing="header", filters=[Headers(headers)]) as client,
    ):
        client.get(1)
        assert active.store.recent() == []


def test_a_root_without_a_call_is_recorded_from_its_beginning() -> None:
    with observe.trace("job", sampler="never", rules=read_rules(USER_42)) as active:
        with observe.span("job"), observe.span("step"):
            observe.put("order", "7")
            assert not active.store.recent()
            observe.put("user", "42")
            with observe.span("inner"):
                pass
        job, step, inner = sorted(active.store.recent(), key=lambda each: each.started_at)
    assert [each.name for each in (job, step, inner)] == ["job", "step", "inner"]
    assert [each.parent_id for each in (job, step, inner)] == ["", job.span_id, step.span_id]
    assert step.attributes["tag.order"] == "7"


def test_forced_traces_are_limited() -> None:
    with observe.trace("job", sampler="never", rules=read_rules(USER_42), max_spans=5000) as active:
        for _ in range(1000):
            with observe.span("job"):
                observe.put("user", "42")
        assert 0 < len(active.store.recent()) < 1000


def test_another_sampler_at_run_time(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.observe")
    with observe.trace("web", sampler="never", registry=registry) as active:
        set_rules(registry, None, **{"sampling.sampler": "always"})
        eventually(lambda: "sampling of web: 0 rules, sampler always" in caplog.messages)
        with observe.span("job"):
            pass
        assert recorded(active) == [("internal", "job")]


def test_settings_that_are_there_already(registry: Registry) -> None:
    set_rules(registry, None, **{"sampling.sampler": "always"})
    with observe.trace("web", sampler="never", registry=registry) as active:

        def is_recorded() -> bool:
            with observe.span("job"):
                return bool(active.store.recent())

        eventually(is_recorded)


def test_closing_ends_the_subscription(registry: Registry) -> None:
    observe.trace("web", sampler="never", registry=registry).close()
    with observe.trace("web", sampler="never", registry=registry) as again:
        set_rules(registry, None, **{"sampling.sampler": "always"})
        eventually(lambda: _begins(again))


def _begins(active: ActiveTracing) -> bool:
    with observe.span("job"):
        pass
    return bool(active.store.recent())


# The settings as such.


class Used:
    """The sampler and the rules that a `DynamicSampling` makes current."""

    def __init__(self, program: Sampler, rules: Rules | None = None) -> None:
        self.program = program
        self.samplers: list[Sampler] = []
        self.dynamic = DynamicSampling(program, rules, lambda sampler, _: self.samplers.append(sampler), "web")

    def is_sampled(self, method: str) -> bool:
        sampler = self.samplers[-1] if self.samplers else self.program
        return sampler.decide(SampleRequest(trace_id="a" * 32, method=method)).is_sampled


def test_settings_precede_the_program_whose_rules_may_be_replaced() -> None:
    program, own = standard_sampler(Never(), rules=read_rules([{"method": "own", "ratio": 1}]))
    used = Used(program, own)
    used.dynamic.apply({})
    assert used.samplers == []
    used.dynamic.apply({"sampling.rules": '[{"method": "a", "ratio": 1}]'})
    assert [used.is_sampled(each) for each in ("a", "b", "own")] == [True, False, True]
    used.dynamic.apply({"sampling.rules": '[{"method": "b", "ratio": 1}, {"method": "own", "ratio": 0}]'})
    assert [used.is_sampled(each) for each in ("a", "b", "own")] == [False, True, False]
    assert len(used.samplers) == 1
    own.replace(read_rules([{"method": "c", "ratio": 1}]))
    assert [used.is_sampled(each) for each in ("b", "c", "own")] == [True, True, False]
    used.dynamic.apply({"sampling.sampler": "always"})
    assert [used.is_sampled(each) for each in ("a", "c")] == [True, True]
    own.replace(read_rules([{"method": "c", "ratio": 0}]))
    assert [used.is_sampled(each) for each in ("a", "c")] == [True, False]
    used.dynamic.apply({})
    assert used.samplers[-1] is program
    assert [used.is_sampled(each) for each in ("a", "c")] == [False, False]


def test_samplers_are_kept_while_only_rules_change() -> None:
    used = Used(Always())
    used.dynamic.apply({"sampling.sampler": "adaptive:20", "sampling.rules": '[{"method": "a", "ratio": 1}]'})
    used.dynamic.apply({"sampling.sampler": "adaptive:20", "sampling.rules": '[{"method": "b", "ratio": 1}]'})
    assert len(used.samplers) == 1
    used.dynamic.apply({"sampling.sampler": "adaptive:10", "sampling.rules": '[{"method": "b", "ratio": 1}]'})
    assert len(used.samplers) == 2


def test_invalid_settings_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    used = Used(Never())
    used.dynamic.apply({"sampling.rules": '[{"method": "a", "ratio": 1}]'})
    for settings in ({"sampling.rules": "[{]"}, {"sampling.sampler": "often"}):
        used.dynamic.apply(settings)
    assert (len(used.samplers), used.is_sampled("a")) == (1, True)
    assert [each.split(":")[0] for each in caplog.messages] == ["ignoring the sampling settings of web"] * 2


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"sampling.rules": json.dumps(USER_42)}, ""),
        ({"sampling.sampler": "ratio:0.1"}, ""),
        ({"sampling.sampler": ""}, ""),
        ({"sampling.rules": "[1]"}, "sampling.rules[0]: expected a table of keys and values, got int"),
        ({"sampling.rules": '[{"methd": "a"}]'}, "sampling.rules[0]: unknown key 'methd'"),
        (
            {"sampling.rules": '[{"method": "a", "ratio": 2}]'},
            "sampling.rules[0].ratio: expected `float` <= 1.0, got 2",
        ),
        ({"sampling.sampler": "often"}, "sampling.sampler: unknown sampler 'often'"),
        ({"methods.get.sampling.sampler": "always"}, "methods.get.sampling.sampler: "),
    ],
)
def test_settings_are_checked_before_they_are_written(
    registry: Registry, settings: dict[str, str], problem: str
) -> None:
    found = "\n".join(str(each) for each in check(settings))
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
    if problem:
        with pytest.raises(ConfigurationError):
            change(registry, "web", settings)


def test_expired_rules_force_nothing() -> None:
    until = datetime.fromtimestamp(time.time() - 1, UTC).isoformat()
    with observe.trace("job", sampler="never", rules=read_rules([{**USER_42[0], "until": until}])) as active:
        with observe.span("job"):
            observe.put("user", "42")
        assert active.store.recent() == []


def test_a_forced_span_is_exported_as_any_other() -> None:
    seen: list[FinishedSpan] = []

    class Kept:
        name = "kept"

        def export(self, spans: Any, timeout: float) -> None:
            seen.extend(spans)

        def close(self) -> None:
            pass

    with observe.trace("job", sampler="never", rules=read_rules(USER_42), exporters=[Kept()]) as active:
        with observe.span("job"):
            observe.put("user", "42")
            assert observe.trace_headers()["traceparent"].endswith("-03")
        active.flush()
    assert [each.name for each in seen] == ["job"]
