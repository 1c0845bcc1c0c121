"""Whole programs made at random, of names and types that are known for trouble.

Whatever compiles without an error must be as `black` has it, import without a warning, and carry its values over the
wire. `PROGRAM_EXAMPLES=1000` looks harder.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType

import black
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import idlc
import idlrt.codegen

NUMBERS = itertools.count(1)

NAMES = st.one_of(
    st.sampled_from(
        [
            "a",
            "b",
            "from",
            "class",
            "None",
            "self",
            "rpc",
            "list",
            "int",
            "str",
            "dict",
            "_x",
            "__y",
            "close",
            "connect",
            "using",
            "args",
            "name",
            "value",
            "Final",
            "Protocol",
            "User",
            "Point",
            "Color",
            "U",
            "E",
            "X",
            "S",
            "T",
            "annotations",
            "TypeAlias",
            "match",
            "type",
            "print",
            "Async",
            "Client",
            "AsyncS",
            "SClient",
            "main",
            "low",
        ]
    ),
    st.sampled_from(["x", "getSome", "HTTPName", "with_words_between"]).flatmap(
        lambda start: st.integers(1, 70).map(lambda length: (start + "Abc" * 30)[:length])
    ),
)
BASES = ["bool", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid"]
VALUES = {
    "bool": ["true", "0"],
    "i32": ["5", "-70000", "0x7fffffff"],
    "double": ["1", "0.5", "-1e300"],
    "string": ['"a"', "'say \"x\"'", '"\\\\ \\n"', '"' + "long " * 20 + '"', '"it\'s"'],
    "binary": ['"a"', "'\"'"],
    "list<i32>": ["[]", "[1]", "[1, 2, 3]", "[" + "100000, " * 20 + "]"],
    "map<string, list<i32>>": ["{}", '{"a": []}', '{"a": [1, 2], "b": []}'],
    "set<list<string>>": ["[]", '[["a"], ["b", "c"]]'],
}
COMMENTS = st.sampled_from(["", "", "", "/** Words. */", '/** "Quoted" */', "/** Two.\n * lines \\ */", "/// slash\n"])
DEPRECATED = st.sampled_from(["", "", "", "", '(deprecated = "why")', "(deprecated)"])


def types(declared: list[str]) -> st.SearchStrategy[str]:
    plain = st.sampled_from(BASES + declared * 3)
    return st.recursive(
        plain,
        lambda inner: st.one_of(
            inner.map(lambda one: f"list<{one}>"),
            inner.map(lambda one: f"set<{one}>"),
            st.tuples(inner, inner).map(lambda two: f"map<{two[0]}, {two[1]}>"),
        ),
        max_leaves=3,
    )


@st.composite
def fields(draw: st.DrawFn, declared: list[str], *, may_default: bool = True) -> str:
    lines = []
    for number, name in enumerate(draw(st.lists(NAMES, unique=True, max_size=4)), 1):
        type, default = draw(types(declared)), ""
        if may_default and draw(st.booleans()):
            type = draw(st.sampled_from(sorted(VALUES)))
            default = f" = {draw(st.sampled_from(VALUES[type]))}"
        word = draw(st.sampled_from(["", "", "optional ", "required "])) if may_default else ""
        lines.append(f"{draw(COMMENTS)} {number}: {word}{type} {name}{default},")
    return "\n".join(lines)


@st.composite
def program(draw: st.DrawFn, namespace: str, includes: list[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """The text of a file, and the types that it declares."""
    names = draw(st.lists(NAMES, unique=True, min_size=5, max_size=8))
    enums, structs = names[:1], names[1:3]
    union, error, rest = names[3], names[4], names[5:]
    declared = [*enums, *structs, union, *[f"{stem}.{name}" for stem, others in includes for name in others]]
    parts = [f"namespace py {namespace}", *[f'include "{stem}.thrift"' for stem, _ in includes]]
    for name in enums:
        members = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
        parts.append(f"{draw(COMMENTS)} enum {name} {{ {', '.join(members)} }} {draw(DEPRECATED)}")
    for name in structs:
        parts.append(f"{draw(COMMENTS)} struct {name} {{ {draw(fields(declared))} }} {draw(DEPRECATED)}")
    parts.append(f"union {union} {{ {draw(fields(declared, may_default=False))} }}")
    parts.append(f"exception {error} {{ {draw(fields(declared))} }}")
    for name, kind in zip(rest, ("typedef", "service", "const"), strict=False):
        if kind == "typedef":
            parts.append(f"typedef {draw(types(declared))} {name}")
        elif kind == "const":
            type = draw(st.sampled_from(sorted(VALUES)))
            parts.append(f"const {type} {name} = {draw(st.sampled_from(VALUES[type]))}")
        else:
            functions = [
                f"{draw(COMMENTS)} {draw(types(declared))} {function}({draw(fields(declared))}) "
                f"throws (1: {error} e) {draw(DEPRECATED)},"
                for function in draw(st.lists(NAMES, unique=True, max_size=4))
            ]
            parts.append(f"service {name} {{ {' '.join(functions)} }} {draw(DEPRECATED)}")
    return "\n".join(parts), [*enums, *structs, union]


@st.composite
def files(draw: st.DrawFn) -> dict[str, str]:
    low, declared = draw(program(draw(st.sampled_from(["demo", "demo.low", "other"])), []))
    main, _ = draw(program("demo", [("low", declared)]))
    return {"low.thrift": low, "main.thrift": main}


@pytest.mark.slow
@settings(
    max_examples=int(os.environ.get("PROGRAM_EXAMPLES", "10")),
    phases=[phase for phase in Phase if phase is not Phase.shrink],  # it takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(files())
def test_whatever_compiles_is_stable_and_imports(texts: dict[str, str]) -> None:
    package = f"program_{next(NUMBERS)}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        result = idlc.compile(folder / "main.thrift", folder, package=package, use_cache=False)
        assume(not result.report.has_errors)
        for path in folder.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert black.format_str(text, mode=black.Mode()) == text
        sys.path.insert(0, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for path in sorted(folder.rglob("*.py")):
                    parts = path.relative_to(folder).with_suffix("").parts
                    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
                    check(module)
        finally:
            sys.path.remove(name)
            for loaded in [each for each in sys.modules if each.partition(".")[0] == package]:
                del sys.modules[loaded]


def check(module: ModuleType) -> None:
    """Everything offered is there, and values made of defaults come back."""
    for name in module.__all__:
        value = getattr(module, name)
        if not hasattr(value, "__thrift_fields__"):
            continue
        if any(field.is_required for field in value.__thrift_fields__) or issubclass(value, idlrt.codegen.Union):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made = value()
        assert idlrt.decode(value, idlrt.encode(made)) == made
        assert isinstance(repr(made), str)
        assert isinstance(hash(made), int)
