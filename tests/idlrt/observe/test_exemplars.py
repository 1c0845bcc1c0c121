"""Exemplars: `/metrics` names a recorded call of each bucket, in OpenMetrics only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from admin_requests import request
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from idlrt import Server, observe
from idlrt.errors import RpcError
from idlrt.observe.exemplars import Exemplar, Exemplars
from idlrt.observe.tracing.sampling import Always, Never

NAME = "rpc_server_call_duration_seconds"
OPENMETRICS = "application/openmetrics-text"


def call(server: Server) -> None:
    with UserServiceClient.connect(server.address, framing="header") as client:
        client.get(1)
        with pytest.raises(RpcError):
            client.get(0)


def samples(server: Server) -> Iterator[Any]:
    """The samples of buckets that have an exemplar."""
    lines = request(server, "/metrics", accept=OPENMETRICS).lines
    shown = [line for line in lines if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(NAME)]
    assert [line for line in lines if " # {" in line and line not in shown] == []
    for family in text_string_to_metric_families("\n".join((*shown, "# EOF", ""))):
        yield from (each for each in family.samples if each.exemplar is not None)


def test_buckets_name_a_recorded_call() -> None:
    with observe.trace("shop", sampler=Always()) as active, Server(user_service(Users()), admin=0).start() as server:
        call(server)
        eventually(lambda: len(active.store.recent()) == 4)
        spans = {each.span_id: each for each in active.store.recent() if each.kind == "server"}
        found = list(samples(server))
        assert {each.name for each in found} == {f"{NAME}_bucket"}
        assert {each.labels["rpc_status_code"] for each in found} == {"ok", "internal"}
        for each in found:
            span = spans[each.exemplar.labels["span_id"]]
            assert each.exemplar.labels["trace_id"] == span.trace_id
            assert each.labels["rpc_status_code"] == span.attributes["rpc.response.status_code"]
            assert 0 < each.exemplar.value <= float(each.labels["le"])
            assert float(each.exemplar.timestamp) >= span.started_at / 1e9 - 1
        assert " # {" not in request(server, "/metrics").text


def test_calls_that_are_not_recorded_are_no_exemplars() -> None:
    with observe.trace("shop", sampler=Never()), Server(user_service(Users()), admin=0).start() as server:
        with UserServiceClient.connect(server.address, framing="header") as client:
            client.join(["a", "b"])
        eventually(lambda: "UserService.join" in request(server, "/metrics").text)
        # Exemplars are those of the process, which has had other servers.
        assert [each for each in samples(server) if each.labels["rpc_method"] == "UserService.join"] == []


def test_the_last_call_of_a_bucket_stays_and_their_number_is_bounded() -> None:
    exemplars = Exemplars(max_count=2)
    for number, value in enumerate((0.002, 0.0021, 0.2, 20.0, 0.0022)):
        exemplars.put(("A.b", "ok", ""), Exemplar(f"{number}", "", value, 0.0))
    assert sorted(each.trace_id for each in exemplars.read().values()) == ["2", "4"]
    assert {labels for labels, _ in exemplars.read()} == {("A.b", "ok", "")}
    exemplars.after_fork()
    assert exemplars.read() == {}
