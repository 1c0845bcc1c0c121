"""The beacon: what it records, and what it refuses, on the port of a real server."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from admin_requests import Response, request
from hand_written import Users, user_service
from hypothesis import given
from hypothesis import strategies as st
from measured import counts, grown, process_counts

from idlrt import Cors, Http, Server
from idlrt.errors import ConfigurationError
from idlrt.observe import Beacon
from idlrt.observe.beacon import BeaconRoute
from idlrt.observe.features import Features
from idlrt.protocol.http.pages import HttpRequest

APP = "https://app.example.com"
BEACON = Beacon(features=("checkout", "search"), steps=("pay", "cart"), origins=(APP,), max_bytes=512, max_entries=3)
GOOD = {"feature": "checkout", "outcome": "ok", "seconds": 1.25, "steps": {"pay": 0.5}}


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[str]:
    """A server with a beacon; yields its URL."""
    options = {"beacon": BEACON, **options}
    with Server(user_service(Users()), "127.0.0.1:0", http=Http(**options)) as server:
        server.start()
        yield server.address.replace("tcp://", "http://")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as found:
        yield found


def post(url: str, body: Any, content_type: str = "text/plain;charset=UTF-8", **headers: str) -> Response:
    text = body if isinstance(body, str) else json.dumps(body)
    return request(url, "/_beacon", "POST", text, content_type=content_type, **headers)


def refused(response: Response) -> str:
    """The reason in a problem document."""
    assert response.headers["content-type"] == "application/problem+json"
    document = json.loads(response.text)
    assert document["status"] == response.status
    detail: str = document["detail"]
    return detail


def test_reports_are_recorded_apart_from_those_of_the_server(url: str) -> None:
    features, steps = process_counts("feature_duration_seconds"), process_counts("feature_step_duration_seconds")
    for content_type in ("text/plain;charset=UTF-8", "application/json", "Application/JSON; charset=utf-8"):
        response = post(url, [GOOD], content_type)
        assert (response.status, response.text) == (204, "")
    assert post(url, [{"feature": "search", "seconds": 2}, {**GOOD, "outcome": "abandoned", "steps": {}}]).status == 204
    assert grown(features, "feature_duration_seconds") == {
        ("checkout", "ok", "client", ""): 3,
        ("search", "ok", "client", ""): 1,
        ("checkout", "abandoned", "client", ""): 1,
    }
    assert grown(steps, "feature_step_duration_seconds") == {("checkout", "pay", "ok", "client"): 3}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "the body is no list of reports"),
        ("{", "the body is no list of reports"),
        ("\udcff", "the body is no list of reports"),
        (GOOD, "Expected `array`, got `object`"),
        ([{"feature": "checkout"}], "missing required field `seconds`"),
        ([{**GOOD, "more": 1}], "unknown field `more`"),
        ([{**GOOD, "outcome": "fine"}], r"Invalid enum value 'fine' - at `\$\[0\].outcome`"),
        ([GOOD, {**GOOD, "feature": "other"}], "a feature is unknown; the option `features`"),
        ([{**GOOD, "steps": {"other": 1}}], "a step is unknown; the option `steps`"),
        ([{**GOOD, "seconds": -1}], "durations must be between 0 and 600 s"),
        ([{**GOOD, "seconds": 601}], "durations must be between 0 and 600 s"),
        ([{**GOOD, "steps": {"pay": 1e99}}], "durations must be between 0 and 600 s"),
        ([GOOD] * 4, "a request must have at most 3 reports, got 4"),
    ],
)
def test_wrong_reports_are_refused_as_a_whole(url: str, body: Any, why: str) -> None:
    before = process_counts("feature_duration_seconds")
    if body == "\udcff":
        response = httpx.post(f"{url}/_beacon", content=b"[\xff]", headers={"content-type": "text/plain"})
        found = Response(response.status_code, dict(response.headers), response.text)
    else:
        found = post(url, body)
    assert found.status == 400
    assert re.search(why, refused(found))
    assert grown(before, "feature_duration_seconds") == {}


def test_only_small_bodies_of_known_length_and_type_are_read(url: str) -> None:
    long = post(url, " " * 513)
    assert long.status == 413
    assert refused(long) == "the body must have at most 512 bytes"
    assert post(url, [GOOD], "application/x-www-form-urlencoded").status == 415
    assert post(url, [GOOD], "application/json", content_encoding="gzip").status == 411
    assert (
        httpx.post(f"{url}/_beacon", content=iter([b"[]"]), headers={"content-type": "text/plain"}).status_code == 411
    )


def test_other_methods_are_refused(url: str) -> None:
    response = request(url, "/_beacon")
    assert (response.status, response.headers["allow"]) == (405, "POST, OPTIONS")


def test_origins_are_checked(url: str) -> None:
    own = post(url, [GOOD], origin=url)
    allowed = post(url, [GOOD], origin="https://APP.example.com")
    for response, origin in ((own, url), (allowed, "https://APP.example.com")):
        assert response.status == 204
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers["vary"] == "origin"
    for origin in ("https://evil.example.com", "null", "https://app.example.com.evil.com"):
        response = post(url, [GOOD], origin=origin)
        assert response.status == 403
        assert "pages of this origin may not report" in refused(response)
        assert "access-control-allow-origin" not in response.headers


def test_preflight_requests_are_answered(url: str) -> None:
    headers = {"origin": APP, "access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    response = request(url, "/_beacon", "OPTIONS", None, **headers)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == APP
    assert response.headers["access-control-allow-credentials"] == "true"
    assert response.headers["access-control-allow-methods"] == "POST"
    assert response.headers["access-control-allow-headers"] == "content-type"
    assert request(url, "/_beacon", "OPTIONS", None, **{**headers, "origin": "https://evil.example.com"}).status == 403


def test_its_origins_are_independent_of_those_of_the_api() -> None:
    with serving(cors=Cors(origins=(APP,)), beacon=Beacon(features=("checkout",), origins=("*",))) as url:
        for origin in (APP, "https://any.example.com"):
            assert post(url, [{"feature": "checkout", "seconds": 1}], origin=origin).headers[
                "access-control-allow-origin"
            ] == (origin)


def test_the_rate_is_limited() -> None:
    with serving(beacon=Beacon(features=("checkout",), rate=0.5)) as url:
        report = [{"feature": "checkout", "seconds": 1}]
        assert post(url, report).status == 204
        response = post(url, report, origin=url)
        assert response.status == 429
        assert refused(response) == "too many reports"
        assert response.headers["retry-after"] in ("1", "2")
        assert response.headers["access-control-allow-origin"] == url


def test_the_bucket_has_the_requests_of_a_second() -> None:
    now = 100.0
    features = Features()
    route = BeaconRoute(Beacon(features=("checkout",), rate=10), lambda: now, features)
    report = HttpRequest(
        verb="POST",
        path="/_beacon",
        headers={"content-type": "text/plain"},
        body=b'[{"feature":"checkout","seconds":1}]',
    )

    def accepted(number: int) -> int:
        return sum(route(report).status == 204 for _ in range(number))

    assert accepted(50) == 10
    assert dict(route(report).headers)["retry-after"] == "1"
    now += 0.5
    assert accepted(50) == 5
    now += 100
    assert accepted(50) == 10
    assert counts(features.read(), "feature_duration_seconds") == {("checkout", "ok", "client", ""): 25}


HEADERS = st.fixed_dictionaries(
    {"content-type": st.sampled_from(["text/plain", "application/json", ""])},
    optional={"origin": st.text(st.characters(max_codepoint=255)), "host": st.text(st.characters(max_codepoint=255))},
)
NAMES = st.sampled_from(["checkout", "feature", "seconds", "steps", "pay", "\ud800"]) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | NAMES,
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
)


@given(HEADERS, st.binary() | VALUES.map(lambda value: json.dumps([value]).encode()))
def test_no_request_breaks_it(headers: dict[str, str], body: bytes) -> None:
    features = Features()
    route = BeaconRoute(Beacon(features=("checkout",), steps=("pay",)), lambda: 0.0, features)
    for verb in ("POST", "OPTIONS"):
        response = route(HttpRequest(verb=verb, path="/_beacon", headers=headers, body=body))
        assert response.status in (204, 400, 403, 415)
        assert response.status == 204 or json.loads(response.body)["detail"]
    assert {labels[0] for labels in counts(features.read(), "feature_duration_seconds")} <= {"checkout"}


def test_it_is_off_by_default_and_may_have_another_path() -> None:
    with serving(beacon=None) as url:
        assert post(url, [GOOD]).status == 404
    with serving(beacon=Beacon(features=("checkout",), path="/app/figures")) as url:
        assert post(url, [GOOD]).status == 404
        assert request(url, "/app/figures", "POST", "[]", content_type="text/plain").status == 204


def test_calls_are_served_beside_it(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.post("/UserService/get", json={"id": 1}).status_code == 200
            assert client.post("/_beacon", content="[]", headers={"content-type": "text/plain"}).status_code == 204


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"features": ()}, "features: must have at least one name"),
        ({"features": "checkout"}, "features: must be a list, got 'checkout'"),
        ({"features": (5,)}, "features: must be a list of texts, got 5"),
        ({"features": ("_a",)}, "features: its name must have between 1 and 100"),
        ({"steps": ("",)}, "steps: its name must have between 1 and 100"),
        ({"origins": ("app.example.com",)}, "origins: must be an origin such as"),
        ({"rate": 0}, r"rate: must be between 0\.01 and 1e\+06, got 0"),
        ({"max_bytes": 5}, "max_bytes: must be between 16 and"),
        ({"max_entries": 0}, "max_entries: must be between 1 and 1000"),
        ({"max_seconds": True}, "max_seconds: must be between"),
        ({"path": "beacon"}, "path: must be a path such as '/_beacon', got 'beacon'"),
        ({"path": "/a/{b}"}, "path: must be a path"),
    ],
)
def test_options_are_checked(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Beacon: {why}"):
        Beacon(**{"features": ("checkout",), **options})


def test_the_option_of_a_server_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"Http: beacon: must be an `idlrt\.observe\.Beacon`, got True"):
        Http(beacon=True)  # type: ignore[arg-type]
