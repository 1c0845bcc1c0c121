"""An IDL file with everything that the language has, and mutations of it that tools must survive."""

from __future__ import annotations

from hypothesis import strategies as st

SEED = """\
/** A shop. */
include "shared.thrift"
include "main.thrift" as self
cpp_include "<x>"
namespace py shop.api (a = "b")
namespace * shop
typedef map<string, list<shared.Money>> Prices (x, y = "1")
typedef set cpp_type "c" <i64> Ids
const i32 LIMIT = 0x10
const Prices PRICES = {"a": [{"cents": 1}, {"cents": LIMIT}], 'b': []}
const list<double> RATES = [1, .5; 1e3, -1.]
enum Color { RED = 1, GREEN, BLUE = -3 } (z)
senum Words { "a", "b" }
struct Item {
  1: required i64 id (deprecated = "no")
  2: optional string name = "none\\n" // plain
  -3: Color color = Color.RED; ///< trailing
  binary & raw xsd_optional
  5: Item parent
}
union Either { 1: i32 left = 1, 2: Item right }
exception Oops { 1: string message, 2: Either either = {"left": 5} }
service Base extends shared.Health { void ping(), }
service Shop extends Base {
  /* about get */ Item get(1: i64 id = LIMIT, 2: shared.Money m) throws (1: Oops oops) (idempotent = "true");
  oneway void forget(1: Ids ids)
  async void old(i32 a, i32 b)
}
"""
WORDS = [
    *[
        "{",
        "}",
        "(",
        ")",
        "<",
        ">",
        "[",
        "]",
        ",",
        ";",
        ":",
        "=",
        "&",
        "*",
        "@",
        "#",
        "//",
        "/*",
        "*/",
        "/**",
        '"',
        "'",
        "\\",
        "-",
        "+",
        ".",
        "\n",
        "\r",
        "\t",
        "\x00",
        "é",
        "“",
        "1",
        "-1",
        "0x",
        "1e3",
        "99999999999999999999",
    ],
    *[
        "struct",
        "enum",
        "union",
        "service",
        "exception",
        "typedef",
        "const",
        "include",
        "namespace",
        "extends",
        "throws",
        "oneway",
        "void",
        "list",
        "map",
        "set",
    ],
    *[
        "required",
        "optional",
        "senum",
        "async",
        "package",
        "message",
        "repeated",
        "i32",
        "string",
        "Color.RED",
        "shared.Money",
        "Item",
        "true",
    ],
]

mutations = st.lists(
    st.tuples(
        st.sampled_from(["cut", "delete", "insert", "replace", "repeat", "copy"]),
        st.integers(0, len(SEED)),
        st.integers(0, 40),
        st.sampled_from(WORDS),
    ),
    min_size=1,
    max_size=6,
)


def mutated(text: str, steps: list[tuple[str, int, int, str]]) -> str:
    for kind, start, length, word in steps:
        start = min(start, len(text))
        end = min(start + length, len(text))
        match kind:
            case "cut":
                text = text[:start]
            case "delete":
                text = text[:start] + text[end:]
            case "insert":
                text = text[:start] + word + text[start:]
            case "replace":
                text = text[:start] + word + text[end:]
            case "repeat":
                text = text[:start] + text[start:end] * 3 + text[end:]
            case _:
                text = text[:start] + SEED[length * 10 : length * 10 + 60] + text[start:]
    return text
