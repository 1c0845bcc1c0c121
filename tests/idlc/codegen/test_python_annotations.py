"""Annotations of the IDL are part of generated code, without those for other languages and for the generator."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest

import idlrt
from idlrt.spec import NO_ANNOTATIONS, annotations_of

IDL = """
namespace py demo
struct Query {
  1: required i64 id (api.path = "user_id", api.js_conv = "true"),
  2: optional string fields (api.query = "fields", api.header = "X-Fields"),
  3: optional i32 limit = 10 (api.vd = "$>0 && $<=100", deprecated = "use pages"),
  4: string plain (unit = "ms"),
  5: list<string> from (go.tag = 'json:"from_all,omitempty"', vt.elem.in = "a", vt.elem.in = "b", vt.min_size = "1"),
}
struct Empty {} (vt.assert = "@equal(1, 1)", unit = "ms")
/** Documented. */
exception NotFound {} (http.status = "404")
union Either { 1: i32 number = 1 (http.name = "n"), 2: string text }
exception Gone { 1: string message (http.header = "X-Message") } (deprecated)
service Users {
  Empty get(1: Query query) throws (1: NotFound e (http.status = "410"), 2: Gone gone)
    (api.get = "/v1/users/:user_id", API.post = "/v1/very/long/path/of/users/that/does/not/fit/into/one/line/:user_id",
     http.status = "201", api.category = "users"),
  void put(1: i64 id (http.path), 2: string text = "x" (http.query = "t"), 3: list<i32> of = [1] (vt.min_size = "1"))
    (http.put = "/a/:id", http.put = "/b/{id}"),
  void old() (deprecated = "use get", category = "x"),
  void plain(1: i64 id) (timeout = "1"),
} (deprecated = "use People")
service Plain { void ping() }
"""


def test_methods_have_their_annotations(compiled: Callable[[str], ModuleType]) -> None:
    service: Any = compiled(IDL).UsersClient.__thrift_service__
    get, put = service.methods["get"], service.methods["put"]
    assert get.annotations == {
        "http.get": ("/v1/users/{user_id}",),
        "http.post": ("/v1/very/long/path/of/users/that/does/not/fit/into/one/line/{user_id}",),
        "http.status": ("201",),
        "api.category": ("users",),
    }
    assert put.annotations == {"http.put": ("/a/{id}", "/b/{id}")}
    assert [each.annotations for each in put.arguments] == [
        {"http.path": ("",)},
        {"http.query": ("t",)},
        {"vt.min_size": ("1",)},
    ]
    assert [each.annotations for each in get.throws] == [{"http.status": ("410",)}, NO_ANNOTATIONS]
    assert service.methods["old"].annotations == {"deprecated": ("use get",), "category": ("x",)}
    assert service.methods["plain"].annotations == {"timeout": ("1",)}
    assert {method.service_annotations["deprecated"] for method in service.methods.values()} == {("use People",)}
    assert service.annotations == {"deprecated": ("use People",)}


def test_classes_and_fields_have_their_annotations(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(IDL)
    assert {each.name: each.annotations for each in demo.Query.__thrift_fields__} == {
        "id": {"http.path": ("user_id",), "http.as_text": ("",)},
        "fields": {"http.query": ("fields",), "http.header": ("X-Fields",)},
        "limit": {"vt.gt": ("0",), "vt.le": ("100",), "deprecated": ("use pages",)},
        "plain": {"unit": ("ms",)},
        "from": {"http.name": ("from_all",), "vt.elem.in": ("a", "b"), "vt.min_size": ("1",)},
    }
    assert annotations_of(demo.Empty) == {"unit": ("ms",)}
    assert annotations_of(demo.NotFound) == {"http.status": ("404",)}
    assert demo.NotFound.__doc__ == "Documented."
    assert annotations_of(demo.Gone) == {"deprecated": ("",)}
    assert demo.Either.__thrift_fields__[0].annotations == {"http.name": ("n",)}


def test_what_has_no_annotations_leaves_no_trace(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(IDL)
    assert demo.PlainClient.__thrift_service__.annotations is NO_ANNOTATIONS
    assert annotations_of(demo.Either) == {}
    with open(demo.__file__, encoding="utf-8") as file:
        text = file.read()
    assert "__thrift_annotations__" not in text.partition("class Either")[2].partition("\nclass ")[0]


def test_annotations_for_generators_are_left_out(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled("""
    enum E { a = 1, b = 1 } (allow_alias = "true", cpp.enum_type = "int8_t")
    struct S { 1: i32 x (py.name = "y", go.tag = 'json:"z"', rust.type = "u8", vt.gt = "$other") }
      (python.immutable, idlc.ignore = "doc", java.final, rust.derive = "Copy", vt.assert = "@equal(1, 1)")
    service T { void f(1: i32 k (rpc.hash_key)) (idempotent = "true", rpc.timeout = "1") } (rpc.retries = "2")
    """)
    assert [dict(annotations_of(each)) for each in (demo.E, demo.S, demo.TClient)] == [{}, {}, {}]
    assert annotations_of(demo.S, "y") == {"http.name": ("z",)}
    assert annotations_of(demo.TClient, "f") == {}
    assert annotations_of(demo.TClient.__thrift_service__.methods["f"], "k") == {}


def test_a_single_value_is_not_a_tuple(compiled: Callable[[str], ModuleType]) -> None:
    with open(str(compiled(IDL).__file__), encoding="utf-8") as file:
        text = file.read()
    assert 'annotations={"http.path": ""}' in text
    assert '"http.put": ("/a/{id}", "/b/{id}")' in text


OWN = """
enum Role { ADMIN = 1 (rank = "9", py.name = "ROOT"), GUEST = 2 } (source = "directory")
enum Plain { a }
/** Documented. */
enum Bare {} (unit = "ms")
struct User { 1: i64 id (pii), 2: string from (redact = "hash", redact = "log") } (table = "users", owner = "team\\"a")
exception Denied { 1: string why } (retry = "never")
service Users {
  User get(1: i64 id (shard.key)) throws (1: Denied denied (alert = "page"))
    (auth.role = "admin", auth.role = "support")
} (auth.role = "user", team = "accounts")
"""


def test_annotations_of_everything_are_found_by_either_name(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(OWN)
    of = idlrt.annotations_of
    assert of(demo.User) == of(demo.User(id=1)) == {"table": ("users",), "owner": ('team"a',)}
    assert of(demo.User, "id") == {"pii": ("",)}
    assert of(demo.User, "from") == of(demo.User, "from_") == {"redact": ("hash", "log")}
    assert of(demo.Denied) == {"retry": ("never",)}
    assert of(demo.Role) == {"source": ("directory",)}
    assert of(demo.Role, "ROOT") == of(demo.Role, "ADMIN") == of(demo.Role.ROOT) == {"rank": ("9",)}
    assert of(demo.Role.GUEST) == of(demo.Role, "GUEST") == of(demo.Role(77)) == of(demo.Plain.a) == {}
    assert of(demo.Bare) == {"unit": ("ms",)}
    assert of(demo.UsersClient) == of(demo.AsyncUsersClient) == {"auth.role": ("user",), "team": ("accounts",)}
    assert of(demo.UsersClient, "get") == {"auth.role": ("admin", "support")}
    method = demo.UsersClient.__thrift_service__.methods["get"]
    assert of(method) == method.annotations == {"auth.role": ("admin", "support")}
    assert of(method, "id") == of(method.arguments[0]) == {"shard.key": ("",)}
    assert of(method.throws[0]) == {"alert": ("page",)}
    assert method.service_annotations == {"auth.role": ("user",), "team": ("accounts",)}


def test_unknown_members_and_other_objects_are_errors(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(OWN)
    with pytest.raises(LookupError, match=r"User has no member 'name' \(known: id, from_\)"):
        idlrt.annotations_of(demo.User, "name")
    with pytest.raises(LookupError, match=r"Role has no member 'X' \(known: ROOT, GUEST\)"):
        idlrt.annotations_of(demo.Role, "X")
    with pytest.raises(LookupError, match=r"UsersClient has no member 'put' \(known: get\)"):
        idlrt.annotations_of(demo.UsersClient, "put")
    with pytest.raises(TypeError, match="7 has no annotations: expected a generated class"):
        idlrt.annotations_of(7)


def test_a_filter_authorizes_calls_by_annotations(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled(
        'service Files { string read(1: string name) string remove(1: string name) (auth.role = "admin") }'
        ' (auth.role = "user")'
    )

    class Handler:
        def read(self, name: str) -> str:
            current = idlrt.current_call()
            assert current is not None
            return f"{name}: {current.method.service_annotations['auth.role'][0]}"

        def remove(self, name: str) -> str:
            return f"{name} removed"

    async def authorize(call: idlrt.ServerCall, next: Callable[[idlrt.ServerCall], Awaitable[Any]]) -> Any:
        roles = call.method.annotations.get("auth.role") or call.method.service_annotations["auth.role"]
        if call.metadata.get("role") not in roles:
            raise idlrt.ApplicationError(f"needs role {roles[0]}", idlrt.ApplicationCode.PERMISSION_DENIED)
        return await next(call)

    with idlrt.Server(demo.files(Handler()), "tcp://127.0.0.1:0", filters=[authorize]) as server:
        server.start()
        with demo.FilesClient.connect(server.address, framing="header") as client:
            user, admin = client.using(metadata={"role": "user"}), client.using(metadata={"role": "admin"})
            assert user.read("a") == "a: user"
            assert admin.remove("a") == "a removed"
            with pytest.raises(idlrt.ApplicationError, match="needs role admin"):
                user.remove("a")
            with pytest.raises(idlrt.ApplicationError, match="needs role user"):
                client.read("a")


def test_sensitive_values_are_not_shown(compiled: Callable[[str], ModuleType]) -> None:
    demo: Any = compiled("""
    struct Login { 1: string name, 2: string password (sensitive), 3: list<string> keys = ["k"] (sensitive = "true") }
    struct Shown { 1: string text (sensitive = "false") }
    exception Denied { 1: Login login, 2: optional string token (sensitive) }
    service S {
      Login f(1: string name, 2: string password (sensitive), 3: i32 at (http.query, sensitive)) (http.get = "/")
    }
    """)
    login = demo.Login(name="eve", password="hunter2")
    assert repr(login) == "Login(name='eve', password=***, keys=***)"
    assert repr(demo.Shown(text="x")) == "Shown(text='x')"
    assert str(demo.Denied(login=login, token="t")) == f"login={login!r}, token=***"

    class Handler:
        def f(self, name: str, password: str, at: int) -> Any:
            call = idlrt.current_call()
            assert call is not None
            return demo.Login(name=repr(call).partition(", peer=")[0])

    with idlrt.Server(demo.s(Handler()), "tcp://127.0.0.1:0", http=True) as server:
        server.start()
        with demo.SClient.connect(server.address) as client:
            assert client.f("eve", "hunter2", 7).name == "ServerCall(S.f('eve', ***, ***)"
            with pytest.raises(idlrt.LocalProtocolError, match=r"password must be string, got int \*\*\*"):
                client.f("eve", 7654321, 1)
        url = f"http://{server.address.partition('://')[2]}/?name=eve&password=x&at=hunter2"
        with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(url):
            pass
        problem = caught.value.read().decode()
        assert "cannot read query at: expected i32, got ***" in problem
        assert "hunter2" not in problem
