"""Active health checks: pings the endpoints of a cluster, on the registry's thread, over separate connections.

An endpoint that this client calls is pinged when it has not responded to anything for a while; an unhealthy one is
pinged after its pauses. `idlrt.client.health` evaluates the results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from idlrt.client.aio import MultiplexedTransport
from idlrt.client.cluster import Cluster
from idlrt.client.endpoint import Endpoint
from idlrt.client.ping import PING
from idlrt.core import AsyncioDriver, Call, Deadline, Instance
from idlrt.core.logs import cleaned, get_logger
from idlrt.errors import NotSent, RpcError, Unknown

__all__ = ["watch"]

_log = get_logger("idlrt.client")

# Seconds between checks of which pings are due.
_TICK: Final = 0.05
# Timeout of a ping, in seconds.
_TIMEOUT: Final = 1.0


async def watch(cluster: Cluster[Any], make: Callable[[Instance], MultiplexedTransport], idle: float) -> None:
    """Ping the endpoints of `cluster` until cancelled.

    Args:
        make: creates the transport of the pings to an instance.
        idle: seconds without a response after which a healthy endpoint is pinged.
    """
    driver = AsyncioDriver()
    transports: dict[Endpoint[Any], MultiplexedTransport] = {}
    asking: dict[Endpoint[Any], asyncio.Task[None]] = {}

    async def ask(endpoint: Endpoint[Any]) -> None:
        transport = transports.get(endpoint)
        if transport is None:
            transport = transports[endpoint] = make(endpoint.instance)
        now = driver.now()
        call = Call(PING, (), endpoint.target, Deadline(now + _TIMEOUT, _TIMEOUT), driver)
        try:
            await transport.send(call)
        except (NotSent, Unknown) as error:
            cluster.failed(endpoint, error, driver.now())
            # The next ping needs a new transport: this one would back off before it reconnects.
            transports.pop(endpoint, None)
            await transport.close()
        except RpcError as error:
            fields = {"instance": endpoint.instance.address, "reason": cleaned(str(error))}
            _log.info("ignoring an unexpected response to a ping from %s: %s", endpoint.target, error, extra=fields)
        else:
            cluster.answered(endpoint, driver.now())

    try:
        while True:
            await asyncio.sleep(_TICK)
            endpoints = cluster.endpoints
            now = driver.now()
            for endpoint in endpoints:
                if endpoint in asking or not (endpoint.is_used or endpoint.health.is_unhealthy):
                    continue
                if endpoint.health.is_ping_due(now, idle):
                    endpoint.health.pinged_at = now
                    task = asking[endpoint] = asyncio.get_running_loop().create_task(ask(endpoint))
                    task.add_done_callback(partial(_over, asking, endpoint))
            for endpoint in transports.keys() - endpoints - asking.keys():
                await transports.pop(endpoint).close()
    finally:
        for task in asking.values():
            task.cancel()
        await asyncio.gather(*asking.values(), return_exceptions=True)
        for transport in transports.values():
            await transport.close()


def _over(asking: dict[Endpoint[Any], asyncio.Task[None]], endpoint: Endpoint[Any], task: asyncio.Task[None]) -> None:
    asking.pop(endpoint, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("failed to ping %s", endpoint.target, exc_info=error, extra={"instance": endpoint.instance.address})
