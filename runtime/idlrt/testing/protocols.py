"""Conformance suite for RPC protocols.

from idlrt.testing import check_protocol

def test_mine() -> None:
    check_protocol(MyProtocol())

The suite joins both ends of a connection in memory and checks the rules of `idlrt.protocol.base`. What a protocol need
not do is read from its capabilities. Metadata is checked in `idlrt.testing.protocol_metadata`; bytes that are cut,
broken or too long in `idlrt.testing.protocol_streams`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from idlrt.core import RequestContext
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    ConfigurationError,
    LocalProtocolError,
    RemoteProtocolError,
    RpcError,
)
from idlrt.protocol import (
    ClientProtocol,
    ConnectionBroken,
    PongReceived,
    RequestReceived,
    ResponseReceived,
    RpcProtocol,
)
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.testing.protocol_metadata import METADATA_CHECKS
from idlrt.testing.protocol_pair import (
    CALLS,
    ECHO,
    FIND,
    LONE,
    NOTE,
    NOTHING,
    OTHER_FIND,
    SERVED,
    STRANGE_FIND,
    UNKNOWN,
    Item,
    Missing,
    OtherMissing,
    Pair,
    Undeclared,
    raised,
)
from idlrt.testing.protocol_streams import SMALL_LIMITS, STREAM_CHECKS, check_client_limits

__all__ = ["check_protocol"]

_NONE: Final[Mapping[str, Any]] = {}
_MANY: Final = 40


def check_protocol(protocol: RpcProtocol, options: Mapping[str, Any] = _NONE) -> None:
    """Check a protocol.

    Args:
        options: of its clients. Where they leave open how a server is spoken to, each way is checked.

    Raises:
        AssertionError: a rule is broken; the message names it.
    """
    _check_description(protocol, options)
    for spoken in protocol.clients(options, DEFAULT_LIMITS):
        for check in (*_CHECKS, *METADATA_CHECKS, *STREAM_CHECKS):
            _run(check, protocol, spoken)
    _check_first_refusals(protocol, options)
    for small in protocol.clients(options, SMALL_LIMITS):
        _run(check_client_limits, protocol, small)


def _run(check: Callable[[RpcProtocol, ClientProtocol], None], protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    try:
        check(protocol, spoken)
    except AssertionError:
        raise
    except Exception as error:
        what = check.__name__.removeprefix("_check_").replace("_", " ")
        raise AssertionError(f"{spoken.name} raised {type(error).__name__} in the check of {what}: {error}") from error


def _check_description(protocol: RpcProtocol, options: Mapping[str, Any]) -> None:
    assert protocol.name, "a protocol has a name"
    assert protocol.name == protocol.name.lower(), "the name of a protocol is lower-case: it is a scheme of targets"
    assert protocol.serializations, "a protocol names its serializations"
    assert isinstance(protocol.serializations, tuple), "the serializations are a tuple"
    wrong = {"no such option": "x"}
    rule = "an unknown option raises ConfigurationError"
    raised(ConfigurationError, rule, lambda: protocol.clients(wrong, DEFAULT_LIMITS))
    found = protocol.clients(options, DEFAULT_LIMITS)
    assert found, "there is at least one way to speak to a server"
    for spoken in found:
        assert spoken.name, "a client's protocol has a name"
        assert isinstance(spoken.advice(), str), "advice is text"
        able = spoken.capabilities
        assert able.max_in_flight >= 1, "at least one request may be in flight"
        assert bool(spoken.metadata_advice()) != able.metadata, "metadata_advice is empty only if metadata is sent"
        assert spoken.connect().capabilities == able, "a connection has the capabilities of its protocol"


# Requests and responses.


def _check_results(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    assert pair.client.is_idle, "a new client's end is idle"
    assert pair.server.is_between_messages, "a new server's end is between messages"
    for method, arguments, result in CALLS:
        id, data = pair.client.request(method, arguments)
        assert pair.client.in_flight == 1, "a request is in flight until its response arrives"
        assert not pair.client.is_idle, "a connection with a request in flight is not idle"
        request = pair.one_request(data)
        _check_request(request, data)
        assert request.method is method, f"the request finds its method {method}, not {request.method}"
        assert not request.is_oneway, "a request that expects a response is not oneway"
        assert pair.server.is_between_messages, "a server's end is between messages after a whole request"
        found, decoded = pair.server.arguments(request)
        assert found == arguments, f"arguments arrive as they were sent: {arguments!r}, not {found!r}"
        assert decoded >= 0, "the memory of arguments is known"
        answer = pair.server.respond(request, result)
        response = pair.answer(answer)
        assert response.id == id, "a response has the id of its request"
        assert response.method is method, "a response has the method of its request"
        assert 0 < response.size <= len(answer), "the size of a response is that of its bytes"
        assert not response.is_draining, "a response announces a stop only if is_draining was given"
        again = response.result(), response.result()
        assert again == (result, result), f"results arrive as they were sent: {result!r}, not {again[0]!r}"
        assert pair.client.in_flight == 0, "a request is over when its response has arrived"
        assert pair.client.is_idle, "a client's end is idle after the last response"
    assert pair.server.capabilities == spoken.capabilities, "both ends have the same capabilities"


def _check_request(request: RequestReceived, data: bytes) -> None:
    assert request.refusal is None, f"a good request is not refused: {request.refusal}"
    assert request.method is not None, f"the method of a request is found, but not that of {request.key!r}"
    handler = SERVED.table.get(request.key)
    assert handler is not None, f"the key of a request is in the server's method table, and {request.key!r} is not"
    assert handler.method is request.method, "the key and the method of a request belong together"
    assert 0 < request.size <= len(data), "the size of a request is that of its bytes"


def _check_services(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    for name, method in (("", FIND), ("Check", FIND), ("Other", OTHER_FIND)):
        pair = Pair(spoken, protocol, service=name)
        _, request = pair.ask(method, (1, None))
        assert request.method is method, f"a request to the service {name!r} is for {method}, not {request.method}"
        assert SERVED.table[request.key].method is method, "the key of a request distinguishes services"
        assert pair.answer(pair.server.respond(request, Item(id=1))).result() == Item(id=1)


def _check_declared(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    _, request = pair.ask(FIND, (7, None))
    assert pair.server.respond_error(request, Undeclared()) is None, "an exception that is not declared is not sent"
    for thrown in (Missing(id=7), OtherMissing(text="of the same name")):
        data = pair.server.respond_error(request, thrown)
        assert data, "a declared exception is sent"
        error = _error_of(pair.answer(data))
        assert type(error) is type(thrown), (
            f"exceptions of the same name are distinguished: {thrown!r} became {error!r}"
        )
        assert error == thrown, f"a declared exception arrives as it was raised, not as {error!r}"
        _, request = pair.ask(FIND, (1, None))
    pair.refused(request, ApplicationError("enough"))
    pair.still_works("a declared exception")


def _check_refusals(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    for code in ApplicationCode:
        _, request = pair.ask(FIND, (1, None))
        refused = pair.refused(request, ApplicationError("the reason ä", code))
        assert refused.code == code, f"a refusal keeps its code, {code!r}: {refused.code!r} arrived"
        assert "the reason" in refused.message, "a refusal keeps its text"
        assert refused.retry_after is None, "a refusal has no push-back unless the server said so"
    for seconds in (0.25, 30.0, math.inf):
        _, request = pair.ask(FIND, (1, None))
        error = ApplicationError("come back later", ApplicationCode.LOADSHEDDING).push_back(seconds)
        refused = pair.refused(request, error)
        assert refused.retry_after in (None, seconds), f"push-back of {seconds} s is not {refused.retry_after} s"
    for odd in (ApplicationError(LONE), ApplicationError("x" * 5000, 4711), ApplicationError("", -1)):
        _, request = pair.ask(NOTHING, ())
        pair.refused(request, odd)
    pair.still_works("a refusal")


def _check_first_refusals(protocol: RpcProtocol, options: Mapping[str, Any]) -> None:
    """A client that knows nothing of a server yet repeats no request: the error may be that of a handler."""
    for code in ApplicationCode:
        for spoken in protocol.clients(options, DEFAULT_LIMITS):
            pair = Pair(spoken, protocol)
            _, request = pair.ask(FIND, (1, None), context=RequestContext(timeout=1.0))
            refused = pair.refused(request, ApplicationError("no", code))
            assert refused.code == code, f"the first refusal keeps its code, {code!r}: {refused.code!r} arrived"


def _error_of(response: ResponseReceived) -> RpcError | None:
    try:
        response.result()
    except RpcError as error:
        return error
    return None


def _check_missing_results(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    _, request = pair.ask(FIND, (1, None))
    rule = "None as the result of a method that has one raises ApplicationError"
    error = raised(ApplicationError, rule, lambda: pair.server.respond(request, None))
    assert error.code is ApplicationCode.MISSING_RESULT, "a missing result has the code MISSING_RESULT"
    refused = pair.refused(request, error)
    assert refused.code is ApplicationCode.MISSING_RESULT, "the client receives the code MISSING_RESULT"
    pair.still_works("a missing result")


def _check_unknown_methods(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    _, request = pair.ask(UNKNOWN, ())
    assert request.method is None, "a request for a method that the server does not have has no method"
    assert request.key not in SERVED.table, "the key of an unknown method is not in the method table"
    refused = pair.refused(request, ApplicationError("there is no such method", ApplicationCode.UNKNOWN_METHOD))
    assert refused.code is ApplicationCode.UNKNOWN_METHOD, "the client receives the code UNKNOWN_METHOD"
    pair.still_works("a request for an unknown method")


def _check_oneway(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    _, request = pair.ask(NOTE, ("to whom it may concern",))
    assert request.method is NOTE, "a oneway request finds its method"
    assert pair.server.arguments(request)[0] == ("to whom it may concern",), "arguments of oneway requests arrive"
    if spoken.capabilities.acknowledges_oneway:
        assert not request.is_oneway, "a oneway request that is acknowledged is not marked as oneway"
        assert request.acknowledges_oneway, "a oneway request that is acknowledged says so"
        assert pair.client.in_flight == 1, "a oneway request is in flight until it is acknowledged"
        assert pair.answer(pair.server.respond(request, None)).result() is None, "an acknowledgement has no result"
    else:
        assert request.is_oneway, "a oneway request is marked as one"
    assert pair.client.in_flight == 0, "a oneway request is not in flight: nothing is waited for"
    assert pair.client.is_idle, "a connection is idle after a oneway request"
    pair.still_works("a oneway request")


def _check_pings(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    for _ in range(3):
        id, data = pair.client.ping()
        assert not pair.client.is_idle, "a connection with a ping in flight is not idle"
        events = pair.to_client(pair.answer_to_ping(data))
        assert events == [PongReceived(id)], f"the answer to a ping is PongReceived with its id, not {events}"
        pair.still_works("a ping")
    id, _ = pair.client.ping()
    pair.client.cancel(id)
    assert pair.client.in_flight == 0, "a cancelled ping is not in flight"


# Several requests at a time.


def _check_many_in_flight(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    count = min(spoken.capabilities.max_in_flight, _MANY)
    for is_reversed in (False, True):
        pair = Pair(spoken, protocol)
        made = [pair.client.request(ECHO, (f"text {number}",)) for number in range(count)]
        assert len({id for id, _ in made}) == count, "requests in flight have different ids"
        assert pair.client.in_flight == count, "all requests without a response are in flight"
        if count < _MANY:
            rule = "a request beyond max_in_flight raises LocalProtocolError"
            raised(LocalProtocolError, rule, partial(pair.client.request, ECHO, ("one too many",)))
        events = pair.to_server(b"".join(data for _, data in made))
        requests = [event for event in events if isinstance(event, RequestReceived)]
        assert len(requests) == len(events) == count, "requests that arrive in one piece are one event each"
        texts = [pair.server.arguments(request)[0][0] for request in requests]
        assert texts == [f"text {number}" for number in range(count)], (
            "request events arrive in the order of the requests"
        )
        if is_reversed and all(request.is_unordered for request in requests):
            requests.reverse()
            made.reverse()
            texts.reverse()
        data = b"".join(pair.server.respond(each, text) for each, text in zip(requests, texts, strict=True))
        responses = [event for event in pair.to_client(data) if isinstance(event, ResponseReceived)]
        found = [(response.id, response.result()) for response in responses]
        wanted = [(id, text) for (id, _), text in zip(made, texts, strict=True)]
        assert found == wanted, "each response has the id of its request, in the order in which they arrive"
        assert pair.client.is_idle, "a connection is idle after all responses"


def _check_cancel(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    first, request = pair.ask(ECHO, ("first",))
    is_alone = spoken.capabilities.max_in_flight == 1
    other = None if is_alone else pair.ask(ECHO, ("second",))
    notice = pair.client.cancel(first)
    assert pair.client.cancelled <= 1, "one request was cancelled"
    assert pair.client.in_flight == (0 if is_alone else 1), "a cancelled request is not in flight"
    if notice:
        pair.to_server(notice)
    assert pair.to_client(pair.server.respond(request, "first")) == [], "a cancelled request has no response"
    assert pair.client.cancelled == 0, "a cancelled request is forgotten when its response has arrived"
    if other is not None:
        response = pair.answer(pair.server.respond(other[1], "second"))
        assert (response.id, response.result()) == (other[0], "second"), "other requests do not notice a cancel"
    pair.client.cancel(first)
    pair.client.cancel(987654)
    assert pair.client.cancelled == 0, "a request that is over cannot be cancelled"
    pair.still_works("a cancelled request")


def _check_surprises(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    """Check that a client never takes a response without a request for the response to a later request."""
    pair, other = Pair(spoken, protocol), Pair(spoken, protocol)
    _, request = other.ask(ECHO, ("x",))
    data = other.server.respond(request, "without a request")
    events = pair.to_client(data)
    assert not any(isinstance(event, ResponseReceived) for event in events), "a response needs a request"
    if not any(isinstance(event, ConnectionBroken) for event in events):
        assert pair.call(ECHO, ("good",), "good") == "good", "a response without a request is not kept for a later one"


# What fails costs one call, or leaves no trace.


def _check_unsendable(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    pair = Pair(spoken, protocol)
    for method, arguments in ((FIND, ("not a number", None)), (FIND, (2**63, None)), (ECHO, (LONE,)), (ECHO, (5,))):
        pair.leaves_no_trace(partial(pair.client.request, method, arguments))
    for method, arguments, result in (
        (FIND, (1, None), "not an item"),
        (FIND, (1, None), Item(id=2**63)),
        (ECHO, ("x",), LONE),
    ):
        _, request = pair.ask(method, arguments)
        rule = f"a result that does not fit, {result!r}, raises LocalProtocolError"
        raised(LocalProtocolError, rule, partial(pair.server.respond, request, result))
        pair.refused(request, ApplicationError("the result cannot be sent", ApplicationCode.INTERNAL_ERROR))
        pair.still_works("a result that cannot be encoded")
    _, request = pair.ask(FIND, (1, None))
    rule = "an exception that does not fit raises LocalProtocolError"
    raised(LocalProtocolError, rule, lambda: pair.server.respond_error(request, Missing(id=2**63)))
    pair.refused(request, ApplicationError("the exception cannot be sent", ApplicationCode.INTERNAL_ERROR))
    pair.still_works("an exception that cannot be encoded")


def _check_undecodable(protocol: RpcProtocol, spoken: ClientProtocol) -> None:
    """Arguments, or a result, of other types than the other side's IDL has."""
    pair = Pair(spoken, protocol)
    _, request = pair.ask(STRANGE_FIND, ("not a number", None))
    if request.refusal is None:
        rule = "arguments that cannot be decoded raise RemoteProtocolError"
        raised(RemoteProtocolError, rule, lambda: pair.server.arguments(request))
    pair.refused(request, ApplicationError("the arguments cannot be read", ApplicationCode.PROTOCOL_ERROR))
    pair.still_works("arguments that cannot be decoded")
    _, request = pair.ask(STRANGE_FIND, ("1", None))
    error = _error_of(pair.answer(pair.server.respond(request, Item(id=1))))
    # Thrift skips a value of another type, so the result is missing.
    is_known = isinstance(error, RemoteProtocolError | ApplicationError)
    assert is_known, f"a result that cannot be decoded raises RemoteProtocolError, not {error!r}"
    pair.still_works("a result that cannot be decoded")


_CHECKS: Final[tuple[Callable[[RpcProtocol, ClientProtocol], None], ...]] = (
    _check_results,
    _check_services,
    _check_declared,
    _check_refusals,
    _check_missing_results,
    _check_unknown_methods,
    _check_oneway,
    _check_pings,
    _check_many_in_flight,
    _check_cancel,
    _check_surprises,
    _check_unsendable,
    _check_undecodable,
)
