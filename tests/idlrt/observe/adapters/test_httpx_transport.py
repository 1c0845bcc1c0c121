"""Transports of httpx, against a real server of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from library_service import library_server
from measured import grown, process_counts

from idlrt import observe
from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode, ApplicationError, ConfigurationError
from idlrt.server.method_table import ServerCallNext

DURATION = "resource_duration_seconds"


async def overloaded(call: ServerCall, next: ServerCallNext) -> object:
    if call.method.name == "cover":
        raise ApplicationError("busy", ApplicationCode.LOADSHEDDING)
    return await next(call)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("library")
    with library_server(folder, filters=[overloaded]) as server:
        yield server.address.replace("tcp://", "http://")


def test_requests_are_operations(url: str) -> None:
    before = process_counts(DURATION)
    with httpx.Client(base_url=url, transport=observe.httpx_transport()) as client:
        assert client.get("/books/123").status_code == 200
        assert client.get("/books/nothing").status_code == 404
        assert client.request("PURGE", "/books/123").status_code >= 400
    found = grown(before, DURATION)
    assert found.pop(("http", "GET", "ok", "")) == 2
    assert {labels[:2] for labels in found} == {("http", "_OTHER")}


def test_errors_of_servers_and_connections(url: str) -> None:
    before = process_counts(DURATION)
    with httpx.Client(transport=observe.httpx_transport(httpx.HTTPTransport(), system="library")) as client:
        assert client.get(f"{url}/covers/1").status_code == 503
        with pytest.raises(httpx.ConnectError):
            client.delete("http://127.0.0.1:1/")
    assert grown(before, DURATION) == {
        ("library", "GET", "error", "HTTP 503"): 1,
        ("library", "DELETE", "error", "ConnectError"): 1,
    }


def test_asynchronous_clients(url: str) -> None:
    before = process_counts(DURATION)

    async def run() -> None:
        inner = httpx.AsyncHTTPTransport()
        async with httpx.AsyncClient(base_url=url, transport=observe.async_httpx_transport(inner)) as client:
            found = await asyncio.gather(*(client.get("/books/123") for _ in range(5)))
            assert {each.status_code for each in found} == {200}
        async with httpx.AsyncClient(transport=observe.async_httpx_transport()) as client:
            with pytest.raises(httpx.ConnectError):
                await client.put("http://127.0.0.1:1/")

    asyncio.run(run())
    assert grown(before, DURATION) == {("http", "GET", "ok", ""): 5, ("http", "PUT", "error", "ConnectError"): 1}


def test_clients_themselves_are_refused_with_the_way_to_do_it() -> None:
    what = r"httpx\.Client\(transport=observe\.httpx_transport\(\)\)"
    with httpx.Client() as client, pytest.raises(ConfigurationError, match=what):
        observe.instrument(client)


def test_names_are_checked() -> None:
    for make in (observe.httpx_transport, observe.async_httpx_transport):
        with pytest.raises(ConfigurationError, match="must have between 1 and 100"):
            make(system="")
