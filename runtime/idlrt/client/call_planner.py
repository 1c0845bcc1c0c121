"""Call plans: policy, guards, fault mode and balancer of each method, built from all layers of configuration.

Calls of one method with the same options share a `Plan`. New settings of the registry are applied on the registry's
thread, which also rebuilds the plans in use, so that no call has to wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from idlrt.balance import BALANCERS
from idlrt.client.picker import BalancerChoice
from idlrt.config import Effective, Layer, check, effective
from idlrt.config.guards import Guards
from idlrt.config.schema import METHODS, section
from idlrt.core import Call, CallNext, CallPolicy, ClockAndRandom, Deadline, Listener, current_call, notify, stack
from idlrt.core.decisions import Decision
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.core.renamed import warn_renamed
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES, FaultMode
from idlrt.observe.sources import PROCESS
from idlrt.observe.tracing.switch import TRACING
from idlrt.spec import Method

if TYPE_CHECKING:
    from idlrt.observe.recording import CallRecorder
    from idlrt.observe.tracing.tracer import Tracer

__all__ = ["CallPlanner", "Metrics", "Plan"]

Metrics: TypeAlias = Literal["instances"] | bool | None
"""Value of the option `metrics` of clients."""

_log: Final = get_logger("idlrt.client")

_NOTHING: Final = Layer("", {})
_MOST_PLANS: Final = 1000


class Plan:
    """Call plan of one method with one set of options.

    Attributes:
        version: version of the settings that it was built from.
        policy: policy of the calls.
        effective: effective settings and their sources.
        mode: fault mode.
        balancer: name and settings of the balancer.
        options_layer: options of the caller, the most specific layer.
        call_next: entry of the call stack: guards, then the base.
        call_next_when_ready: the same for calls that have already waited for the first snapshot.
        is_guarded: whether there are guards.
        blocking: like `call_next`, for blocking clients, without a coroutine; `None` if there are guards or a cluster.
        recorder: records the end of calls, for metrics and traces; `None` if both are off.
        tracer: begins the traces of calls; `None` if tracing is off.
    """

    __slots__ = (
        "balancer",
        "blocking",
        "call_next",
        "call_next_when_ready",
        "effective",
        "is_guarded",
        "mode",
        "options_layer",
        "policy",
        "recorder",
        "tracer",
        "version"
    )  # fmt: skip

    call_next: Callable[[Call], Coroutine[Any, Any, Any]]
    call_next_when_ready: CallNext
    is_guarded: bool

    def __init__(
        self, version: int, effective: Effective, mode: FaultMode, balancer: BalancerChoice, options_layer: Layer
    ) -> None:
        self.version = version
        self.effective = effective
        self.policy: CallPolicy = effective.policy
        self.mode = mode
        self.balancer = balancer
        self.options_layer = options_layer
        self.blocking: Callable[[Call], Any] | None = None
        self.recorder: CallRecorder | None = None
        self.tracer: Tracer | None = None


class _Settings:
    """Immutable version of the settings, with the plans built from it. Replaced as a whole."""

    __slots__ = ("advice", "plans", "service", "text", "version")

    def __init__(
        self, version: int, service: Effective, advice: Layer = _NOTHING, text: Mapping[str, str] | None = None
    ) -> None:
        self.version = version
        self.service = service
        self.advice = advice
        self.text = text
        self.plans: dict[Any, Plan] = {}


class CallPlanner:
    """Call planner of one client. Threads may share it.

    Args:
        layers: configuration layers of the client, the most general first: files, then `connect`.
        sources: clock and random numbers of fault modes, guards and balancers.
        listeners: functions that receive all decisions.
        base: returns the rest of the call stack below the guards, for a plan.
        await_snapshot: waits for the first snapshot, whose settings apply to guards; `None` without a registry.
        caller: name of the calling application; may be empty.
        target: name of the target in metrics.
        metrics: whether to measure calls, as in `ConnectOptions`.

    Attributes:
        version: version of the settings; grows with each change.
        listeners: see above.
        observers: the listeners, and the recorder of metrics; they receive what happens seldom.
        caller: see above.
        target: see above.
        metrics: see above.
    """

    def __init__(
        self,
        layers: Sequence[Layer] = (),
        sources: ClockAndRandom | None = None,
        listeners: Sequence[Listener] = (),
        *,
        base: Callable[[Plan], CallNext],
        await_snapshot: Callable[[Call], Coroutine[Any, Any, None]] | None = None,
        caller: str = "",
        target: str = "",
        metrics: Metrics = False,
    ) -> None:
        self.sources: Final = sources if sources is not None else ClockAndRandom()
        self.observers = self.listeners = tuple(listeners)
        self.caller = caller
        self.target = target
        self.metrics = metrics
        self._is_measuring = False
        self._base = base
        self._await_snapshot = await_snapshot
        self._layers = tuple(layers)
        self._idl: dict[Method[..., Any], Layer] = {}
        self._modes: dict[tuple[str, bytes], FaultMode] = {}
        self._guards = Guards(self.sources, self.notify)
        self._is_closed = False
        self._settings = _Settings(0, effective(self._layers))
        self.version = 0
        self.after_fork()
        forks.register(self)
        if metrics:
            self.measure()
        elif metrics is None:
            PROCESS.when_enabled(self.measure)
        TRACING.follow(self.replan)

    def after_fork(self) -> None:
        """Replace the lock in a child of the process: another thread of the parent may hold it."""
        self._lock = threading.RLock()

    def measure(self) -> None:
        """Measure calls from now on. Idempotent."""
        from idlrt.observe.client_calls import CLIENTS

        with self._lock:
            if self._is_measuring:
                return
            self._is_measuring = True
            self.observers = (*self.listeners, CLIENTS.decided)
            self.replan()

    def replan(self) -> None:
        """Build all plans again, because metrics or tracing are on or off now."""
        with self._lock:
            old = self._settings
            self._settings = _Settings(old.version + 1, old.service, old.advice, old.text)
            self.version = self._settings.version

    def _observe(self, plan: Plan, method: Method[..., Any]) -> None:
        """Set the recorders of a plan."""
        measured: CallRecorder | None = None
        if self._is_measuring:
            from idlrt.observe.client_calls import MethodRecorder

            measured = MethodRecorder(method.full_name, self.target, has_instances=self.metrics == "instances")
        plan.recorder, plan.tracer = measured, TRACING.tracer
        if plan.tracer is not None:
            TRACING.look_for_context()
            from idlrt.observe.tracing.client_calls import TracedRecorder

            plan.recorder = TracedRecorder(plan.tracer, self.target, measured)

    @property
    def service(self) -> Effective:
        """Settings of the service as a whole, without those of methods."""
        return self._settings.service

    def apply_service_config(self, settings: Mapping[str, str], origin: str) -> bool:
        """Apply the settings of the registry for the service. Return whether they have changed.

        Plans in use are rebuilt before the new settings are published. Invalid settings must not fail calls: they are
        logged and ignored.

        Args:
            origin: source of the settings, for messages.
        """
        if settings is self._settings.text:
            return False
        with self._lock:
            old = self._settings
            if settings == old.text or (old.text is None and not settings):
                old.text = settings
                return False
            advice = Layer(origin, _valid(settings, origin))
            new = _Settings(old.version + 1, effective((advice, *self._layers)), advice, settings)
            for key, plan in list(old.plans.items()):
                try:
                    new.plans[key] = self._make(new, key[0], plan.options_layer)
                except ConfigurationError:
                    continue  # the next call raises it
            self._settings = new
            self.version = new.version
        return True

    def plan(self, method: Method[..., Any], options_layer: Layer = _NOTHING) -> Plan:
        """Return the plan for calls of `method`.

        Args:
            options_layer: options of the caller.

        Raises:
            ConfigurationError: the options are invalid.
        """
        settings = self._settings
        # A client may call `using(...)` with the same options for each call.
        key = (method, tuple(options_layer.values.items()))
        try:
            plan = settings.plans.get(key)
        except TypeError:  # an option is not hashable
            with self._lock:
                return self._make(settings, method, options_layer)
        if plan is None:
            with self._lock:
                plan = self._make(settings, method, options_layer)
                if len(settings.plans) >= _MOST_PLANS:
                    settings.plans.clear()
                settings.plans[key] = plan
        return plan

    @property
    def balancers(self) -> list[BalancerChoice]:
        """Distinct balancers of all plans in use."""
        return list({plan.balancer.key: plan.balancer for plan in list(self._settings.plans.values())}.values())

    def on_first_snapshot(self) -> None:
        """Stop guarded calls from waiting for the first snapshot, because it has arrived."""
        if self._await_snapshot is None:
            return
        with self._lock:
            self._await_snapshot = None
            old = self._settings
            if any(plan.is_guarded for plan in old.plans.values()):
                self._settings = _Settings(old.version + 1, old.service, old.advice, old.text)
                self.version = self._settings.version

    def _make(self, settings: _Settings, method: Method[..., Any], options_layer: Layer) -> Plan:
        """Build a plan. Needs the lock."""
        found = effective((self._idl_layer(method), settings.advice, *self._layers, options_layer), method.name)
        policy = found.policy
        mode = self._mode(policy.fault, found)
        plan = Plan(settings.version, found, mode, self._balancer(policy.balancer, found), options_layer)
        self._observe(plan, method)
        guards = self._guards.of(found)
        plan.is_guarded = bool(guards)
        plan.call_next_when_ready = plan.call_next = stack(guards, self._base(plan))
        if guards:
            plan.blocking = None
            if self._await_snapshot is not None:
                plan.call_next = self._await_snapshot_first
        return plan

    async def _await_snapshot_first(self, call: Call) -> Any:
        if self._await_snapshot is not None:
            await self._await_snapshot(call)
        plan: Plan = call.plan
        if plan.version != self.version:
            plan = self.replace_plan(call, plan)
        return await plan.call_next_when_ready(call)

    def replace_plan(self, call: Call, old: Plan) -> Plan:
        """Replace the plan of a call in flight, because settings have changed, as they do for a client's first call."""
        plan = self.plan(call.method, old.options_layer)
        call.plan, call.policy = plan, plan.policy
        given, now = call.deadline.timeout, plan.policy.timeout
        # A deadline that was set by a filter or inherited from an outer call takes precedence.
        if now != given == old.policy.timeout:
            at, outer = call.deadline.at - given + now, current_call()
            if outer is not None and not outer.is_answered:
                at = min(at, call.driver.now() + outer.remaining())
            call.deadline = Deadline(at, now)
        return plan

    def make_call(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Make a call with its plan: the step after the filters."""
        plan: Plan | None = call.plan
        if plan is None:  # a filter has created the call
            plan = call.plan = self.plan(call.method)
            call.policy = plan.policy
        return plan.call_next(call)

    def notify(self, decision: Decision) -> None:
        """Notify the client's listeners, and its recorder."""
        notify(self.observers, decision)

    def _idl_layer(self, method: Method[..., Any]) -> Layer:
        """Return the settings of a method's annotations. Invalid ones are logged and ignored."""
        if not method.policy:
            return _NOTHING
        layer = self._idl.get(method)
        if layer is None:
            front = f"{METHODS}.{method.name}."
            said = {front + key: value for key, value in method.policy.items()}
            sound = _valid(said, f"annotations of {method.service}")
            warn_renamed(sound, f"annotations of {method.service}: ")
            layer = self._idl[method] = Layer("IDL", {key.removeprefix(front): sound[key] for key in sound})
        return layer

    def _mode(self, name: str, found: Effective) -> FaultMode:
        made: Any = FAULT_MODES.get(name)
        settings = found.section(name) if section(name) is not None else made.Settings()
        key = (name, msgspec.json.encode(settings))
        mode = self._modes.get(key)
        if mode is None:
            mode = self._modes[key] = made(settings, self.sources)
            if self._is_closed:
                mode.close()
        return mode

    def _balancer(self, name: str, found: Effective) -> BalancerChoice:
        made: Any = BALANCERS.get(name)
        settings = found.section(name) if section(name) is not None else made.Settings()
        return BalancerChoice(name, settings, (name, msgspec.json.encode(settings)))

    def close(self) -> None:
        """Stop the background work of fault modes."""
        with self._lock:
            self._is_closed = True
            modes = list(self._modes.values())
        for mode in modes:
            mode.close()


def _valid(values: Mapping[str, str], origin: str) -> Mapping[str, str]:
    """Return the valid settings; log the others."""
    for problem in check(values):
        _log.error("ignoring invalid %s: %s", origin, problem, extra={"source": origin, "key": problem.key})
        values = {
            key: value
            for key, value in values.items()
            if key != problem.key and not problem.key.startswith((key + ".", key + "["))
        }
    return values
