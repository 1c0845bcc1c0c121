"""Response metadata that filters and handlers set, as text by name."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import FRAMED, HEADER, KINDS, Raw, serving
from hand_written import GET, JOIN, PING, User, Users

import idlrt
from idlrt.core import ServerCall
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.server.method_table import ServerCallNext

ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


@ALL_KINDS
def test_what_filters_and_handlers_say_beside_an_answer_reaches_a_client_with_headers(kind: str) -> None:
    async def tell(call: ServerCall, next: ServerCallNext) -> Any:
        call.answer_metadata["method"] = call.method.name
        if call.arguments == (7,):
            raise ApplicationError("not that one", ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    class Telling(Users):
        def get(self, id: int) -> User | None:
            call = idlrt.current_call()
            assert call is not None
            call.answer_metadata["id"] = str(id)
            return super().get(id)

    with serving(Telling(), kind, filters=[tell]) as server, Raw(server, HEADER) as raw:
        for id in (1, -1, 0, 7):
            raw.call(GET, id)
        raw.call(PING)
        found, thrown, failed, refused, pinged = raw.read(5)
    assert found.metadata == {"method": "get", "id": "1"}
    assert thrown.metadata == {"method": "get", "id": "-1"}
    assert failed.metadata == {"method": "get", "id": "0"}
    assert refused.metadata == {"method": "get"}
    assert pinged.metadata == {"method": "ping"}


@ALL_KINDS
def test_with_plain_framing_it_is_left_out(kind: str) -> None:
    async def tell(call: ServerCall, next: ServerCallNext) -> Any:
        call.answer_metadata["method"] = call.method.name
        return await next(call)

    with serving(Users(), kind, filters=[tell]) as server, Raw(server, FRAMED) as raw:
        raw.call(GET, 1)
        (answer,) = raw.read()
        assert answer.value.id == 1
        assert answer.metadata == {}


@ALL_KINDS
@pytest.mark.parametrize("value", [3, None, "\ud800"], ids=repr)
def test_what_cannot_be_sent_beside_an_answer_costs_one_call(kind: str, value: Any) -> None:
    async def spoil(call: ServerCall, next: ServerCallNext) -> Any:
        if call.method is GET:
            call.answer_metadata["size"] = value
        return await next(call)

    with serving(Users(), kind, filters=[spoil]) as server, Raw(server, HEADER) as raw:
        for id in (1, -1, 0):
            raw.call(GET, id)
        raw.call(JOIN, ["a"], "")
        *spoiled, joined = raw.values(4)
    assert joined == "a"
    assert [error.code for error in spoiled] == [ApplicationCode.INTERNAL_ERROR] * 3
