namespace py acme.services
include "base.thrift"

struct User { 1: required i64 id, 2: optional string name }
exception NotFound { 1: required i64 id }
exception Busy { 1: i32 retry_after_ms }

/** Looks users up. */
service UserService extends base.Base {
  /** Fetch one user. */
  User get(/** Which one. */ 1: i64 id) throws (/** There is none. */ 1: NotFound e, 2: Busy b),
  list<User> find(1: string name, 2: i32 limit = 10, 3: base.Order order = base.Order.UP, 4: optional list<i64> of),
  map<string, list<User>> group_by_a_property_of_the_users(1: map<i64, User> users, 2: set<string> properties_to_group_by),
  void save(1: User user) throws (1: Busy b),
  oneway void touch(1: i64 id),
  bool exists(1: i64 id) (idempotent = "true"),
  User old(1: i64 id) (deprecated = "use get"),
  void close(),
  void import(1: string from, 2: string self),
}

service Admin extends UserService {
  void purge(),
}

service Empty {}

service lower { i32 ping() }

service Told extends UserService {
  list<User> page(
    1: i32 size = 20, 2: string after, 3: required i64 owner, 4: list<User> known = [{"id": 1}, {"id": 2, "name": "two"}],
    5: set<string> of = [], 6: optional bool whole, 7: optional string from = "start")
  User found(1: i64 id (rpc.hash_key)) (
    idempotent = "true", rpc.fault = "hedge", rpc.hedge.delay = "0.02", rpc.balancer = "consistent_hash"),
  User as_all(1: i64 id),
  i32 fetch(1: string from (hash_key)) (rpc.timeout = "0.5"),
} (rpc.timeout = "1.0")
