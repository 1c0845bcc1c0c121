"""Clients of redis-py: commands and pipelines as operations.

The class of an instance becomes a subclass that measures. So bound methods, `isinstance` and the end of the client's
life stay as they are; an attribute with a wrapper would be a reference cycle in each pipeline.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, Final

from idlrt.errors import ConfigurationError
from idlrt.observe.adapters.versions import check_version
from idlrt.observe.metric import OTHER
from idlrt.observe.resources import resource

__all__ = ["is_redis", "measured_redis"]

_LEAST: Final = (6, 0)
_BELOW: Final = (9, 0)

# Of Redis 8 and Valkey 8, and the most common ones of modules.
_COMMAND_NAMES: Final = """
    ACL APPEND ASKING AUTH BGREWRITEAOF BGSAVE BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS BLMOVE BLMPOP BLPOP BRPOP
    BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN CLIENT CLUSTER COMMAND CONFIG COPY DBSIZE DEBUG DECR DECRBY DEL DELEX DIGEST
    DISCARD DUMP ECHO EVAL EVALSHA EVALSHA_RO EVAL_RO EXEC EXISTS EXPIRE EXPIREAT EXPIRETIME FAILOVER FCALL FCALL_RO
    FLUSHALL FLUSHDB FUNCTION GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO
    GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HELLO HEXISTS HEXPIRE HEXPIREAT
    HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT
    HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT INFO KEYS LASTSAVE
    LATENCY LCS LINDEX LINSERT LLEN LMOVE LMPOP LOLWUT LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MEMORY MGET MIGRATE
    MODULE MONITOR MOVE MSET MSETEX MSETNX MULTI OBJECT PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFDEBUG
    PFMERGE PFSELFTEST PING PSETEX PSUBSCRIBE PSYNC PTTL PUBLISH PUBSUB PUNSUBSCRIBE QUIT RANDOMKEY READONLY READWRITE
    RENAME RENAMENX REPLICAOF RESET RESTORE ROLE RPOP RPOPLPUSH RPUSH RPUSHX SADD SAVE SCAN SCARD SCRIPT SDIFF
    SDIFFSTORE SELECT SENTINEL SET SETBIT SETEX SETNX SETRANGE SHUTDOWN SINTER SINTERCARD SINTERSTORE SISMEMBER SLAVEOF
    SLOWLOG SMEMBERS SMISMEMBER SMOVE SORT SORT_RO SPOP SPUBLISH SRANDMEMBER SREM SSCAN SSUBSCRIBE STRLEN SUBSCRIBE
    SUBSTR SUNION SUNIONSTORE SUNSUBSCRIBE SWAPDB SYNC TIME TOUCH TTL TYPE UNLINK UNSUBSCRIBE UNWATCH VADD VCARD VDIM
    VEMB VGETATTR VINFO VLINKS VRANDMEMBER VREM VSETATTR VSIM WAIT WAITAOF WATCH XACK XACKDEL XADD XAUTOCLAIM XCLAIM
    XDEL XDELEX XGROUP XINFO XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZDIFF
    ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE
    ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE
    ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE BF.ADD BF.EXISTS BF.MADD BF.MEXISTS
    FT.AGGREGATE FT.CREATE FT.SEARCH JSON.DEL JSON.GET JSON.MGET JSON.SET TS.ADD TS.MADD TS.RANGE
"""
_COMMANDS: Final = frozenset(_COMMAND_NAMES.split())


def is_redis(client: object) -> bool:
    """Whether an object is of redis-py; does not import it."""
    return any(each.__module__.partition(".")[0] == "redis" for each in type(client).__mro__)


def measured_redis(client: Any, system: str) -> Any:
    """Let a client of redis-py measure its commands and pipelines, and return it. Idempotent.

    Args:
        client: a `Redis`, blocking or asyncio, or a pipeline of one.
        system: name of the resource.

    Raises:
        ConfigurationError: the object or the version of redis-py is not supported.
    """
    import redis
    import redis.asyncio

    check_version("redis-py", redis.__version__, _LEAST, _BELOW)
    if not isinstance(client, redis.Redis | redis.asyncio.Redis):
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        raise ConfigurationError(f"cannot instrument an object of class {kind}: it must be a `Redis` or a pipeline")
    if not hasattr(client, "idlrt_system"):
        client.__class__ = _measuring(type(client), system)
    return client


def _operation(arguments: tuple[Any, ...]) -> str:
    """Return the name of a command. Its other arguments are keys and values."""
    first: object = arguments[0] if arguments else ""
    text = bytes(first).decode("ascii", "replace") if isinstance(first, bytes | bytearray) else str(first)
    name = text.partition(" ")[0].upper()
    return sys.intern(name) if name in _COMMANDS else OTHER


@cache
def _measuring(base: type[Any], system: str) -> type[Any]:
    """Return a subclass of a client class that measures."""
    import redis.asyncio
    import redis.asyncio.client
    import redis.client

    is_async = issubclass(base, redis.asyncio.Redis)
    is_pipeline = issubclass(base, redis.client.Pipeline | redis.asyncio.client.Pipeline)

    def command(self: Any, *args: Any, **options: Any) -> Any:
        with resource(system, _operation(args)):
            return original(self, *args, **options)

    async def command_async(self: Any, *args: Any, **options: Any) -> Any:
        with resource(system, _operation(args)):
            return await original(self, *args, **options)

    def execute(self: Any, *args: Any, **options: Any) -> Any:
        if not len(self) and not self.watching:
            return base.execute(self, *args, **options)  # sends nothing
        with resource(system, "PIPELINE"):
            return base.execute(self, *args, **options)

    async def execute_async(self: Any, *args: Any, **options: Any) -> Any:
        if not len(self) and not self.watching:
            return await base.execute(self, *args, **options)
        with resource(system, "PIPELINE"):
            return await base.execute(self, *args, **options)

    def pipeline(self: Any, *args: Any, **options: Any) -> Any:
        return measured_redis(base.pipeline(self, *args, **options), system)

    # A pipeline collects commands, except while it watches keys.
    name = "immediate_execute_command" if is_pipeline else "execute_command"
    original: Any = getattr(base, name)
    members: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "idlrt_system": system,
        name: command_async if is_async else command,
    }
    if is_pipeline:
        members["execute"] = execute_async if is_async else execute
    else:
        members["pipeline"] = pipeline
    return type(base.__name__, (base,), members)
