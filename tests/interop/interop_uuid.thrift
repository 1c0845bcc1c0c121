/** UUIDs, which thriftpy2 does not know. */
namespace py interop_stubs

struct Identified {
  1: uuid id
  2: list<uuid> ids
  3: set<uuid> some
  4: map<uuid, string> names
}
