"""Each kind of change is found by its rule, in its categories; what is compatible is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from interfaces import compare_texts, described

from idlc.breaking import CATEGORIES, RULES, compare

ITEM = "struct Item { 1: i64 id; 2: string name }\n"
EXCEPTIONS = "exception Missing { 1: string what }\nexception Busy { 1: string what }\n"


def found(old: str, new: str) -> list[str]:
    """Rules and categories of the findings, as `field.type WIRE JSON`."""
    return [" ".join([each.rule.removeprefix("breaking."), *each.categories]) for each in compare_texts(old, new)]


def struct(fields: str) -> str:
    return f"enum Color {{ RED = 1, BLUE = 2 }}\nstruct Item {{ {fields} }}\n"


def service(functions: str) -> str:
    return f"{ITEM}{EXCEPTIONS}service Shop {{ {functions} }}\n"


FIELDS = {
    "1: i32 a; 2: i32 b": {
        "1: i32 a": ["field.removed JSON SOURCE"],
        "1: i32 a; 2: i32 c": ["field.renamed JSON SOURCE"],
        '1: i32 a; 2: i32 c (py.name = "b")': ["field.renamed JSON"],
        '1: i32 a; 2: i32 b (py.name = "c")': ["field.renamed SOURCE"],
        "1: i32 a; 3: i32 b": ["field.id WIRE JSON"],
        "1: i32 b; 2: i32 a": ["field.id WIRE JSON", "field.id WIRE JSON"],
        "1: i32 a; 2: string c": ["field.reused WIRE JSON SOURCE"],
        "1: i32 a; 2: i64 b": ["field.type WIRE JSON SOURCE"],
        "1: i32 a; 2: Color b": ["field.type.compatible JSON SOURCE"],
        "1: i32 a; 2: required i32 b": ["field.required WIRE JSON SOURCE"],
        "1: i32 a; 2: i32 b; 3: required i32 c": ["field.required.added WIRE JSON SOURCE"],
        "1: i32 a; 2: i32 b; 3: required i32 c = 1": ["field.required.added WIRE JSON SOURCE"],
        "1: i32 a; 2: i32 b = 1": ["field.default JSON SOURCE"],
        "1: i32 a; 2: optional i32 b": [],
        "1: i32 a; 2: i32 b; 3: i32 c": [],
        "1: i32 a; 5: i32 c; 2: i32 b": [],
        "2: i32 b; 1: i32 a": [],
    },
    "1: required i32 a; 2: string b": {
        "1: i32 a; 2: string b": ["field.optional WIRE JSON"],
        "2: string b": ["field.removed WIRE JSON SOURCE"],
        "1: required i32 a; 2: binary b": ["field.type.text WIRE JSON SOURCE"],
    },
    "1: list<i32> a; 2: map<string, Color> b": {
        "1: set<i32> a; 2: map<string, Color> b": ["field.type WIRE JSON SOURCE"],
        "1: list<Color> a; 2: map<string, i32> b": [
            "field.type.compatible JSON SOURCE",
            "field.type.compatible JSON SOURCE",
        ],
        "1: list<i32> a; 2: map<binary, Color> b": ["field.type.text WIRE JSON SOURCE"],
    },
    "i32 a; i32 b": {"i32 b": ["field.id WIRE JSON", "field.removed JSON SOURCE"]},
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, news in FIELDS.items() for new in news])
def test_fields(old: str, new: str) -> None:
    assert sorted(found(struct(old), struct(new))) == sorted(FIELDS[old][new])


FUNCTIONS = {
    "Item get(1: i64 id) throws (1: Missing missing); void ping()": {
        "void ping()": ["function.removed WIRE JSON SOURCE"],
        "Item fetch(1: i64 id) throws (1: Missing missing); void ping()": ["function.renamed WIRE JSON SOURCE"],
        'Item fetch(1: i64 id) throws (1: Missing missing) (py.name = "get"); void ping()': [
            "function.renamed WIRE JSON"
        ],
        "i64 get(1: i64 id) throws (1: Missing missing); void ping()": ["result.type WIRE JSON SOURCE"],
        "Item get(1: i64 id) throws (1: Missing missing); i32 ping()": ["result.type WIRE JSON SOURCE"],
        "Item get(1: i64 id) throws (1: Missing missing); oneway void ping()": ["function.oneway WIRE JSON"],
        "Item get(1: i64 id); void ping()": ["throws.removed WIRE JSON"],
        "Item get(1: i64 id) throws (1: Busy missing); void ping()": ["throws.type WIRE JSON SOURCE"],
        "Item get(1: i64 id) throws (2: Missing missing); void ping()": ["throws.id WIRE JSON"],
        "Item get(1: i64 id) throws (1: Missing other); void ping()": [],
        "Item get(1: i64 id) throws (1: Missing missing, 2: Busy busy); void ping()": ["throws.added WIRE JSON"],
        "Item get(1: i64 id) throws (1: Missing missing); void ping(1: i32 n)": ["argument.added SOURCE"],
        "Item get(1: i64 id) throws (1: Missing missing); void ping(1: optional i32 n, 2: i32 m = 1)": [],
        "Item get(1: i64 id) throws (1: Missing missing); void ping(); void more()": [],
        "Item get(1: i64 key) throws (1: Missing missing); void ping()": ["argument.renamed JSON SOURCE"],
        "Item get(1: required i64 id) throws (1: Missing missing); void ping()": ["argument.required WIRE JSON SOURCE"],
        "Item get(1: i64 id, 2: required i32 n) throws (1: Missing missing); void ping()": [
            "argument.required.added WIRE JSON SOURCE"
        ],
        "Item get(2: i32 n, 1: i64 id) throws (1: Missing missing); void ping()": [
            "argument.added SOURCE",
            "argument.order SOURCE",
        ],
        "Item get() throws (1: Missing missing); void ping()": ["argument.removed JSON SOURCE"],
    },
    "i32 add(1: i32 a, 2: i32 b)": {
        "i32 add(2: i32 b, 1: i32 a)": ["argument.order SOURCE"],
        "i32 add(1: i32 a, 3: i32 c, 2: i32 b)": ["argument.added SOURCE", "argument.order SOURCE"],
        "i32 add(1: i32 a, 2: i64 b)": ["argument.type WIRE JSON SOURCE"],
        "i32 add(1: i32 a, 2: i32 b = 3)": ["argument.default JSON SOURCE"],
    },
    "void put(1: optional i32 a)": {
        "void put(1: i32 a)": ["argument.mandatory SOURCE"],
        "void put(1: required i32 a)": ["argument.required WIRE JSON SOURCE"],
        "void put(1: i32 a = 1)": ["argument.default JSON SOURCE"],
    },
    "void put(1: required i32 a)": {"void put(1: i32 a)": ["argument.optional WIRE JSON"]},
    'Item get(1: i64 id) (http.get = "/items/{id}")': {
        'Item get(1: i64 id) (http.get = "/item/{id}")': ["http.route REST"],
        "Item get(1: i64 id)": ["http.route REST"],
        'Item get(1: i64 id) (http.get = "/items/{id}", http.get = "/item/{id}")': [],
        'Item get(1: i64 id) (http.get = "/items/{id}", http.status = "202")': ["http.status REST"],
        'Item get(1: i64 id (vt.gt = "0")) (http.get = "/items/{id}")': ["constraint REST"],
        'Item get(1: i64 key) (http.get = "/items/{id}")': ["argument.renamed JSON REST SOURCE"],
    },
    'Item find(1: i32 limit (vt.le = "10"), 2: string q (http.query = "q"))': {
        'Item find(1: i32 limit (vt.le = "5"), 2: string q (http.query = "q"))': ["constraint SOURCE"],
        'Item find(1: i32 limit (vt.le = "50"), 2: string q (http.query = "q"))': [],
        'Item find(1: i32 limit, 2: string q (http.query = "q", http.header = "q"))': [],
        'Item find(1: i32 limit, 2: string q (http.header = "q"))': ["http.place REST"],
        'Item find(1: i32 limit, 2: string q (http.query = "q", http.name = "Q"))': ["http.name JSON"],
    },
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, news in FUNCTIONS.items() for new in news])
def test_functions(old: str, new: str) -> None:
    assert found(service(old), service(new)) == FUNCTIONS[old][new]


CONSTRAINTS = [
    ("i32", '(vt.gt = "5")', '(vt.ge = "5")', False),
    ("i32", '(vt.ge = "5")', '(vt.gt = "5")', True),
    ("i32", '(vt.lt = "5")', '(vt.le = "5")', False),
    ("i32", '(vt.le = "5")', '(vt.lt = "5")', True),
    ("i32", '(vt.ge = "1")', '(vt.ge = "1", vt.gt = "-5")', False),
    ("i64", '(vt.le = "9007199254740993")', '(vt.le = "9007199254740992")', True),
    ("string", '(vt.max_size = "5")', '(vt.max_size = "6")', False),
    ("string", '(vt.max_size = "5")', '(vt.max_size = "5", vt.max_rune_size = "5")', True),
    ("string", '(vt.in = "x", vt.in = "y")', '(vt.in = "x", vt.in = "y", vt.in = "z")', False),
    ("string", '(vt.in = "x", vt.in = "y")', '(vt.in = "x")', True),
    ("string", "", '(vt.in = "x")', True),
    ("string", '(vt.not_in = "x", vt.not_in = "y")', '(vt.not_in = "y")', False),
    ("string", '(vt.not_in = "x")', '(vt.not_in = "y")', True),
    ("Color", '(vt.defined_only = "true")', '(vt.defined_only = "false")', False),
    ("Color", '(vt.defined_only = "false")', '(vt.defined_only = "true")', True),
    ("list<Item>", '(vt.elem.skip = "true")', '(vt.elem.skip = "false")', True),
    ("list<Item>", '(vt.elem.skip = "true")', "", True),
    ("list<Item>", "", '(vt.elem.skip = "false")', False),
    ("list<i32>", '(vt.elem.gt = "5")', '(vt.elem.ge = "5")', False),
    ("string", '(vt.prefix = "x")', '(vt.prefix = "xy")', True),
]


@pytest.mark.parametrize(("type", "old", "new", "is_stricter"), CONSTRAINTS)
def test_constraints_that_reject_more_are_found(type: str, old: str, new: str, is_stricter: bool) -> None:
    texts = [f"enum Color {{ RED = 1 }}\n{ITEM}struct Use {{ 1: {type} a {each} }}" for each in (old, new)]
    assert found(texts[0], texts[1]) == ["constraint SOURCE"] * is_stricter


FILES: list[tuple[str, str, list[str]]] = [
    (ITEM, "", ["type.removed SOURCE"]),
    (ITEM, ITEM.replace("Item", "Article"), ["type.renamed SOURCE"]),
    (ITEM, ITEM.replace("Item {", "Article {").replace("}", '} (py.name = "Item")'), []),
    (ITEM, ITEM.replace("struct", "union"), ["type.kind WIRE JSON SOURCE"]),
    (ITEM, ITEM.replace("struct", "exception"), ["type.kind SOURCE"]),
    ("struct A {1: i32 a}\nstruct B {1: A a}", "struct C {1: i32 a}\nstruct B {1: C a}", ["type.renamed SOURCE"]),
    ("struct A {}\nstruct B {1: A a}", "struct C {}\nstruct B {1: C a}", ["type.renamed SOURCE"]),
    ("enum E {A = 1}", "enum F {A = 1}", ["type.renamed SOURCE"]),
    ("enum E {A = 1, B = 2}", "enum E {A = 1}", ["enum.member.removed JSON SOURCE"]),
    ("enum E {A = 1, B = 2}", "enum E {A = 1, C = 2}", ["enum.member.renamed JSON SOURCE"]),
    ("enum E {A = 1, B = 2}", 'enum E {A = 1, C = 2 (py.name = "B")}', ["enum.member.renamed JSON"]),
    ("enum E {A = 1, B = 2}", "enum E {A = 1, B = 3}", ["enum.member.value WIRE JSON"]),
    ("enum E {A = 1, B = 2}", "enum E {A = 1, B = 2, C = 3}", []),
    ("union U {1: i32 a}", "union U {1: i32 a; 2: string b}", []),
    ("typedef i32 Id", "typedef i64 Id", ["typedef.type WIRE JSON SOURCE"]),
    ("enum E {A = 1}\ntypedef i32 Id", "enum E {A = 1}\ntypedef E Id", ["typedef.type.compatible JSON SOURCE"]),
    ("typedef i32 Id\nstruct A {1: Id a}", "struct A {1: i32 a}", ["type.removed SOURCE"]),
    ("typedef i32 Id\ntypedef Id Key", "typedef i32 Id\ntypedef i32 Key", []),
    ("typedef i32 Id", "enum Id {A = 1}", ["type.kind JSON SOURCE"]),
    ("enum E {A = 1}\nstruct A {1: E e}", "struct E {}\nstruct A {1: E e}", ["type.kind WIRE JSON SOURCE"]),
    ("namespace py a", "namespace py b", ["namespace.changed SOURCE"]),
    ("", "namespace py b", ["namespace.changed SOURCE"]),
    ("namespace py a", "", ["namespace.removed SOURCE"]),
    ("namespace go a", "namespace go b", ["namespace.changed SOURCE"]),
    ("", "namespace go b", []),
    ("namespace * a", "namespace * a\nnamespace py a", []),
    ("const i32 A = 1", "const i32 A = 2", ["const.value SOURCE"]),
    ("const i32 A = 1", "const i64 A = 1", ["const.type SOURCE"]),
    ("const i32 A = 1", "", ["const.removed SOURCE"]),
    ("const map<string, i32> A = {'a': 1, 'b': 2}", "const map<string, i32> A = {'b': 2, 'a': 1}", []),
    (service("void a()"), ITEM + EXCEPTIONS, ["service.removed WIRE JSON SOURCE"]),
    (service("void a()"), service("void a()").replace("Shop", "Store"), ["service.renamed WIRE JSON SOURCE"]),
    (
        "service Base { void a() }\nservice Shop extends Base {}",
        "service Base { void a() }\nservice Shop {}",
        ["service.extends SOURCE", "function.removed WIRE JSON SOURCE"],
    ),
    (
        "service Base { void a() }\nservice Shop extends Base {}",
        "service Base {}\nservice Shop extends Base {}",
        ["function.removed WIRE JSON SOURCE"],
    ),
    (
        "service Base {}\nservice Shop extends Base { void a() }",
        "service Base { void a() }\nservice Shop extends Base {}",
        [],
    ),
    (
        "struct A { 1: list<A> children; 2: i32 n }\nstruct B { 1: A a }",
        "struct C { 1: list<C> children; 2: i64 n }\nstruct B { 1: C a }",
        ["type.removed SOURCE", "field.type WIRE JSON SOURCE"],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), FILES)
def test_declarations(old: str, new: str, expected: list[str]) -> None:
    assert found(old, new) == expected


def test_nothing_changes_in_the_same_interface() -> None:
    for old, _, _ in FILES:
        assert found(old, old) == []


def test_types_say_who_reads_and_who_writes() -> None:
    def message(functions: str) -> str:
        old, new = f"{ITEM}service Shop {{ {functions} }}", f"{ITEM}service Shop {{ {functions} }}"
        [finding] = compare_texts(old, new.replace("1: i64", "1: required i64", 1))
        return finding.message.partition(": ")[2]

    assert message("void put(1: Item item)") == "new servers reject requests from old clients without it"
    assert message("Item get()") == "new clients reject responses from old servers without it"
    assert message("Item echo(1: Item item)") == "new readers reject values from old writers without it"
    assert message("void put(1: list<Item> items)") == "new servers reject requests from old clients without it"


def test_declarations_that_move_between_files() -> None:
    old = described("old", shop=ITEM, other="struct Other {}")
    moved = described(shop="", other=f"struct Other {{}}\n{ITEM}")
    assert [each.rule for each in compare(old, moved)] == ["breaking.type.moved"]
    renamed = described(store=ITEM, other="struct Other {}")
    assert [each.rule for each in compare(old, renamed)] == ["breaking.file.moved"]
    removed = described(other="struct Other {}")
    [finding] = compare(old, removed)
    assert (finding.rule, finding.file, finding.categories) == ("breaking.file.removed", "shop.idl", ("SOURCE",))
    assert finding.before is not None
    assert finding.span is None


def test_equal_types_in_two_files_become_one() -> None:
    use = "include 'shop.idl'\nstruct Use { 1: shop.Item item }\n"
    copied = f"{use.replace('shop.Item', 'Item')}{ITEM}"
    found = compare(described("old", shop=ITEM, use=use), described(shop=ITEM, use=copied))
    assert [each.rule for each in found] == ["breaking.field.type.compatible"]
    assert "from `shop.Item` to `use.Item`" in found[0].message
    back = compare(described("old", shop=ITEM, use=copied), described(shop=ITEM, use=use))
    assert [each.rule for each in back] == ["breaking.type.moved"]


def test_rules_of_findings_have_their_categories() -> None:
    texts = [(struct(old), struct(new)) for old, news in FIELDS.items() for new in news]
    texts += [(service(old), service(new)) for old, news in FUNCTIONS.items() for new in news]
    texts += [(old, new) for old, new, _ in FILES]
    for old, new in texts:
        for each in compare_texts(old, new):
            assert {*each.categories} <= {*RULES[each.rule].categories}
            assert ("WIRE" in each.categories) or not each.flows


def test_categories_and_ignored_findings_are_left_out() -> None:
    from idlc.breaking import Ignored

    old, new = struct("1: i32 a; 2: i32 b"), struct("1: i64 a; 2: i32 c")
    assert [each.rule for each in compare_texts(old, new, categories=["WIRE"])] == ["breaking.field.type"]
    for text in ("field.type", "breaking.field.type:Item.a", "field.t*:Item.*", "*:Item.a", "field.type:shop.idl"):
        rest = compare_texts(old, new, ignore=[Ignored.parse(text)])
        assert [each.rule for each in rest] == ["breaking.field.renamed"]
    assert len(compare_texts(old, new, ignore=[Ignored.parse("field.type:other.idl")])) == 2
    with pytest.raises(ValueError, match=r"no rule is called 'breaking\.field\.typ'"):
        Ignored.parse("field.typ")


def test_the_page_lists_all_rules() -> None:
    page = (Path(__file__).parents[3] / "docs" / "breaking.md").read_text(encoding="utf-8")
    table = page.partition("| rule | categories | change |\n|---|---|---|\n")[2]
    rows = [
        f"| `{rule.name.removeprefix('breaking.')}` | {', '.join(rule.categories)} | {rule.doc} |"
        for rule in RULES.values()
    ]
    assert table.splitlines() == rows


def test_all_rules_belong_to_a_category() -> None:
    for name, rule in RULES.items():
        assert (rule.name, bool(rule.doc)) == (name, True)
        assert {*rule.categories} <= {*CATEGORIES}
