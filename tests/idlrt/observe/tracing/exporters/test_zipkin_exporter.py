"""Zipkin's JSON, and requests to a server that rejects, is overloaded, or is away for a while."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from eventually import eventually
from finished_spans import finished_span, recording_server
from free_ports import free_port

from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.batches import Batches, ExportFailed
from idlrt.observe.tracing.exporters import ZipkinExporter
from idlrt.observe.tracing.exporters.zipkin import zipkin_span
from idlrt.observe.tracing.span import Link, SpanEvent


def test_a_server_span_has_all_that_zipkin_knows() -> None:
    span = finished_span(
        trace_id="a" * 32,
        span_id="b" * 16,
        parent_id="c" * 16,
        attributes={"client.address": "[::1]:4711", "rpc.caller": "web", "is_core": True, "tag.user": "42"},
        events=(SpanEvent(2_000, "Retrying", {"attempt": 1, "reason": ""}),),
        links=(Link("d" * 32, "e" * 16, "another trace"),),
        status="error",
        message="no such user",
        dropped=3,
    )
    assert zipkin_span(span, "users") == {
        "traceId": "a" * 32,
        "id": "b" * 16,
        "parentId": "c" * 16,
        "kind": "SERVER",
        "name": "UserService.get",
        "timestamp": 1_700_000_000_000_000,
        "duration": 1500,
        "localEndpoint": {"serviceName": "users"},
        "remoteEndpoint": {"serviceName": "web", "ipv6": "::1", "port": 4711},
        "annotations": [{"timestamp": 1_700_000_000_000_002, "value": "Retrying: attempt=1"}],
        "tags": {
            "client.address": "[::1]:4711",
            "rpc.caller": "web",
            "is_core": "true",
            "tag.user": "42",
            "error": "no such user",
            "otel.dropped": "3",
            "link.0": f"{'d' * 32}:{'e' * 16}:another trace",
        },
    }


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("client", {"server.address": "10.0.0.1:90", "rpc.service": "UserService"}, {"ipv4": "10.0.0.1", "port": 90}),
        ("client", {"server.address": "tcp://10.0.0.1:9090"}, {"ipv4": "10.0.0.1", "port": 9090}),
        ("client", {"server.address": "users.internal:9090"}, None),
        ("client", {"server.address": "[::1]:99999", "peer.service": "users"}, {"serviceName": "users", "ipv6": "::1"}),
        ("server", {"client.address": ""}, None),
        ("internal", {"server.address": "10.0.0.1:9090", "rpc.caller": "web"}, None),
    ],
)
def test_the_other_side_is_named_only_where_it_is_known(kind: str, fields: Any, expected: Any) -> None:
    assert zipkin_span(finished_span(kind=kind, attributes=fields), "shop").get("remoteEndpoint") == expected


def test_callers_that_send_their_name_precede_the_configured_one() -> None:
    span = finished_span(attributes={"rpc.caller": "web"}, sender={"service": "gateway"})
    assert zipkin_span(span, "users")["remoteEndpoint"] == {"serviceName": "gateway"}


def test_internal_and_late_spans() -> None:
    span = zipkin_span(finished_span(kind="internal", duration=0, is_late=True), "users")
    assert "kind" not in span
    assert "parentId" not in span
    assert span["duration"] == 1
    assert span["tags"] == {"late": "true"}


def test_requests_are_compressed_lists_over_one_connection() -> None:
    with recording_server() as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users", headers={"Authorization": "Bearer x"})
        exporter.export([finished_span("one"), finished_span("two")], 10)
        exporter.export([finished_span("three")], 10)
        exporter.close()
    assert [[each["name"] for each in request.body] for request in server.requests] == [["one", "two"], ["three"]]
    for request in server.requests:
        assert request.path == "/api/v2/spans"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["content-encoding"] == "gzip"
        assert request.headers["authorization"] == "Bearer x"


def test_batches_are_split_by_size() -> None:
    large = {f"field{number}": "x" * 1000 for number in range(100)}
    with recording_server() as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}/zipkin", "users")
        exporter.export([finished_span(str(number), attributes=large) for number in range(25)], 10)
        exporter.close()
    assert [len(each.body) for each in server.requests] == [10, 10, 5]
    assert [each["name"] for each in server.items()] == [str(number) for number in range(25)]
    assert {each.path for each in server.requests} == {"/zipkin"}


def test_a_request_that_is_too_large_is_halved() -> None:
    with recording_server(statuses=[413, 413]) as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users")
        exporter.export([finished_span(str(number)) for number in range(4)], 10)
        exporter.close()
    assert [len(each.body) for each in server.requests] == [4, 2, 1, 1, 2]
    assert [each["name"] for request in server.requests[2:] for each in request.body] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("status", "done", "rejected"), [(400, 2, 2), (500, 2, 2), (302, 2, 2), (503, 0, 0), (429, 0, 0)]
)
def test_statuses_tell_whether_to_send_again(status: int, done: int, rejected: int) -> None:
    with recording_server(statuses=[status]) as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users")
        with pytest.raises(ExportFailed, match=f"status {status} .*: no thanks") as caught:
            exporter.export([finished_span(), finished_span()], 10)
        exporter.close()
    assert (caught.value.done, caught.value.rejected) == (done, rejected)


def test_what_was_accepted_before_a_failure_is_not_sent_again() -> None:
    large = {f"field{number}": "x" * 1000 for number in range(100)}
    with recording_server(statuses=[202, 400, 503]) as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users")
        with pytest.raises(ExportFailed) as caught:
            exporter.export([finished_span(attributes=large) for _ in range(35)], 10)
        exporter.close()
    assert (caught.value.done, caught.value.rejected) == (20, 10)


def test_text_that_is_not_valid_unicode_does_not_spoil_a_batch() -> None:
    with recording_server() as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users")
        exporter.export([finished_span("a\udcff", attributes={"k\ud800": "v\udc80"}), finished_span("b")], 10)
        exporter.close()
    assert [(each["name"], each["tags"]) for each in server.items()] == [("a?", {"k?": "v?"}), ("b", {})]


def test_connections_that_the_server_has_closed_are_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answers = threading.Thread(target=_answer_once_per_connection, args=(listener, 2))
        answers.start()
        exporter = ZipkinExporter(f"http://127.0.0.1:{listener.getsockname()[1]}", "users")
        exporter.export([finished_span()], 10)
        exporter.export([finished_span()], 10)
        answers.join()
        exporter.close()


def _answer_once_per_connection(listener: socket.socket, number: int) -> None:
    for _ in range(number):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")


def test_a_server_that_does_not_answer_is_left_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exporter = ZipkinExporter(f"http://127.0.0.1:{listener.getsockname()[1]}", "users")
        with pytest.raises(ExportFailed, match="timed out") as caught:
            exporter.export([finished_span()], 0.05)
        assert caught.value.done == 0
        exporter.close()


def test_a_forked_child_has_its_own_connection() -> None:
    with recording_server() as server:
        exporter = ZipkinExporter(f"http://127.0.0.1:{server.port}", "users")
        exporter.export([finished_span("parent")], 10)
        child = os.fork()
        if not child:
            exporter.export([finished_span("child")], 10)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        # The connection of the parent is still open.
        exporter.export([finished_span("parent")], 10)
        exporter.close()
    assert [each["name"] for each in server.items()] == ["parent", "child", "parent"]


def test_servers_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with recording_server(tls=context) as server:
        exporter = ZipkinExporter(f"https://127.0.0.1:{server.port}", "users")
        with pytest.raises(ExportFailed, match="certificate verify failed"):
            exporter.export([finished_span()], 10)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        exporter.export([finished_span()], 10)
        exporter.close()
    assert len(server.items()) == 1


@pytest.mark.slow
def test_spans_arrive_once_a_real_server_is_back() -> None:
    port = free_port()
    batches = Batches(ZipkinExporter(f"http://127.0.0.1:{port}", "users"), max_queued=1000, interval_s=0.2)
    stop = threading.Event()
    put: list[str] = []

    def work() -> None:
        while not stop.wait(0.002):
            for _ in range(5):
                span = finished_span()
                put.append(span.span_id)
                batches.put(span)

    thread = threading.Thread(target=work)
    with recording_server(port) as server:
        thread.start()
        eventually(lambda: len(server.items()) > 100)
    before = len(server.items())
    # Away until spans are dropped.
    eventually(lambda: len(put) > before + 2500)
    assert batches.queued <= 1001
    with recording_server(port) as server:
        eventually(lambda: len(server.items()) >= 1000)
        stop.set()
        thread.join()
        assert batches.close()
        received = [each["id"] for each in server.items()]
    assert put[-1] in received
    assert len(received) < len(put) - before


@pytest.mark.parametrize("url", ["", "127.0.0.1:9411", "ftp://host/", "http://host:port", "http://"])
def test_invalid_urls_are_reported(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the URL must be like http://host:port/path, got"):
        ZipkinExporter(url, "users")
