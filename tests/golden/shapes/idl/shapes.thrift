/** Every kind of type, and values for each. */
namespace py acme.shapes

enum Color {
  RED = 1,
  GREEN,
  /** Deeper than the sea. */
  BLUE = 10,
  NEGATIVE = -1,
}

enum Empty {}

senum Word { "one", "two" }

typedef i64 Id
typedef list<Point> Path
typedef map<Id, set<Path>> Atlas
typedef Path Route

struct Nothing {}

struct Scalars {
  1: bool yes,
  2: byte tiny,
  3: i8 small,
  4: i16 medium,
  5: i32 large,
  6: i64 huge,
  7: double real,
  8: string text,
  9: binary data,
  10: uuid id,
  11: Color color,
  12: Word word,
}

struct Defaults {
  1: bool yes = true,
  2: i8 tiny = -1,
  3: i32 large = 0x10,
  4: double real = 1,
  5: string text = "say \"hello\" to 'them'",
  6: binary data = "bytes",
  7: Color color = Color.BLUE,
  8: Color unknown = 7,
  9: list<i32> numbers = [1, 2, 3],
  10: set<string> words = ["a", "b"],
  11: map<string, list<Point>> places = {"home": [{"x": 1, "y": 2}], "a much longer name of a place": [{"x": 1000000}]},
  12: Point point = {"x": 1},
  13: optional i32 maybe = 5,
  14: required i32 must = 6,
  15: uuid id = "12345678-1234-5678-1234-567812345678",
}

struct Point {
  1: required i32 x,
  2: optional i32 y,
}

struct Keys {
  1: map<list<i32>, string> lists,
  2: map<set<string>, map<i32, i32>> sets,
  3: set<map<string, list<Color>>> maps,
  4: set<Atlas> atlases,
  5: map<Color, Point> colors,
  6: map<binary, uuid> bytes_by,
}

struct Tree {
  1: i32 value,
  2: Tree left,
  3: optional Tree right,
  4: list<Tree> children,
}

struct LongNamesThatMakeEveryLineTooLongToFit {
  1: map<string, list<LongNamesThatMakeEveryLineTooLongToFit>> a_field_with_quite_a_long_name_too,
  2: optional map<LongNamesOfAnotherKind, LongNamesOfAnotherKind> another_field_with_quite_a_long_name,
  3: required map<LongNamesOfAnotherKind, list<LongNamesOfAnotherKind>> yet_another_field_with_a_long_name,
  4: list<map<string, list<LongNamesOfAnotherKind>>> defaulted_field_with_a_long_name = [{"key": [LongNamesOfAnotherKind.A_VERY_LONG_NAME]}],
}

enum LongNamesOfAnotherKind { A_VERY_LONG_NAME, A_VERY_LONG_NAME_INDEED }

typedef map<LongNamesOfAnotherKind, LongNamesThatMakeEveryLineTooLongToFit> LongNamesOfATypedef

union Shape {
  1: Point point,
  2: Path path,
  3: string name,
  4: Shape inner,
}

union Choice {
  1: i32 number = 4,
  2: string text,
}

exception Broken {
  1: required string message,
  2: i32 code = 500,
  3: list<string> args = ["a"],
  4: optional Broken cause,
}

exception Plain {}

const bool YES = true
const i32 ANSWER = 42
const i64 BIG = 9223372036854775807
const double RATIO = 1e22
const string GREETING = "hello\n\"world\"\\ ü"
const binary BYTES = "a\"b"
const uuid NIL = "00000000-0000-0000-0000-000000000000"
const Color FAVOURITE = Color.GREEN
const Id FIRST = 1
const list<Color> COLORS = [Color.RED, 10, 99]
const set<list<i32>> PAIRS = [[1, 2], [3, 4]]
const map<string, map<i32, string>> NESTED = {"one": {1: "a"}, "two": {}, "three": {3: "a long text, to make it break"}}
const Point ORIGIN = {"x": 0, "y": 0}
const Shape CIRCLE = {"name": "circle"}
const list<i32> NONE = []
const set<i32> NO_SET = []
