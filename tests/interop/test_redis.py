"""Clients of redis-py that measure, against a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from measured import grown, process_counts
from redis_server import redis_server

from idlrt import observe
from idlrt.errors import ConfigurationError

pytestmark = pytest.mark.slow

DURATION = "resource_duration_seconds"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture
def client(path: str) -> Iterator[redis.Redis]:
    with observe.instrument(redis.Redis(unix_socket_path=path, decode_responses=True)) as found:
        found.flushall()
        yield found


Operations = Callable[[], dict[tuple[str, str], float]]


@pytest.fixture
def operations(client: redis.Redis) -> Operations:
    """Returns operations and their errors since the test began, by number."""
    before = process_counts(DURATION)
    return lambda: {(labels[1], labels[3]): value for labels, value in grown(before, DURATION).items()}


def test_commands_are_operations(client: redis.Redis, operations: Operations) -> None:
    assert client.set("secret key", "secret value") is True
    assert client.get("secret key") == "secret value"
    assert client.get("other") is None
    client.hset("hash", mapping={"a": 1})
    client.config_set("maxmemory-policy", "noeviction")
    assert operations() == {("SET", ""): 1, ("GET", ""): 2, ("HSET", ""): 1, ("CONFIG", ""): 1}
    assert "secret" not in repr(process_counts(DURATION))


def test_unknown_commands_are_one_operation(client: redis.Redis, operations: Operations) -> None:
    for number in range(3):
        with pytest.raises(redis.ResponseError):
            client.execute_command(f"NOSUCH{number}", "x")
    assert client.execute_command(b"get", "x") is None
    assert client.execute_command("CONFIG GET", "maxmemory") is not None
    assert operations() == {("_OTHER", "ResponseError"): 3, ("GET", ""): 1, ("CONFIG", ""): 1}


def test_errors_have_their_class(client: redis.Redis, operations: Operations) -> None:
    client.set("text", "x")
    with pytest.raises(redis.ResponseError):
        client.incr("text")
    lost = observe.instrument(redis.Redis(unix_socket_path="/nonexistent/socket"))
    with lost, pytest.raises(redis.ConnectionError):
        lost.ping()
    assert operations() == {("SET", ""): 1, ("INCRBY", "ResponseError"): 1, ("PING", "ConnectionError"): 1}


def test_a_pipeline_is_one_operation(client: redis.Redis, operations: Operations) -> None:
    with client.pipeline() as pipeline:
        assert isinstance(pipeline, redis.client.Pipeline)
        chain: Any = pipeline
        assert chain.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
        assert pipeline.execute() == []
    plain = client.pipeline(transaction=False)
    plain.ping()
    assert plain.execute() == [True]
    assert operations() == {("PIPELINE", ""): 2}


def test_a_pipeline_that_fails(client: redis.Redis, operations: Operations) -> None:
    pipeline: Any = client.pipeline()
    pipeline.set("a", "x").incr("a")
    with pytest.raises(redis.ResponseError):
        pipeline.execute()
    assert operations() == {("PIPELINE", "ResponseError"): 1}


def test_transactions_with_watched_keys(client: redis.Redis, operations: Operations) -> None:
    def double(pipeline: Any) -> None:
        value = int(pipeline.get("a") or 1)
        pipeline.multi()
        pipeline.set("a", value * 2)

    assert client.transaction(double, "a") == [True]
    assert operations() == {("WATCH", ""): 1, ("GET", ""): 1, ("PIPELINE", ""): 1}


def test_asynchronous_clients(path: str, client: redis.Redis, operations: Operations) -> None:
    async def run() -> None:
        made = redis.asyncio.Redis(unix_socket_path=path, decode_responses=True)
        async with observe.instrument(made) as connected:
            assert await connected.set("a", 1)
            found = await asyncio.gather(*(connected.incr("a") for _ in range(5)))
            assert sorted(found) == [2, 3, 4, 5, 6]
            pipeline: Any
            async with connected.pipeline() as pipeline:
                assert await pipeline.get("a").incr("a").execute() == ["6", 7]
                await pipeline.watch("a")
                assert await pipeline.get("a") == "7"
            with pytest.raises(redis.ResponseError):
                await connected.lpush("a", 1)

    asyncio.run(run())
    assert operations() == {
        ("SET", ""): 1,
        ("INCRBY", ""): 5,
        ("PIPELINE", ""): 1,
        ("WATCH", ""): 1,
        ("GET", ""): 1,
        # The end of the pipeline, which forgets the watched keys.
        **({("UNWATCH", ""): 1} if ("UNWATCH", "") in operations() else {}),
        ("LPUSH", "ResponseError"): 1,
    }


def test_a_cancelled_command_is_an_error(path: str, operations: Operations) -> None:
    async def run() -> None:
        async with observe.instrument(redis.asyncio.Redis(unix_socket_path=path)) as connected:
            task = asyncio.ensure_future(connected.blpop(["nothing"], timeout=0))
            while process_counts("resource_in_flight")[("redis",)] < 1:
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert operations() == {("BLPOP", "CancelledError"): 1}
    assert process_counts("resource_in_flight")[("redis",)] == 0


def test_other_clients_are_not_measured(path: str, client: redis.Redis, operations: Operations) -> None:
    with redis.Redis(unix_socket_path=path) as other:
        other.ping()
        pipeline = other.pipeline()
        pipeline.ping()
        pipeline.execute()
    assert operations() == {}


def test_a_client_stays_what_it_is(path: str) -> None:
    client = redis.Redis(unix_socket_path=path)
    assert observe.instrument(observe.instrument(client)) is client
    assert isinstance(client, redis.Redis)
    assert type(client).__name__ == "Redis"
    # It ends with its last reference, without the garbage collector.
    gc.disable()
    try:
        alive = weakref.ref(client.pipeline())
        assert alive() is None
    finally:
        gc.enable()
    client.close()


def test_the_system_may_have_another_name(path: str) -> None:
    before = process_counts(DURATION)
    with observe.instrument(redis.Redis(unix_socket_path=path), system="sessions") as client:
        pipeline = client.pipeline()
        pipeline.ping()
        pipeline.execute()
        client.ping()
    assert grown(before, DURATION) == {
        ("sessions", "PIPELINE", "ok", ""): 1,
        ("sessions", "PING", "ok", ""): 1,
    }


def test_what_is_not_supported_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = redis.ConnectionPool.from_url(f"unix://{path}")
    with pytest.raises(ConfigurationError, match=r"ConnectionPool: it must be a `Redis` or a pipeline"):
        observe.instrument(pool)
    monkeypatch.setattr(redis, "__version__", "9.0.0")
    with pytest.raises(
        ConfigurationError, match=r"cannot instrument redis-py 9\.0\.0: supported are versions from 6\.0"
    ):
        observe.instrument(redis.Redis(unix_socket_path=path))
