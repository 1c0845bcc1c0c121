"""Base of blocking and asyncio clients: options, and the start of a call."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack

from idlrt.client.arguments import arrange
from idlrt.client.assemble import assemble
from idlrt.client.governance import Governance, Plan
from idlrt.client.options import CallOptions, layer_of, read_options
from idlrt.client.stats import ClientStats, PoolStats, endpoint_stats, total
from idlrt.core import (
    NO_CONTEXT,
    Call,
    Deadline,
    Driver,
    Endpoint,
    Filter,
    current_call,
)
from idlrt.errors import ConfigurationError, DeadlineExceeded
from idlrt.spec import Method, Service

if TYPE_CHECKING:
    pass

__all__ = ["ClientBase", "service_name"]

P = ParamSpec("P")
R = TypeVar("R")


class ClientBase:
    """Base of both kinds of client. Made by `connect`."""

    __thrift_service__: Service

    def __init__(
        self,
        leaf: Endpoint,
        driver: Driver,
        target: str,
        options: CallOptions,
        filters: Sequence[Filter],
        governance: Governance | None,
    ) -> None:
        self._target = target
        self._driver = driver
        self._now = driver.now
        if governance is None:
            governance = Governance(base=lambda plan: leaf)
        self._governance = governance
        # Without filters a call goes straight to its plan.
        self._endpoint = assemble(filters, governance.enter) if filters else None
        self._set(options)

    def _set(self, options: CallOptions) -> None:
        read_options(options)
        self._options = options
        self._said = layer_of(options)
        self._plans: dict[Method[..., Any], Plan] = {}
        self._metadata = dict(options.get("metadata", {}))
        self._tag = options.get("tag")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._target}>"

    def _stats_of(self, found: PoolStats) -> ClientStats:
        if isinstance(found, ClientStats):
            return found
        address = self._target.removeprefix("tcp://")
        return total((endpoint_stats(address, address, found),))

    def using(self, **options: Unpack[CallOptions]) -> Self:
        """The same client, over the same connections, with other options for its calls.

        Closing either closes both.

        Args:
            options: see `CallOptions`; those that are not given stay as they are, the others are replaced.

        Raises:
            ConfigurationError: there is no such option, or its value makes no sense.
        """
        other = copy.copy(self)
        other._set({**self._options, **options})
        return other

    def _start(self, method: Method[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The coroutine of a call."""
        if named or len(arguments) != len(method.arguments):
            arguments = arrange(method, arguments, named)
        plan = self._plans.get(method)
        if plan is None or plan.version != self._governance.version:
            plan = self._plans[method] = self._governance.plan(method, self._said)
        policy = plan.policy
        timeout, outer = policy.timeout, current_call()
        metadata = self._metadata.copy()  # a filter may add to it
        context, tag = NO_CONTEXT, self._tag
        if outer is not None and not outer.is_answered:
            # A nested call must not outlive the deadline of the call that makes it.
            timeout = min(timeout, outer.remaining())
            if timeout <= 0:
                what = f"no time is left to call {method.full_name} at {self._target}"
                why = f"the caller of {outer.method.full_name}, which calls it, does not wait any longer"
                raise DeadlineExceeded(f"{what}: {why}")
            # What a call has from the call on whose behalf it is made: its tag, and that it is a retry.
            context = outer.context
        deadline = Deadline(self._now() + timeout, timeout)
        call = Call(
            method,
            arguments,
            self._target,
            deadline,
            self._driver,
            metadata,
            self._options,
            policy,
            (),
            plan,
            context.attempt,
            context.tag if tag is None else tag,
            self._governance.caller,
        )
        return plan.endpoint(call) if self._endpoint is None else self._endpoint(call)


def service_name(client: type[ClientBase], multiplexed: object) -> str:
    """The name of a client's service among several, as `connect` is told; empty if there is only one.

    Raises:
        ConfigurationError: the name cannot be one.
    """
    if multiplexed is False:
        return ""
    name = client.__thrift_service__.name if multiplexed is True else multiplexed
    if not isinstance(name, str) or not name or ":" in name:
        raise ConfigurationError(f"multiplexed must be true, false or the name of a service, not {multiplexed!r}")
    return name
