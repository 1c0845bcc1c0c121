from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from idlc.diagnostics import Report
from idlc.model import Program, build
from idlc.source import Loader

Build = Callable[..., tuple[list[Program], Report]]
BuildWell = Callable[..., Program]


@pytest.mark.parametrize(
    ("fields", "ids", "kept"),
    [
        ("1: i32 a, 2: i32 b", [1, 2], [1, 2]),
        ("i32 a, i32 b, i32 c", [-1, -2, -3], [-1, -2, -3]),
        ("5: i32 a, i32 b, 3: i32 c, i32 d", [5, -1, 3, -2], [5, -1, 3, -2]),
        ("-5: i32 a, i32 b, 0: i32 c, i32 d", [-1, -2, -3, -4], [-5, -6, 0, -1]),
        ("i32 a, -2: i32 b, i32 c", [-1, -2, -3], [-1, -2, -3]),
        ("0x10: i32 a", [16], [16]),
    ],
)
def test_fields_are_numbered_as_apache_thrift_does(
    fields: str, ids: list[int], kept: list[int], build_files: Build
) -> None:
    text = f"struct A {{ {fields} }}\nservice S {{ void f({fields}) }}"
    for allow, expected in ((False, ids), (True, kept)):
        (program,), report = build_files(text, allow_negative_ids=allow)
        assert not report.has_errors
        assert [field.id for field in program.structs[0].fields] == expected
        assert [field.id for field in program.services[0].functions[0].arguments] == expected


def test_an_id_is_explicit_only_if_it_was_kept(build_files: Build) -> None:
    text = "struct A { 1: i32 a, i32 b, -1: i32 c }"
    (program,), _ = build_files(text)
    assert [field.is_explicit for field in program.structs[0].fields] == [True, False, False]
    (program,), _ = build_files(text, allow_negative_ids=True)
    assert [field.is_explicit for field in program.structs[0].fields] == [True, False, True]


def test_enum_members_count_on_from_the_one_before(build_well: BuildWell) -> None:
    program = build_well("enum E { A, B = 5, C, D = -2, F, G = 0x10 }")
    members = program.enums[0].members
    assert [member.value for member in members] == [0, 5, 6, -2, -1, 16]
    assert [member.is_explicit for member in members] == [False, True, False, True, False, True]


def test_fields_of_unions_are_optional(build_well: BuildWell) -> None:
    program = build_well("union U { 1: i32 a, 2: required i32 b } struct S { 1: i32 a, 2: required i32 b }")
    assert [field.requiredness for field in program.structs[0].fields] == ["optional", "optional"]
    assert [field.requiredness for field in program.structs[1].fields] == ["default", "required"]


def test_annotations_keep_all_values_in_order(build_well: BuildWell) -> None:
    program = build_well('struct A {} (a, b = "2", b = "1", deprecated = "use B")')
    assert program.structs[0].annotations == {"a": ("1",), "b": ("2", "1"), "deprecated": ("use B",)}
    assert program.structs[0].deprecated == "use B"


def test_declarations_have_docs(build_well: BuildWell) -> None:
    program = build_well("/** file */ namespace py x\n/** A */ struct A { /** a */ 1: i32 a }")
    assert (program.doc, program.structs[0].doc, program.structs[0].fields[0].doc) == ("file", "A", "a")


def test_namespaces_are_found_by_scope(build_well: BuildWell) -> None:
    program = build_well('namespace * all\nnamespace py a.b (x)\nnamespace py.twisted "c-d"')
    assert program.namespace("py") == "a.b"
    assert program.namespace("py.twisted", "py") == "c-d"
    assert program.namespace("java", "*") == "all"
    assert program.namespace("java") is None


def test_senum_is_a_typedef_of_string(build_files: Build) -> None:
    (program,), report = build_files('senum Words { "a", "b" }\nconst Words W = "a"')
    assert [(diagnostic.name, diagnostic.severity) for diagnostic in report] == [("enum.senum", "warning")]
    assert str(program.typedefs[0].type) == "string"
    assert program.consts[0].value == "a"


# Files


def test_requested_files_come_first_then_includes_before_their_includers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {
        "a.thrift": 'include "c.thrift"\nstruct A { 1: c.C c }',
        "b.thrift": "",
        "c.thrift": 'include "d.thrift"\nstruct C { 1: d.D d }',
        "d.thrift": "struct D {}",
    }
    report = Report()
    loader = Loader(overlay={Path(name): text for name, text in texts.items()})
    programs = build([Path("b.thrift"), Path("a.thrift"), Path("./b.thrift")], loader, report)
    assert [(program.stem, program.is_requested) for program in programs] == [
        ("b", True),
        ("a", True),
        ("d", False),
        ("c", False),
    ]
    assert not report.has_errors


def test_one_file_included_by_two_paths_is_one_program(build_files: Build) -> None:
    programs, report = build_files(
        'include "sub/x.thrift"\ninclude "shared.thrift"\nstruct A { 1: x.X x, 2: shared.S s }',
        **{
            "sub/x.thrift": 'include "../sub/../shared.thrift"\nstruct X { 1: shared.S s }',
            "shared.thrift": "struct S {}",
        },
    )
    assert not report.has_errors
    assert [program.stem for program in programs] == ["main", "shared", "x"]
    x = next(program for program in programs if program.stem == "x")
    assert x.includes[0].program is programs[0].includes[1].program


def test_an_include_can_have_an_alias_and_a_dotted_name(build_well: BuildWell) -> None:
    program = build_well(
        'include "a.b.thrift"\ninclude "c.thrift" as see\n'
        "struct A { 1: a.b.T t, 2: see.T u, 3: i32 v = a.b.E.X, 4: i32 w = see.C }",
        **{"a.b.thrift": "struct T {}\nenum E { X = 4 }", "c.thrift": "struct T {}\nconst i32 C = 5"},
    )
    assert [include.name for include in program.includes] == ["a.b", "see"]
    assert [field.default for field in program.structs[0].fields] == [None, None, 4, 5]


def test_missing_includes_of_included_files_are_warnings(build_files: Build) -> None:
    programs, report = build_files(
        'include "b.thrift"\nstruct A { 1: b.Good g }',
        **{"b.thrift": 'include "nowhere.thrift"\nstruct Good {}\nstruct Bad { 1: nowhere.X x }'},
    )
    assert [(diagnostic.name, diagnostic.severity) for diagnostic in report] == [("include.missing", "warning")]
    assert [program.is_complete for program in programs] == [True, False]


def test_a_missing_input_is_an_error_without_a_span(build_files: Build, tmp_path: Path) -> None:
    report = Report()
    assert build([tmp_path / "nowhere.thrift"], Loader(), report) == []
    assert [(diagnostic.name, diagnostic.span) for diagnostic in report] == [("file.missing", None)]


def test_an_input_that_cannot_be_decoded_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.thrift").write_bytes(b"struct A {} // \xff")
    report = Report()
    assert build([tmp_path / "a.thrift"], Loader(), report) == []
    assert [diagnostic.name for diagnostic in report] == ["file.unreadable"]
