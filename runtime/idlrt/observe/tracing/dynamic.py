"""Sampling that operators change at run time: settings of this program in a registry.

`sampling.rules` has rules, as JSON, which precede those of the program; `sampling.sampler` names another sampler. While
neither is set, the program samples as it was written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from idlrt.core import DEFAULT_GROUP, Change
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.sampling import Rules, Sampler, SamplingRule, parse_sampler, read_rules, standard_sampler
from idlrt.printable import plural

__all__ = ["DynamicSampling", "Settings", "SettingsRegistry"]

_log: Final = get_logger("idlrt.observe")

_RULES: Final = "sampling.rules"
_SAMPLER: Final = "sampling.sampler"


class Settings(Protocol):
    """Settings of a service that change; a `Subscription`."""

    def listen(self, listener: Callable[[Change], object], /) -> None:
        """Call a function with the current snapshot, if any, and with each new one."""
        ...

    def close(self) -> None:
        """Stop that."""
        ...


class SettingsRegistry(Protocol):
    """Registry that has the settings of services; a `Registry`."""

    def subscribe(self, service: str, group: str = DEFAULT_GROUP, /) -> Settings:
        """Subscribe to a service."""
        ...


class DynamicSampling:
    """Applies settings to the sampler of a tracer. Threads may share it.

    Args:
        program: sampler of the program, which is in use.
        root: sampler inside of it, for new traces.
        rules: rules of the program.
        use: makes another sampler the current one.
        where: name of the settings in messages.
    """

    def __init__(
        self,
        program: Sampler,
        root: Sampler,
        rules: Sequence[SamplingRule],
        use: Callable[[Sampler, Rules | None], object],
        where: str,
    ) -> None:
        self._program = program
        self._root = root
        self._own_rules = tuple(rules)
        self._use = use
        self._where = where
        # Text of the current settings, and the chain of samplers for them.
        self._rules_text: str = ""
        self._sampler_text: str = ""
        self._ruled: Rules | None = None
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock in a forked child, which keeps the settings that the parent had."""
        self._lock = threading.Lock()

    def changed(self, change: Change) -> None:
        """Apply the settings of a snapshot."""
        self.apply(change.snapshot.settings)

    def apply(self, settings: Mapping[str, str]) -> None:
        """Apply settings. Invalid ones are logged, and those before stay in force."""
        rules_text, sampler_text = settings.get(_RULES, ""), settings.get(_SAMPLER, "")
        with self._lock:
            if (rules_text, sampler_text) == (self._rules_text, self._sampler_text):
                return
            try:
                rules = read_rules(rules_text, _RULES)
                root = parse_sampler(sampler_text) if sampler_text else self._root
            except ConfigurationError as error:
                fields = {"service": self._where}
                _log.warning("ignoring the sampling settings of %s: %s", self._where, error, extra=fields)
                return
            if not rules and not sampler_text:
                self._ruled = None
                self._use(self._program, None)
            elif self._ruled is None or sampler_text != self._sampler_text:
                # A sampler starts without what it has counted, so it is kept while only rules change.
                sampler, self._ruled = standard_sampler(root, rules=(*rules, *self._own_rules))
                self._use(sampler, self._ruled)
            else:
                self._ruled.replace((*rules, *self._own_rules))
            self._rules_text, self._sampler_text = rules_text, sampler_text
        text = f"{plural(len(rules), 'rule')}, sampler {sampler_text or 'of the program'}"
        _log.info("sampling of %s: %s", self._where, text, extra={"service": self._where, "rules": len(rules)})
