"""Forms: URL-encoded ones, and multipart ones with files."""

from __future__ import annotations

import string
import tracemalloc
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from http_by_hand import Wire, request
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import RemoteProtocolError
from idlrt.protocol.http.forms import cookies_of, parse_pairs
from idlrt.protocol.http.multipart import parse_multipart
from idlrt.protocol.http.templates import unquoted

TYPE = b"multipart/form-data; boundary=XX"


def part(value: str | bytes, *lines: str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return "\r\n".join(["--XX", *lines, "", ""]).encode() + data + b"\r\n"


def form(**fields: str | bytes) -> bytes:
    parts = (part(value, f'Content-Disposition: form-data; name="{name}"') for name, value in fields.items())
    return b"".join(parts) + b"--XX--\r\n"


def send(body: bytes, content_type: str = TYPE.decode()) -> tuple[Any, Wire]:
    wire = Wire()
    [answer] = wire.feed([request("POST /forms", f"Content-Type: {content_type}", body=body)]).answers
    return answer, wire


# Through a route.


def test_a_form_in_a_url_encoded_body() -> None:
    answer, wire = send(b"title=a+b%26&tag=x&tag=%C3%A4&file=eHg%3D", "application/x-www-form-urlencoded")
    assert answer.status == 200
    assert wire.handler.calls == [("form", "a b&", b"xx", ["x", "ä"])]


def test_files_arrive_as_bytes() -> None:
    picture = bytes(range(256)) * 100
    body = (
        part("ein Bild ä", 'Content-Disposition: form-data; name="title"')
        + part(
            picture,
            'content-disposition: form-data; filename="a;name=b.png"; name="file"',
            "Content-Type: image/png",
        )
        + part("x", 'Content-Disposition: form-data; name="tag"')
        + part("", "Content-Type: text/plain; charset=utf-8", "Content-Disposition: form-data; name=tag")
        + b"--XX--"
    )
    answer, wire = send(body)
    assert answer.status == 200
    assert wire.handler.calls == [("form", "ein Bild ä", picture, ["x", ""])]


def test_unknown_fields_are_ignored_as_in_json() -> None:
    answer, wire = send(form(title="t", other="o"))
    assert (answer.status, wire.handler.calls) == (200, [("form", "t", None, None)])


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (form(file=b"x"), "title"),
        (part("a", 'Content-Disposition: form-data; name="title"') * 2 + b"--XX--", "must occur once, got 2 values"),
        (form(title=b"\xff"), "must be UTF-8"),
        (form(title="t")[:-6], "malformed"),
        (form(title="t").replace(b"XX", b"YY"), "malformed"),
        (b"hello", "malformed"),
        (part("t") + b"--XX--", "no name"),
        (part("t", "Content-Disposition: form-data") + b"--XX--", "no name"),
        (part("t", "Content-Disposition: attachment; name=title") + b"--XX--", "no name"),
        (
            part("t", "Content-Disposition: form-data; name=a", "Content-Disposition: form-data; name=title")
            + b"--XX--",
            "or several",
        ),
        (part("x", "Content-Disposition: form-data; name=tag") * 1001 + b"--XX--", "at most 1000 parts"),
    ],
)
def test_refused(body: bytes, what: str) -> None:
    answer, wire = send(body)
    assert (answer.status, wire.handler.calls) == (400, [])
    assert what.encode() in answer.body


def test_heads_of_parts_are_limited() -> None:
    lines = ["Content-Disposition: form-data; name=title", *(f"X-{number}: {'a' * 1000}" for number in range(5))]
    with pytest.raises(RemoteProtocolError, match="must have at most 4096 bytes"):
        parse_multipart(part("t", *lines) + b"--XX--", TYPE)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=", f'multipart/form-data; boundary="{"X" * 71}"']
)
def test_the_boundary_is_needed(kind: str) -> None:
    answer, _ = send(form(title="t"), kind)
    assert answer.status == 400
    assert b"no valid boundary" in answer.body


@pytest.mark.parametrize("kind", ["multipart/mixed; boundary=XX", "application/json", "text/plain", "image/png"])
def test_other_types_are_no_forms(kind: str) -> None:
    answer, _ = send(form(title="t"), kind)
    assert answer.status == 415
    assert b"multipart/form-data" in answer.body


# The parsers.


def test_boundaries_within_content() -> None:
    values = ["--XX", "\r\n--X", "\r\n-XX", "a\r\n--XY\r\n", "--XX--", "\r\n", "\r", "", "\r\n--XX".replace("\n", "")]
    fields = {f"f{number}": value for number, value in enumerate(values)}
    assert parse_multipart(form(**fields), TYPE) == {name: [value] for name, value in fields.items()}


def test_quotes() -> None:
    body = part("t", r'Content-Disposition: form-data; name="a\"b\\c; name=d"') + b"--XX--"
    assert parse_multipart(body, b'multipart/form-data; charset=utf-8; boundary="XX"') == {'a"b\\c; name=d': ["t"]}


@given(
    st.dictionaries(st.text(string.ascii_letters + "-_. ä", min_size=1), st.binary(), max_size=5),
    st.text(string.ascii_letters + string.digits + "'()+_,-./:=?", min_size=20, max_size=70),
)
def test_what_is_written_is_read(fields: dict[str, bytes], boundary: str) -> None:
    mark = boundary.encode()
    if any(mark in value for value in fields.values()):
        return
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (mark, name.encode(), value)
        for name, value in fields.items()
    )
    found = parse_multipart(
        body + b"--%b--\r\n" % mark, b'multipart/form-data; boundary="%b"' % mark, frozenset(fields)
    )
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(fields, 1)


PIECES = st.sampled_from(
    [
        b"--XX\r\n",
        b"--XX--",
        b"\r\n",
        b"Content-Disposition: form-data; name=a",
        b"\r\n\r\n",
        b"--",
        b"\n",
        b'"',
        b"x: y",
    ]
)


@given(st.lists(st.one_of(PIECES, st.binary(max_size=5))).map(b"".join))
def test_nothing_but_an_error_comes_of_garbage(body: bytes) -> None:
    try:
        found = parse_multipart(body, TYPE)
    except RemoteProtocolError:
        return
    assert all(isinstance(value, str) for values in found.values() for value in values)


@given(st.binary(), st.binary())
def test_content_types_of_all_kinds(body: bytes, content_type: bytes) -> None:
    try:
        parse_multipart(body, content_type)
    except RemoteProtocolError:
        return


def test_pairs() -> None:
    assert parse_pairs(b"a=1&&b&=c&a=%C3%A4+%2B&d=e=f", "query") == {
        "a": ["1", "ä +"], "b": [""], "": ["c"], "d": ["e=f"],
    }  # fmt: skip
    for raw, what in ((b"a=%ff", "UTF-8"), (b"a=%00", "NUL"), (b"a&" * 1001, "at most 1000")):
        with pytest.raises(RemoteProtocolError, match=what):
            parse_pairs(raw, "query")
    assert len(parse_pairs(b"&".join([b"a"] * 1000), "query")["a"]) == 1000


def test_cookies() -> None:
    assert cookies_of(b'a=1; b="x y" ;c ; =d;a=2;e=f=g; h=\xe4') == {
        "a": ["1"], "b": ["x y"], "": ["d"], "e": ["f=g"], "h": ["ä"],
    }  # fmt: skip


# Percent-encoding.


@given(st.text(alphabet="%\\\"'x0149aAfFgGn", max_size=20))
def test_percent_encoding(text: str) -> None:
    wanted = unquote_to_bytes(text)
    if wanted.isascii() and b"\0" not in wanted:
        assert unquoted(text.encode(), "text") == wanted.decode()


@pytest.mark.parametrize("unit", [b"%41", b"a%41"])
def test_the_memory_of_percent_encoded_text(unit: bytes) -> None:
    body = b"title=" + unit * 100_000
    tracemalloc.start()
    try:
        [value] = parse_pairs(body, "form")["title"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(value) == len(unit[:-2]) * 100_000
    assert peak < 8 * len(body)


def test_loose_percent_signs() -> None:
    assert parse_pairs(b"a=100%&b=%zz%41", "query") == {"a": ["100%"], "b": ["%zzA"]}
    with pytest.raises(RemoteProtocolError, match="form: must be percent-encoded UTF-8"):
        parse_pairs(b"a=" + b"%" * 1000, "form")
