"""Paths in both notations, and what makes a template invalid."""

from __future__ import annotations

import pytest

from idlc.model.path_template import InvalidTemplate, parse_template, rewrite_path, rewrite_route

ROUTES = [
    ("/v1/users", "/v1/users"),
    ("/v1/users/:id", "/v1/users/{id}"),
    ("/v1/:a/x/:b", "/v1/{a}/x/{b}"),
    ("/:a/:b/:c", "/{a}/{b}/{c}"),
    ("/v:version/users", "/v{version}/users"),
    ("/user:id/name", "/user{id}/name"),
    ("/files/*path", "/files/{path=**}"),
    ("/v1/users/{id}", "/v1/users/{id}"),
    ("/v1/users/{id}:cancel", "/v1/users/{id}:cancel"),
    ("v1/users", "/v1/users"),
    ("/v1/users/", "/v1/users/"),
    ("/:", "/:"),
    ("/*", "/*"),
]


@pytest.mark.parametrize(("path", "expected"), ROUTES)
def test_routes_of_cloudwego_are_rewritten(path: str, expected: str) -> None:
    assert rewrite_route(path) == expected
    assert rewrite_route(expected) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/users/:id", "/v1/users/{id}"),
        ("/files/*path", "/files/{path=**}"),
        ("/v1/users:search", "/v1/users:search"),
        ("/v1/{id=*}/x", "/v1/{id}/x"),
        ("v1/users", "v1/users"),
    ],
)
def test_a_colon_behind_text_is_a_verb_in_own_paths(path: str, expected: str) -> None:
    assert rewrite_path(path) == expected


def test_parts_of_a_template() -> None:
    template = parse_template("/v{version}/users/{id}:cancel")
    assert template.variables == ("version", "id")
    assert [each.suffix for each in template.segments] == ["", "", ":cancel"]
    assert template.shape == "/v{}/users/{}:cancel"
    assert parse_template("/a/{rest=**}").shape == "/a/{**}"
    assert parse_template("/a/{x}.json").shape == "/a/{}.json"
    assert parse_template("/").shape == "/"
    assert parse_template("/a/").shape == "/a/"


def test_shapes_ignore_names_of_variables_only() -> None:
    shapes = {
        parse_template(path).shape for path in ("/a/{x}", "/a/{y}", "/a/{y}/", "/a/p{x}", "/a/{x=**}", "/a/{x}:b")
    }
    assert shapes == {"/a/{}", "/a/{}/", "/a/p{}", "/a/{**}", "/a/{}:b"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "must start with `/`"),
        ("v1", "must start with `/`"),
        ("/a//b", "an empty segment"),
        ("/{x=**}/b", "`{x=**}` stands for the rest of the path and must be last"),
        ("/a{x=**}", "variable `x` must be a whole segment"),
        ("/{x=**}:b", "variable `x` must be a whole segment"),
        ("/{x}/{x}", "variable `x` is used twice"),
        ("/{x}/{x=**}", "variable `x` is used twice"),
        ("/{x", "`{x` is not a valid segment"),
        ("/{}", "`{}` is not a valid segment"),
        ("/{a.b}", "`{a.b}` is not a valid segment"),
        ("/{x}{y}", "`{x}{y}` is not a valid segment"),
        ("/{x=a/*}", "not a valid segment"),
        ("/:", "':' is not allowed"),
        ("/:x", "':' is not allowed"),
        ("/a:", "':' is not allowed"),
        ("/{x}:b/c", "':' is not allowed"),
        ("/a:b/c", "':' is not allowed"),
        ("/*", "'*' is not allowed"),
        ("/a b", "' ' is not allowed"),
        ("/a?b=1", "'?' is not allowed"),
        ("/a#b", "'#' is not allowed"),
        ("/a%2", "'%' is not allowed"),
        ("/ä", "'ä' is not allowed"),
    ],
)
def test_invalid_templates(path: str, reason: str) -> None:
    with pytest.raises(InvalidTemplate) as caught:
        parse_template(path)
    assert reason in str(caught.value)
