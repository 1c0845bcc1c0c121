"""A program's own subclass of a generated exception."""

from __future__ import annotations

import pickle

from idlrt import spec as rpc


class NotFound(rpc.DeclaredError):
    id: int
    why: str | None = None

    __thrift_fields__ = (
        rpc.required(1, "id", rpc.I64),
        rpc.optional(2, "why", rpc.STRING),
    )


class Gone(NotFound):
    pass


def test_it_has_the_fields_of_its_base() -> None:
    error = Gone(id=1)
    assert (error.id, error.why) == (1, None)
    assert repr(error) == "Gone(id=1, why=None)"
    assert pickle.loads(pickle.dumps(error)) == error
