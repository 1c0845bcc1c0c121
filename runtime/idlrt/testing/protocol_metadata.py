"""Checks of metadata, typed context and drain. Part of `check_protocol`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from idlrt.core import AMBIENT, NO_CONTEXT, NO_METADATA, Metadata, RequestContext
from idlrt.errors import ApplicationError
from idlrt.protocol import ClientProtocol, RequestReceived, RpcProtocol
from idlrt.testing.protocol_pair import ECHO, FIND, LONE, Item, Missing, Pair

__all__ = ["METADATA_CHECKS"]

_Respond = Callable[[RequestReceived], bytes]


def _check_metadata(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    able = spoken.capabilities
    given = {"x-tenant": "7", "x-text": "two words, ä=%"}
    pair = Pair(spoken, protocol)
    wanted = given if able.metadata else {}
    _, request = pair.ask(ECHO, ("x",), given)
    assert dict(request.metadata) == wanted, f"metadata of requests: {wanted} expected, got {dict(request.metadata)}"
    pair.answer(pair.server.respond(request, "x"))
    for respond in _responses(pair, given):
        _, request = pair.ask(FIND, (1, None))
        assert dict(request.metadata) == {}, "a request without metadata has none"
        assert request.context == NO_CONTEXT, "a request without typed values has none"
        found = dict(pair.answer(respond(request)).metadata)
        if able.metadata:
            assert wanted.items() <= found.items(), f"metadata of responses: {wanted} expected, got {found}"
        else:
            assert found == {}, "responses have metadata only where it is among the capabilities"
    if able.metadata:
        pair.leaves_no_trace(lambda: pair.client.request(ECHO, ("x",), {"x-tenant": LONE}))


def _responses(pair: Pair, metadata: Metadata = NO_METADATA, is_draining: bool = False) -> tuple[_Respond, ...]:
    """Return the ways to respond to a request for `find`."""
    return (
        lambda request: pair.server.respond(request, Item(id=1), metadata, is_draining),
        lambda request: pair.server.respond_error(request, Missing(id=1), metadata, is_draining) or b"",
        lambda request: pair.server.refuse(request, ApplicationError("no"), metadata, is_draining),
    )


def _check_context(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    able = spoken.capabilities
    pair = Pair(spoken, protocol)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for given in (
        RequestContext(timeout=1.5),
        RequestContext(attempt=2, tag="gray"),
        RequestContext(timeout=70.25, attempt=1, tag="gray", caller="shop", trace=trace),
    ):
        _, request = pair.ask(ECHO, ("x",), NO_METADATA, given)
        wanted = given if able.context else NO_CONTEXT
        assert request.context == wanted, f"typed values of requests: {wanted} expected, got {request.context}"
        # The trace context may be among the metadata too, where handlers and tracers look for it.
        assert request.metadata.keys() <= AMBIENT, (
            f"typed values are no metadata for handlers: {dict(request.metadata)}"
        )
        pair.answer(pair.server.respond(request, "x"))


def _check_drain(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    able = spoken.capabilities
    for way in range(len(_responses(Pair(spoken, protocol)))):
        # Nothing may be sent after it on the same connection.
        pair = Pair(spoken, protocol)
        _, request = pair.ask(FIND, (1, None))
        response = pair.answer(_responses(pair, is_draining=True)[way](request))
        is_told = response.is_draining or pair.goes_away
        assert is_told == able.drain, "responses announce a stop where drain is among the capabilities"
    pair = Pair(spoken, protocol)
    _, request = pair.ask(FIND, (1, None))
    notice = pair.server.drain_notice()
    if notice:
        assert able.drain, "there is a drain notice only where drain is among the capabilities"
        assert pair.to_client(notice) == [], "a drain notice is no response"
        assert pair.goes_away, "a drain notice is a GoAway for the client"
    assert pair.answer(pair.server.respond(request, Item(id=1))).result() == Item(id=1), (
        "requests in flight are answered"
    )


METADATA_CHECKS: Final[tuple[Callable[[RpcProtocol, ClientProtocol], None], ...]] = (
    _check_metadata,
    _check_context,
    _check_drain,
)
