"""All constructs of the language are parsed, and all nodes have spans."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from idlc.syntax import Document, nodes

Read = Callable[[str], Document]

KEYWORDS = [
    "include",
    "namespace",
    "cpp_include",
    "hs_include",
    "cpp_type",
    "xsd_all",
    "typedef",
    "const",
    "enum",
    "senum",
    "struct",
    "union",
    "exception",
    "service",
    "extends",
    "oneway",
    "async",
    "throws",
    "void",
    "required",
    "optional",
    "list",
    "set",
    "map",
    "as",
    "true",
    "false",
    "i32",
    "string",
    "binary",
    "uuid",
]

EVERYTHING = """\
#!/usr/bin/env thrift
/** head */
include "shared.thrift"
include 'other.idl' as another ;
cpp_include "<vector>"
hs_include "Data"
namespace * everything
namespace py.twisted a.b.c (x = "y"),
namespace js foo.bar-baz
namespace swift "quoted.name"

typedef map<string, list<i32>> Index (a, b = "1"; b = "2")
typedef list cpp_type "std::deque" <i32> Deque;
typedef set cpp_type "x" <string> Names
typedef list<i32> cpp_type "std::deque" OldDeque
typedef string (python.immutable = "") Immutable
const i32 ANSWER = 42;
const map<string, list<double>> M = {'a': [1, .5; 1. -1e3], "b": []},
enum Color { RED = 0x1 (x), GREEN, BLUE = -3; } (y = "z")
senum Old { "a", "b" "c"; }
struct A xsd_all {
  1: required i32 a = 5 (deprecated)
  2: optional list<A> & b xsd_optional xsd_nillable xsd_attrs { 1: i32 c } (x = 'y');
  -3: Index d,
  Color e = Color.RED
}
union U { 1: i32 a, 2: string b } (z)
exception E { 1: string message }
service Base {}
service S extends another.Base {
  void nothing(),
  oneway void send(1: i32 a)
  async void old();
  list<i32> get(1: i32 a = 1, string b) throws (1: E e, 2: E f) (idempotent = "true")
} (w)
"""


def test_everything_at_once(read_well: Read) -> None:
    document = read_well(EVERYTHING)
    kinds = [type(item).__name__ for item in document.items]
    assert kinds == [
        *("Include", "Include", "ForeignInclude", "ForeignInclude"),
        *("Namespace", "Namespace", "Namespace", "Namespace"),
        *("Typedef", "Typedef", "Typedef", "Typedef", "Typedef", "Const", "Const", "Enum", "Senum"),
        *("Struct", "Struct", "Struct", "Service", "Service"),
    ]


def test_windows_line_ends_have_no_effect(read_well: Read) -> None:
    unix, windows = read_well(EVERYTHING), read_well(EVERYTHING.replace("\n", "\r\n"))
    assert [item.name.text for item in unix.items if isinstance(item, nodes.Struct)] == [
        item.name.text for item in windows.items if isinstance(item, nodes.Struct)
    ]


def all_nodes(value: object) -> Iterator[nodes.Node]:
    if isinstance(value, tuple):
        for item in value:
            yield from all_nodes(item)
    elif isinstance(value, nodes.Node):
        yield value
        for name in value.__struct_fields__:
            yield from all_nodes(getattr(value, name))


def test_spans_are_inside_of_their_parents_and_match_the_text_of_names(read_well: Read) -> None:
    document = read_well(EVERYTHING)
    for item in document.items:
        for node in all_nodes(item):
            assert item.start <= node.start < node.end <= item.end
            if isinstance(node, nodes.Identifier) and node.text != "quoted.name":
                assert EVERYTHING[node.start : node.end] == node.text


def test_a_definition_ends_with_its_annotations(read_well: Read) -> None:
    text = 'struct A { 1: i32 a } (b = "c") ;'
    (struct,) = read_well(text).items
    assert text[struct.start : struct.end] == 'struct A { 1: i32 a } (b = "c")'


def test_separators_may_be_any_or_none(read_well: Read) -> None:
    texts = ["struct A { 1: i32 a%s 2: i32 b%s }%s enum E { X%s Y = 2%s }%s service S { void f()%s void g()%s }"]
    for separator in (",", ";", ""):
        (a, e, s) = read_well(texts[0].replace("%s", separator)).items
        assert isinstance(a, nodes.Struct)
        assert isinstance(e, nodes.Enum)
        assert isinstance(s, nodes.Service)
        assert (len(a.fields), len(e.members), len(s.functions)) == (2, 2, 2)


@pytest.mark.parametrize("word", KEYWORDS)
def test_keywords_are_names_where_a_name_is_expected(word: str, read_well: Read) -> None:
    document = read_well(
        f"struct A {{ 1: required i32 {word} = 1, 2: list<i32> {word} }}\n"
        f'enum E {{ A, {word}, {word} = 3 }} ({word} = "x")\n'
        f"service S {{ oneway void {word}(1: i32 {word}), i32 {word}() throws (1: E {word}) }}\n"
        f"const i32 X = {word}\n"
        f"namespace {word} {word}.{word}"
    )
    struct, enum, service, const, namespace = document.items
    assert isinstance(struct, nodes.Struct)
    assert [field.name.text for field in struct.fields] == [word, word]
    assert isinstance(enum, nodes.Enum)
    assert [member.name.text for member in enum.members] == ["A", word, word]
    assert isinstance(service, nodes.Service)
    assert service.functions[0].arguments[0].name.text == word
    assert isinstance(const, nodes.Const)
    assert isinstance(const.value, nodes.ConstantName)
    assert isinstance(namespace, nodes.Namespace)
    assert namespace.scope.text == word


def test_repeated_annotations_and_those_without_value_are_kept(read_well: Read) -> None:
    (item,) = read_well('struct A {} (a, b = "1", b = "2"; c.d)').items
    assert isinstance(item, nodes.Struct)
    assert [(note.name.text, note.value) for note in item.annotations] == [
        ("a", None),
        ("b", "1"),
        ("b", "2"),
        ("c.d", None),
    ]


def test_types_keep_their_annotations(read_well: Read) -> None:
    (item,) = read_well("struct A { 1: map<i32 (a), list<string (b)> (c)> (d) x (e) }").items
    assert isinstance(item, nodes.Struct)
    type = item.fields[0].type
    assert isinstance(type, nodes.MapType)
    assert [note.name.text for note in (*type.annotations, *type.key.annotations, *type.value.annotations)] == [
        *("d", "a", "c")
    ]


def test_the_tree_is_frozen(read_well: Read) -> None:
    (item,) = read_well("struct A {}").items
    with pytest.raises(AttributeError):
        item.start = 5  # type: ignore[misc]
    assert isinstance(item, msgspec.Struct)


@pytest.mark.parametrize("text", ["", "\n\n", "// only a comment", "/* a */", "/**/", "#", ";"[:0]])
def test_empty_files_are_valid(text: str, read_well: Read) -> None:
    assert read_well(text).items == ()
