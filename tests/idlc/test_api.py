"""The Python API: in memory, with diagnostics as data, from several threads."""

from __future__ import annotations

import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import idlc

ITEM = "namespace py shop\nstruct Item { 1: required i64 id }"
ORDER = 'namespace py shop\ninclude "item.thrift"\nstruct Order { 1: list<item.Item> items }'


def test_all_names_can_be_imported_and_others_cannot() -> None:
    assert [name for name in idlc.__all__ if not hasattr(idlc, name)] == []
    assert set(idlc.__all__) <= set(dir(idlc))
    with pytest.raises(AttributeError, match="module 'idlc' has no attribute 'transpile'"):
        _ = idlc.transpile


def test_importing_it_imports_no_parser() -> None:
    code = "import sys, idlc; print([name for name in sys.modules if name in ('lark', 'jinja2', 'black', 'click')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_parse_returns_a_tree_and_syntax_errors_as_data() -> None:
    parsed = idlc.parse("struct Item { 1: i64 id }\nstruct {", name="shop.thrift")
    assert [type(item).__name__ for item in parsed.document.items] == ["Struct"]
    (error,) = parsed.diagnostics
    assert (error.name, error.severity, str(error.span)) == ("syntax.unexpected", "error", "shop.thrift:2:8")
    with pytest.raises(idlc.IdlError, match=r"error\[syntax.unexpected\]") as raised:
        parsed.raise_for_errors()
    assert raised.value.report is parsed.report


def test_check_finds_includes_among_the_texts() -> None:
    checked = idlc.check({"order.thrift": ORDER, "item.thrift": ITEM})
    assert not checked.has_errors
    assert [program.stem for program in checked.programs] == ["order", "item"]


def test_diagnostics_have_spans_and_fixes(tmp_path: Path) -> None:
    (tmp_path / "shop.thrift").write_text("struct Item {}\nstruct Order { 1: Itme item }")
    (error,) = idlc.check(tmp_path).diagnostics
    assert error.span is not None
    assert (error.name, error.span.text, error.span.position.line) == ("type.undefined", "Itme", 2)
    (fix,) = error.fixes
    assert (fix.span.text, fix.text) == ("Itme", "Item")


def test_generate_returns_the_files_that_compile_writes(tmp_path: Path) -> None:
    sources = {tmp_path / "order.thrift": ORDER, tmp_path / "item.thrift": ITEM}
    generated = idlc.generate(sources)
    compiled = idlc.compile(sources, tmp_path / "gen")
    assert compiled.written == [tmp_path / "gen" / file.path for file in generated.files]
    assert [path.read_text() for path in compiled.written] == [file.text for file in generated.files]
    assert sorted(path.name for path in compiled.inputs) == ["item.thrift", "order.thrift"]
    assert not (tmp_path / "order.thrift").exists()


def test_with_errors_nothing_is_generated() -> None:
    generated = idlc.generate({"a.thrift": "struct A { 1: B b }"})
    assert (generated.files, generated.has_errors) == ((), True)


def test_a_file_that_does_not_exist_is_a_diagnostic() -> None:
    (error,) = idlc.check("nowhere.thrift").diagnostics
    assert (error.name, error.span) == ("file.missing", None)


def test_an_unknown_target() -> None:
    with pytest.raises(idlc.UnknownTarget, match="no target named 'perl'"):
        idlc.generate({"a.thrift": ""}, target="perl")


def test_format_returns_text_and_syntax_errors() -> None:
    formatted = idlc.format("struct  A{1:i32 a}\nstruct  B{1:}", name="a.thrift")
    assert formatted.text.startswith("struct A {\n  1: i32 a\n}\n")
    assert formatted.text.rstrip().endswith("struct  B{1:}")
    (error,) = formatted.diagnostics
    assert str(error.span) == "a.thrift:2:13"


def test_breaking_changes_since_a_file(tmp_path: Path) -> None:
    for name, fields in (("old", "1: i32 id"), ("new", "1: string id")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.thrift").write_text(f"struct A {{ {fields} }}")
    found = idlc.find_breaking_changes(tmp_path / "new", str(tmp_path / "old"), categories=["WIRE"])
    assert [(change.rule, change.element) for change in found.changes] == [("breaking.field.type", "A.id")]
    assert found.has_errors
    assert idlc.find_breaking_changes(tmp_path / "new", str(tmp_path / "new")).changes == ()
    with pytest.raises(idlc.AgainstError, match="nowhere"):
        idlc.find_breaking_changes(tmp_path / "new", str(tmp_path / "nowhere.json"))


def test_many_compiles_in_threads_give_what_one_gives() -> None:
    texts = {
        number: f"namespace py demo\nstruct A{number} {{ {' '.join(f'{id}: i32 f{id}' for id in range(1, 30))} }}"
        for number in range(40)
    }

    def run(number: int) -> list[str]:
        return [file.text for file in idlc.generate({f"f{number}.thrift": texts[number]}).files]

    alone = [run(number) for number in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, texts)) == alone


def test_load_imports_a_file_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "order.thrift").write_text(ORDER)
    (tmp_path / "item.thrift").write_text(ITEM)
    monkeypatch.chdir(tmp_path)
    module = idlc.load("order.thrift")
    assert module.Order(items=[]).items == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["item.thrift", "order.thrift"]
    assert idlc.load("order.thrift") is module


def test_files_of_the_same_namespace_do_not_collide() -> None:
    one, two = (idlc.load({"shop.thrift": f"namespace py shop\nstruct {name} {{}}"}) for name in ("One", "Two"))
    assert one.__all__ == ["One"]
    assert two.__all__ == ["Two"]


def test_tracebacks_show_lines_of_loaded_modules() -> None:
    module = idlc.load({"shop.thrift": ITEM + "\nservice Shop { Item get(1: i64 id) }"})
    with pytest.raises(AttributeError) as raised:
        module.ShopClient.get(None, 1)
    shown = "".join(traceback.format_exception(raised.value))
    assert "return self._call(" in shown


def test_load_raises_errors_and_refuses_several_files(tmp_path: Path) -> None:
    with pytest.raises(idlc.IdlError, match="type `B` is not declared"):
        idlc.load({"a.thrift": "struct A { 1: B b }"})
    (tmp_path / "a.thrift").write_text("")
    (tmp_path / "b.thrift").write_text("")
    with pytest.raises(ValueError, match=r"expected one IDL file, got 2; use idlc\.load_all"):
        idlc.load(tmp_path)
    assert len(idlc.load_all(tmp_path).requested) == 2


def test_loaded_modules_are_those_of_the_files_and_those_of_includes(tmp_path: Path) -> None:
    (tmp_path / "order.thrift").write_text(ORDER)
    (tmp_path / "item.thrift").write_text(ITEM)
    modules = idlc.load_all([tmp_path / "order.thrift"], package="test_api_loaded.rpc")
    assert [module.__name__ for module in modules.requested] == ["test_api_loaded.rpc.shop.order"]
    assert [module.__name__ for module in modules.included] == ["test_api_loaded.rpc.shop.item"]
    assert "Item" in dir(sys.modules["test_api_loaded.rpc.shop"])


def test_letters_in_the_wrong_order_are_recognized_in_short_names() -> None:
    (error,) = idlc.check({"a.thrift": "struct A { 1: i46 id }"}).diagnostics
    assert (error.help, [fix.text for fix in error.fixes]) == ("did you mean `i64`?", ["i64"])


def test_a_package_is_loaded_from_several_files() -> None:
    for name in ("one", "two"):
        (module,) = idlc.load_all({f"{name}.thrift": f"struct {name.title()} {{}}"}, package="test_api_both").requested
        assert module.__name__ == f"test_api_both.{name}.{name}"
    with pytest.raises(ValueError, match="'test_api_both' was loaded from other IDL files"):
        idlc.load_all({"one.thrift": "struct Other {}"}, package="test_api_both")
