"""Declared exceptions of one name, from different files."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from idlrt import spec as rpc
from idlrt.errors import RemoteProtocolError
from idlrt.protocol.jsonrpc.values import MethodJson
from idlrt.serialization import Limits
from idlrt.spec import DeclaredError


def exception(text: bool) -> Any:
    class NotFound(rpc.DeclaredError):
        value: str | int

        __thrift_fields__ = (rpc.required(1, "value", rpc.STRING if text else rpc.I64),)

    return NotFound


ONE: Final = exception(False)
OTHER: Final = exception(True)


class Shop:
    def get(self) -> None: ...


def codec(*throws: rpc.Field[Any]) -> MethodJson:
    return MethodJson(rpc.method(Shop.get, result=rpc.VOID, throws=throws), Limits(max_string=5))


FIRST: Final = rpc.optional(1, "e", rpc.struct(ONE))
SECOND: Final = rpc.optional(2, "missing", rpc.struct(OTHER))


@pytest.mark.parametrize("throws", [(FIRST, SECOND), (SECOND, FIRST)])
def test_both_are_told_apart(throws: Any) -> None:
    both = codec(*throws)
    for error, name in ((ONE(value=7), "NotFound"), (OTHER(value="x"), "missing.NotFound")):
        data = both.write_error(error)
        assert data is not None
        assert json.loads(data)["exception"] == name
        found = both.error_of(data)
        assert type(found) is type(error)
        assert isinstance(found, DeclaredError)
        assert found == error


def test_limits_hold_for_exceptions() -> None:
    data = b'{"exception":"NotFound","value":{"value":"123456"}}'
    with pytest.raises(RemoteProtocolError, match="max_string=5"):
        codec(SECOND).error_of(data)
