"""Traces in logs, in errors of clients, and in responses over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from eventually import TIMEOUT, eventually
from hand_written import AsyncUserServiceClient, NotFound, Users, UserServiceClient, user_service

from idlrt import Server, observe
from idlrt.core.metadata import TRACE_RESPONSE
from idlrt.errors import RpcError
from idlrt.observe.tracing.sampling import Always, Never
from idlrt.protocol.jsonrpc.meta import write_response_meta

log = logging.getLogger("shop")


class Logging(Users):
    """`get` logs within the call."""

    def get(self, id: int) -> Any:
        observe.put("user", str(id))
        log.info("looking up", extra={"table": "users"})
        return super().get(id)


@contextmanager
def records(logger: str, formatter: logging.Formatter | None = None, *filters: logging.Filter) -> Iterator[list[str]]:
    """The formatted records of a logger."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Handler()
    handler.setFormatter(formatter or observe.JsonFormatter())
    for each in filters:
        handler.addFilter(each)
    target = logging.getLogger(logger)
    level = target.level
    target.addHandler(handler)
    target.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        target.removeHandler(handler)
        target.setLevel(level)


@contextmanager
def connected(**tracing: Any) -> Iterator[tuple[UserServiceClient, Any]]:
    config = {"caller": {"app": "web"}}
    with (
        observe.trace("shop", **{"sampler": Always(), **tracing}) as active,
        Server(user_service(Logging())).start() as server,
        UserServiceClient.connect(server.address, framing="header", config=config) as client,
    ):
        yield client, active


def test_records_within_calls_have_the_trace_the_call_and_the_tags() -> None:
    with records("shop") as lines, connected() as (client, active):
        client.get(1)
        eventually(lambda: len(active.store.recent()) == 2)
        [server] = [each for each in active.store.recent() if each.kind == "server"]
    found = json.loads(lines[0])
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "INFO",
        "logger": "shop",
        "message": "looking up",
        "trace_id": server.trace_id,
        "span_id": server.span_id,
        "trace_flags": "01",
        "service": "shop",
        "method": "UserService.get",
        "caller": "web",
        "tags": {"user": "1"},
        "table": "users",
    }


def test_records_outside_of_calls_have_empty_fields() -> None:
    text = logging.Formatter("%(message)s [%(trace_id)s|%(otelTraceID)s|%(method)s|%(service)s]")
    with records("shop", text, observe.TraceFilter("web")) as lines:
        log.info("starting")
    assert lines == ["starting [|0||web]"]


def test_fields_that_a_record_has_already_stay() -> None:
    with records("shop") as lines, observe.trace("shop", sampler=Always()), observe.span("price"):
        log.info("received", extra={"trace_id": "of another program"})
    assert json.loads(lines[0])["trace_id"] == "of another program"


def test_exceptions_are_one_line_of_json() -> None:
    with records("shop") as lines:
        try:
            raise ValueError("two\nlines")
        except ValueError:
            log.exception("failed")
    [line] = lines
    assert "\n" not in line
    assert "ValueError: two\nlines" in json.loads(line)["exception"]


def test_the_access_log_has_one_record_for_each_recorded_call() -> None:
    with records("idlrt.access") as lines, connected(access_log=True) as (client, _):
        for _ in range(20):  # more than the limit of other loggers
            client.get(1)
        with pytest.raises(NotFound):
            client.get(-1)
        eventually(lambda: len(lines) == 21)
    found = json.loads(lines[0])
    assert re.fullmatch(r"UserService\.get from web: ok in [\d.]+ ms", found["message"])
    assert (found["method"], found["caller"], found["status"]) == ("UserService.get", "web", "ok")
    assert found["duration_s"] > 0
    assert found["request_bytes"] > 0
    assert found["response_bytes"] > 0
    assert re.fullmatch("[0-9a-f]{32}", found["trace_id"])
    assert found["service"] == "shop"
    assert json.loads(lines[-1])["status"] == "declared_error"


@pytest.mark.parametrize("tracing", [{"access_log": False}, {"access_log": True, "sampler": Never()}])
def test_the_access_log_is_off_by_default_and_sampled(tracing: dict[str, Any]) -> None:
    with records("idlrt.access") as lines, connected(**tracing) as (client, active):
        client.get(1)
        with pytest.raises(RpcError):
            client.get(0)
        eventually(lambda: active.store.recent())  # failed, so recorded in any case
    assert lines == []


def test_errors_of_clients_name_their_trace() -> None:
    with connected() as (client, active):
        with pytest.raises(RpcError) as caught:
            client.get(0)
        with pytest.raises(NotFound) as declared:
            client.get(-1)
        eventually(lambda: len(active.store.entries("failed")) == 2)
        trace_id = active.store.entries("failed")[0].trace_id
    assert caught.value.__notes__ == [f"trace: {trace_id}"]
    assert re.fullmatch("trace: [0-9a-f]{32}", declared.value.__notes__[0])
    with connected(sampler=Never()) as (client, _), pytest.raises(RpcError) as unsampled:
        client.get(0)
    assert not hasattr(unsampled.value, "__notes__")


def test_an_exception_that_is_passed_on_has_one_note() -> None:
    class Passing(Users):
        def get(self, id: int) -> Any:
            try:
                client.get(id)
            except RpcError as error:
                errors.append(error)
                raise
            return None

    errors: list[RpcError] = []
    with (
        connected() as (client, _),
        Server(user_service(Passing())).start() as first,
        UserServiceClient.connect(first.address, framing="header") as to_first,
        pytest.raises(RpcError) as caught,
    ):
        to_first.get(0)
    assert errors[0].__notes__ == caught.value.__notes__


def http_get(address: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address.removeprefix("tcp://"), timeout=TIMEOUT)
    try:
        connection.request("POST", "/UserService/get", json.dumps({"id": 1}), {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_responses_over_http_have_the_position_in_the_trace() -> None:
    with observe.trace("shop", sampler=Always()) as active:
        with Server(user_service(Logging()), protocols=["http"]).start() as server:
            response = http_get(server.address)
            eventually(lambda: active.store.recent())
        [span] = active.store.recent()
        assert response.status == 200
        assert response.getheader("traceresponse") == f"00-{span.trace_id}-{span.span_id}-01"
        assert response.getheader("rpc-metadata-traceresponse") is None


def test_unsampled_responses_over_http_do_not_have_it() -> None:
    with observe.trace("shop", sampler=Never()), Server(user_service(Users()), protocols=["http"]).start() as server:
        assert http_get(server.address).getheader("traceresponse") is None


def test_responses_by_json_rpc_do_not_have_it() -> None:
    # Clients that send no `meta` may reject it.
    assert write_response_meta({TRACE_RESPONSE: "00-a-b-01"}, is_draining=False) == b""
    found = json.loads(write_response_meta({TRACE_RESPONSE: "00-a-b-01", "shard": "7"}, is_draining=False))
    assert found == {"metadata": {"shard": "7"}}


def test_asyncio_clients_name_the_trace_of_an_error() -> None:
    async def failing(address: str) -> BaseException:
        async with AsyncUserServiceClient.connect(address, framing="header") as client:
            try:
                await client.get(0)
            except RpcError as error:
                return error
        raise AssertionError("it has to fail")

    with observe.trace("shop", sampler=Always()), Server(user_service(Users())).start() as server:
        error = asyncio.run(failing(server.address))
    assert re.fullmatch("trace: [0-9a-f]{32}", error.__notes__[0])
