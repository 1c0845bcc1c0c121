"""The pages `/rpcz`: calls and traces as JSON and as HTML that is complete without JavaScript."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any, NamedTuple

import msgspec
import pytest
from admin_requests import request
from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Admin, Server, observe
from idlrt.errors import RpcError
from idlrt.observe.tracing.sampling import Always, Never
from idlrt.observe.tracing.store import SpanStore

SECRET = "hunter2"


class Shop(Users):
    """`get` sets a tag, and has an internal span with an event."""

    def get(self, id: int) -> Any:
        observe.put("user", str(id))
        with observe.span("price", {"currency": "EUR", "api_token": SECRET}) as span:
            span.add_event("cache miss", {"keys": 3})
        return super().get(id)


class Traced(NamedTuple):
    server: Server
    store: SpanStore

    def json(self, path: str = "") -> Any:
        found = request(self.server, f"/rpcz{path}", accept="application/json")
        assert found.status == 200, found.text
        return json.loads(found.text)

    def names(self, query: str) -> list[tuple[str, str]]:
        return [(each["kind"], each["name"]) for each in self.json(query)["spans"]]

    def html(self, path: str = "", status: int = 200) -> str:
        found = request(self.server, f"/rpcz{path}", accept="text/html")
        assert found.status == status, found.text
        return unescape(found.text)


@pytest.fixture
def traced() -> Iterator[Traced]:
    """A server with 1 call of `ping` and 3 of `get`, the last of which failed."""
    config = {"caller": {"app": "web"}}
    with (
        observe.trace("shop", sampler=Always(), max_spans=6000) as active,
        Server(user_service(Shop()), admin=0).start() as server,
        UserServiceClient.connect(server.address, framing="header", config=config) as client,
    ):
        client.ping()
        client.get(1)
        client.get(42)
        with pytest.raises(RpcError):
            client.get(0)
        eventually(lambda: len(active.store.recent()) == 11)
        yield Traced(server, active.store)


def test_calls_are_listed_newest_first(traced: Traced) -> None:
    page = traced.json()
    assert page["service"] == "shop"
    assert {name for _, name in traced.names("")} == {"UserService.get", "UserService.ping"}
    assert len(page["spans"]) == 8, "clients that begin a trace, and servers"
    assert len(traced.names("?limit=3")) == 3
    ended = [each["started_at"] + each["duration_s"] for each in page["spans"]]
    assert ended == sorted(ended, reverse=True)
    assert page["at"] > ended[0] - 1


def test_slow_and_failed_calls_are_listed(traced: Traced) -> None:
    failed = traced.json("?order=failed")["spans"]
    assert [(each["name"], each["status"]) for each in failed] == [("UserService.get", "error")] * 2
    durations = [each["duration_s"] for each in traced.json("?order=slow")["spans"]]
    assert durations == sorted(durations, reverse=True)
    assert len(durations) == 8


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?method=PING", 2),
        ("?tag=user:42", 1),
        ("?tag=user:42&method=ping", 0),
        ("?tag=user:42%20rpc.caller:web", 1),
        ("?tag=user:42&tag=rpc.caller:nosuch", 0),
        ("?status=error", 2),
        ("?status=internal", 2),
        ("?status=ok", 6),
        ("?min_s=30", 0),
        ("?min_s=0&order=slow", 8),
    ],
)
def test_calls_are_searched(traced: Traced, query: str, count: int) -> None:
    assert len(traced.json(query)["spans"]) == count
    assert traced.html(query).count('href="rpcz/') == count


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?order=last", "order: must be one of recent, slow, failed, got 'last'"),
        ("?tag=user", "tag: expected NAME:VALUE, got 'user'"),
        ("?min_s=fast", "min_s: must be a number of seconds, got 'fast'"),
        ("?min_s=-1", "min_s: must be a number of seconds, got '-1'"),
        ("?limit=0", "limit: must be between 1 and 1000, got '0'"),
        ("?limit=5000", "limit: must be between 1 and 1000, got '5000'"),
        ("?user=42", "user: there is no such parameter"),
        ("?format=text", "format: must be json or html"),
        ("/4bf92f", "the id of a trace has 32 lower-case hex digits"),
        ("/", "the id of a trace has 32 lower-case hex digits"),
    ],
)
def test_invalid_parameters_are_errors(traced: Traced, query: str, message: str) -> None:
    found = request(traced.server, f"/rpcz{query}", accept="application/json")
    assert (found.status, message in found.text) == (400, True), found.text


def test_invalid_values_of_the_form_are_shown_with_the_form(traced: Traced) -> None:
    text = traced.html("?tag=user&method=get", status=400)
    assert "tag: expected NAME:VALUE, got 'user'" in text
    assert 'name="method" value="get"' in text


def test_a_trace_has_all_its_spans(traced: Traced) -> None:
    trace_id = traced.json("?tag=user:42")["spans"][0]["trace_id"]
    spans = {each["kind"]: each for each in traced.json(f"/{trace_id}")["spans"]}
    assert set(spans) == {"client", "server", "internal"}
    assert spans["server"]["parent_id"] == spans["client"]["span_id"]
    assert spans["server"]["is_remote_parent"]
    assert spans["internal"]["attributes"]["currency"] == "EUR"
    assert spans["internal"]["events"][0]["name"] == "cache miss"
    assert traced.json(f"/{'0' * 31}1")["spans"] == []


def bars(text: str, kind: str) -> list[tuple[float, float]]:
    found = re.findall(rf'<rect class="{kind}" x="([\d.]+)" y="\d+" width="([\d.]+)"', text)
    return [(float(x), float(width)) for x, width in found]


def test_the_waterfall_shows_the_tree_on_one_time_axis(traced: Traced) -> None:
    trace_id = traced.json("?tag=user:42")["spans"][0]["trace_id"]
    text = traced.html(f"/{trace_id}")
    # The server's span is a level within that of the client.
    assert re.search(r"<details.* open>.*client.*<details.* open>.*server.*<details.*internal", text, re.DOTALL)
    assert "remote parent" in text
    [(x, width)] = bars(text, "client")
    assert (x, width > 990) == (0.0, True)
    for kind in ("server", "internal", "handler"):
        for x, width in bars(text, kind):
            assert x >= 0
            assert x + width <= 1000.1
    assert len(bars(text, "mark")) == 1
    for shown in ("currency", "EUR", "cache miss", "keys=3", "tag.user", "rpc.server.handler_s", "Self"):
        assert shown in text
    assert bars(text, "path"), "the critical path has separate bars"
    assert "Critical path" in text
    assert "style=" not in text, "the policy of the pages would not allow it"


def test_an_unknown_trace_is_not_found(traced: Traced) -> None:
    assert "No spans of this trace are known" in traced.html(f"/{'a' * 32}", status=404)


def test_failures_are_marked_and_texts_of_exceptions_are_not_shown(traced: Traced) -> None:
    trace_id = traced.json("?order=failed")["spans"][0]["trace_id"]
    text = traced.html(f"/{trace_id}")
    assert text.count("✕") >= 2
    assert bars(text, "failed")
    assert "ValueError" in text
    for shown in (text, json.dumps(traced.json(f"/{trace_id}")), traced.html("?order=failed")):
        assert "a secret that must not leave" not in shown
        assert SECRET not in shown


def test_calls_that_were_not_sampled_are_marked_as_late() -> None:
    with observe.trace("shop", sampler=Never()) as active, Server(user_service(Users()), admin=0).start() as server:
        with UserServiceClient.connect(server.address, framing="header") as client, pytest.raises(RpcError):
            client.get(0)
        eventually(lambda: len(active.store.recent()) == 2)
        traced = Traced(server, active.store)
        assert traced.html().count('<span class="note">late') == 2
        assert all(each["is_late"] for each in traced.json()["spans"])
        assert "late" in traced.html(f"/{traced.json()['spans'][0]['trace_id']}")


def filled(store: SpanStore, count: int, parent: int) -> str:
    """Put a trace of many spans into the store, each of which has `parent` children."""
    template = store.entries("failed")[0]
    trace_id = "ab" * 16
    for number in range(count):
        store.put(
            msgspec.structs.replace(
                template,
                trace_id=trace_id,
                span_id=f"{number + 1:016x}",
                parent_id=f"{(number - 1) // parent + 1:016x}" if number else "",
                started_at=template.started_at + number * 1000,
                kind="server" if number % 2 else "client",
            )
        )
    return trace_id


@pytest.mark.parametrize("children", [1, 3, 5000])
def test_a_trace_of_5000_spans_is_shown_whatever_its_shape(traced: Traced, children: int) -> None:
    trace_id = filled(traced.store, 5000, children)
    text = traced.html(f"/{trace_id}")
    assert text.count('<details class="span') == 5000
    assert text.count("<details") == text.count("</details>")
    depth = deepest = 0
    for tag in re.findall(r"<details|</details>", text):
        depth += 1 if tag == "<details" else -1
        deepest = max(deepest, depth)
    assert deepest < 30, "browsers limit the depth of documents"


def test_the_index_and_the_navigation_have_the_page_only_while_tracing_is_on(traced: Traced) -> None:
    assert "/rpcz" in request(traced.server, "/").text
    assert ">Traces</a>" in request(traced.server, "/status", accept="text/html").text


def test_without_tracing_there_is_no_page() -> None:
    with Server(user_service(Users()), admin=0).start() as server:
        assert "rpcz" not in request(server, "/").text
        assert "Traces" not in request(server, "/status", accept="text/html").text
        found = request(server, "/rpcz")
        assert (found.status, "tracing is off" in found.text) == (404, True)


def test_the_token_protects_the_page() -> None:
    admin = Admin("127.0.0.1:0", token="secret")
    with observe.trace("shop", sampler=Always()), Server(user_service(Users()), admin=admin).start() as server:
        assert request(server, "/rpcz?format=json").status == 401
        assert request(server, "/rpcz?format=json", authorization="Bearer secret").status == 200
