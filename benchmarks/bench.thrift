/** What is measured. */
namespace py bench_stubs

/** About 105 bytes. */
struct Small {
  1: required i64 id
  2: required string name
  3: required bool is_active
  4: required double score
  5: required list<string> tags
  6: required map<string, i32> counts
}

/** A hundred of them. */
struct Many {
  1: required list<Small> items
}

struct Numbers {
  1: required list<i64> integers
  2: required list<double> reals
  3: required map<i32, double> pairs
}

service Echo {
  Small echo(1: Small value)
  /** For clients that may send it to another instance if they do not know whether one has done it. */
  Small echo_idempotent(1: Small value) (idempotent = "true")
}
