"""The measured structs and services, as classes of each library."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import thriftpy2
from thrift.protocol.TBase import TBase
from thrift.Thrift import TType
from thrift.TRecursive import fix_spec

__all__ = ["IDL", "ApacheEchoArgs", "ApacheEchoResult", "apache", "ours", "small", "theirs"]

IDL = Path(__file__).with_name("bench.thrift")


@cache
def ours(folder: Path) -> Any:
    """Our stubs, compiled into `folder`."""
    import idlc

    idlc.compile(sources=(IDL,), output=folder)
    sys.path.insert(0, str(folder))
    return importlib.import_module("bench_stubs")


@cache
def theirs() -> Any:
    """thriftpy2's classes."""
    return thriftpy2.load(str(IDL), module_name="bench_thrift")


class _Value(TBase):
    """Common part of the classes that Apache's compiler writes."""

    __slots__ = ()
    thrift_spec: Any = ()

    def __init__(self, **values: Any) -> None:
        for spec in self.thrift_spec:
            if spec is not None:
                setattr(self, spec[2], values.get(spec[2]))


class _Small(_Value):
    __slots__ = ("counts", "id", "is_active", "name", "score", "tags")
    thrift_spec = (
        None,
        (1, TType.I64, "id", None, None),
        (2, TType.STRING, "name", "UTF8", None),
        (3, TType.BOOL, "is_active", None, None),
        (4, TType.DOUBLE, "score", None, None),
        (5, TType.LIST, "tags", (TType.STRING, "UTF8", False), None),
        (6, TType.MAP, "counts", (TType.STRING, "UTF8", TType.I32, None, False), None),
    )


class _Many(_Value):
    __slots__ = ("items",)
    thrift_spec = (None, (1, TType.LIST, "items", (TType.STRUCT, [_Small, None], False), None))


class _Numbers(_Value):
    __slots__ = ("integers", "pairs", "reals")
    thrift_spec = (
        None,
        (1, TType.LIST, "integers", (TType.I64, None, False), None),
        (2, TType.LIST, "reals", (TType.DOUBLE, None, False), None),
        (3, TType.MAP, "pairs", (TType.I32, None, TType.DOUBLE, None, False), None),
    )


class ApacheEchoArgs(_Value):
    """The arguments of `echo`."""

    __slots__ = ("value",)
    thrift_spec = (None, (1, TType.STRUCT, "value", [_Small, None], None))


class ApacheEchoResult(_Value):
    """The result of `echo`."""

    __slots__ = ("success",)
    thrift_spec = ((0, TType.STRUCT, "success", [_Small, None], None),)


def small(cls: Any) -> Any:
    """Return the struct that is echoed."""
    return cls(
        id=1_234_567,
        name="Ada Lovelace",
        is_active=True,
        score=0.75,
        tags=["mathematics", "poetry", "engine"],
        counts={"logins": 42, "posts": 7},
    )


fix_spec([_Small, _Many, _Numbers, ApacheEchoArgs, ApacheEchoResult])
apache: dict[str, Any] = {"Small": _Small, "Many": _Many, "Numbers": _Numbers}
