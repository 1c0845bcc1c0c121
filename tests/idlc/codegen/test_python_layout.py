"""One module an IDL file, one package a namespace, whatever files and namespaces are called."""

from __future__ import annotations

import itertools
import typing
from pathlib import Path
from typing import Any

import pytest

import idlc

pytestmark = pytest.mark.slow


def test_a_file_becomes_a_module_of_its_namespace(generate) -> None:
    generated = generate({"user.thrift": "namespace py demo.people\nstruct User { 1: i32 id }"})
    assert generated.files() == ["demo/people/__init__.py", "demo/people/user.py"]
    assert generated.module("demo.people").User is generated.module("demo.people.user").User


def test_a_package_says_that_it_is_typed(generate) -> None:
    generated = generate({"user.thrift": "namespace py demo.people\nstruct User { 1: i32 id }"})
    assert generated.path("demo/people/py.typed").read_text() == ""


@pytest.mark.parametrize(
    ("namespaces", "place"),
    [
        ("", "user/user.py"),
        ("namespace * star", "star/user.py"),
        ("namespace * star\nnamespace py snake", "snake/user.py"),
        ("namespace java com.example\nnamespace rb Ruby", "user/user.py"),
        ("namespace py class.def", "class_/def_/user.py"),
    ],
)
def test_the_namespace_is_found_as_apache_thrift_finds_it(generate, namespaces: str, place: str) -> None:
    generated = generate({"user.thrift": f"{namespaces}\nstruct User {{ 1: i32 id }}"})
    assert place in generated.files()


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("a-b.thrift", "a_b.a_b"),
        ("class.thrift", "class_.class_"),
        ("2fa.thrift", "n2fa.n2fa"),
        ("v1.0.thrift", "v1_0.v1_0"),
        ("user.idl", "user.user"),
        ("größe.thrift", "größe.größe"),
        ("_hidden.thrift", "hidden_.hidden_"),
    ],
)
def test_file_names_that_are_no_python_names(generate, file: str, module: str) -> None:
    generated = generate({file: "struct S { 1: i32 x }"})
    assert generated.module(module).S(x=1).x == 1


ODD_STEMS = [
    "_hidden",
    "__init__",
    "__main__",
    "_",
    "rpc",
    "_rpc",
    "_modules",
    "TYPE_CHECKING",
    "typing",
    "class",
    "S",
    "_S",
]


@pytest.mark.parametrize("stem", ODD_STEMS)
def test_included_files_with_odd_names_are_reached_from_everywhere(generate, stem: str) -> None:
    generated = generate(
        {
            f"{stem}.thrift": """
                namespace py demo
                struct Point { 1: i32 x }
                enum Color { RED = 1 }
                service Base { Point ping() }
            """,
            "main.thrift": f"""
                include "{stem}.thrift"
                namespace py demo
                struct Line {{ 1: {stem}.Point start = {{"x": 1}}, 2: {stem}.Color color = 1 }}
                service Entry extends {stem}.Base {{ {stem}.Point move(1: {stem}.Point to) }}
            """,
        }
    )
    main = generated.module("demo.main")
    point = generated.module("demo").Point
    assert type(main.Line().start) is point
    assert main.Line().color.name == "RED"
    assert main.EntryClient.__thrift_service__.methods["move"].result.cls is point
    assert typing.get_type_hints(main.Entry.move)["to"] is point
    assert set(generated.module("demo").__all__) <= set(dir(generated.module("demo")))


def test_an_alias_of_an_included_file_avoids_private_names_of_services(generate) -> None:
    generated = generate(
        {
            "PING.thrift": "struct P { 1: i32 x }",
            "SERVICE.thrift": "struct P { 1: i32 x }",
            "main.thrift": """
                include "PING.thrift"
                include "SERVICE.thrift"
                service S { PING.P ping(1: SERVICE.P p) }
            """,
        }
    )
    module = generated.module("main.main")
    (method,) = module.SClient.__thrift_service__.methods.values()
    assert method.result.cls is generated.module("PING.PING").P
    assert method.arguments[0].type.cls is generated.module("SERVICE.SERVICE").P
    hints = typing.get_type_hints(module.S.ping)
    assert hints == {"p": generated.module("SERVICE.SERVICE").P, "return": generated.module("PING.PING").P}


def test_two_included_files_of_one_name_have_two_aliases(generate) -> None:
    generated = generate(
        {
            "one/types.thrift": "namespace py one\nstruct P { 1: i32 x }",
            "two/types.thrift": "namespace py two\ninclude '../one/types.thrift' struct P { 1: types.P p } struct Q {}",
            "main.thrift": "include 'two/types.thrift'\ninclude 'mid.thrift'\nstruct S { 1: types.Q q, 2: mid.M m }",
            "mid.thrift": "include 'one/types.thrift'\ntypedef types.P M\n",
        }
    )
    assert generated.module("main.main").S(q=generated.module("two").Q()).m is None
    assert generated.module("two").P(p=generated.module("one").P(x=1)).p.x == 1


def test_two_files_of_one_namespace_share_the_package(generate) -> None:
    generated = generate(
        {
            "a.thrift": "namespace py demo\nstruct A { 1: i32 x }",
            "b.thrift": "namespace py demo\ninclude 'a.thrift'\nstruct B { 1: a.A a }",
        }
    )
    package = generated.module("demo")
    assert package.__all__ == ["A", "B"]
    assert package.B(a=package.A(x=1)).a.x == 1
    assert "from . import a as _a" in generated.text("demo/b.py")


def test_the_package_offers_its_names_to_star_imports_and_dir(generate) -> None:
    generated = generate({"a.thrift": "namespace py demo\nstruct A {}\nconst i32 N = 1"})
    assert generated.run(f"from {generated.package}.demo import *\nprint(A(), N)") == "A() 1\n"
    assert {"A", "N"} <= set(dir(generated.module("demo")))


def test_a_package_has_no_names_but_those_of_the_idl(generate) -> None:
    package = generate({"a.thrift": "namespace py demo\nstruct A {}"}).module("demo")
    with pytest.raises(AttributeError, match="has no attribute 'B'"):
        package.B
    assert {name for name in dir(package) if not name.startswith("_")} <= {"A", "a", "TYPE_CHECKING"}


def test_a_subpackage_called_rpc_is_found(generate) -> None:
    files = {"a.thrift": "namespace py demo\nstruct A {}", "b.thrift": "namespace py demo.rpc\nstruct B {}"}
    generated = generate(files)
    assert not hasattr(generated.module("demo"), "rpc")
    assert generated.module("demo.rpc").B() is not None


def test_modules_of_one_package_are_imported_relatively(generate) -> None:
    generated = generate(
        {
            "base.thrift": "namespace py demo.base\nstruct P {}",
            "near.thrift": "namespace py demo.base.near\nstruct P {}",
            "main.thrift": """
                namespace py demo.main
                include 'base.thrift'
                include 'near.thrift'
                struct S { 1: base.P p, 2: near.P q }
            """,
        }
    )
    text = generated.text("demo/main/main.py")
    assert "\nfrom ..base import base as _base\nfrom ..base.near import near as _near\n" in text


def test_modules_of_different_top_level_packages_are_imported_absolutely(tmp_path: Path) -> None:
    (tmp_path / "a.thrift").write_text("namespace py first\nstruct A {}")
    (tmp_path / "b.thrift").write_text("namespace py second\ninclude 'a.thrift'\nstruct B { 1: a.A a }")
    assert not idlc.compile(tmp_path / "b.thrift", tmp_path / "gen", use_cache=False).has_errors
    assert "\nfrom first import a as _a\n" in (tmp_path / "gen/second/b.py").read_text()


def test_under_a_package_everything_is_imported_relatively(generate) -> None:
    generated = generate(
        {
            "a.thrift": "namespace py first\nstruct A {}",
            "b.thrift": "namespace py second\ninclude 'a.thrift'\nstruct B { 1: a.A a }",
        }
    )
    assert "\nfrom ..first import a as _a\n" in generated.text("second/b.py")


def test_a_package_may_be_dotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.thrift").write_text("namespace py demo\nstruct A { 1: i32 x }")
    request: dict[str, Any] = {
        "sources": (tmp_path / "a.thrift",),
        "output": tmp_path / "gen",
        "package": "nested_x.rpc.v1",
        "use_cache": False,
    }
    written = idlc.compile(**request).written
    assert tmp_path / "gen/nested_x/rpc/v1/demo/a.py" in written


def test_packages_whose_files_include_each_other_import_in_any_order(generate) -> None:
    generated = generate(
        {
            "low.thrift": "namespace py one\nstruct Low { 1: i32 x }\nenum E { A }",
            "mid.thrift": "namespace py two\ninclude 'low.thrift'\nstruct Mid { 1: low.Low low, 2: low.E e = 0 }",
            "high.thrift": """
                namespace py one
                include 'mid.thrift'
                struct High { 1: mid.Mid mid }
                service S { mid.Mid get() }
            """,
            "top.thrift": "namespace py two\ninclude 'high.thrift'\nservice T extends high.S { high.High more() }",
        }
    )
    names = ["one.low", "two.mid", "one.high", "two.top", "one", "two"]
    # One fresh interpreter that forgets the package before each order: starting one for each would take minutes.
    generated.run(f"""
import importlib, itertools, sys
for order in itertools.permutations({names!r}, 3):
    for name in [name for name in sys.modules if name.startswith({generated.package!r})]:
        del sys.modules[name]
    for name in order:
        importlib.import_module("{generated.package}." + name)
    from {generated.package} import one, two
    assert one.High(mid=two.Mid(low=one.Low(x=1))).mid.low.x == 1, order
    assert two.TClient and two.Mid().e is one.E.A, order
""")


def test_a_name_declared_twice_in_a_namespace_names_both_places(refused) -> None:
    (error,) = refused(
        {
            "a.thrift": "namespace py demo\nstruct User {}",
            "b.thrift": "namespace py demo\n\nstruct User {}",
        }
    )
    assert error.name == "python.name.collision"
    assert error.message.endswith("in package demo")
    assert str(error.span).endswith("b.thrift:3:8")
    assert str(error.labels[0].span).endswith("a.thrift:2:8")


def test_a_module_makes_way_for_a_subpackage(generate) -> None:
    generated = generate(
        {
            "user.thrift": "namespace py demo\nstruct A { 1: i32 x }",
            "more.thrift": "namespace py demo.user\nstruct B { 1: i32 x }",
        }
    )
    assert generated.files() == ["demo/__init__.py", "demo/user/__init__.py", "demo/user/more.py", "demo/user_.py"]
    assert generated.module("demo").A(x=1).x == generated.module("demo.user").B(x=1).x


def test_a_module_makes_way_for_a_name_of_its_package(generate) -> None:
    generated = generate(
        {
            "user.thrift": "namespace py demo\nstruct A {}",
            "more.thrift": "namespace py demo\nstruct user { 1: i32 x }",
        }
    )
    assert generated.module("demo").user(x=1).x == 1
    assert "demo/user_.py" in generated.files()


def test_a_namespace_that_only_holds_namespaces_is_an_ordinary_package(generate) -> None:
    generated = generate({"a.thrift": "namespace py demo.deep.er\nstruct A { 1: i32 x }"})
    assert generated.module("demo.deep.er").A(x=1).x == 1


def test_the_order_of_files_does_not_change_the_output(tmp_path: Path) -> None:
    (tmp_path / "a.thrift").write_text("namespace py demo\nstruct A {}\nstruct Aa {}")
    (tmp_path / "b.thrift").write_text("namespace py demo\ninclude 'a.thrift'\nstruct B { 1: a.A a }")
    (tmp_path / "c.thrift").write_text("namespace py other\ninclude 'a.thrift'\nstruct C { 1: a.A a }")
    outputs = set()
    for order in itertools.permutations("abc"):
        folder = tmp_path / f"gen_{''.join(order)}"
        paths = tuple(tmp_path / f"{name}.thrift" for name in order)
        idlc.compile(sources=paths, output=folder, use_cache=False)
        outputs.add(tuple((str(path.relative_to(folder)), path.read_text()) for path in sorted(folder.rglob("*.py"))))
    assert len(outputs) == 1


def test_empty_files_become_importable_modules(generate) -> None:
    generated = generate({"empty.thrift": "", "doc.thrift": "/** Only words. */\nnamespace py said"})
    assert generated.module("empty.empty").__all__ == []
    assert generated.module("said.doc").__doc__ == "Only words."
    assert generated.module("said").__all__ == []
