"""Programs push spans to a collector, which finds traces by what is in them, also after it was killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventually import eventually
from free_ports import free_port
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import observe
from idlrt.collector import CollectorExporter, CollectorServer
from idlrt.collector.api import CollectorClient, InvalidQuery, Refused, SpanBatch, TraceSearch
from idlrt.observe.tracing.batches import Batches
from idlrt.observe.tracing.span_pages import SpanRecord
from idlrt.observe.tracing.switch import TRACING
from idlrt.server import Server

# Traces are complete after ten quiet seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    yield
    TRACING.use(None)


class Shop(Users):
    def get(self, id: int) -> User:
        observe.put("user", str(id))
        if id == 0:
            raise ValueError("zero")
        return User(id=id, name="Ada")


def asking(address: str) -> Any:
    return CollectorClient.connect(address, framing="header", protocol="compact", timeout=60.0)


def found(address: str, **fields: Any) -> list[Any]:
    now = time.time()
    with asking(address) as client:
        return list(client.search(TraceSearch(**{"start": now - 3600, "end": now + 60, **fields})))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "idlrt", "trace", "search", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=60, check=False)


def test_traces_are_found(tmp_path: Path) -> None:
    with CollectorServer(tmp_path, "127.0.0.1:0") as collecting:
        address = collecting.address.removeprefix("tcp://")
        with observe.trace("shop", sampler="always", exporters=[CollectorExporter(address, "shop")]) as tracing:
            with (
                Server(user_service(Shop())).start() as server,
                UserServiceClient.connect(server.address, framing="header") as client,
            ):
                for id in (42, 7):
                    client.get(id)
                with pytest.raises(Exception, match="ValueError"):
                    client.get(0)
            assert tracing.flush(60)
        eventually(lambda: len(found(address)) == 3, timeout=90)
        # Nothing of the calls that send spans.
        assert {(each.service, each.operation, each.spans) for each in found(address)} == {
            ("shop", "UserService.get", 2)
        }
        [of_42] = found(address, tags={"user": "42"})
        [failed] = found(address, failed=True)
        assert (of_42.failed, failed.failed, of_42.trace_id != failed.trace_id) == (0, 2, True)
        with asking(address) as client:
            spans = msgspec.msgpack.decode(client.trace(of_42.trace_id), type=list[SpanRecord])
            assert sorted((each.kind, each.service) for each in spans) == [("client", "shop"), ("server", "shop")]
            assert client.trace("0" * 32) == msgspec.msgpack.encode([])
            with pytest.raises(InvalidQuery, match="invalid trace id 'x'"):
                client.trace("x")
            with pytest.raises(InvalidQuery):
                client.search(TraceSearch(start=0.0, end=time.time()))
            with pytest.raises(Refused, match="cannot read the spans of shop"):
                client.push_spans(SpanBatch(service="shop", spans=b"no"))

        done = command(address, "--service", "shop", "--failed")
        assert done.stdout.splitlines()[1].split()[2:5] == [failed.trace_id, "shop:", "UserService.get"]
        assert json.loads(command(address, "--json", "--tag", "user=42").stdout)[0]["trace_id"] == of_42.trace_id
        tree = command(address, of_42.trace_id).stdout
        assert tree.startswith(f"trace {of_42.trace_id} at ")
        assert "shop: UserService.get server ok" in tree
        assert command(address, "0" * 32).returncode == 1
        assert command(f"127.0.0.1:{free_port()}", "--timeout", "1").returncode == 1


def test_spans_wait_for_a_collector_that_is_away(tmp_path: Path) -> None:
    port = free_port()
    batches = Batches(CollectorExporter(f"127.0.0.1:{port}", "shop"), interval_s=0.1)
    with observe.trace("shop", sampler="always") as tracing:
        with observe.span("job"):
            trace_id = observe.trace_id()
        [span] = tracing.store.recent()
        batches.put(span)
        assert not batches.flush(60)
        with CollectorServer(tmp_path, f"127.0.0.1:{port}") as collecting:
            eventually(batches.flush)
            with asking(collecting.address) as client:
                assert len(msgspec.msgpack.decode(client.trace(trace_id))) == 1
            assert batches.close()
        # Failures to send leave no late spans.
        assert "Collector.push_spans" not in {each.name for each in tracing.store.recent()}
    # It was acknowledged, so it is there.
    with CollectorServer(tmp_path, f"127.0.0.1:{port}") as collecting, asking(collecting.address) as client:
        assert len(msgspec.msgpack.decode(client.trace(trace_id))) == 1
