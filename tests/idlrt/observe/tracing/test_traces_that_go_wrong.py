"""Errors in programs, and unusual timing, neither break calls nor mix traces."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from finished_spans import finished_span, root_span
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.errors import ApplicationError
from idlrt.observe.tracing.exporters import JsonLinesExporter
from idlrt.observe.tracing.sampling import Decision, SampleRequest, SamplingRule
from idlrt.observe.tracing.setup import ActiveTracing
from idlrt.observe.tracing.span import FinishedSpan
from idlrt.observe.tracing.span_pages import SpanPage, decode_page, encode_page, record_of
from idlrt.observe.tracing.store import SpanStore
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import ProcessServer, Server


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)


@pytest.fixture
def tracing() -> Iterator[ActiveTracing]:
    with observe.trace("test", sampler="always") as found:
        yield found


def spans(tracing: ActiveTracing, number: int, kind: str = "") -> list[FinishedSpan]:
    """Return the spans of a kind once there are as many."""

    def found() -> list[FinishedSpan]:
        return [each for each in tracing.store.recent() if kind in ("", each.kind)]

    eventually(lambda: len(found()) == number)
    return found()


class MuteError(Exception):
    """An exception without text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Mute(Users):
    def get(self, id: int) -> User | None:
        raise MuteError


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("sampler", ["always", "never"])
def test_exceptions_without_text_are_answered(sampler: str, workers: int) -> None:
    with (
        observe.trace("test", sampler=sampler) as tracing,
        Server(user_service(Mute()), workers=workers).start() as server,
        UserServiceClient.connect(server.address, framing="header", policy={"retries": 0}) as client,
    ):
        with pytest.raises(ApplicationError):
            client.get(1)
        [served] = spans(tracing, 1, "server")
    assert (served.status, served.message) == ("error", "MuteError")


class Broken:
    def decide(self, request: SampleRequest) -> Decision:
        raise ValueError("no decision")


def test_samplers_that_raise_break_no_call(caplog: pytest.LogCaptureFixture) -> None:
    with (
        observe.trace("test", sampler=Broken()),
        Server(user_service(Users()), workers=0).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        for _ in range(3):
            client.get(1)
    found = [each for each in caplog.records if "sampler" in each.getMessage()]
    assert [(each.levelno, each.exc_info is not None) for each in found] == [(logging.ERROR, True)]


@pytest.mark.parametrize("rules", [(), (SamplingRule(method="Other.*", ratio=1.0),)], ids=["alone", "rules"])
def test_the_sampler_of_the_environment_follows_parents(
    rules: tuple[SamplingRule, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0001")
    with (
        observe.trace("test", rules=rules) as tracing,
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        for number in range(1, 51):
            client.using(metadata={"traceparent": f"00-{number:032x}-{number:016x}-01"}).get(1)
        served = spans(tracing, 50, "server")
    assert all(each.is_remote_parent for each in served)


class Asking(Users):
    def get(self, id: int) -> User | None:
        return User(id=id, name=observe.trace_id())


def test_servers_do_not_continue_the_span_that_they_were_started_in(tracing: ActiveTracing) -> None:
    with observe.span("startup"):
        outer = observe.trace_id()
        server = Server(user_service(Asking()), workers=0).start()
    with server, UserServiceClient.connect(server.address, framing="header") as client:
        found = [client.get(1) for _ in range(3)]
    names = [each.name for each in found if each is not None]
    assert len({outer, *names}) == 4


async def _close_in_another_task() -> None:
    async def numbers() -> AsyncIterator[int]:
        with observe.span("numbers"):
            yield 1
            yield 2

    generator: Any = numbers()
    await asyncio.create_task(anext(generator))
    with observe.span("own"):
        own = observe.trace_id()
        await generator.aclose()
        assert observe.trace_id() == own != ""


def test_closing_a_generator_of_another_task_leaves_the_own_span(tracing: ActiveTracing) -> None:
    asyncio.run(_close_in_another_task())
    assert {each.name for each in tracing.store.recent()} == {"numbers", "own"}


class Tagging(Users):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, str]] = []

    def get(self, id: int) -> User | None:
        with observe.span("outer"), observe.span("inner"):
            observe.put("user", "42")
            observe.put_once("next", "yes")
        self.seen.append(dict(observe.tags()))
        return User(id=id, name=str(observe.trace_headers()))


def test_tags_that_internal_spans_set_are_those_of_the_call(tracing: ActiveTracing) -> None:
    handler = Tagging()
    with (
        Server(user_service(handler), workers=0).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
        observe.span("caller"),
    ):
        observe.put_once("received", "1")
        found = client.get(1)
        [served] = spans(tracing, 1, "server")
    assert handler.seen == [{"user": "42", "received": "1"}]
    assert served.attributes["tag.user"] == "42"
    assert found is not None
    assert found.name is not None
    # Requests of other clients carry the tags for the next hop, and not those of the last one.
    assert "next" in found.name
    assert "user" in found.name
    assert "received" not in found.name


def test_spans_of_listed_calls_are_kept() -> None:
    store = SpanStore(max_spans=50)
    slow = [finished_span(duration=10_000_000_000 + number) for number in range(100)]
    for each in slow:
        store.put(finished_span("inner", kind="internal", trace_id=each.trace_id, parent_id=each.span_id))
        store.put(each)
    for _ in range(300):
        store.put(finished_span(status="error"))
    for _ in range(200):
        store.put(finished_span())
    for order in ("slow", "failed"):
        listed = store.entries(order)
        assert len(listed) == 100
        assert all(each in store.trace(each.trace_id) for each in listed)
    assert all(len(store.trace(each.trace_id)) == 2 for each in slow)


def test_a_second_call_of_a_trace_does_not_drop_the_spans_of_the_first() -> None:
    store = SpanStore(max_spans=5)
    first = finished_span(status="error")
    store.put(first)
    for _ in range(10):
        store.put(finished_span())
    second = finished_span(status="error", trace_id=first.trace_id)
    store.put(second)
    assert {each.span_id for each in store.trace(first.trace_id)} == {first.span_id, second.span_id}


def test_odd_attributes_are_shown() -> None:
    span = root_span("caf\udce9")
    odd: dict[str, Any] = {
        "wait_s": math.nan,
        "ratio": math.inf,
        "file": "a\udce9",
        "\udce9": 1,
        "object": MuteError(),
        "list": [1, 2],
    }
    for name, value in odd.items():
        span.set(name, value)
    span.add_event("read", odd)
    span.fail("b\udce9")
    ended = span.end()
    assert ended is not None
    page = decode_page(encode_page(SpanPage(service="test", at=0.0, spans=[record_of(ended, "test")])))
    expected = {"wait_s": "nan", "ratio": "inf", "file": "a?", "?": 1, "object": "MuteError", "list": "[1, 2]"}
    assert page.spans[0].attributes == expected
    assert ended.events[0].attributes == expected
    assert (ended.name, ended.message) == ("caf?", "b?")


def test_failures_that_were_not_sampled_are_found_by_status_and_tags() -> None:
    class Failing(Users):
        def get(self, id: int) -> User | None:
            observe.put("user", "42")
            raise MuteError

    with (
        observe.trace("test", sampler="never") as tracing,
        Server(user_service(Failing())).start() as server,
        UserServiceClient.connect(server.address, framing="header", policy={"retries": 0}) as client,
    ):
        with pytest.raises(ApplicationError):
            client.get(1)
        spans(tracing, 1, "server")
        [found] = tracing.store.entries(status="internal", tags={"user": "42"}, method="get")[:1]
    assert found.is_late
    assert found.attributes["client.address"]


def test_servers_stop_tracing_when_it_is_closed() -> None:
    tracing = observe.trace("test", sampler="always")
    with (
        Server(user_service(Users())).start() as server,
        UserServiceClient.connect(server.address, framing="header") as client,
    ):
        client.get(1)
        spans(tracing, 2)
        tracing.close()
        client.get(1)
    assert len(tracing.store.recent()) == 2


def test_processes_of_servers_send_their_spans_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A batch would be sent after a minute.
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    file = tmp_path / "spans.jsonl"
    with observe.trace("test", sampler="always", exporters=[JsonLinesExporter(file, "test")]):
        with ProcessServer(user_service(Users()), processes=2) as server:
            server.start()
            with UserServiceClient.connect(server.address, framing="header") as client:
                for _ in range(5):
                    client.get(1)
        kinds = [json.loads(line)["kind"] for line in file.read_text().splitlines()]
    assert kinds == ["server"] * 5


def test_clients_that_are_gone_are_forgotten() -> None:
    with Server(user_service(Users())).start() as server:
        for _ in range(200):
            UserServiceClient.connect(server.address).close()
        gc.collect()
        UserServiceClient.connect(server.address).close()
    assert TRACING.followers < 150
