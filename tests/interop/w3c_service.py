"""The service that W3C's test suite of Trace Context needs: `python w3c_service.py KIND`, `blocking` or `asyncio`.

Its endpoint takes a list of requests, and sends each of them as a part of the current trace. It prints the URL of the
endpoint, and ends with its standard input. To run the suite by hand, in the folder `test` of a checkout:

    SPEC_LEVEL=2 python test.py URL

Source: https://github.com/w3c/trace-context, `test/README.md`
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "harness"))

from compiled_idl import importable
from eventually import TIMEOUT

from idlrt import AsyncServer, Server, observe

_IDL = Path(__file__).parent / "w3c_service.thrift"


def _plain(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"url": each.url, "arguments": _plain(each.arguments)} for each in callbacks]


def _post(callback: Any, headers: Mapping[str, str]) -> None:
    url = urlsplit(callback.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT)
    try:
        body = json.dumps(_plain(callback.arguments))
        connection.request("POST", url.path, body, {"Content-Type": "application/json", **headers})
        connection.getresponse().read()
    finally:
        connection.close()


class Blocking:
    """Handler that blocks."""

    def test(self, callbacks: list[Any]) -> None:
        for each in callbacks:
            with observe.span("callback"):
                _post(each, observe.trace_headers())


class OnAsyncio:
    """Handler on an event loop."""

    async def test(self, callbacks: list[Any]) -> None:
        for each in callbacks:
            with observe.span("callback"):
                await asyncio.to_thread(_post, each, observe.trace_headers())


def _show(address: str) -> None:
    print(f"{address.replace('tcp://', 'http://')}/test", flush=True)


async def _serve_on_asyncio(handlers: Any) -> None:
    async with AsyncServer(handlers) as server:
        _show(server.address)
        await asyncio.to_thread(sys.stdin.read)


def main(kind: str) -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory() as folder, importable(_IDL, output=Path(folder)):
        bound = importlib.import_module("w3c_stubs").trace_context_test
        with observe.trace("w3c", sampler=1.0):
            if kind == "asyncio":
                asyncio.run(_serve_on_asyncio(bound(OnAsyncio())))
            else:
                with Server(bound(Blocking())).start() as server:
                    _show(server.address)
                    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
