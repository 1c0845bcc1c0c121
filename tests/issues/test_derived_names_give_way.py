"""A name that only idlc makes gives way to one that the IDL declares; what becomes what is told, by a stable rule."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import idlc
from idlc.codegen.python.claims import Claim, Rank, resolve_claims
from idlc.diagnostics import Report
from idlc.model import Declaration, Program
from idlc.source import SourceFile, Span
from idlc.syntax import parse

pytestmark = pytest.mark.slow


def compile_texts(folder: Path, files: dict[str, str], asked: Sequence[str] = ()) -> idlc.Compiled:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    paths = tuple(folder / name for name in asked or files)
    return idlc.compile(sources=paths, output=folder / "gen", use_cache=False)


def top_level(path: Path) -> dict[str, ast.stmt]:
    """The public names of a module."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                if not name.startswith("_"):
                    assert name not in found, name
                    found[name] = node
            case _:
                pass
    return found


def members(path: Path, name: str) -> list[str]:
    """Return the members that a class declares."""
    node = top_level(path)[name]
    assert isinstance(node, ast.ClassDef)
    found: list[str] = []
    for each in node.body:
        match each:
            case (
                ast.FunctionDef(name=name)
                | ast.AnnAssign(target=ast.Name(id=name))
                | ast.Assign(targets=[ast.Name(id=name)])
            ):
                found.append(name)
            case _:
                pass
    return [each for each in found if not each.startswith("_")]


CLIENT = "the client of service"
BIND = "the function that binds service"
CLASHES = {
    "a service called like a client": (
        "service Repository {} service RepositoryClient {}",
        {"Repository", "RepositoryClient", "RepositoryClient_", "RepositoryClientClient"},
        [
            f"{CLIENT} `Repository` is called `RepositoryClient_` in Python, as `RepositoryClient` is taken",
            (
                "the asyncio Protocol of service `RepositoryClient` is called `AsyncRepositoryClient_` in Python, "
                "as `AsyncRepositoryClient` is taken"
            ),
        ],
    ),
    "a struct called like a client": (
        "struct UserClient {} service User {}",
        {"UserClient", "UserClient_", "AsyncUserClient"},
        [f"{CLIENT} `User` is called `UserClient_` in Python, as `UserClient` is taken"],
    ),
    "a struct called like an asyncio Protocol": (
        "struct AsyncUser {} service User {}",
        {"AsyncUser", "AsyncUser_", "UserClient"},
        ["the asyncio Protocol of service `User` is called `AsyncUser_` in Python, as `AsyncUser` is taken"],
    ),
    "services that differ in upper case": (
        "service KVStore {} service KvStore {}",
        {"kv_store", "kv_store_", "KVStoreClient", "KvStoreClient"},
        [f"{BIND} `KvStore` is called `kv_store_` in Python, as `kv_store` is taken"],
    ),
    "a struct called like the function of a service": (
        "service Users {} struct users {}",
        {"users", "users_", "Users"},
        [f"{BIND} `Users` is called `users_` in Python, as `users` is taken"],
    ),
    "an exception called like the function of a service": (
        "service UserService {} exception user_service { 1: string why }",
        {"user_service", "user_service_"},
        [f"{BIND} `UserService` is called `user_service_` in Python, as `user_service` is taken"],
    ),
    "a constant called like the function of a service": (
        "service User {} const i32 user = 1",
        {"user", "user_", "User"},
        [f"{BIND} `User` is called `user_` in Python, as `user` is taken"],
    ),
    "services that differ in their first letter": (
        "service Foo {} service foo {}",
        {"Foo", "foo", "foo_", "foo__", "FooClient", "fooClient"},
        [f"{BIND} `Foo` is called `foo__` in Python, as `foo` is taken"],
    ),
    "a type that Python cannot have, and one with an underscore": (
        "struct int {} struct int_ {}",
        {"int_", "int__"},
        ["the struct `int` is called `int__` in Python, as `int_` is taken"],
    ),
    "a constant called like a type": (
        "struct A {} const i32 A = 1",
        {"A", "A_"},
        ["the constant `A` is called `A_` in Python, as `A` is taken"],
    ),
}


@pytest.mark.parametrize(("text", "names", "told"), CLASHES.values(), ids=CLASHES)
def test_top_level_names(tmp_path: Path, text: str, names: set[str], told: list[str]) -> None:
    result = compile_texts(tmp_path, {"demo.thrift": text})
    notes = [each for each in result.report if each.severity == "note"]
    assert [each.message for each in notes] == told
    assert {each.name for each in notes} == {"python.name.yielded"}
    assert all(len(each.labels) == 1 and each.labels[0].span != each.span for each in notes)
    assert result.report.errors == 0
    assert names <= top_level(tmp_path / "gen/demo/demo.py").keys()


MEMBERS = {
    "fields": ("struct S { 1: i32 from, 2: i32 from_ }", "S", ["from__", "from_"], "the field `from`"),
    "fields with underscores in front": ("union S { 1: i32 _a, 2: i32 a_ }", "S", ["a__", "a_"], "the field `_a`"),
    "fields of errors": ("exception S { 1: i32 args, 2: i32 args_ }", "S", ["args__", "args_"], "the field `args`"),
    "members of enums": ("enum S { name, name_ }", "S", ["name__", "name_"], "the member `name`"),
    "functions": ("service S { void using() void using_() }", "SClient", ["using__", "using_"], "the function `using`"),
    "inherited functions": (
        "service A { void close() } service S extends A { void close_() }",
        "SClient",
        ["close__"],
        "the function `close_`",
    ),
    "functions that an inherited one would replace": (
        "service A { void close_() } service B extends A {} service S extends B { void close() }",
        "SClient",
        ["close__"],
        "the function `close`",
    ),
}


@pytest.mark.parametrize(("text", "owner", "names", "who"), MEMBERS.values(), ids=MEMBERS)
def test_members(tmp_path: Path, text: str, owner: str, names: list[str], who: str) -> None:
    result = compile_texts(tmp_path, {"demo.thrift": text})
    notes = [each.message for each in result.report if each.severity == "note"]
    assert len(notes) == 1
    assert notes[0].startswith(f"{who} is called `{names[0]}` in Python")
    assert sorted(members(tmp_path / "gen/demo/demo.py", owner)) == sorted(names)


def test_parameters(tmp_path: Path) -> None:
    text = "exception X {} service S { void f(1: i32 self, 2: i32 self_) throws (1: X from, 2: X from_) }"
    result = compile_texts(tmp_path, {"demo.thrift": text})
    assert [each.message.split(" in ")[0] for each in result.report] == [
        "the argument `self` is called `self__`",
        "the exception `from` is called `from__`",
    ]
    client = top_level(tmp_path / "gen/demo/demo.py")["SClient"]
    assert "def f(self, self__: int, self_: int)" in ast.unparse(client)


def test_names_of_a_file_do_not_depend_on_other_files(tmp_path: Path) -> None:
    files = {
        "a.thrift": "namespace py demo\nservice Repository {}",
        "b.thrift": "namespace py demo\nstruct RepositoryClient {}\nstruct repository {}",
    }
    compile_texts(tmp_path / "one", files, ["a.thrift"])
    result = compile_texts(tmp_path / "both", files)
    assert (tmp_path / "one/gen/demo/a.py").read_text() == (tmp_path / "both/gen/demo/a.py").read_text()
    assert [(each.name, each.message, each.help) for each in result.report] == [
        (
            "python.name.hidden",
            f"package `demo` does not offer `{name}` of module `demo.a`: module `b` has one, too",
            "import it from `demo.a`",
        )
        for name in ("RepositoryClient", "repository")
    ]
    package = (tmp_path / "both/gen/demo/__init__.py").read_text()
    assert "from .a import AsyncRepository, AsyncRepositoryClient, Repository\n    from .b import *\n" in package


def test_files_of_a_namespace_may_be_compiled_one_by_one(tmp_path: Path) -> None:
    files = {
        "a.thrift": "namespace py demo\nservice KVStore {}",
        "b.thrift": "namespace py demo\nservice KvStore {}",
    }
    compile_texts(tmp_path / "both", files)
    expected = (tmp_path / "both/gen/demo/__init__.py").read_text()
    for order in (("a.thrift", "b.thrift"), ("b.thrift", "a.thrift")):
        folder = tmp_path / order[0]
        for name in order:
            assert compile_texts(folder, files, [name]).report.errors == 0
        assert (folder / "gen/demo/__init__.py").read_text() == expected


@pytest.mark.parametrize("order", [("user.thrift", "user_.thrift"), ("user_.thrift", "user.thrift")])
def test_files_that_differ_in_an_underscore_may_be_compiled_one_by_one(tmp_path: Path, order: tuple[str, str]) -> None:
    files = {
        "user.thrift": "namespace py demo\nstruct A {}",
        "user_.thrift": "namespace py demo\nstruct B {}",
    }
    for name in (*order, *order):
        assert list(compile_texts(tmp_path, files, [name]).report) == []
    package = (tmp_path / "gen/demo/__init__.py").read_text()
    assert '"user": ["A"]' in package
    assert '"user_": ["B"]' in package


def test_a_module_that_had_to_make_way_is_written_where_it_was(tmp_path: Path) -> None:
    files = {
        "user.thrift": "namespace py demo\nstruct A {}",
        "more.thrift": "namespace py demo\nstruct user {}",
    }
    compile_texts(tmp_path, files)
    for name in files:
        assert list(compile_texts(tmp_path, files, [name]).report) == []
    assert sorted(path.name for path in (tmp_path / "gen/demo").glob("*.py")) == ["__init__.py", "more.py", "user_.py"]


def test_a_subpackage_keeps_its_name(tmp_path: Path) -> None:
    files = {
        "a.thrift": "namespace py demo\nservice User {}",
        "b.thrift": "namespace py demo.user\nstruct B {}",
    }
    (note,) = compile_texts(tmp_path, files).report
    assert (note.severity, note.name) == ("note", "python.name.hidden")
    assert note.message == "package `demo` does not offer `user` of module `demo.a`: `demo.user` is a package"
    assert "user" in top_level(tmp_path / "gen/demo/a.py")


@pytest.mark.parametrize("name", ["a_b", "class_"])
def test_files_whose_names_become_one(tmp_path: Path, name: str) -> None:
    odd = {"a_b": "a-b", "class_": "class"}[name]
    files = {f"{odd}.thrift": "namespace py demo\nstruct A {}", f"{name}.thrift": "namespace py demo\nstruct B {}"}
    (note,) = compile_texts(tmp_path, files).report
    assert note.message == f"the module of file `{odd}` is called `{name}_` in Python, as `{name}` is taken"
    assert "A" in top_level(tmp_path / f"gen/demo/{name}_.py")
    assert "B" in top_level(tmp_path / f"gen/demo/{name}.py")


SAME = {"one/shared.thrift": "struct A { 1: i32 x }", "two/shared.thrift": "struct A { 1: i64 y }"}
MAIN = "include 'one/shared.thrift'\ninclude 'inner.thrift'\nstruct M { 1: inner.I i }"
INNER = "include 'two/shared.thrift'\nstruct I { 1: shared.A a }"


def test_files_of_one_name_without_a_namespace(tmp_path: Path) -> None:
    files = {**SAME, "main.thrift": MAIN, "inner.thrift": INNER}
    outputs: list[dict[str, str]] = []
    for asked in (list(files), list(reversed(files)), ["main.thrift"]):
        folder = tmp_path / str(len(outputs))
        notes = [each for each in compile_texts(folder, files, asked).report if each.severity == "note"]
        assert [each.message for each in notes] == [
            "the package of file `shared` is called `shared_` in Python, as `shared` is taken"
        ]
        assert str(notes[0].span).endswith("two/shared.thrift:1:1")
        assert str(notes[0].labels[0].span).endswith("one/shared.thrift:1:1")
        gen = folder / "gen"
        outputs.append({str(path.relative_to(gen)): path.read_text() for path in sorted(gen.rglob("*.py"))})
    assert outputs[0] == outputs[1] == outputs[2]
    assert "x: int" in outputs[0]["shared/shared.py"]
    assert "y: int" in outputs[0]["shared_/shared.py"]
    assert "from shared_ import shared as _shared\n" in outputs[0]["inner/inner.py"]


def test_files_of_one_name_in_one_namespace(tmp_path: Path) -> None:
    files = {
        "one/shared.thrift": "namespace py demo\nstruct A {}",
        "two/shared.thrift": "namespace py demo\nstruct B {}",
    }
    (note,) = compile_texts(tmp_path, files).report
    assert note.message == "the module of file `shared` is called `shared_` in Python, as `shared` is taken"
    assert "A" in top_level(tmp_path / "gen/demo/shared.py")
    assert "B" in top_level(tmp_path / "gen/demo/shared_.py")


def test_what_they_declare_twice_stays_refused(tmp_path: Path) -> None:
    files = {name: f"namespace py demo\n{text}" for name, text in SAME.items()}
    (error,) = (each for each in compile_texts(tmp_path, files).report if each.severity == "error")
    assert error.message == "two declarations are called `A` in Python in package demo"
    assert not (tmp_path / "gen").exists()


def test_what_an_earlier_compile_declared_is_told(tmp_path: Path) -> None:
    compile_texts(tmp_path, {"a.thrift": "namespace py demo\nstruct User {}"})
    (warning,) = compile_texts(tmp_path, {"b.thrift": "namespace py demo\nstruct User {}"}).report
    assert (warning.severity, warning.name) == ("warning", "python.name.collision")
    assert warning.message == (
        "module `demo.a` of an earlier compile has a `User`, too; the package offers that of `a`"
    )


def test_included_files_are_not_told_about(tmp_path: Path) -> None:
    files = {
        "main.thrift": "include 'shared.thrift'\nstruct M { 1: shared.S s }",
        "shared.thrift": "struct S { 1: i32 from, 2: i32 from_ } service Foo {} service foo {}",
    }
    assert list(compile_texts(tmp_path, files, ["main.thrift"]).report) == []
    assert members(tmp_path / "gen/shared/shared.py", "S") == ["from__", "from_"]


SOURCE = SourceFile(Path("x.thrift"), "x")
PROGRAM = Program(source=SOURCE, document=parse(SOURCE, Report()), stem="x")


def claim(name: str, rank: Rank) -> Claim:
    return Claim(Declaration(name=name, span=Span(SOURCE, 0, 1), program=PROGRAM), name, rank, "thing")


words = st.text("ab_", min_size=1, max_size=3)
weak = st.tuples(words, st.sampled_from([Rank.ESCAPED, Rank.DERIVED]))


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    declared = draw(st.lists(words, unique=True, max_size=6))
    found = [claim(name, Rank.DECLARED) for name in declared]
    found += [claim(*each) for each in draw(st.lists(weak, max_size=6))]
    return draw(st.permutations(found))


@settings(max_examples=300)
@given(claims())
def test_no_two_get_one_name_and_declared_ones_keep_theirs(wanted: list[Claim]) -> None:
    names = [grant.name for grant in resolve_claims(wanted)]
    assert len(set(names)) == len(names)
    for each, name in zip(wanted, names, strict=True):
        assert name == each.name or (each.rank is not Rank.DECLARED and name.rstrip("_") == each.name.rstrip("_"))


@settings(max_examples=300)
@given(claims(), weak)
def test_a_derived_name_at_the_end_changes_no_other(wanted: list[Claim], added: tuple[str, Rank]) -> None:
    new = claim(added[0], Rank.DERIVED)
    before = [grant.name for grant in resolve_claims(wanted)]
    after = resolve_claims([*wanted, new])
    changed = [each for each, name in zip(after[:-1], before, strict=True) if each.name != name]
    # It can only take a name from a claim that had already been renamed.
    assert all(each.name != each.claim.name for each in changed)
    assert len(changed) == 0 or after[-1].name == new.name


@settings(max_examples=300)
@given(claims(), words)
def test_a_declared_name_renames_only_its_previous_owner(wanted: list[Claim], added: str) -> None:
    if any(each.name == added and each.rank is Rank.DECLARED for each in wanted):
        return
    before = resolve_claims(wanted)
    after = resolve_claims([*wanted, claim(added, Rank.DECLARED)])
    for old, new in zip(before, after, strict=False):
        if old.name == old.claim.name and old.name != added:
            assert new.name == old.name
