/** What the HTTP servers of the benchmarks return. */
namespace py http_stubs

/** About 125 bytes of JSON. */
struct User {
  1: required i64 id
  2: required string name
  3: required string email
  4: required bool is_active
  5: required double score
  6: required list<string> tags
}

service Users {
  User echo(1: User user) (http.post = "/echo")
  User add(1: User user)
}
