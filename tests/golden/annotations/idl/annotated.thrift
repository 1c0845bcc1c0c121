// Annotations that programs read, and chosen names.
namespace py acme.annotations

/** Level of access. */
enum Role {
  /** Everything. */
  ADMIN = 1 (rank = "9", py.name = "ROOT"),
  GUEST = 2,
} (source = "directory", go.name = "GoRole")

enum Level { low = 1 (color = "green"), high = 2 (color = "red") }

enum Empty {} (unit = "ms", py.name = "Nothing")

struct user_info_t {
  1: required i64 uid (pii, py.name = "id", go.tag = 'json:"user_id"'),
  2: optional string password (sensitive, vt.min_size = "8", redact = "hash", redact = "log"),
} (table = "users", cpp.type = "User", py.name = "User")

exception no_such_user {} (py.name = "NoSuchUser")

service user_service {
  user_info_t getUser(1: i64 uid (shard.key, py.name = "id")) throws (1: no_such_user missing (alert = "page"))
    (auth.role = "admin", auth.role = "support", http.get = "/users/{uid}", py.name = "get"),
  void login(1: string name, 2: string password (sensitive)),
} (auth.role = "user", py.name = "Users")
