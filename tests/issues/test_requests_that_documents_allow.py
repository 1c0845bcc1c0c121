"""Requests that an OpenAPI document allows were refused, and wrong methods had the status of unknown ones."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import TIMEOUT
from library_service import library_server

from idlrt import Http


def call(port: int, verb: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    # The first request tells the server that this is HTTP; not every method does.
    connection.request("OPTIONS", "*")
    connection.getresponse().read()
    connection.request(verb, path, body, {"Content-Type": content_type} if body else {})
    response = connection.getresponse()
    found = response.status, response.headers.get("Allow", ""), response.read()
    connection.close()
    return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    options = Http(openapi=True, i64_as_text=True)
    with library_server(tmp_path_factory.mktemp("library") / "gen", http=options) as server:
        yield server.port


def test_a_raw_body_may_be_empty(port: int) -> None:
    assert call(port, "PUT", "/covers/1")[0] == 204
    assert call(port, "GET", "/covers/1")[2] == b""


def test_i64_is_read_as_text_where_it_is_written_as_text(port: int) -> None:
    for reader in (7, "8"):
        status, _, body = call(port, "POST", "/loans/9:lend", json.dumps({"reader": reader}).encode())
        assert (status, json.loads(body)["type"]) == (404, "urn:idl:NoBook")


@pytest.mark.parametrize("weeks", [b"", b', "weeks": null'])
def test_null_is_an_absent_argument_which_has_its_default(port: int, weeks: bytes) -> None:
    call(port, "POST", "/loans/isbn:lend", b'{"reader": 7}')
    _, _, body = call(port, "POST", "/loans/isbn:lend", b'{"reader": 7%b}' % weeks)
    assert json.loads(body)["fields"] == {"isbn": "isbn", "until_ms": "4000"}


@pytest.mark.parametrize("verb", ["TRACE", "PROPFIND", "PATCH"])
def test_paths_refuse_all_methods_that_they_do_not_have_in_the_same_way(port: int, verb: str) -> None:
    status, allow, _ = call(port, verb, "/login")
    assert (status, allow) == (405, "POST, OPTIONS")


def test_unknown_paths_have_the_status_of_the_method(port: int) -> None:
    assert call(port, "PATCH", "/nowhere")[0] == 404
    assert call(port, "PROPFIND", "/nowhere")[0] == 501
