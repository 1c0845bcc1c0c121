"""Requests of HTTP clients: arguments, metadata and typed values as verb, path, query, headers and body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from shop import (
    CHECK,
    FIND,
    GET,
    LOGIN,
    NOTE,
    ORDER,
    PICTURE,
    PLAIN,
    PUT,
    REMOVE,
    UPLOAD,
    Article,
    Colour,
    Order,
    head_and_body,
)

from idlrt import __version__
from idlrt import spec as rpc
from idlrt.core import NO_CONTEXT, NO_METADATA, Instance, RequestContext
from idlrt.errors import ConfigurationError, LocalProtocolError
from idlrt.protocol.http.client import HttpClient, http_clients
from idlrt.serialization import Limits
from idlrt.serialization.base import DEFAULT_LIMITS
from idlrt.spec import Method

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def client(**options: Any) -> HttpClient:
    [made] = http_clients(options, DEFAULT_LIMITS)
    return made


def written(
    method: Method[..., Any], *arguments: Any, metadata: Any = NO_METADATA, context: Any = NO_CONTEXT, **options: Any
) -> tuple[str, dict[str, str], bytes]:
    connection = client(**options).connect()
    return head_and_body(connection.request(method, arguments, metadata, context)[1])


def test_a_method_without_a_route_is_posted_with_its_arguments_as_json() -> None:
    line, headers, body = written(PLAIN, {"a": 1}, 0.5)
    assert line == "POST /Shop/plain HTTP/1.1"
    assert json.loads(body) == {"numbers": {"a": 1}, "by": 0.5}
    assert headers == {
        "host": "localhost",
        "user-agent": f"idlrt/{__version__}",
        "accept-encoding": "identity",
        "accept": "application/json, application/problem+json",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }


def test_none_is_left_out() -> None:
    assert json.loads(written(PLAIN, {}, None)[2]) == {"numbers": {}}
    assert written(GET, "a", None, None)[0] == "GET /articles/a HTTP/1.1"


def test_the_first_route_path_query_and_header() -> None:
    line, headers, body = written(GET, "a/b ?ä", [Colour.RED, Colour.BLUE], "me")
    assert line == "GET /articles/a%2Fb%20%3F%C3%A4?colour=RED&colour=BLUE HTTP/1.1"
    assert headers["x-tenant"] == "me"
    assert body == b""
    assert "content-length" not in headers


def test_arguments_without_places_are_in_the_query_of_a_get() -> None:
    assert (
        written(FIND, "a&b=c", [1, -2], True)[0] == "GET /articles?text=a%26b%3Dc&sizes=1&sizes=-2&exact=true HTTP/1.1"
    )


def test_the_fields_of_the_only_argument_are_bound_one_by_one() -> None:
    line, headers, body = written(ORDER, Order(shop="x", number=7, lines=["a"], tenant="100% ä b", secret="s"))
    assert line == "POST /shops/x/orders HTTP/1.1"
    assert json.loads(body) == {"no": "7", "lines": ["a"]}
    assert headers["x-tenant"] == "100% ä b"


def test_an_argument_is_the_whole_body() -> None:
    line, _, body = written(PUT, "a", Article(sku="a", price=7, colour=Colour.RED))
    assert line == "PUT /articles/a HTTP/1.1"
    assert json.loads(body) == {"sku": "a", "cents": "7", "colour": "RED"}


def test_a_raw_body_and_the_rest_of_a_path() -> None:
    line, headers, body = written(UPLOAD, "a/b c", b"\0\xff")
    assert line == "POST /files/a/b%20c HTTP/1.1"
    assert headers["content-type"] == "application/octet-stream"
    assert body == b"\0\xff"


def test_a_variable_within_a_segment_and_any_content() -> None:
    line, headers, _ = written(PICTURE, "2")
    assert line == "GET /v2:load HTTP/1.1"
    assert headers["accept"] == "*/*, application/problem+json"


def test_a_form_and_a_cookie() -> None:
    line, headers, body = written(LOGIN, "me & you", ["a", "b=c"], "x=y%")
    assert line == "POST /login HTTP/1.1"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert headers["cookie"] == "sid=x=y%"
    assert body == b"user=me%20%26%20you&word=a&word=b%3Dc"


def test_binary_is_base64url_outside_of_json() -> None:
    assert written(REMOVE, "a", b"\xff\xfe\xfd\xfc")[0] == "DELETE /articles/a?key=__79_A HTTP/1.1"


def test_a_head_request() -> None:
    line, headers, body = written(CHECK, "a")
    assert (line, headers["x-sku"], body) == ("HEAD /check HTTP/1.1", "a", b"")


def test_a_prefix_an_authority_and_a_service() -> None:
    options = {"prefix": "/v1/", "authority": "[::1]:8080", "service": "Outlet"}
    line, headers, _ = written(NOTE, "x", **options)
    assert line == "POST /v1/Outlet/note HTTP/1.1"
    assert headers["host"] == "[::1]:8080"
    assert written(GET, "a", None, None, **options)[0] == "GET /v1/articles/a HTTP/1.1"
    connection = client(**options).connect("Annex")
    assert connection.request(NOTE, ("x",))[1].startswith(b"POST /v1/Annex/note ")


def test_the_prefix_of_an_instance() -> None:
    instance = Instance(service="Shop", host="10.0.0.7", port=80, metadata={"http.prefix": "/v2"})
    [made] = http_clients({}, DEFAULT_LIMITS, instance)
    line, headers, _ = head_and_body(made.connect().request(NOTE, ("x",))[1])
    assert (line, headers["host"]) == ("POST /v2/Shop/note HTTP/1.1", "10.0.0.7:80")


@pytest.mark.parametrize("prefix", ["x", "/a b", "/{x}", "/a?b", "//", "/a//b", "/ä", "/%2", 5])
def test_an_invalid_prefix(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="invalid prefix of HTTP paths"):
        client(prefix=prefix)


def test_unknown_options() -> None:
    with pytest.raises(ConfigurationError, match="protocol http has no option 'framing'; remove framing='header'"):
        client(framing="header")


def test_typed_values_and_metadata() -> None:
    context = RequestContext(timeout=1.25, attempt=2, tag="grün", caller="shop a", trace=TRACE)
    metadata = {"x-tenant": "7", "x.text_": " ä% ", "x-request-id": "r 1", "authorization": "abc", "baggage": "a=1"}
    _, headers, _ = written(NOTE, "x", metadata=metadata, context=context)
    wanted = {
        "rpc-timeout-ms": "1250",
        "rpc-attempt": "2",
        "rpc-tag": "gr%C3%BCn",
        "rpc-caller": "shop%20a",
        "traceparent": TRACE,
        "rpc-metadata-x-tenant": "7",
        "rpc-metadata-x.text_": "%20%C3%A4%25%20",
        "x-request-id": "r 1",
        "authorization": "Bearer abc",
        "baggage": "a=1",
    }
    assert wanted.items() <= headers.items()
    assert written(NOTE, "x", metadata={"authorization": "Basic YTpi"})[1]["authorization"] == "Basic YTpi"


@pytest.mark.parametrize("name", ["X-Tenant", "a b", "ä", "", "a:b", "a\r\nb"])
def test_metadata_with_an_invalid_name(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="lower-case letters, digits and _"):
        written(NOTE, "x", metadata={name: "x"})


@pytest.mark.parametrize("name", ["authorization", "traceparent", "x-request-id"])
@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\0b", "ä", " a", "a\n"])
def test_metadata_that_would_end_a_header(name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError, match="visible ASCII characters only"):
        written(NOTE, "x", metadata={name: value})


@pytest.mark.parametrize("name", ["connection", "host", "content-length", "transfer-encoding"])
def test_metadata_never_sets_headers_of_the_connection(name: str) -> None:
    _, headers, _ = written(NOTE, "x", metadata={name: "evil"})
    assert headers[f"rpc-metadata-{name}"] == "evil"
    assert headers.get(name) != "evil"


@pytest.mark.parametrize("value", ["x\r\nEvil: 1", "a\0", "a\n", "\x7f", " a", "a ", "€", "\x01"])
def test_values_that_no_header_can_have(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="`tenant`: must be Latin-1 text on one line"):
        written(GET, "a", None, value)


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", 'a"b', "a\r\n", "€", "\0"])
def test_values_that_no_cookie_can_have(value: str) -> None:
    with pytest.raises(LocalProtocolError, match="`session`: must be Latin-1 text without blanks"):
        written(LOGIN, "me", ["a"], value)


@pytest.mark.parametrize("value", ["", "a", "a b\tc", "ä\xff", "a,b", "%41"])
def test_other_values_are_in_headers_as_they_are(value: str) -> None:
    assert written(GET, "a", None, value)[1]["x-tenant"] == value


def test_lists_in_headers_are_separated_by_commas() -> None:
    method = odd({"http.header": "X-Values"}, {"http.post": "/x"}, rpc.list_of(rpc.STRING))
    assert written(method, ["a b", "c"], "y")[1]["x-values"] == "a b, c"
    assert "x-values" not in written(method, [], "y")[1]
    with pytest.raises(LocalProtocolError, match="without commas"):
        written(method, ["a,b"], "y")


@pytest.mark.parametrize(
    ("method", "arguments", "why"),
    [
        (GET, (7, None, None), "`sku`: must be string"),
        (GET, ("", None, None), "`sku` of the path /articles/{sku}: must not be empty"),
        (GET, ("..", None, None), "must not have a segment '..'"),
        (UPLOAD, ("a/../b", b""), "must not have a segment"),
        (GET, (None, None, None), "`sku`: required, but None"),
        (GET, ("a", ["RED"], None), "`colours`"),
        (GET, ("a", "RED", None), "`colours`: must be list<Colour>, got str"),
        (GET, ("\ud800", None, None), "lone surrogate"),
        (GET, ("a", None, "\ud800"), "lone surrogate"),
        (GET, ("a",), "expected 3 arguments, got 1"),
        (PLAIN, ({"a": 2**63}, None), "`numbers`"),
        (ORDER, (Article(sku="a"),), "must be Order, got Article"),
        (UPLOAD, ("a", 7), "must be str or bytes, got int"),
    ],
)
def test_what_cannot_be_sent_leaves_the_connection_unchanged(
    method: Method[..., Any], arguments: tuple[Any, ...], why: str
) -> None:
    connection = client().connect()
    with pytest.raises(LocalProtocolError) as raised:
        connection.request(method, arguments)
    assert why in str(raised.value)
    assert connection.is_idle
    assert connection.request(NOTE, ("x",))[0] == 1


def test_a_body_over_the_limit_is_not_sent() -> None:
    [made] = http_clients({}, Limits(max_message=100))
    with pytest.raises(LocalProtocolError, match="it has 200 bytes, the limit is max_message=100"):
        made.connect().request(UPLOAD, ("a", bytes(200)))


class _Odd:
    def odd(self, value: Any, other: Any) -> None: ...


def odd(annotations: Any, route: Any, type: rpc.Type[Any] = rpc.STRING) -> Method[..., Any]:
    made = rpc.method(
        _Odd.odd,
        rpc.required(1, "value", type, annotations=annotations),
        rpc.required(2, "other", rpc.STRING, annotations={"http.form": ""}),
        result=rpc.VOID,
        annotations=route,
    )
    rpc.service("Odd", made)
    return made


@pytest.mark.parametrize("name", ["Connection", "Transfer-Encoding", "Content-Length", "Host", "a b", "a:b", "Cookie"])
def test_a_header_of_the_idl_that_cannot_be_set(name: str) -> None:
    method = odd({"http.header": name}, {"http.post": "/x"})
    with pytest.raises(LocalProtocolError, match=r"cannot call Odd.odd: `value` over HTTP"):
        client().connect().request(method, ("x", "y"))


def test_a_struct_cannot_be_in_a_query() -> None:
    method = odd({"http.query": ""}, {"http.post": "/x"}, rpc.struct(Article))
    with pytest.raises(LocalProtocolError, match="the route has no place for it"):
        client().connect().request(method, (Article(sku="a"), "y"))


def test_an_empty_value_needs_no_place() -> None:
    method = odd({"http.query": ""}, {"http.post": "/x"}, rpc.map_of(rpc.STRING, rpc.STRING))
    assert written(method, {}, "y")[2] == b"other=y"
    with pytest.raises(LocalProtocolError, match="the route has no place for it"):
        written(method, {"a": "b"}, "y")


def test_a_path_with_a_variable_that_has_no_value() -> None:
    with pytest.raises(LocalProtocolError, match=r"`other_id` of the path /x/\{other_id\}: missing"):
        written(odd({"http.query": ""}, {"http.post": "/x/{other_id}"}), "x", "y")


def test_a_value_goes_to_the_first_place_that_can_carry_it() -> None:
    method = odd({"http.cookie": "", "http.form": "v"}, {"http.post": "/x"}, rpc.list_of(rpc.STRING))
    assert written(method, ["a", "b"], "y")[2] == b"v=a&v=b&other=y"


def test_json_and_a_form_do_not_mix() -> None:
    with pytest.raises(LocalProtocolError, match="in several bodies: raw, form or JSON"):
        written(odd({}, {"http.post": "/x"}), "x", "y")


def test_one_call_at_a_time() -> None:
    connection = client().connect()
    connection.request(NOTE, ("x",))
    assert connection.in_flight == 1
    with pytest.raises(LocalProtocolError, match="one call at a time"):
        connection.request(NOTE, ("y",))
    with pytest.raises(LocalProtocolError, match="one call at a time"):
        connection.ping()


def test_a_ping_asks_for_the_options_of_the_server() -> None:
    line, headers, body = head_and_body(client(prefix="/v1").connect().ping()[1])
    assert (line, headers["host"], body) == ("OPTIONS * HTTP/1.1", "localhost", b"")
