"""Templates of paths, and which of them a path matches."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.protocol.http.options import Cors, Http
from idlrt.protocol.http.router import Router
from idlrt.protocol.http.templates import parse_template, unquoted


def router(*templates: str, verb: str = "GET") -> Router[str]:
    made: Router[str] = Router()
    for template in templates:
        made.add(verb, parse_template(template), template)
    return made


# Templates.


@pytest.mark.parametrize(
    "text",
    ["", "a", "a/b", "/{", "/}", "/{}", "/{a", "/{a}{b}", "/{1a}", "/{a=*}", "/{a=**}/b", "/x{a=**}", "/{a}/{a}",
     "/a b", "/a?b", "/a#b", "/%zz", "/ä", "/a\r\nb", "/{a}\0"],
)  # fmt: skip
def test_invalid_templates(text: str) -> None:
    with pytest.raises(ConfigurationError, match="invalid path"):
        parse_template(text)


def test_variables_and_filling() -> None:
    template = parse_template("/v{version}/users/{id}:cancel/{rest=**}")
    assert template.variables == ("version", "id", "rest")
    assert template.fill({"version": "1", "id": "a/b ä", "rest": "c/d e"}) == "/v1/users/a%2Fb%20%C3%A4:cancel/c/d%20e"
    with pytest.raises(KeyError):
        template.fill({"version": "1", "id": "2"})


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_what_is_filled_is_found(value: str) -> None:
    template = parse_template("/a{x}b/{y}")
    made: Router[str] = Router()
    made.add("GET", template, "route")
    found = made.find(b"GET", template.fill({"x": value, "y": value}).encode())
    assert found is not None
    assert [unquoted(each, "value") for each in found[1]] == [value, value]


@pytest.mark.parametrize("raw", [b"%ff", b"%c3", b"\xff", b"a%00", b"\0", b"%ed%a0%80"])
def test_values_that_are_no_text(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="value: must"):
        unquoted(raw, "value")


def test_incomplete_escapes_are_text() -> None:
    assert unquoted(b"100%", "value") == "100%"
    assert unquoted(b"%zz+", "value") == "%zz+"


# Lookup.

SPECIFIC = ["/a/b", "/a/b{x}", "/a/{x}:go", "/a/{x}", "/a/{x=**}"]


@pytest.mark.parametrize("order", list(itertools.permutations(SPECIFIC)))
def test_the_most_specific_one_wins_whatever_the_order(order: tuple[str, ...]) -> None:
    made = router(*order)
    for path, template, values in [
        (b"/a/b", "/a/b", ()),
        (b"/a/bc", "/a/b{x}", (b"c",)),
        (b"/a/c:go", "/a/{x}:go", (b"c",)),
        (b"/a/c", "/a/{x}", (b"c",)),
        (b"/a/c/d", "/a/{x=**}", (b"c/d",)),
        (b"/a/b/d", "/a/{x=**}", (b"b/d",)),
    ]:
        assert made.find(b"GET", path) == (template, values)
    assert made.find(b"GET", b"/a/") is None
    assert made.find(b"POST", b"/a/b") is None


def test_backtracking() -> None:
    made = router("/a/b/c", "/a/{x}/d", "/{x}/b/e", "/{x=**}", "/a/b/{x}/f")
    assert made.find(b"GET", b"/a/b/c") == ("/a/b/c", ())
    assert made.find(b"GET", b"/a/b/d") == ("/a/{x}/d", (b"b",))
    assert made.find(b"GET", b"/a/b/e") == ("/{x}/b/e", (b"a",))
    assert made.find(b"GET", b"/a/b/g") == ("/{x=**}", (b"a/b/g",))
    assert made.find(b"GET", b"/a/b/c/f") == ("/a/b/{x}/f", (b"c",))


def test_conflicts() -> None:
    made = router("/a/{x}")
    made.add("POST", parse_template("/a/{y}"), "post")
    for verb, template in (("GET", "/a/{y}"), ("ANY", "/a/{z}")):
        with pytest.raises(ConfigurationError, match="match the same requests"):
            made.add(verb, parse_template(template), "other")
    made.add("GET", parse_template("/a/{x}:go"), "go")


def test_any_verb() -> None:
    made = router("/a", verb="ANY")
    assert made.verbs(b"/a") == ["GET", "POST", "PUT", "PATCH", "DELETE"]
    assert made.verbs(b"/b") == []


def test_paths_are_compared_as_they_arrive() -> None:
    made = router("/a/b", "/%41")
    for path in (b"/a//b", b"/A/b", b"/a/b/", b"/%61/b", b"//a/b", b"/a/./b", b"/A", b"a/b", b"", b"*"):
        assert made.find(b"GET", path) is None
    assert made.find(b"GET", b"/%41") is not None


def test_many_routes_with_many_alternatives_take_one_look_at_each() -> None:
    made: Router[str] = Router()
    for each in itertools.product((True, False), repeat=8):
        template = "".join("/a" if is_literal else f"/{{x{at}}}" for at, is_literal in enumerate(each)) + "/end"
        made.add("GET", parse_template(template), template)
    assert made.find(b"GET", b"/a" * 8 + b"/no") is None
    assert made.find(b"GET", b"/a" * 8 + b"/end") == ("/a" * 8 + "/end", ())


# Options.


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "api"}, {"prefix": "/{a}"}, {"prefix": 1}, {"pages": "/"}, {"pages": ""}, {"hosts": "a.example"},
        {"hosts": ["a:80"]}, {"hosts": ["a b"]}, {"metadata": ["a b"]}, {"metadata": ["a\r\nb"]}, {"gzip": -1},
        {"gzip": True}, {"max_line": 0}, {"max_head": 0}, {"max_headers": -1}, {"max_requests": "1"},
        {"head_timeout": -1}, {"keep_alive": float("nan")}, {"cors": True},
    ],
)  # fmt: skip
def test_invalid_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="Http: "):
        Http(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"origins": []}, {"origins": "https://a.example"}, {"origins": ["a.example"]},
        {"origins": ["https://a.example/"]}, {"origins": ["https://a.example\r\nx: y"]}, {"origins": ["null"]},
        {"origins": ["*"], "credentials": True}, {"origins": ["*"], "headers": ["a b"]},
        {"origins": ["*"], "exposed": ["a\nb"]}, {"origins": ["*"], "max_age": -1},
    ],
)  # fmt: skip
def test_invalid_cors(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="Cors: "):
        Cors(**options)  # type: ignore[arg-type]
