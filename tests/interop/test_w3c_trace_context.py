"""An HTTP server continues traces as W3C's Trace Context demands: its test suite, where it is, and cases from the text.

The cases are those of `version-format`, of versions to come, of `trace-flags` and of the limits of `tracestate`, at
level 2; comments name what level 1 says otherwise. A test sends a request to `w3c_service.py`, and looks at the
requests which that sends.

Sources: https://www.w3.org/TR/trace-context-1/ and https://www.w3.org/TR/trace-context-2/
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from eventually import TIMEOUT
from finished_spans import Recorder, recording_server
from free_ports import free_port
from peer_programs import running_program
from peer_venvs import peer_python

pytestmark = pytest.mark.slow

SERVICE = Path(__file__).parent / "w3c_service.py"
T = "4f1e2d3c5b6a79880123456789abcdef"
S = "00f0e1d2c3b4a596"
VALID = f"00-{T}-{S}-01"
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])")
Headers = Sequence[tuple[str, str]]


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the service."""
    log = tmp_path_factory.mktemp("w3c") / "service.log"
    with running_program([sys.executable, str(SERVICE), request.param], log) as url:
        yield url


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording_server() as found:
        yield found


def post(endpoint: str, headers: Headers, body: object) -> None:
    """Send a request with these headers, as they are: also several of one name, and white space around values."""
    url = urlsplit(endpoint)
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT)
    data = json.dumps(body).encode()
    connection.putrequest("POST", url.path)
    for name, value in [("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers]:
        connection.putheader(name, value)
    connection.endheaders(data)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    assert response.status == 204, text


def callback(recorder: Recorder, *arguments: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{recorder.port}/callback", "arguments": list(arguments)}


def sent(endpoint: str, recorder: Recorder, headers: Headers, number: int = 1) -> list[dict[str, str]]:
    """Return the headers of the requests that the service sends for a request with these headers."""
    post(endpoint, headers, [callback(recorder)] * number)
    assert len(recorder.requests) == number
    return [each.headers for each in recorder.requests]


def position(headers: dict[str, str]) -> tuple[str, str, str]:
    """Return trace id, parent id and flags of a valid `traceparent`."""
    found = PARENT.fullmatch(headers["traceparent"])
    assert found, headers["traceparent"]
    assert set(found[1]) != {"0"}
    assert set(found[2]) != {"0"}
    return found[1], found[2], found[3]


def state(endpoint: str, recorder: Recorder, *values: str) -> str | None:
    """Return the `tracestate` that the service sends for one of these lines; `None` for none. The trace goes on."""
    lines = [("tracestate", each) for each in values]
    [headers] = sent(endpoint, recorder, [("traceparent", f"00-{T}-{S}-00"), *lines])
    trace_id, _, flags = position(headers)
    assert (trace_id, flags) == (T, "00")
    return headers.get("tracestate")


CONTINUED = [
    ("traceparent", VALID, "01"),
    # Names of headers have no case.
    ("TraceParent", VALID, "01"),
    ("TRACEPARENT", VALID, "01"),
    ("tRaCePaReNt", VALID, "01"),
    # Optional white space.
    ("traceparent", f" {VALID}", "01"),
    ("traceparent", f"\t{VALID}", "01"),
    ("traceparent", f"{VALID} \t", "01"),
    # Flags: `sampled`, and `random`, which level 1 sends as zero; others are sent as zero.
    ("traceparent", f"00-{T}-{S}-00", "00"),
    ("traceparent", f"00-{T}-{S}-02", "02"),
    ("traceparent", f"00-{T}-{S}-03", "03"),
    ("traceparent", f"00-{T}-{S}-fc", "00"),
    ("traceparent", f"00-{T}-{S}-09", "01"),
    ("traceparent", f"00-{T}-{S}-ff", "03"),
    # Versions to come: the same fields, and perhaps more behind a dash. What is sent is of version 00.
    ("traceparent", f"01-{T}-{S}-01", "01"),
    ("traceparent", f"cc-{T}-{S}-01", "01"),
    ("traceparent", f"cc-{T}-{S}-00", "00"),
    ("traceparent", f"cc-{T}-{S}-01-", "01"),
    ("traceparent", f"cc-{T}-{S}-01-what-the-future-will-be-like", "01"),
    ("traceparent", f"fe-{T}-{S}-00-01", "00"),
]


@pytest.mark.parametrize(("name", "value", "flags"), CONTINUED)
def test_a_valid_traceparent_is_continued(endpoint: str, recorder: Recorder, name: str, value: str, flags: str) -> None:
    [headers] = sent(endpoint, recorder, [(name, value)])
    trace_id, parent_id, found = position(headers)
    assert (trace_id, found) == (T, flags)
    assert parent_id != S
    assert "tracestate" not in headers


INVALID = [
    "",
    "00",
    T,
    # Versions.
    f"ff-{T}-{S}-01",
    f"0-{T}-{S}-01",
    f"000-{T}-{S}-01",
    f"0000-{T}-{S}-01",
    f".0-{T}-{S}-01",
    f"0.-{T}-{S}-01",
    f"CC-{T}-{S}-01",
    f"-{T}-{S}-01",
    # Version 00 has nothing behind the flags, others only what follows a dash.
    f"{VALID}.",
    f"{VALID}-",
    f"{VALID}-what-the-future-will-be-like",
    f"cc-{T}-{S}-01.what-the-future-will-be-like",
    f"cc-{T}-{S}-011",
    f"cc-{T}-{S}-0",
    f"cc-{T}-{S}",
    # Trace ids.
    f"00-{'0' * 32}-{S}-01",
    f"00-{T.upper()}-{S}-01",
    f"00-{T[:-1]}-{S}-01",
    f"00-{T}0-{S}-01",
    f"00-.{T[1:]}-{S}-01",
    f"00-{T[:-1]}g-{S}-01",
    f"00--{S}-01",
    # Parent ids.
    f"00-{T}-{'0' * 16}-01",
    f"00-{T}-{S.upper()}-01",
    f"00-{T}-{S[:-1]}-01",
    f"00-{T}-{S}0-01",
    f"00-{T}-.{S[1:]}-01",
    f"00-{T}-{S[:-1]}.-01",
    # Flags.
    f"00-{T}-{S}-1",
    f"00-{T}-{S}-001",
    f"00-{T}-{S}-.1",
    f"00-{T}-{S}-0.",
    f"00-{T}-{S}-0A",
    f"00-{T}-{S}-",
    f"00-{T}-{S}",
    # Delimiters.
    f"00_{T}_{S}_01",
    f"00 {T} {S} 01",
    f"00-{T}-{S}- 1",
    f'"{VALID}"',
    f"{VALID},{VALID}",
    f"{VALID[:-1]}\u00b9",
]


@pytest.mark.parametrize("value", INVALID)
def test_an_invalid_traceparent_begins_another_trace_without_tracestate(
    endpoint: str, recorder: Recorder, value: str
) -> None:
    [headers] = sent(endpoint, recorder, [("traceparent", value), ("tracestate", "foo=1")])
    trace_id, _, flags = position(headers)
    assert trace_id not in (T, T[:-1] + "0", "0" + T[:-1])
    # Its id is random, and it is sampled.
    assert flags == "03"
    assert headers["tracestate"] == "ot=th:0"


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [("tracestate", "foo=1")],
        [("trace-parent", VALID)],
        [("trace.parent", VALID)],
        [("trace_parent", VALID)],
        [("traceparent2", VALID)],
        # Two of them, also if one is valid.
        [("traceparent", VALID), ("traceparent", f"00-{T[::-1]}-{S}-01")],
        [("traceparent", VALID), ("TraceParent", "")],
    ],
)
def test_a_request_without_one_traceparent_begins_a_trace(endpoint: str, recorder: Recorder, lines: Headers) -> None:
    [headers] = sent(endpoint, recorder, lines)
    trace_id, _, flags = position(headers)
    assert trace_id not in (T, T[::-1])
    assert flags == "03"
    assert headers["tracestate"] == "ot=th:0"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_each_request_has_a_parent_id(endpoint: str, recorder: Recorder, flags: str) -> None:
    found = [position(each) for each in sent(endpoint, recorder, [("traceparent", f"00-{T}-{S}-{flags}")], 3)]
    assert {(trace_id, sampled) for trace_id, _, sampled in found} == {(T, flags)}
    assert len({parent_id for _, parent_id, _ in found} - {S}) == 3


@pytest.mark.parametrize("value", [VALID.replace(T, "0" * 32), f"00-{T}-{S}-1"])
def test_all_requests_are_of_the_trace_that_begins(endpoint: str, recorder: Recorder, value: str) -> None:
    found = [position(each) for each in sent(endpoint, recorder, [("traceparent", value)], 3)]
    assert len({trace_id for trace_id, _, _ in found} - {T, "0" * 32}) == 1
    assert len({parent_id for _, parent_id, _ in found}) == 3


def test_the_next_service_continues_what_is_sent(endpoint: str, recorder: Recorder) -> None:
    lines = [("traceparent", VALID), ("tracestate", "foo=1,bar=2")]
    post(endpoint, lines, [callback(recorder, callback(recorder))])
    [first] = recorder.requests
    # The service is the next one, too.
    post(endpoint, [(name, first.headers[name]) for name in ("traceparent", "tracestate")], first.body)
    second = recorder.requests[1]
    assert second.body == []
    ids = [position(each.headers) for each in (first, second)]
    assert {(trace_id, flags) for trace_id, _, flags in ids} == {(T, "01")}
    assert len({parent_id for _, parent_id, _ in ids} - {S}) == 2
    assert {each.headers["tracestate"] for each in (first, second)} == {"foo=1,bar=2"}


# All characters of values but the comma and the equals sign.
VALUE = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) not in ",=")
KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
MEMBERS = [f"bar{number:02}={number:02}" for number in range(1, 34)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["foo=1"], "foo=1"),
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["bar=2,foo=1"], "bar=2,foo=1"),
        # Several headers are one list, in their order.
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        # Empty headers, empty members, white space.
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1,", ",bar=2"], "foo=1,bar=2"),
        (["foo=1,,bar=2"], "foo=1,bar=2"),
        (["foo=1, ,bar=2"], "foo=1,bar=2"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["\t foo=1 \t"], "foo=1"),
        # White space in front of a value is part of it.
        (["foo= 1"], "foo= 1"),
        ([f"{KEY}={VALUE[1:]}"], f"{KEY}={VALUE[1:]}"),
        ([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
        # Keys that begin with a digit, and with any number of `@`: level 1 has one, and few characters behind it.
        (["1foo=1,2@bar=2"], "1foo=1,2@bar=2"),
        (["foo@=1,bar=2"], "foo@=1,bar=2"),
        (["foo@bar@baz=1"], "foo@bar@baz=1"),
        # Limits.
        ([f"{'z' * 256}=1", "foo=1"], f"{'z' * 256}=1,foo=1"),
        ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
        ([f"foo={'v' * 256}"], f"foo={'v' * 256}"),
        ([",".join(MEMBERS[:10]), ",".join(MEMBERS[10:31]), MEMBERS[31]], ",".join(MEMBERS[:32])),
        # What others have written of it stays.
        (["ot=rv:6e6d1a75832a2f,foo=1"], "ot=rv:6e6d1a75832a2f,foo=1"),
    ],
)
def test_tracestate_is_passed_on(endpoint: str, recorder: Recorder, values: list[str], expected: str) -> None:
    assert state(endpoint, recorder, *values) == expected


@pytest.mark.parametrize("name", ["TraceState", "TRACESTATE", "tRaCeStAtE"])
def test_the_name_tracestate_has_no_case(endpoint: str, recorder: Recorder, name: str) -> None:
    [headers] = sent(endpoint, recorder, [("traceparent", f"00-{T}-{S}-00"), (name, "foo=1")])
    assert headers["tracestate"] == "foo=1"


@pytest.mark.parametrize("name", ["trace-state", "trace.state", "trace_state"])
def test_other_names_are_not_read(endpoint: str, recorder: Recorder, name: str) -> None:
    [headers] = sent(endpoint, recorder, [("traceparent", f"00-{T}-{S}-00"), (name, "foo=1")])
    assert "tracestate" not in headers


@pytest.mark.parametrize(
    "values",
    [
        # Nothing in it.
        [""],
        [","],
        # Keys.
        ["foo =1,bar=2"],
        ["Foo=1,bar=2"],
        ["foo.bar=1,bar=2"],
        ["foo+=1,bar=2"],
        ["@foo=1,bar=2"],
        ["_foo=1,bar=2"],
        ["-foo=1,bar=2"],
        ["=1,bar=2"],
        [f"foo=1,{'z' * 257}=1"],
        # Values.
        ["foo,bar=2"],
        ["foo=,bar=2"],
        ["foo= ,bar=2"],
        ["foo=bar=baz"],
        ["foo=a\tb"],
        ["foo=\u00e9"],
        [f"foo={'v' * 257}"],
        # One invalid header spoils the list.
        ["foo=1", "bar"],
        # 33 members.
        [",".join(MEMBERS)],
        [",".join(MEMBERS[:32]), "foo=1"],
    ],
)
def test_an_invalid_tracestate_is_discarded_and_the_trace_goes_on(
    endpoint: str, recorder: Recorder, values: list[str]
) -> None:
    assert state(endpoint, recorder, *values) is None


@pytest.mark.parametrize("values", [["foo=1,foo=1"], ["foo=1,foo=2"], ["foo=1", "foo=2"], ["foo=1,bar=2,foo=3"]])
def test_a_key_is_sent_once(endpoint: str, recorder: Recorder, values: list[str]) -> None:
    text = state(endpoint, recorder, *values)
    assert text is not None
    assert [each.partition("=")[0] for each in text.split(",")].count("foo") == 1
    assert "foo=1" in text.split(",")
    assert ("bar=2" in text) == ("bar=2" in values[0])


def test_a_list_of_512_characters_is_sent_whole(endpoint: str, recorder: Recorder) -> None:
    members = [f"k{number}={'v' * 97}" for number in range(5)]
    text = ",".join([*members, "k=12345"])
    assert len(text) == 512
    assert state(endpoint, recorder, text) == text


# Services have to pass on 512 characters at least; ours passes on no more.
def test_of_a_longer_list_the_last_members_are_left_out(endpoint: str, recorder: Recorder) -> None:
    members = [f"k{number}={'v' * 97}" for number in range(5)]
    text = ",".join([*members, "k=123456"])
    assert len(text) == 513
    assert state(endpoint, recorder, text) == ",".join(members)


def test_of_a_longer_list_members_of_more_than_128_characters_are_left_out_first(
    endpoint: str, recorder: Recorder
) -> None:
    short = [f"k{number}={'v' * 97}" for number in range(4)]
    assert state(endpoint, recorder, ",".join([short[0], f"long={'v' * 124}", *short[1:]])) == ",".join(short)


def test_a_member_of_128_characters_is_not_left_out_first(endpoint: str, recorder: Recorder) -> None:
    short = [f"k{number}={'v' * 97}" for number in range(4)]
    members = [short[0], f"long={'v' * 123}", *short[1:]]
    assert len(members[1]) == 128
    assert state(endpoint, recorder, ",".join(members)) == ",".join(members[:-1])


@pytest.mark.long
@pytest.mark.parametrize("level", ["1", "2"])
def test_the_suite_of_w3c_passes(endpoint: str, level: str) -> None:
    suite = os.environ.get("TRACE_CONTEXT_SUITE")
    if not suite:
        # Not `not_run`, which fails if everything has to be tested: the machines that do so cannot get it.
        pytest.skip(
            "NOT RUN: W3C's suite of Trace Context, which no package registry has; set TRACE_CONTEXT_SUITE to the "
            "folder `test` of a checkout of https://github.com/w3c/trace-context"
        )
    python = peer_python("w3c-trace-context-aiohttp-3.14", "aiohttp==3.14.*")
    variables = {
        **os.environ,
        "HARNESS_PORT": str(free_port()),
        "HARNESS_TIMEOUT": f"{TIMEOUT:g}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPEC_LEVEL": level,
        "STRICT_LEVEL": "2",
    }
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, "test.py", endpoint],
        cwd=suite,
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    ran = re.search(r"^Ran (\d+) tests in ", done.stderr, re.MULTILINE)
    assert ran, done.stderr[-5000:]
    # All but those of the other level.
    assert int(ran[1]) >= 41
    assert done.stderr.rstrip().rpartition("\n")[2] == ("OK (skipped=1)" if level == "1" else "OK")
