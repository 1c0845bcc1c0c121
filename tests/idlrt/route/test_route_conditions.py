"""Conditions: their meaning, the errors of invalid ones, and that evaluation never raises."""

from __future__ import annotations

import fnmatch
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.core import Call, Deadline, Instance
from idlrt.errors import ConfigurationError
from idlrt.route import CallerInfo, call_condition, instance_condition
from idlrt.route.conditions import parse_condition
from idlrt.route.keys import SIDES, Side
from idlrt.spec import (
    I64,
    STRING,
    VOID,
    Enum,
    Struct,
    enum,
    list_of,
    map_of,
    method,
    optional,
    required,
    service,
    struct,
)
from idlrt.testing import FakeDriver


class Color(Enum):
    RED = 1
    BLUE = 2


class User(Struct, kw_only=True):
    id: int
    from_: str | None = None
    color: Color | None = None
    friends: list[User] | None = None
    labels: dict[str, str] | None = None

    __thrift_fields__ = (
        required(1, "id", I64),
        optional(2, "from", STRING, attribute="from_"),
        optional(3, "color", enum(Color)),
        optional(4, "friends", list_of(struct(lambda: User))),
        optional(5, "labels", map_of(STRING, STRING)),
    )


class _Users:
    def save(self, user: User, limit: int = 10) -> None: ...

    def ping(self) -> None: ...


SAVE = method(_Users.save, required(1, "user", struct(User)), optional(2, "limit", I64), result=VOID)
PING = method(_Users.ping, result=VOID)
service("UserService", SAVE, PING)

HERE = CallerInfo(
    id="c-7",
    app="shop",
    version="3.1",
    zone="eu-1",
    host="web-1",
    addresses=("10.1.2.3", "fe80::1"),
    labels={"team": "x"},
)
ADA = User(id=42, from_="London", color=Color.BLUE, friends=[User(id=7)], labels={"role": "admin", "8": "eight"})


def save(*arguments: Any, **metadata: str) -> Call:
    return Call(SAVE, arguments or (ADA, 10), "check", Deadline(5.0, 5.0), FakeDriver(), metadata)


def fits(text: str, call: Call | None = None, caller: CallerInfo = HERE) -> bool:
    return call_condition(text, caller).matches(call or save())


def instance_fits(text: str, caller: CallerInfo = HERE, **fields: Any) -> bool:
    given = {"service": "S", "host": "10.0.0.7", "port": 9090, **fields}
    return instance_condition(text, caller).matches(Instance(**given))


@pytest.mark.parametrize("text", ["", "*", "  ", " * "])
def test_nothing_and_a_star_always_fit(text: str) -> None:
    condition = call_condition(text, HERE)
    assert condition.constant is True
    assert condition.matches(save())
    assert str(condition) == "*"


@pytest.mark.parametrize(
    "text",
    [
        "service = UserService",
        "method = save",
        "method=get,save , list",
        "method = s*e",
        "method != get, list",
        "method = save & service = User*",
        "argument.user.id = 42",
        "argument.0.id = 42",
        "argument.user.id = 40~50",
        "argument.user.id = 42~",
        "argument.user.id = ~42",
        "argument.limit = 10",
        "argument.1 = -5~10.5",
        "argument.user.from = London",
        "argument.user.from_ = London",
        "argument.user.color = BLUE",
        "argument.user.color = 2",
        "argument.user.color = 2~3",
        "argument.user.friends.0.id = 7",
        "argument.user.friends.1.id != *",
        "argument.user.labels.role = admin",
        "argument.user.labels.8 = eight",
        "argument.user != *",
        "argument.empty != 1",
        "argument.9 != *",
        'argument.empty = ""',
        "metadata.user != *",
        "tag != *",
        "caller.id = c-*",
        "caller.app = shop & caller.version = 3.*",
        "caller.zone != eu-2",
        "caller.host = web-1",
        "caller.host = 10.0.0.0/8",
        "caller.host = 10.1.*",
        "caller.labels.team = x",
        "caller.labels.none != *",
        "caller.zone = $caller.zone",
    ],
)
def test_what_fits(text: str) -> None:
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "method = sav",
        "method = SAVE",
        "method = s*x, *g",
        "method != get, sa*",
        "method = save & service = Other",
        "argument.user.id = 43~50",
        "argument.user.from = 1~2",
        "argument.user.color = RED, 3",
        "argument.user.color != 2",
        "argument.empty = *",
        "argument.user.friends.x = *",
        "argument.user.labels.empty = *",
        "metadata.user = *",
        "caller.zone != eu-1",
        "caller.host != 10.1.2.3",
        "caller.host = 10.2.0.0/16",
        "caller.zone = eu-1 & method = get",
        'method = "s*"',
    ],
)
def test_what_does_not_fit(text: str) -> None:
    assert not fits(text)


def test_metadata_and_the_tag() -> None:
    assert fits("metadata.user = ada", save(user="ada"))
    assert fits("metadata.x-user.id = ada", save(**{"x-user.id": "ada"}))
    tagged = save()
    tagged.tag = "gray"
    assert fits("tag = gray", tagged)
    assert not fits("tag = gray", save(tag="gray"))
    assert not fits("metadata.user = *", save(user=""))


@pytest.mark.parametrize(
    ("text", "is_fitting"),
    [
        ("id = users-1", True),
        ("host = 10.0.0.0/24", True),
        ("host = 10.0.1.0/24, 10.0.0.*", True),
        ("host != 10.0.0.0/24", False),
        ("host = fe80::/10", False),
        ("port = 9000~9100", True),
        ("port = 9090", True),
        ("address = 10.0.0.7:9090", True),
        ("zone = $caller.zone", True),
        ("zone = $caller.app", False),
        ("zone != $caller.zone", False),
        ("host = $caller.host", False),
        ("version = 2.*", True),
        ("group = default", True),
        ("tags.kind = replica", True),
        ("tags.none = *", False),
        ("metadata.rack = 5", True),
        ("routing.a = b", True),
    ],
)
def test_instances(text: str, is_fitting: bool) -> None:
    fields: dict[str, Any] = {"id": "users-1", "zone": "eu-1", "version": "2.5", "tags": {"kind": "replica"}}
    assert instance_fits(text, **fields, metadata={"rack": "5"}, routing={"a": "b"}) is is_fitting


def test_a_name_is_in_no_network() -> None:
    assert not instance_fits("host = 0.0.0.0/0", host="users.example")


def test_an_own_address_is_the_callers_host() -> None:
    assert instance_fits("host = $caller.host", host="10.1.2.3")
    assert instance_fits("host = $caller.host", host="web-1")


@pytest.mark.parametrize(
    "text", ["a & b", "it's", 'say "hi"', "back\\slash", "a=b", "a, b", "*", "$caller.zone", "1~2", " x "]
)
def test_quotes_take_the_meaning_away(text: str) -> None:
    escaped = text.replace("\\", "\\\\")
    one, other = escaped.replace('"', '\\"'), escaped.replace("'", "\\'")
    assert fits(f"metadata.m = \"{one}\" & metadata.m = '{other}'", save(m=text))
    assert not fits(f'metadata.m = "{one}"', save(m="eu-1"))


def test_what_is_said_of_the_caller_is_decided_once() -> None:
    assert call_condition("caller.zone = eu-1", HERE).constant is True
    assert call_condition("caller.zone = eu-2 & method = get", HERE).constant is False
    assert call_condition("caller.zone = eu-1 & method = get", HERE).constant is None


@pytest.mark.parametrize(
    ("side", "text", "offset", "said"),
    [
        ("call", "metod = get", 0, "unknown key 'metod'; known for calls: service, method, .*did you mean 'method'"),
        ("call", "method = get & zone = a", 15, "'zone' is a key of instances, but the condition is on calls"),
        ("instance", "method = get", 0, "'method' is a key of calls, but the condition is on instances"),
        ("instance", "caller.zone = a", 0, "use '\\$caller.zone'"),
        ("instance", "tag.kind = a", 0, "did you mean 'tags.NAME'"),
        ("instance", "tags = a", 0, "unknown key 'tags'"),
        ("instance", "tags. = a", 0, "unknown key 'tags.'"),
        ("call", "argument..x = a", 0, "unknown key"),
        ("call", "metadata.NAME.x =", 17, "expected a value for 'metadata.NAME.x'"),
        ("call", "method", 6, "expected '=' or '!='"),
        ("call", "method =", 8, "expected a value for 'method'; write \"\" for empty text"),
        ("call", "method = a,, b", 11, "expected a value for 'method'"),
        ("call", "method = a, & tag = b", 12, "expected a value for 'method'"),
        ("call", "method = a b", 11, "expected ',' or '&' after a value, got 'b'"),
        ("call", "method = a &", 12, "expected a key; known for calls: "),
        ("call", "& method = a", 0, "expected a key; known for calls: "),
        ("call", "method = a && tag = b", 12, "expected a key; known for calls: "),
        ("call", "method = 'a", 9, "unterminated quote"),
        ("call", "method = a!b", 10, "unexpected '!'; quote it"),
        ("call", "method = a => zone = b", 11, "got '='"),
        ("call", "argument.0 = 20~10", 13, "the range '20~10' is empty"),
        ("call", "argument.0 = 1, a~b", 16, "expected a range of numbers such as 10~20, got 'a~b'; quote it"),
        ("call", "argument.0 = ~", 13, "expected a range of numbers"),
        ("call", "argument.0 = 1~2~3", 13, "expected a range of numbers"),
        ("instance", "host = 10.0.0.0/33", 7, "expected a network such as 10.0.0.0/8, got '10.0.0.0/33'"),
        ("instance", "zone = $caller.zonne", 7, "known: \\$caller.id, "),
        ("instance", "zone = $zone", 7, "known: \\$caller.id, "),
        ("instance", "zone = $argument.0", 7, "known: \\$caller.id, "),
    ],
)
def test_what_cannot_be_read(side: str, text: str, offset: int, said: str) -> None:
    make: Any = call_condition if side == "call" else instance_condition
    with pytest.raises(ConfigurationError, match=said) as raised:
        make(text, HERE)
    assert str(raised.value).startswith(f"invalid condition {text!r} at offset {offset}: ")


@given(
    st.text(alphabet="ab*", max_size=12).filter(lambda text: "*" in text and text != "*"), st.text("ab", max_size=12)
)
def test_stars_are_those_of_the_shell(pattern: str, text: str) -> None:
    assert fits(f"metadata.m = {pattern}", save(m=text)) is fnmatch.fnmatchcase(text, pattern)


def test_many_stars_take_no_time() -> None:
    assert not fits(f"metadata.m = {'a*' * 50}b", save(m="a" * 100_000))


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_networks(base: ipaddress.IPv4Address, bits: int, host: ipaddress.IPv4Address) -> None:
    network = ipaddress.ip_network(f"{base}/{bits}", strict=False)
    assert instance_fits(f"host = {base}/{bits}", host=str(host)) is (host in network)


@given(st.floats(-1e6, 1e6), st.integers(-1000, 1000), st.integers(0, 1000))
def test_ranges_include_their_ends(value: float, low: int, length: int) -> None:
    assert fits(f"argument.limit = {low}~{low + length}", save(ADA, value)) is (low <= value <= low + length)


@given(st.text(), st.sampled_from(list(Side)))
def test_any_text_is_read_or_refused_in_words(text: str, side: Side) -> None:
    said = "invalid condition "
    try:
        parse_condition(text, side)
    except ConfigurationError as error:
        said = str(error)
    assert said.startswith("invalid condition ")


CLAUSES = st.tuples(
    st.sampled_from(["method", "argument.user", "argument.user.id", "argument.0.a.b", "argument.3", "tag"]),
    st.sampled_from(["=", "!="]),
    st.lists(st.sampled_from(["*", "a*", "1~5", "get", '""', "$caller.id"]), min_size=1, max_size=3),
)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3), st.just(ADA),
    st.just(Color(99)), st.dictionaries(st.text(max_size=2), st.integers(), max_size=2), st.just(object()),
    st.just(10**5000), st.uuids(), st.lists(st.integers(), max_size=2),
)  # fmt: skip


@given(st.lists(CLAUSES, min_size=1, max_size=4), st.lists(ODD, max_size=3), st.sampled_from([SAVE, PING]))
def test_no_call_is_too_odd(clauses: list[Any], arguments: list[Any], called: Any) -> None:
    call = Call(called, tuple(arguments), "", Deadline(5.0, 5.0), FakeDriver())
    texts = [f"{key} {op} {', '.join(values)}" for key, op, values in clauses]
    # All of a condition fits if each part does, and `!=` is the contrary of `=`.
    assert fits(" & ".join(texts), call) is all(fits(text, call) for text in texts)
    for key, _, values in clauses:
        listed = ", ".join(values)
        assert fits(f"{key} = {listed}", call) is not fits(f"{key} != {listed}", call)


def test_every_key_that_is_shown_can_be_used() -> None:
    for key in (*SIDES["calls"], "argument.a.b"):
        assert call_condition(f"{key.replace('[.FIELD...]', '')} = x", HERE).matches(save()) in (True, False)
    for key in SIDES["instances"]:
        assert not instance_fits(f"{key} = x")
