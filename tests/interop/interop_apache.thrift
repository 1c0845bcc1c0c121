/** What thriftpy2 does not know: UUIDs, fields without numbers, and numbers out of order. */
namespace py interop_stubs

struct Identified {
  1: uuid id
  2: list<uuid> ids
  3: set<uuid> some
  4: map<uuid, string> names
}

/** They count down from -1. */
struct Unnumbered {
  i32 first
  string second
  bool third
  list<i64> fourth
  Identified fifth
  bool sixth
}

struct Disordered {
  40: i32 forty
  2: string two
  41: bool yes
  1: list<i8> one
}
