namespace py acme.yields
include "types.thrift"

struct int { 1: i32 from, 2: i32 from_ = 5 }
struct int_ { 1: int other }
const int int_default = {"from": 1, "from_": 2}

service KVStore { void close(1: i32 self, 2: i32 self_), void close_() }
service KvStore extends KVStore { void close__() }
service Repository { types.AsyncRepository find() }
service RepositoryClient extends Repository { int get(1: int_ key) }
service Users { types.users all() }
