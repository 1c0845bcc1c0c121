from __future__ import annotations

from collections.abc import Callable

import pytest

from idlc.diagnostics import Report
from idlc.model import Program, Reference, Struct, resolve

Build = Callable[..., tuple[list[Program], Report]]
BuildWell = Callable[..., Program]


def field_types(program: Program) -> list[str]:
    return [str(field.type) for struct in program.structs for field in struct.fields]


def test_base_types_and_containers(build_well: BuildWell) -> None:
    types = [
        "bool",
        "i8",
        "byte",
        "i16",
        "i32",
        "i64",
        "double",
        "string",
        "binary",
        "uuid",
        "list<i32>",
        "set<byte>",
        "map<string,list<uuid>>",
    ]
    program = build_well("struct A {" + "".join(f"{i}: {type} a{i}\n" for i, type in enumerate(types, 1)) + "}")
    expected = [type.replace("byte", "i8").replace(",", ", ") for type in types]
    assert field_types(program) == expected


def test_order_does_not_matter(build_well: BuildWell) -> None:
    program = build_well(
        "struct A { 1: B b, 2: E e = E.X, 3: i32 i = N, 4: T t }\n"
        "service S extends Base { B f() throws (1: Oops o) }\n"
        "typedef list<A> T\nstruct B { 1: A a, 2: optional B b }\nconst i32 N = M\nconst i32 M = 7\n"
        "enum E { X = 3 }\nexception Oops {}\nservice Base {}"
    )
    a, b = program.structs[0], program.structs[1]
    assert a.fields[0].type == Reference(b)
    assert b.fields[0].type == Reference(a)
    assert a.fields[2].default == 7
    assert program.services[0].extends is program.services[1]
    assert program.services[0].functions[0].throws[0].type == Reference(program.structs[2])


def test_typedefs_stay_references_and_can_be_resolved(build_well: BuildWell) -> None:
    program = build_well("typedef i32 A\ntypedef A B\ntypedef list<B> C\nstruct S { 1: C c, 2: B b }")
    c, b = (field.type for field in program.structs[0].fields)
    assert (str(c), str(resolve(c))) == ("C", "list<B>")
    assert (str(b), str(resolve(b))) == ("B", "i32")


def test_a_chain_of_thousands_of_typedefs_is_valid(build_well: BuildWell) -> None:
    count = 3000
    text = "\n".join(f"typedef T{i + 1} T{i}" for i in range(count)) + f"\ntypedef i32 T{count}\nstruct S {{ 1: T0 t }}"
    assert str(resolve(build_well(text).structs[0].fields[0].type)) == "i32"


def test_a_file_may_have_its_own_uuid(build_well: BuildWell) -> None:
    program = build_well("typedef string uuid\nstruct A { 1: uuid id }")
    assert str(resolve(program.structs[0].fields[0].type)) == "string"


def test_a_type_may_be_called_like_a_constant_or_a_field(build_well: BuildWell) -> None:
    program = build_well("struct A { 1: A A }\nconst A A = {}")
    assert isinstance(program.structs[0].fields[0].type, Reference)


def test_includes_are_not_transitive(build_files: Build) -> None:
    _, report = build_files(
        'include "b.thrift"\nstruct A { 1: c.C c, 2: b.c.C d }',
        **{"b.thrift": 'include "c.thrift"\nstruct B { 1: c.C c }', "c.thrift": "struct C {}"},
    )
    assert [diagnostic.name for diagnostic in report] == ["type.undefined", "type.undefined"]


@pytest.mark.parametrize(
    ("type", "help"),
    [
        ("Usre", "did you mean `User`?"),
        ("strng", "did you mean `string`?"),
        ("user", "did you mean `User`?"),
        ("Shared", "did you mean `shared.Shared`?"),
        ("shared.Sharde", "did you mean `shared.Shared`?"),
        ("int", "write `i32`"),
        ("deep.Deep", '`Deep` is declared in `deep.thrift`, which is not included: `include "deep.thrift"`'),
        ("zzz.Zzz", "no included file is named `zzz`"),
        ("Zzz", ""),
    ],
)
def test_help_for_unknown_types(type: str, help: str, build_files: Build) -> None:
    _, report = build_files(
        f'include "shared.thrift"\nstruct User {{ 1: {type} x, 2: shared.Shared s }}',
        **{"shared.thrift": 'include "deep.thrift"\nstruct Shared { 1: deep.Deep d }', "deep.thrift": "struct Deep {}"},
    )
    (diagnostic,) = report
    assert (diagnostic.name, diagnostic.help) == ("type.undefined", help)


def test_names_of_broken_definitions_are_not_reported(build_files: Build) -> None:
    _, report = build_files(
        'include "b.thrift"\n'
        "struct A ( { 1: i32 a }\n"
        "typedef X = i32\n"
        "service Base ( { void f() }\n"
        "enum E { X = 1, Y = , Z }\n"
        "struct P { 1: i32 a, 2: , 3: i32 c }\n"
        "struct B { 1: A a, 2: X x, 3: b.Gone g, 4: E e = E.Y }\n"
        "service S extends Base {}\n"
        'const P p = {"b": 1}\n',
        **{"b.thrift": "struct Gone ( {}"},
    )
    assert {diagnostic.name.split(".")[0] for diagnostic in report} == {"syntax"}


def test_names_under_a_missing_include_are_not_reported(build_files: Build) -> None:
    _, report = build_files('include "gone.thrift"\nstruct A { 1: gone.B b = gone.C, 2: gone.D d = {"x": gone.E} }')
    assert [diagnostic.name for diagnostic in report] == ["include.missing"]


def test_files_that_include_each_other_are_still_linked(build_files: Build) -> None:
    programs, report = build_files(
        'include "b.thrift"\nstruct A { 1: b.B b }', **{"b.thrift": 'include "main.thrift"\nstruct B { 1: main.A a }'}
    )
    (diagnostic,) = report
    assert diagnostic.message.endswith("main.thrift -> b.thrift -> main.thrift")
    assert len(programs) == 2


def test_an_unused_typedef_of_an_unknown_type_is_dropped(build_files: Build) -> None:
    (program,), report = build_files("typedef Nothing A\ntypedef i32 B")
    assert [(diagnostic.name, diagnostic.severity) for diagnostic in report] == [("typedef.undefined", "warning")]
    assert [typedef.name for typedef in program.typedefs] == ["B"]
    _, report = build_files("typedef Nothing A\nstruct S { 1: A a }")
    assert report.errors == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("typedef A A\nstruct S { 1: A a = 5 }", "typedef.cycle"),
        ("typedef B A\ntypedef list<A> B\nconst A X = []", "typedef.cycle"),
        ("service A extends A { void f() }", "service.cycle"),
        ("service A extends B {}\nservice B extends A {}", "service.cycle"),
        ("const i32 A = B\nconst i32 B = A\nconst i32 C = A", "constant.cycle"),
        ("const list<i32> A = [A]", "constant.cycle"),
    ],
)
def test_cycles_are_one_error(text: str, name: str, build_files: Build) -> None:
    _, report = build_files(text)
    assert [diagnostic.name for diagnostic in report] == [name]


@pytest.mark.parametrize(
    "fields",
    ["1: optional A a", "1: A a", "1: required list<A> a", "1: required B b"],
)
def test_recursive_structs_with_values_are_valid(fields: str, build_files: Build) -> None:
    (program,), report = build_files(f"struct A {{ {fields} }}\nunion B {{ 1: A a, 2: i32 i }}")
    assert len(report) == 0
    assert isinstance(program.structs[0], Struct)
