"""Policy annotations of an IDL apply to calls unless a more specific setting overrides them."""

from __future__ import annotations

import importlib
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually

import idlc
from idlrt.core import Call, CallPolicy
from idlrt.errors import DeadlineExceeded
from idlrt.registry import Registry
from idlrt.server import Server

IDL = """
service Store {
  string get(1: i64 shelf, 2: string key (rpc.hash_key)) (
    idempotent = "true", rpc.balancer = "consistent_hash", rpc.timeout = "400", rpc.backoff.base_delay = "0.5")
  string never() (rpc.timeout = "0.05", rpc.retries = "0")
  string slow() (idempotent = "true", rpc.fault = "hedge", rpc.hedge.delay = "0.02", rpc.hedge.max_extra_load = "1",
    rpc.balancer = "round_robin")
  void forget() (rpc.fault = "failsafe")
  string plain()
  string mistaken() (rpc.hedge.delay = "soon", rpc.fault = "hegde", rpc.odd.thing = "1", rpc.retries = "1")
} (rpc.timeout = "300")
service Other extends Store { string more() } (rpc.timeout = "200")
"""

QUICK: dict[str, Any] = {"workers": 4, "grace_s": 0.1, "drain_s": 0.01}


class Shop:
    """Handler that returns its name."""

    def __init__(self, name: str, gone: threading.Event) -> None:
        self.name = name
        self.is_stuck = False
        self._gone = gone

    def get(self, shelf: int, key: str) -> str:
        return self.name

    def never(self) -> str:
        self._gone.wait(3600)
        return ""

    def slow(self) -> str:
        if self.is_stuck:
            self._gone.wait(3600)
        return self.name

    def forget(self) -> None:
        raise RuntimeError("lost")

    def plain(self) -> str:
        return self.name

    mistaken = more = plain


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("stub")
    name = f"told_{uuid.uuid4().hex}"
    path = folder / f"{name}.thrift"
    path.write_text(IDL, encoding="utf-8")
    result = idlc.compile(sources=(path,), output=folder, use_cache=False)
    assert not result.report.has_errors
    sys.path.insert(0, str(folder))
    (made,) = [each for each in Path(folder).rglob("*.py") if each.stem == name]
    yield importlib.import_module(".".join(made.relative_to(folder).with_suffix("").parts))
    sys.path.remove(str(folder))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def gone(stack: ExitStack) -> threading.Event:
    event = threading.Event()
    stack.callback(event.set)
    return event


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def shops(stub: Any, stack: ExitStack, url: str, gone: threading.Event) -> list[Shop]:
    made = [Shop(name, gone) for name in "abc"]
    for each in made:
        instance = {"id": each.name}
        server = Server(stub.other(each), registry=url, instance=instance, **QUICK)  # type: ignore[arg-type]
        stack.callback(server.stop)
        stack.callback(gone.set)
        server.start()
    return made


class Policies:
    """Filter that records the policies of the calls that go through it."""

    def __init__(self) -> None:
        self.last = CallPolicy()

    async def __call__(self, call: Call, next: Callable[[Call], Awaitable[Any]]) -> Any:
        assert call.policy is not None
        self.last = call.policy
        return await next(call)


@pytest.fixture
def connect(stub: Any, stack: ExitStack, url: str, shops: list[Shop]) -> Callable[..., Any]:
    def make(**options: Any) -> Any:
        return stack.enter_context(stub.OtherClient.connect(f"{url}/Other", **options))

    return make


def test_the_timeout_of_the_idl_applies(connect: Callable[..., Any]) -> None:
    client = connect()
    while {client.plain() for _ in range(30)} != {"a", "b", "c"}:
        """Now there is a connection to each."""
    with pytest.raises(DeadlineExceeded, match=r"0\.05"):
        client.never()


def test_hedging_of_the_idl_applies(connect: Callable[..., Any], shops: list[Shop]) -> None:
    shops[0].is_stuck = True
    client = connect()
    assert {client.slow() for _ in range(9)} == {"b", "c"}


def test_failsafe_of_the_idl_applies(connect: Callable[..., Any]) -> None:
    assert connect().forget() is None


def test_the_same_key_finds_the_same_instance(connect: Callable[..., Any]) -> None:
    client = connect()
    found = {key: {client.get(shelf, key) for shelf in range(2)} for key in map(str, range(60))}
    assert all(len(names) == 1 for names in found.values()), "the shelf, which comes first, does not matter"
    assert set().union(*found.values()) == {"a", "b", "c"}


def test_annotations_of_a_service_apply_to_its_methods(connect: Callable[..., Any]) -> None:
    policies = Policies()
    client = connect(filters=[policies])
    seconds = {}
    for name in ("plain", "forget", "more"):
        getattr(client, name)()
        seconds[name] = policies.last.timeout
    assert seconds == {"plain": 300, "forget": 300, "more": 200}
    client.get(1, "a")
    assert (policies.last.timeout, policies.last.backoff.base_delay, policies.last.hash_by) == (400, 0.5, "key")


def test_more_specific_settings_override_the_idl(connect: Callable[..., Any], url: str) -> None:
    policies = Policies()

    def timeout(client: Any) -> float:
        client.get(1, "a")
        return policies.last.timeout

    client = connect(filters=[policies])
    assert timeout(client) == 400, "the IDL's"
    with Registry.connect(url) as registry:
        registry.configure("Other", {"timeout": "350"})
        eventually(lambda: timeout(client) != 400)
    assert timeout(client) == 350, "the registry's"
    near = connect(filters=[policies], policy={"methods": {"get": {"timeout": 250}}})
    assert timeout(near) == 250, "the client's"
    assert timeout(near.using(timeout=150)) == 150, "the caller's"
    assert policies.last.hash_by == "key", "of what nobody else speaks, the IDL's word holds"


def test_options_override_fault_mode_and_hash_key_of_the_idl(connect: Callable[..., Any], shops: list[Shop]) -> None:
    client = connect()
    with pytest.raises(Exception, match="failed with"):
        client.using(fault="failfast").forget()
    by_shelf = client.using(policy={"hash_by": "shelf"})
    assert len({by_shelf.get(1, key) for key in "abcdefghijkl"}) == 1


def test_invalid_annotations_are_logged_and_fail_no_call(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    policies = Policies()
    client = connect(filters=[policies])
    for _ in range(2):
        assert client.mistaken() in "abc"
    assert (policies.last.fault, policies.last.retries, policies.last.timeout) == ("failover", 1, 300)
    wrong = [each.getMessage() for each in caplog.records if "ignoring invalid" in each.getMessage()]
    assert len(wrong) == 3, "said once, not with each call"
    assert "ignoring invalid annotations of Store: methods.mistaken.hedge.delay: " in wrong[0]
    assert "did you mean 'hedge'" in wrong[1]
    assert "unknown table 'odd'" in wrong[2]


def test_a_server_at_an_address_is_called_likewise(stub: Any, stack: ExitStack, gone: threading.Event) -> None:
    server = stack.enter_context(Server(stub.store(Shop("a", gone)), "127.0.0.1:0", **QUICK))
    stack.callback(gone.set)
    server.start()
    with stub.StoreClient.connect(str(server.address)) as client:
        assert client.plain() == "a"
        with pytest.raises(DeadlineExceeded, match=r"0\.05"):
            client.never()
        assert client.forget() is None
