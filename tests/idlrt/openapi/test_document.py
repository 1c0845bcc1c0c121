"""Paths, parameters, bodies and responses of a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from idlrt.errors import ConfigurationError
from idlrt.openapi import openapi_json
from idlrt.spec import VOID, Method, Service

Document = dict[str, Any]


def operation(document: Document, verb: str, path: str) -> Any:
    return document["paths"][path][verb]


def parameter(found: Any, name: str) -> Any:
    return next(each for each in found["parameters"] if each["name"] == name)


def json_schema(body: Any) -> Any:
    return body["content"]["application/json"]["schema"]


def problem_schema(response: Any) -> Any:
    return response["content"]["application/problem+json"]["schema"]


def test_every_route_is_an_operation_with_a_name_of_its_own(library_document: Document) -> None:
    paths = library_document["paths"].items()
    found = {(verb, path): each["operationId"] for path, item in paths for verb, each in item.items()}
    assert found["get", "/books"] == "Library_search"
    assert found["patch", "/books/{isbn}"] == "Library_change"
    assert found["put", "/books/{isbn}"] == "Library_change_put"
    assert found["post", "/loans/{isbn}:lend"] == "Library_lend"
    assert found["get", "/files/{path}"] == "Library_file"
    assert found["post", "/Library/statistics"] == "Library_statistics"
    assert len({*found.values()}) == len(found) == 14


def test_comments_of_the_idl_are_documentation(library_document: Document) -> None:
    assert library_document["info"] == {
        "title": "A library: books and readers",
        "version": "0",
        "description": "It has a route for each feature of REST.\n\nBooks are lent for four weeks.",
    }
    assert library_document["tags"] == [{"name": "Library", "description": "Lends books."}]
    search = operation(library_document, "get", "/books")
    assert (search["summary"], search["description"]) == ("Search for books", "The newest come first.")
    # A function without a comment has no summary, though the docstring of its stub has text.
    assert "summary" not in operation(library_document, "delete", "/books/{isbn}")
    book = library_document["components"]["schemas"]["Book"]
    assert book["description"] == "A book that can be lent."
    assert book["properties"]["isbn"]["description"] == "Number of the book."
    lend = json_schema(operation(library_document, "post", "/loans/{isbn}:lend")["requestBody"])
    assert lend["properties"]["reader"]["description"] == "Number of the reader."
    shelf = library_document["components"]["schemas"]["Shelf"]
    assert shelf["description"] == "Where a book is.\n\n* `HALL` = 1\n* `CELLAR` = 2: Ask for the key."


def test_parameters_are_in_their_places(library_document: Document) -> None:
    found = operation(library_document, "get", "/books")
    assert {each["name"]: (each["in"], each["required"]) for each in found["parameters"]} == {
        "q": ("query", True),
        "limit": ("query", False),
        "shelf": ("query", False),
        "accept-language": ("header", False),
        "lang": ("query", False),
        "session": ("cookie", False),
    }
    assert parameter(found, "limit")["schema"]["default"] == 10
    assert parameter(found, "shelf")["explode"] is True
    assert parameter(found, "lang")["description"] == "Alternatively in header `accept-language`."
    assert "requestBody" not in found
    rest = parameter(operation(library_document, "get", "/files/{path}"), "path")
    assert (rest["required"], rest["description"]) == (True, "The rest of the path, with slashes.")
    assert rest["schema"] == {"type": "string", "minLength": 1}


def test_bodies_have_what_is_in_no_other_place(library_document: Document) -> None:
    add = operation(library_document, "post", "/books")["requestBody"]
    assert json_schema(add) == {"$ref": "#/components/schemas/BookInput"}
    change = operation(library_document, "patch", "/books/{isbn}")
    assert change["requestBody"]["required"] is False
    assert [*json_schema(change["requestBody"])["properties"]] == ["title", "shelf"]
    assert [each["name"] for each in change["parameters"]] == ["isbn", "quiet"]
    lend = operation(library_document, "post", "/loans/{isbn}:lend")["requestBody"]
    assert lend["required"] is True
    assert json_schema(lend)["required"] == ["reader"]
    login = operation(library_document, "post", "/login")["requestBody"]["content"]
    assert [*login] == ["application/x-www-form-urlencoded", "multipart/form-data"]
    assert login["multipart/form-data"]["schema"]["required"] == ["name", "password"]
    upload = operation(library_document, "put", "/covers/{isbn}")["requestBody"]
    assert upload == {"required": False, "content": {"*/*": {"schema": {}}}}


def test_arguments_that_handlers_must_have_are_required(document: Callable[..., Document]) -> None:
    found = document("""
        struct R { 1: i32 x }
        service S {
          void f(1: i32 a, 2: required i32 b, 3: optional i32 c, 4: i32 d = 1)
          void g(1: i32 a, 2: i32 b = 2) (http.get = "/g")
          void h(1: R r) (http.post = "/h")
        }
    """)
    body = operation(found, "post", "/S/f")["requestBody"]
    assert (body["required"], json_schema(body)["required"]) == (True, ["a", "b"])
    assert [each["required"] for each in operation(found, "get", "/g")["parameters"]] == [True, False]
    assert operation(found, "post", "/h")["requestBody"]["required"] is False


def test_responses_are_listed_by_status(library_document: Document) -> None:
    def statuses(verb: str, path: str) -> list[str]:
        return [*operation(library_document, verb, path)["responses"]]

    assert statuses("get", "/books/{isbn}") == ["200", "400", "404", "default"]
    assert statuses("post", "/books") == ["201", "400", "default"]
    assert statuses("delete", "/books/{isbn}") == ["204", "400", "404", "default"]
    assert statuses("post", "/loans/{isbn}:seen") == ["202", "400", "default"]
    assert "content" not in operation(library_document, "delete", "/books/{isbn}")["responses"]["204"]


def test_exceptions_are_problems(library_document: Document) -> None:
    found = operation(library_document, "post", "/loans/{isbn}:lend")["responses"]
    assert problem_schema(found["404"]) == {"$ref": "#/components/schemas/NoBookProblem"}
    assert problem_schema(found["409"])["oneOf"] == [
        {"$ref": "#/components/schemas/LentProblem"},
        {"$ref": "#/components/schemas/ReservedProblem"},
    ]
    assert [*found["409"]["headers"]] == ["Retry-After"]
    schemas = library_document["components"]["schemas"]
    assert schemas["NoBookProblem"]["properties"]["type"] == {"const": "urn:idl:NoBook"}
    assert schemas["NoBookProblem"]["properties"]["fields"] == {"$ref": "#/components/schemas/NoBook"}
    assert [*schemas["ReservedProblem"]["properties"]["fields"]["properties"]] == ["by"]
    # Invalid requests have the default status of exceptions, too.
    many = operation(library_document, "post", "/books")["responses"]["400"]
    assert problem_schema(many) == {
        "anyOf": [{"$ref": "#/components/schemas/TooManyProblem"}, {"$ref": "#/components/schemas/Problem"}]
    }


def test_fields_of_results_may_be_headers_or_the_whole_body(library_document: Document) -> None:
    page = operation(library_document, "get", "/books")["responses"]["200"]
    assert [*page["headers"]] == ["X-Total", "set-cookie"]
    assert [*json_schema(page)["properties"]] == ["books", "counts"]
    cover = operation(library_document, "get", "/covers/{isbn}")["responses"]["200"]
    assert cover["headers"] == {"ETag": {"required": True, "schema": {"type": "string"}}}
    assert [*cover["content"]] == ["application/octet-stream"]


def test_policies_and_deprecations(library_document: Document) -> None:
    assert operation(library_document, "get", "/books/{isbn}")["x-idempotent"] is True
    assert operation(library_document, "post", "/loans/{isbn}:lend")["x-timeout"] == 1.5
    old = operation(library_document, "post", "/Library/statistics")
    assert (old["deprecated"], old["description"]) == (True, "Deprecated: use another")


def test_options(document: Callable[..., Document]) -> None:
    found = document(
        "service S { i64 f(1: i64 x) }",
        title="T",
        version="2",
        description="D",
        prefix="/api",
        servers=("https://a.example",),
        i64_as_text=True,
        require_token=True,
    )
    assert found["info"] == {"title": "T", "version": "2", "description": "D"}
    assert found["servers"] == [{"url": "https://a.example"}]
    assert found["security"] == [{"bearer": []}]
    assert found["components"]["securitySchemes"] == {"bearer": {"type": "http", "scheme": "bearer"}}
    own = operation(found, "post", "/api/S/f")
    assert [*own["responses"]] == ["200", "400", "401", "403", "default"]
    assert json_schema(own["responses"]["200"])["type"] == "string"
    read = json_schema(own["requestBody"])["properties"]["x"]
    assert [option["type"] for option in read["anyOf"]] == ["string", "integer"]


def test_templates_that_match_the_same_paths_are_one_path(document: Callable[..., Document]) -> None:
    found = document("""
        service S {
          void get(1: required string id) (http.get = "/a/{id}")
          void put(1: required string name) (http.put = "/a/{name}")
          void all(1: required string x) (http.any = "/c/{x}")
        }
    """)
    assert [*found["paths"]] == ["/a/{id}", "/c/{x}"]
    assert found["paths"]["/a/{id}"]["put"]["parameters"][0]["name"] == "id"
    assert [*found["paths"]["/c/{x}"]] == ["get", "post", "put", "patch", "delete"]
    assert found["paths"]["/c/{x}"]["delete"]["operationId"] == "S_all_delete"


def test_path_variables_without_a_field_are_parameters(document: Callable[..., Document]) -> None:
    found = document('service S { void f(1: required string x) (api.get = "/:tenant/:x") }')
    own = operation(found, "get", "/{tenant}/{x}")
    assert [each["name"] for each in own["parameters"]] == ["x", "tenant"]
    assert parameter(own, "tenant")["description"] == "Ignored."


def test_paths_that_differ_only_in_the_kind_of_a_variable(document: Callable[..., Document]) -> None:
    found = document("""
        service S {
          void one(1: required string x) (http.get = "/a/{x}")
          void rest(1: required string x) (http.get = "/a/{x=**}")
        }
    """)
    assert [*found["paths"]] == ["/a/{x}", "/a/{x_}"]
    assert found["paths"]["/a/{x_}"]["get"]["parameters"][0]["name"] == "x_"


def test_routes_that_match_the_same_requests_are_an_error(compiled: Callable[[str], Any]) -> None:
    one = compiled('service A { void f(1: string x) (http.get = "/a/{x}") }').AClient.__thrift_service__
    two = compiled('service B { void g(1: string y) (http.get = "/a/{y}") }').BClient.__thrift_service__
    with pytest.raises(ConfigurationError, match="match the same requests"):
        openapi_json([one, two])


def test_a_status_that_depends_on_the_result(document: Callable[..., Document]) -> None:
    found = document("""
        struct R { 1: i32 code (http.status = ""), 2: string text }
        service S { R f() (http.get = "/f") }
    """)
    assert [*operation(found, "get", "/f")["responses"]] == ["200", "2XX", "default"]


def test_services_without_stubs_have_a_document() -> None:
    text = openapi_json([Service("S", Method("f", result=VOID))])
    found = json.loads(text)
    assert found["info"]["title"] == "S"
    assert [*found["paths"]] == ["/S/f"]
    assert text.endswith(b"}\n")


def test_documents_are_deterministic(compiled: Callable[[str], Any]) -> None:
    service = compiled("struct A { 1: set<string> x }\nservice S { A f(1: A a) }").SClient.__thrift_service__
    assert openapi_json([service]) == openapi_json([service])
