"""Memory of JSON and of the values in it, before they are created."""

from __future__ import annotations

import json
from typing import Any

import pytest

from idlrt import spec as rpc
from idlrt.errors import RemoteProtocolError
from idlrt.serialization import Limits
from idlrt.serialization.json_costs import Meter


class Wide(rpc.Struct, kw_only=True):
    """A struct that takes much memory for `{}`."""

    __thrift_fields__ = tuple(rpc.optional(number, f"f{number}", rpc.I64) for number in range(1, 101))


WIDE = rpc.optional(1, "wide", rpc.list_of(rpc.struct(Wide)))
TEXTS = rpc.optional(1, "texts", rpc.list_of(rpc.STRING))


def cost(field: rpc.Field[Any], text: bytes, **limits: int) -> int:
    meter = Meter([field], Limits(**limits))
    meter.check_text(text, "x")
    return meter.measure(json.loads(text), len(text), "x")


def test_memory_of_values_is_bounded() -> None:
    text = b"[[" + b"{}," * 10_000 + b"{}]]"
    assert cost(WIDE, text) > 10_000 * Wide.__basicsize__
    with pytest.raises(RemoteProtocolError, match="max_decoded=1000000"):
        cost(WIDE, text, max_decoded=1_000_000)
    many = b"[[" + b"{}," * 100_000 + b"{}]]"
    with pytest.raises(RemoteProtocolError, match="max_expansion=10"):
        cost(WIDE, many, max_expansion=10)


def test_memory_of_json_is_bounded_before_it_is_made() -> None:
    text = b'{"other":[' + b"[]," * 100_000 + b"[]]}"
    with pytest.raises(RemoteProtocolError, match="max_decoded=1000000"):
        cost(TEXTS, text, max_decoded=1_000_000)
    text = b'[["' + b"x" * 900_000 + b'"]]'
    assert cost(TEXTS, text, max_decoded=1_000_000) >= 900_000, "long text is no reason"


def test_rest_counts_fields_by_their_keys() -> None:
    field = rpc.optional(1, "wide", rpc.list_of(rpc.struct(Wide)), annotations={"http.body": "w"})
    hidden = rpc.optional(2, "hidden", rpc.list_of(rpc.struct(Wide)), annotations={"http.none": ""})
    many: list[dict[str, Any]] = [{}] * 20_000
    text = json.dumps({"w": many, "hidden": many}).encode()
    ordinary, rest = (Meter([field, hidden], Limits(), rest=rest) for rest in (False, True))
    by_key = rest.measure({"w": many}, len(text), "x")
    assert by_key == ordinary.measure({"wide": many}, len(text), "x")
    assert rest.measure({"w": many, "hidden": many, "wide": many}, len(text), "x") == by_key
    assert ordinary.measure({"w": many}, len(text), "x") < by_key / 5
