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
from idlrt.client.node import Node
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
    transports: dict[Node[Any], MultiplexedTransport] = {}
    asking: dict[Node[Any], asyncio.Task[None]] = {}

    async def ask(node: Node[Any]) -> None:
        transport = transports.get(node)
        if transport is None:
            transport = transports[node] = make(node.instance)
        now = driver.now()
        call = Call(PING, (), node.target, Deadline(now + _TIMEOUT, _TIMEOUT), driver)
        try:
            await transport.send(call)
        except (NotSent, Unknown) as error:
            cluster.failed(node, error, driver.now())
            # The next ping needs a new transport: this one would back off before it reconnects.
            transports.pop(node, None)
            await transport.close()
        except RpcError as error:
            fields = {"instance": node.instance.address, "reason": cleaned(str(error))}
            _log.info("ignoring an unexpected response to a ping from %s: %s", node.target, error, extra=fields)
        else:
            cluster.answered(node, driver.now())

    try:
        while True:
            await asyncio.sleep(_TICK)
            nodes = cluster.nodes
            now = driver.now()
            for node in nodes:
                if node in asking or not (node.is_used or node.health.is_out):
                    continue
                if node.health.is_ping_due(now, idle):
                    node.health.pinged_at = now
                    task = asking[node] = asyncio.get_running_loop().create_task(ask(node))
                    task.add_done_callback(partial(_over, asking, node))
            for node in transports.keys() - nodes - asking.keys():
                await transports.pop(node).close()
    finally:
        for task in asking.values():
            task.cancel()
        await asyncio.gather(*asking.values(), return_exceptions=True)
        for transport in transports.values():
            await transport.close()


def _over(asking: dict[Node[Any], asyncio.Task[None]], node: Node[Any], task: asyncio.Task[None]) -> None:
    asking.pop(node, None)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("failed to ping %s", node.target, exc_info=error, extra={"instance": node.instance.address})
