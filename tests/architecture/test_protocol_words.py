"""Protocols are exchangeable: what serves, calls and carries knows none of Thrift's words, and packages form no circle.

`framing` is an option of Thrift that clients pass on: a declared option, a parameter, a keyword argument, and texts
that name it.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
from import_graph import import_cycles, import_graph

RUNTIME = Path(__file__).parents[2] / "runtime" / "idlrt"
NEUTRAL = ("client", "net", "server", "testing", "tools")
FILES = [path for package in NEUTRAL for path in sorted((RUNTIME / package).rglob("*.py"))]

THRIFT = re.compile(r"\b(MessageType|Framing|sequence_id|TApplicationException|Dialect)\b")
ANY_FRAMING = re.compile(r"\bframings?\b")
# In a text: `framing="header"`, the entry of an option ("framing: ..."), or nothing but its name.
OPTION = re.compile(r"\bframing(?==)|^\s*framing(?=:)|\A[\"']framing[\"']\Z|`framing`", re.MULTILINE)

ACYCLIC = {
    "balance", "client", "config", "core", "fault", "guard", "net", "protocol", "registry", "route", "serialization",
    "server", "spec", "testing", "tools",
}  # fmt: skip

Graph = Mapping[str, set[str]]


def words(source: str) -> list[str]:
    """Lines that use a word of Thrift, with the word."""
    return sorted(_named(source)) + sorted(_opaque(source))


def _named(source: str) -> Iterator[str]:
    for token in _tokens(source):
        for match in THRIFT.finditer(token.string):
            yield f"line {token.start[0] + token.string.count(chr(10), 0, match.start())}: {match[0]}"
        if token.type == tokenize.NAME:
            continue
        rest = OPTION.sub("", token.string)
        if ANY_FRAMING.search(rest):
            yield f"line {token.start[0]}: framing, which is no option there"


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    texts = {tokenize.NAME, tokenize.STRING, tokenize.COMMENT}
    texts |= {kind for name in ("FSTRING_MIDDLE", "TSTRING_MIDDLE") if (kind := getattr(tokenize, name, None))}
    return (token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type in texts)


def _opaque(source: str) -> Iterator[str]:
    """Lines where `framing` is more than passed on."""
    passed: set[int] = set()
    declared: set[int] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        # As an argument of a call, or beside its name in a table: `(("framing", framing), ...)`.
        if isinstance(node, ast.Call):
            passed |= {id(each) for each in [*node.args, *(keyword.value for keyword in node.keywords)]}
        elif isinstance(node, ast.Dict):
            passed |= {id(each) for each in node.values}
        elif isinstance(node, ast.Tuple):
            passed |= {id(each) for each in node.elts}
        # The declaration of an option: `framing: str | None`.
        elif isinstance(node, ast.ClassDef):
            declared |= {id(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and ANY_FRAMING.fullmatch(node.id):
            if id(node) in declared or (isinstance(node.ctx, ast.Load) and id(node) in passed):
                continue
            yield f"line {node.lineno}: framing is looked into"
        elif isinstance(node, ast.Attribute) and ANY_FRAMING.fullmatch(node.attr):
            yield f"line {node.lineno}: an attribute framing"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RUNTIME)))
def test_what_serves_and_calls_knows_no_word_of_thrift(path: Path) -> None:
    assert words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "from idlrt.protocol.thrift.message_types import MessageType",
        "x = call.sequence_id",
        "x = f'call {sequence_id}'",
        "# a TApplicationException",
        "def f():\n    '''\n    Returns a Dialect.\n    '''",
        "class Framing: ...",
        "x = dialect.framing.name",
        "def f(framing):\n    return framing == 'header'",
        "def f(framing):\n    if framing:\n        pass",
        "framing = 'framed'",
        "# the framing carries none",
        "raise ValueError('framings carry it')",
    ],
)
def test_words_of_thrift_are_found(source: str) -> None:
    assert words(source)


@pytest.mark.parametrize(
    "source",
    [
        "def f(framing):\n    return g(framing, framing=framing)",
        "def f(framing):\n    return {'framing': framing}",
        "def f(framing):\n    for name, value in (('framing', framing),):\n        pass",
        "def f(framing):\n    '''F.\n\n    Args:\n        framing: an option of the protocol.\n    '''",
        "raise ValueError('connect with framing=\"header\"')",
        "dialects, frame, sequence = 1, 2, 3",
        "class Options(TypedDict):\n    framing: str | None",
    ],
)
def test_an_option_may_be_passed_on(source: str) -> None:
    assert words(source) == []


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(RUNTIME.rglob("*.py")):
        parts = [part for part in path.relative_to(RUNTIME.parent).with_suffix("").parts if part != "__init__"]
        found[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def packages(graph: Graph) -> dict[str, set[str]]:
    """Return the packages under `idlrt` that each of them imports."""
    found: dict[str, set[str]] = {}
    for module, imported in graph.items():
        own = _package(module)
        found.setdefault(own, set()).update(set(map(_package, imported)) - {own})
    return found


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_packages_form_no_cycle() -> None:
    graph = packages(import_graph(modules()))
    assert graph.keys() >= ACYCLIC
    assert import_cycles({name: graph[name] & ACYCLIC for name in ACYCLIC}) == []


@pytest.mark.parametrize("package", ["serialization", "protocol"])
def test_modules_form_no_cycle(package: str) -> None:
    graph = import_graph(modules())
    own = {name for name in graph if _package(name) == package}
    assert len(own) > 10
    assert import_cycles({name: graph[name] & own for name in own}) == []


def test_cycles_are_found() -> None:
    late = "def f():\n    from idlrt.b import x"
    typed = "if TYPE_CHECKING:\n    from idlrt import a"
    itself = "import idlrt.c"
    sources = {"idlrt": "from idlrt.a import f", "idlrt.a": late, "idlrt.b": typed, "idlrt.c": itself}
    graph = import_graph({name: ast.parse(source) for name, source in sources.items()})
    assert import_cycles(graph) == [["idlrt.a", "idlrt.b"], ["idlrt.c"]]
    assert import_cycles(packages(graph)) == [["a", "b"]]
    assert import_cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
