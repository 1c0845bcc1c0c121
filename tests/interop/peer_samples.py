"""Values that are sent to and fro."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from uuid import UUID

from idlrt.codegen import FrozenMap


def scalars(s: ModuleType) -> list[Any]:
    """Scalars: plain ones, and those at the ends of their ranges."""
    plain = s.Scalars(
        flag=True,
        tiny=-1,
        small=-300,
        middle=70_000,
        large=2**40,
        real=-0.1,
        text="grüße 😀",
        data=b"\0\xff",
        color=s.Color.BLUE,
    )
    least = s.Scalars(tiny=-(2**7), small=-(2**15), middle=-(2**31), large=-(2**63), real=-1e308, text="", data=b"")
    most = s.Scalars(
        flag=False,
        tiny=2**7 - 1,
        small=2**15 - 1,
        middle=2**31 - 1,
        large=2**63 - 1,
        real=float("inf"),
        text="x" * 1000,
        data=bytes(range(256)) * 4,
        color=s.Color(12345),
    )
    return [plain, least, most, s.Scalars()]


def shapes(s: ModuleType) -> list[Any]:
    """A union with each of its fields."""
    return [s.Shape(size=0), s.Shape(name=""), s.Shape(point=s.Point(x=1)), s.Shape(line=[s.Point(x=1), s.Point(x=2)])]


def containers(s: ModuleType) -> list[Any]:
    """Containers of everything, all empty, and none at all."""
    full = s.Containers(
        flags=[True, False],
        tinies=[-128, 127],
        smalls=[1, -1],
        middles=list(range(300)),
        larges=[2**63 - 1],
        reals=[0.5, -2.5],
        texts=["", "a", "b" * 300],
        blobs=[b"", b"\xff" * 3],
        colors=[s.Color.RED, s.Color(99)],
        points=[s.Point(x=1), s.Point(x=2, y=3)],
        shapes=shapes(s),
        grid=[[1, 2], [], [3]],
        names={"a", "b", "c"},
        ids={1, -1, 2**50},
        numbers={1: 1.5, -1: 0.0},
        counts={"one": 1, "": 0},
        words={"k": "v", "l": ""},
        by_color={s.Color.GREEN: s.Point(x=5)},
        deep={"a": {1: shapes(s), 2: []}, "b": {}},
        maps=[{"x": 1}, {}],
        sets=[{1, 2}, set()],
        by_flag={True: 1, False: 0},
    )
    names = [name for name in full.__struct_fields__ if getattr(full, name) is not None]
    empty = s.Containers(**{name: type(getattr(full, name))() for name in names})
    return [full, empty, s.Containers()]


def trees(s: ModuleType) -> list[Any]:
    """Recursion."""
    deep = s.Tree(value=0)
    for value in range(1, 30):
        deep = s.Tree(value=value, left=deep)
    return [s.Tree(), s.Tree(value=1, left=s.Tree(value=2), children=[s.Tree(), s.Tree(value=3, children=[])]), deep]


def everything(s: ModuleType) -> list[Any]:
    """Structs within structs; also what optional fields and defaults do."""
    small = s.Everything(scalars=s.Scalars())
    large = s.Everything(
        scalars=scalars(s)[0],
        containers=containers(s)[0],
        tree=trees(s)[1],
        shape=shapes(s)[3],
        answer=43,
        tags=[],
        trouble=s.NotFound(id=1, reason="why"),
    )
    return [small, large]


def keyed(s: ModuleType) -> list[Any]:
    """Containers as keys. One element each: two sides may order more in two ways."""
    return [
        s.Keyed(
            lists={(1, 2)},
            by_set={frozenset({"a"}): 1},
            maps={FrozenMap({1: "x"})},
            by_grid={((1,), ()): "grid"},
        ),
        s.Keyed(lists=set(), by_set={}),
    ]


def identified(s: ModuleType) -> list[Any]:
    """UUIDs."""
    one, two = UUID("00112233-4455-6677-8899-aabbccddeeff"), UUID(int=1)
    return [s.Identified(id=one, ids=[one, two, one], some={two}, names={one: "one", two: "two"}), s.Identified(ids=[])]


def for_everybody(s: ModuleType) -> list[Any]:
    """Values that all peers know."""
    errors = [s.NotFound(id=1), s.NotFound(id=-1, reason="ß"), s.Refused(code=5, because=["a", ""])]
    return [*scalars(s), *shapes(s), *containers(s), *trees(s), *everything(s), *errors]
