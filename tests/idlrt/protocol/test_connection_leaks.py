"""A connection that broke, or calls that could not be read, leave nothing behind."""

from __future__ import annotations

import contextlib
import gc
import sys

import pytest
from hand_written import JOIN, SERVICE, dialects

from idlrt.errors import ApplicationError, RemoteProtocolError
from idlrt.protocol.events import ConnectionBroken
from idlrt.protocol.thrift.connection import ClientConnection, ServerConnection
from idlrt.protocol.thrift.requests import ThriftRequest, ThriftResponse
from idlrt.protocol.thrift.sniff import detector

pytestmark = pytest.mark.long


def serve(data):
    server = ServerConnection(detector(), SERVICE.methods)
    said = b""
    for event in (*server.receive_data(data[:9]), *server.receive_data(data[9:])):
        assert isinstance(event, ThriftRequest | ConnectionBroken)
        if isinstance(event, ThriftRequest) and event.method is not None:
            with contextlib.suppress(RemoteProtocolError):
                server.arguments(event)
                said += server.respond(event, "done")
    return said


def ask(dialect, answer):
    client = ClientConnection(dialect)
    client.request(JOIN, (["a"], "+"))
    for event in client.receive_data(answer):
        assert isinstance(event, ThriftResponse | ConnectionBroken)
        if isinstance(event, ThriftResponse):
            with contextlib.suppress(RemoteProtocolError, ApplicationError):
                event.result()


@pytest.mark.parametrize("name", dialects())
@pytest.mark.parametrize("harm", ["none", "end", "middle", "start"])
def test_memory_is_given_back(name, harm):
    dialect = dialects()[name]
    call = ClientConnection(dialect).request(JOIN, (["first", "second"], "+"))[1]
    answer = serve(call)
    assert answer

    def harmed(data):
        place = {"none": len(data), "start": 0, "middle": len(data) // 2, "end": len(data) - 4}[harm]
        return data[:place] + b"\xff" * len(data[place : place + 3]) + data[place + 3 :]

    def work(times):
        for _ in range(times):
            serve(harmed(call))
            ask(dialect, harmed(answer))

    work(50)
    gc.collect()
    before = sys.getallocatedblocks()
    work(200)
    gc.collect()
    # One block for each conversation would be 200.
    assert sys.getallocatedblocks() - before < 100
