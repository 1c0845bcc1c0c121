"""What holds for a client's calls: policies, fault modes and guards, put together from all that is said of them.

Calls of one method, with one set of options, have a `Plan`. It is made once and made anew when the registry says
something new, so what is configurable costs a call a look into a table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.balance import BALANCERS
from idlrt.client.choice import BalancerChoice
from idlrt.config import Effective, Layer, check, effective
from idlrt.config.guards import Guards
from idlrt.config.schema import METHODS, section
from idlrt.core import Call, CallPolicy, Chance, Deadline, Endpoint, Listener, current_call, stack, tell
from idlrt.core.decisions import Decision
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.fault import FAULT_MODES, FaultMode
from idlrt.guard.base import nobody
from idlrt.spec import Method

__all__ = ["Governance", "Plan"]

_log: Final = get_logger("idlrt.client")

_NOTHING: Final = Layer("", {})
_MOST_PLANS: Final = 1000


class Plan:
    """What is done with the calls of one method.

    Attributes:
        version: of the governance that made it.
        policy: of the calls.
        effective: all that holds, and who said so.
        mode: what follows when they fail.
        balancer: what chooses an instance.
        nearest: what the caller has said.
        endpoint: what they go through.
        behind: the same, of who has looked whether something else holds now.
        is_guarded: whether there are guards.
    """

    __slots__ = ("balancer", "behind", "effective", "endpoint", "is_guarded", "mode", "nearest", "policy", "version")

    endpoint: Callable[[Call], Coroutine[Any, Any, Any]]
    behind: Endpoint
    is_guarded: bool

    def __init__(
        self, version: int, effective: Effective, mode: FaultMode, balancer: BalancerChoice, nearest: Layer
    ) -> None:
        self.version = version
        self.effective = effective
        self.policy: CallPolicy = effective.policy
        self.mode = mode
        self.balancer = balancer
        self.nearest = nearest


class Governance:
    """See the module. Threads may share it.

    Args:
        layers: what the client has been told, from the farthest to the nearest: files, then `connect`.
        chance: clock and dice of modes, guards and balancers.
        listeners: are told of all decisions.

    Attributes:
        version: grows whenever something else holds.
        service: what holds for the service as a whole.
        caller: name of the calling application; empty if the configuration does not say.
        listeners: see above.
    """

    def __init__(
        self, layers: Sequence[Layer] = (), chance: Chance | None = None, listeners: Sequence[Listener] = ()
    ) -> None:
        self.chance = chance if chance is not None else Chance()
        self.listeners = tuple(listeners)
        self._layers = tuple(layers)
        self._advice = _NOTHING
        self._settings: Mapping[str, str] | None = None
        self._idl: dict[Method[..., Any], Layer] = {}
        self._modes: dict[tuple[str, bytes], FaultMode] = {}
        self._guards = Guards(self.chance, self.tell if listeners else nobody)
        self._plans: dict[Any, Plan] = {}
        self._is_closed = False
        self.version = 0
        self.caller = ""
        self.service = effective(self._layers)
        # What calls go through behind the guards; whether modes have a say there is the owner's business.
        self.base: Callable[[Plan], Endpoint] = _nowhere
        # Sees whether something else holds now, if that may be.
        self.look: Callable[[Call], Coroutine[Any, Any, None]] | None = None
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.RLock()

    def advise(self, settings: Mapping[str, str], origin: str) -> bool:
        """The registry says this of the service. Whether something else holds now. Mistakes there must not stop calls:
        they are logged and left aside.
        """
        if settings is self._settings:
            return False
        with self._lock:
            if settings == self._settings or (self._settings is None and not settings):
                self._settings = settings
                return False
            self._settings = settings
            self._advice = Layer(origin, _sound(settings, origin))
            self.service = effective((self._advice, *self._layers))
            self.version += 1
        return True

    def plan(self, method: Method[..., Any], nearest: Layer = _NOTHING) -> Plan:
        """What is done with calls of `method`.

        Args:
            nearest: what the caller says.

        Raises:
            ConfigurationError: it makes no sense.
        """
        # Who says `using(...)` for each call says the same over and over again.
        key = (method, tuple(nearest.values.items()))
        try:
            plan = self._plans.get(key)
        except TypeError:  # something in it cannot be a key
            return self._make(method, nearest)
        if plan is None or plan.version != self.version:
            plan = self._make(method, nearest)
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _make(self, method: Method[..., Any], nearest: Layer) -> Plan:
        with self._lock:
            found = effective((self._said_by_idl(method), self._advice, *self._layers, nearest), method.name)
            policy = found.policy
            mode = self._mode(policy.fault, found)
            plan = Plan(self.version, found, mode, self._balancer(policy.balancer, found), nearest)
            guards = self._guards.of(found)
            plan.is_guarded = bool(guards)
            plan.behind = plan.endpoint = stack(guards, self.base(plan))
            if guards and self.look is not None:
                plan.endpoint = self._look_first
            return plan

    async def _look_first(self, call: Call) -> Any:
        assert self.look is not None  # or nobody comes here
        await self.look(call)
        plan: Plan = call.plan
        if plan.version != self.version:
            plan = self.renew_plan(call, plan)
        return await plan.behind(call)

    def renew_plan(self, call: Call, old: Plan) -> Plan:
        """Another plan for a call under way: something else holds since it has begun, as for the first of a client."""
        plan = self.plan(call.method, old.nearest)
        call.plan, call.policy = plan, plan.policy
        given, now = call.deadline.timeout, plan.policy.timeout
        # If a filter has said something, or the call that this one is made for, that holds.
        if now != given == old.policy.timeout:
            at, outer = call.deadline.at - given + now, current_call()
            if outer is not None and not outer.is_answered:
                at = min(at, call.driver.now() + outer.remaining())
            call.deadline = Deadline(at, now)
        return plan

    def enter(self, call: Call) -> Coroutine[Any, Any, Any]:
        """What a call goes through: the leaf of the filters."""
        plan: Plan | None = call.plan
        if plan is None:  # a filter has made the call
            plan = call.plan = self.plan(call.method)
            call.policy = plan.policy
        return plan.endpoint(call)

    def tell(self, decision: Decision) -> None:
        """Tell the client's listeners."""
        tell(self.listeners, decision)

    def _said_by_idl(self, method: Method[..., Any]) -> Layer:
        """What annotations say of a method. Whoever calls it cannot mend them: mistakes are logged and left aside."""
        if not method.policy:
            return _NOTHING
        layer = self._idl.get(method)
        if layer is None:
            front = f"{METHODS}.{method.name}."
            said = {front + key: value for key, value in method.policy.items()}
            sound = _sound(said, f"the IDL of {method.service}")
            layer = self._idl[method] = Layer("IDL", {key.removeprefix(front): sound[key] for key in sound})
        return layer

    def _mode(self, name: str, found: Effective) -> FaultMode:
        made: Any = FAULT_MODES.get(name)
        settings = found.section(name) if section(name) is not None else made.Settings()
        key = (name, msgspec.json.encode(settings))
        mode = self._modes.get(key)
        if mode is None:
            mode = self._modes[key] = made(settings, self.chance)
            if self._is_closed:
                mode.close()
        return mode

    def _balancer(self, name: str, found: Effective) -> BalancerChoice:
        made: Any = BALANCERS.get(name)
        settings = found.section(name) if section(name) is not None else made.Settings()
        return BalancerChoice(name, settings, (name, msgspec.json.encode(settings)))

    def close(self) -> None:
        """End what goes on in the background."""
        with self._lock:
            self._is_closed = True
            modes = list(self._modes.values())
        for mode in modes:
            mode.close()


def _sound(values: Mapping[str, str], origin: str) -> Mapping[str, str]:
    """Those that can be used; the others are logged."""
    for problem in check(values):
        _log.error("%s is wrong, and left aside: %s", origin, problem)
        values = {
            key: value
            for key, value in values.items()
            if key != problem.key and not problem.key.startswith((key + ".", key + "["))
        }
    return values


def _nowhere(plan: Plan) -> Endpoint:
    raise AssertionError("the governance has no leaf yet")
