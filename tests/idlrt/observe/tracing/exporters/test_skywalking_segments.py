"""Segments of SkyWalking: what belongs together, when it is sent, and references between programs."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from eventually import eventually
from finished_spans import finished_span, recording_server, root_span
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.observe.tracing.batches import Batches, ExportFailed
from idlrt.observe.tracing.exporters import SkyWalkingExporter
from idlrt.observe.tracing.exporters.segments import Segments
from idlrt.observe.tracing.identity import instance_name
from idlrt.observe.tracing.sampling import Always
from idlrt.observe.tracing.span import FinishedSpan, Link, Span, SpanEvent


def ended(span: Span) -> FinishedSpan:
    found = span.end()
    assert found is not None
    return found


def add(segments: Segments, *spans: FinishedSpan, now: float = 0.0) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each) for each in segments.add(spans, now, "1@host")]


def shape(segment: dict[str, Any]) -> list[tuple[int, int, str, str]]:
    return [
        (each["spanId"], each["parentSpanId"], each["spanType"], each["operationName"]) for each in segment["spans"]
    ]


def test_a_segment_is_complete_with_its_root() -> None:
    segments = Segments("users")
    root = root_span()
    work = root.child("price")
    call = work.child("Stock.get", "client")
    call.set("server.address", "tcp://10.0.0.1:9090")
    assert add(segments, ended(call), ended(work)) == []
    assert len(segments) == 2
    [segment] = add(segments, ended(root))
    assert len(segments) == 0
    assert segment["traceId"] == root.context.trace_id
    assert segment["traceSegmentId"] == root.context.span_id
    assert (segment["service"], segment["serviceInstance"]) == ("users", "1@host")
    assert shape(segment) == [
        (0, -1, "Entry", "UserService.get"),
        (1, 0, "Local", "price"),
        (2, 1, "Exit", "Stock.get"),
    ]
    entry, local, exit = segment["spans"]
    assert (entry["componentId"], exit["componentId"]) == (100, 101)
    assert [each["spanLayer"] for each in segment["spans"]] == ["RPCFramework", "Unknown", "RPCFramework"]
    assert exit["peer"] == "10.0.0.1:9090"
    assert "peer" not in local


def test_attempts_are_exits_and_their_call_is_local() -> None:
    segments = Segments("shop")
    call = root_span(kind="client")
    first, retry = call.child("UserService.get", "client"), call.child("UserService.get", "client")
    [segment] = add(segments, ended(first), ended(retry), ended(call))
    assert [each[:3] for each in shape(segment)] == [(0, -1, "Local"), (1, 0, "Exit"), (2, 0, "Exit")]


def test_work_that_outlives_its_call_is_waited_for() -> None:
    segments = Segments("users", wait_s=10)
    root = root_span()
    task = root.child("write")
    assert add(segments, ended(root), now=1) == []
    [segment] = add(segments, ended(task), now=5)
    assert shape(segment) == [(0, -1, "Entry", "UserService.get"), (1, 0, "Local", "write")]


def test_work_that_ends_much_later_becomes_a_segment_that_refers_to_its_parent() -> None:
    segments = Segments("users", wait_s=10)
    root = root_span()
    task = root.child("write")
    assert add(segments, ended(root), now=1) == []
    [first] = add(segments, now=11)
    assert shape(first) == [(0, -1, "Entry", "UserService.get")]
    [later] = add(segments, ended(task), now=12)
    assert later["traceId"] == first["traceId"]
    assert later["traceSegmentId"] == task.context.span_id
    [reference] = later["spans"][0]["refs"]
    assert reference["refType"] == "CrossThread"
    assert (reference["parentTraceSegmentId"], reference["parentSpanId"]) == (first["traceSegmentId"], 0)
    assert (reference["parentService"], reference["parentServiceInstance"]) == ("users", "1@host")


def test_work_that_begins_after_its_call_has_ended_is_a_segment() -> None:
    segments = Segments("users")
    root = root_span()
    [first] = add(segments, ended(root))
    task = root.child("write")
    call = task.child("Stock.put", "client")
    assert call.segment is task.segment
    [later] = add(segments, ended(call), ended(task))
    assert shape(later) == [(0, -1, "Local", "write"), (1, 0, "Exit", "Stock.put")]
    assert later["spans"][0]["refs"][0]["parentTraceSegmentId"] == first["traceSegmentId"]
    assert "refs" not in later["spans"][1]


def test_callers_with_sw8_are_referred_to_with_their_id_of_the_trace() -> None:
    sender = {
        "trace_id": "a.b.c",
        "segment": "s.1",
        "segment_span": "3",
        "service": "gateway",
        "instance": "gateway-1",
        "endpoint": "/buy",
        "address": "127.0.0.1:9000",
    }
    root = root_span(is_remote_parent=True, sender=sender)
    inner = root.child("price")
    [segment] = add(Segments("users"), ended(inner), ended(root))
    assert segment["traceId"] == "a.b.c"
    assert segment["spans"][0]["refs"] == [
        {
            "refType": "CrossProcess",
            "traceId": "a.b.c",
            "parentTraceSegmentId": "s.1",
            "parentSpanId": 3,
            "parentService": "gateway",
            "parentServiceInstance": "gateway-1",
            "parentEndpoint": "/buy",
            "networkAddressUsedAtPeer": "127.0.0.1:9000",
        }
    ]


def test_callers_without_sw8_are_not_referred_to() -> None:
    [segment] = add(Segments("users"), ended(root_span(is_remote_parent=True)))
    assert "refs" not in segment["spans"][0]


def test_errors_events_links_and_attributes() -> None:
    span = finished_span(
        kind="client",
        attributes={"rpc.attempt": 1, "is_core": True, "error.type": "Overloaded"},
        events=(SpanEvent(2_000_000, "Retrying", {"attempt": 1, "reason": ""}),),
        links=(Link("d" * 32, "e" * 16, "queued by"),),
        status="error",
        message="too many calls",
        is_late=True,
    )
    [segment] = add(Segments("users"), span)
    [found] = segment["spans"]
    assert found["isError"]
    assert found["peer"] == "unknown"
    assert (found["startTime"], found["endTime"]) == (1_700_000_000_000, 1_700_000_000_001)
    assert {each["key"]: each["value"] for each in found["tags"]} == {
        "rpc.attempt": "1",
        "is_core": "true",
        "error.type": "Overloaded",
        "late": "true",
        "link": f"{'d' * 32}:{'e' * 16} queued by",
    }
    assert [{each["key"]: each["value"] for each in log["data"]} for log in found["logs"]] == [
        {"event": "Retrying", "attempt": "1"},
        {"event": "error", "message": "too many calls", "error.kind": "Overloaded"},
    ]


def test_memory_is_bounded() -> None:
    segments = Segments("users", max_pending=100)
    sent = []
    for _ in range(300):
        sent += add(segments, ended(root_span().child("never ends above")))
        assert len(segments) <= 100
    assert len(sent) == 200


def test_a_batch_that_comes_again_is_added_once() -> None:
    with recording_server(statuses=[503]) as server:
        exporter = SkyWalkingExporter(f"http://127.0.0.1:{server.port}", "users")
        spans = [ended(root_span()), ended(root_span())]
        with pytest.raises(OSError, match="status 503"):
            exporter.export(spans, 10)
        more = [*spans, ended(root_span())]
        exporter.export(more, 10)
        exporter.close()
    assert [len(each.body) for each in server.requests] == [2, 3]
    assert [each["traceId"] for each in server.requests[1].body] == [each.trace_id for each in more]
    assert server.requests[0].path == "/v3/segments"


def test_rejected_segments_are_not_sent_again_and_close_sends_the_rest() -> None:
    with recording_server(statuses=[400]) as server:
        exporter = SkyWalkingExporter(f"http://127.0.0.1:{server.port}", "users")
        with pytest.raises(ExportFailed, match="status 400") as caught:
            exporter.export([ended(root_span())], 10)
        assert caught.value.done == 1
        child = root_span().child("work")
        exporter.export([ended(child)], 10)
        assert len(server.requests) == 1
        exporter.close()
    assert server.requests[1].body[0]["spans"][0]["operationName"] == "work"


class Chain(Users):
    def __init__(self, next: UserServiceClient) -> None:
        super().__init__()
        self.next = next

    def get(self, id: int) -> User | None:
        return self.next.get(id)


def test_segments_of_a_chain_refer_to_each_other() -> None:
    with recording_server() as receiver:
        exporter = SkyWalkingExporter(f"http://127.0.0.1:{receiver.port}", "shop")
        with (
            observe.trace("shop", exporters=[exporter], sampler=Always(), writes=("w3c", "sw8")) as tracing,
            Server(user_service(Users())).start() as last,
            UserServiceClient.connect(last.address, framing="header") as to_last,
            Server(user_service(Chain(to_last))).start() as first,
            UserServiceClient.connect(first.address, framing="header") as client,
        ):
            client.get(1)
            eventually(lambda: len(tracing.store.recent()) == 4)
            assert tracing.flush()
            eventually(lambda: len(receiver.items()) == 3)
        segments = {each["traceSegmentId"]: each for each in receiver.items()}
    assert len({each["traceId"] for each in segments.values()}) == 1
    by_parent = {}
    for segment in segments.values():
        for reference in segment["spans"][0].get("refs", [None]):
            by_parent[reference["parentTraceSegmentId"] if reference else ""] = (segment, reference)
    root, _ = by_parent[""]
    assert shape(root) == [(0, -1, "Exit", "UserService.get")]
    middle, reference = by_parent[root["traceSegmentId"]]
    assert reference["parentSpanId"] == 0
    assert reference["networkAddressUsedAtPeer"] == root["spans"][0]["peer"]
    assert reference["parentServiceInstance"] == root["serviceInstance"] == instance_name()
    assert shape(middle) == [(0, -1, "Entry", "UserService.get"), (1, 0, "Exit", "UserService.get")]
    served, reference = by_parent[middle["traceSegmentId"]]
    assert reference["parentSpanId"] == 1
    assert (reference["parentService"], reference["parentEndpoint"]) == ("shop", "UserService.get")
    assert reference["networkAddressUsedAtPeer"] == middle["spans"][1]["peer"]
    assert shape(served) == [(0, -1, "Entry", "UserService.get")]


def test_queues_and_segments_begin_empty_in_a_forked_child() -> None:
    with recording_server() as server:
        exporter = SkyWalkingExporter(f"http://127.0.0.1:{server.port}", "users")
        batches = Batches(exporter, interval_s=60)
        root = root_span()
        batches.put(ended(root.child("work")))
        assert batches.flush()
        child = os.fork()
        if not child:
            batches.put(ended(root_span("child")))
            os._exit(0 if batches.close() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        batches.put(ended(root))
        assert batches.close()
        names = [[span["operationName"] for span in each["spans"]] for each in server.items()]
        instances = {each["serviceInstance"] for each in server.items()}
    assert names == [["child"], ["UserService.get", "work"]]
    assert instances == {instance_name(), instance_name().replace(str(os.getpid()), str(child))}


def test_instances_are_short_enough_for_headers() -> None:
    assert len(instance_name()) <= 50


def test_spans_of_a_forked_child_are_a_segment_of_their_own() -> None:
    root = root_span()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        found = Segments("users").add([ended(root.child("in the child"))], 0.0, "2@host")
        os.write(writing, b"".join(found))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        forked = msgspec.json.decode(told.read())
    os.waitpid(child, 0)
    [segment] = add(Segments("users"), ended(root.child("in the parent")), ended(root))
    assert shape(segment) == [(0, -1, "Entry", "UserService.get"), (1, 0, "Local", "in the parent")]
    assert shape(forked) == [(0, -1, "Local", "in the child")]
    assert forked["traceSegmentId"] != segment["traceSegmentId"]
    assert forked["spans"][0]["refs"][0]["parentTraceSegmentId"] == segment["traceSegmentId"]
