"""Headers that carry metadata: what can arrive in which way."""

from __future__ import annotations

import pytest

from idlrt.core.metadata import NO_METADATA
from idlrt.errors import RemoteProtocolError
from idlrt.protocol.events import NO_CONTEXT
from idlrt.protocol.http.metadata import read_metadata

ALLOWED = frozenset({b"x-request-id"})


def test_a_request_without_such_headers_has_none() -> None:
    assert read_metadata({b"host": b"a", b"x-user": b"b", b"accept": b"*/*"}, ALLOWED) == (NO_CONTEXT, NO_METADATA)


def test_typed_values() -> None:
    context, _ = read_metadata(
        {b"rpc-timeout-ms": b"1500", b"rpc-attempt": b"2", b"rpc-tag": b"gr%C3%A4y", b"rpc-caller": b"shop"}, ALLOWED
    )
    assert (context.timeout, context.attempt, context.tag, context.caller) == (1.5, 2, "gräy", "shop")


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"x", b"12345678901"])
def test_a_timeout_is_a_number_of_milliseconds(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="rpc-timeout-ms"):
        read_metadata({b"rpc-timeout-ms": value}, ALLOWED)


def test_the_token_of_the_scheme_bearer_is_the_metadata() -> None:
    for header, token in ((b"Bearer a b", "a b"), (b"bEaReR  x", "x"), (b"Basic eA==", "Basic eA==")):
        assert read_metadata({b"authorization": header}, ALLOWED)[1] == {"authorization": token}


@pytest.mark.parametrize(
    "name", [b"authorization", b"client_timeout", b"rpc_attempt", b"drain", b"rpc_retry_after", b""]
)
def test_tokens_and_metadata_of_the_runtime_cannot_come_as_other_metadata(name: bytes) -> None:
    headers = {b"rpc-metadata-" + name: b"x", b"rpc-metadata-a": b"b%20c"}
    assert read_metadata(headers, ALLOWED)[1] == {"a": "b c"}


def test_a_header_that_a_gateway_sets_takes_precedence() -> None:
    pair = [(b"x-request-id", b"gateway"), (b"rpc-metadata-x-request-id", b"client")]
    for headers in (pair, pair[::-1]):
        assert read_metadata(dict(headers), ALLOWED)[1] == {"x-request-id": "gateway"}
