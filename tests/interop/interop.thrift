/** Every type that Apache Thrift and thriftpy2 have, and a service that shows them. */
namespace py interop_stubs

enum Color {
  RED = 1,
  GREEN = 2,
  BLUE = 30
}

typedef i64 Id

struct Point {
  1: required i32 x
  2: optional i32 y
}

union Shape {
  1: i64 size
  2: string name
  3: Point point
  4: list<Point> line
}

exception NotFound {
  1: required i64 id
  2: optional string reason
}

exception Refused {
  1: i32 code
  2: list<string> because
}

struct Scalars {
  1: bool flag
  2: i8 tiny
  3: i16 small
  4: i32 middle
  5: i64 large
  6: double real
  7: string text
  8: binary data
  9: Color color
}

struct Containers {
  1: list<bool> flags
  2: list<i8> tinies
  3: list<i16> smalls
  4: list<i32> middles
  5: list<i64> larges
  6: list<double> reals
  7: list<string> texts
  8: list<binary> blobs
  9: list<Color> colors
  10: list<Point> points
  11: list<Shape> shapes
  12: list<list<i32>> grid
  13: set<string> names
  14: set<i64> ids
  15: map<i32, double> numbers
  16: map<string, i32> counts
  17: map<string, string> words
  18: map<Color, Point> by_color
  19: map<string, map<i64, list<Shape>>> deep
  20: list<map<string, i64>> maps
  21: list<set<i16>> sets
  22: map<bool, i8> by_flag
}

/** Booleans wherever one can be: compact has the value of some in the head, of others behind it. */
struct Flags {
  1: bool one
  2: bool two
  3: list<bool> row
  4: set<bool> some
  5: map<bool, bool> by_flag
  6: map<string, bool> by_name
  7: list<list<bool>> rows
  8: bool last
}

/** Ids far apart, and one that is declared late. */
struct Gaps {
  1: i32 first
  16: bool at_fifteen
  32: bool at_sixteen
  33: Id after
  1000: string far
  8200: list<i32> farther
  32767: i64 last
}

/** Containers within containers. */
struct Nested {
  1: list<list<list<string>>> cube
  2: map<i32, map<i32, map<i32, string>>> maps
  3: map<i8, list<map<i16, set<string>>>> mixed
  4: list<map<bool, list<Point>>> points
  5: map<string, list<binary>> blobs
  6: list<set<Id>> ids
  7: map<double, i64> by_real
  8: list<Nested> inner
}

/** Containers whose keys are no scalars: not for peers whose values do not hash. */
struct Keyed {
  1: set<list<i32>> lists
  2: map<set<string>, i32> by_set
  3: set<map<i32, string>> maps
  4: map<list<list<i8>>, string> by_grid
}

struct Tree {
  1: optional i32 value
  2: optional Tree left
  3: optional list<Tree> children
}

struct Everything {
  1: required Scalars scalars
  2: optional Containers containers
  3: optional Tree tree
  4: optional Shape shape
  5: i32 answer = 42
  6: list<string> tags = ["a", "b"]
  7: optional NotFound trouble
  8: optional Flags flags
  9: optional Gaps gaps
  10: optional Nested nested
}

service Base {
  void ping()
  string version()
}

service Peer extends Base {
  bool flip(1: bool value)
  i8 tiny(1: i8 value)
  i16 small(1: i16 value)
  i32 add(1: i32 a, 2: i32 b)
  i64 large(1: i64 value)
  double half(1: double value)
  string greet(1: string name)
  binary reversed(1: binary data)
  Color next_color(1: Color color)
  list<string> words(1: string text)
  set<i64> unique(1: list<i64> values)
  map<string, i32> count(1: list<string> words)
  Shape shape(1: Shape shape)
  Everything echo(1: Everything value)
  /** In the first version it was `page(1: string after)`. */
  string page(1: string after, 2: i32 size, 3: i32 limit = 10, 4: list<string> fields = ["id"], 5: Color color)
  Point find(1: i64 id) throws (1: NotFound missing, 2: Refused refused)
  void check(1: i32 code) throws (1: Refused refused)
  void fail(1: string how)
  oneway void note(1: string text)
  list<string> notes()
  /** What came beside this call. */
  map<string, string> metadata()
}

/** What a newer client believes the server to have. */
service Newer extends Peer {
  string unheard_of(1: i32 a, 2: Everything b)
}
