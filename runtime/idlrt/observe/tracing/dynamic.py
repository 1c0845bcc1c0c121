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
from idlrt.observe.tracing.roots import TagRules
from idlrt.observe.tracing.sampling import (
    Decision,
    Never,
    ParentBased,
    Rules,
    Sampler,
    SampleRequest,
    parse_sampler,
    read_rules,
    standard_sampler,
)
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


class _RulesFirst:
    """Sampler and `TagRules`: the rules of the settings, those of the program, and another sampler.

    Args:
        rules: the rules, the first ones first.
        otherwise: asked if no rule matches.
    """

    def __init__(self, rules: Sequence[Rules], otherwise: Sampler) -> None:
        self._rules = tuple(rules)
        self._otherwise = otherwise

    def decide(self, request: SampleRequest) -> Decision:
        """Return the decision about the trace of a call."""
        for each in self._rules:
            found = each.ruled(request)
            if found is not None:
                return found
        return self._otherwise.decide(request)

    @property
    def has_tags(self) -> bool:
        """Whether a rule that forces has conditions on tags."""
        return any(each.has_tags for each in self._rules)

    def forces(self, request: SampleRequest) -> bool:
        """Return whether a rule about tags forces a trace; see `Rules.forces`."""
        return any(each.forces(request) for each in self._rules)


class DynamicSampling:
    """Applies settings to the sampler of a tracer. Threads may share it.

    Args:
        program: sampler of the program, which is in use.
        rules: rules of the program, which it may replace; `None` for none.
        use: makes another sampler the current one, with the rules in it.
        where: name of the settings in messages.
    """

    def __init__(
        self,
        program: Sampler,
        rules: Rules | None,
        use: Callable[[Sampler, TagRules | None], object],
        where: str,
    ) -> None:
        self._program = program
        self._rules = rules
        self._use = use
        self._where = where
        # Text of the current settings, and the rules in them.
        self._rules_text: str = ""
        self._sampler_text: str = ""
        self._settings = Rules((), Never())
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
                root = parse_sampler(sampler_text) if sampler_text else None
            except ConfigurationError as error:
                fields = {"service": self._where}
                _log.warning("ignoring the sampling settings of %s: %s", self._where, error, extra=fields)
                return
            self._settings.replace(rules)
            is_same = sampler_text == self._sampler_text and bool(rules_text) == bool(self._rules_text)
            self._rules_text, self._sampler_text = rules_text, sampler_text
            if not is_same:
                # Samplers begin without what they have counted, so they are kept while only rules change.
                self._use(*self._chain(root))
        text = f"{plural(len(rules), 'rule')}, sampler {sampler_text or 'of the program'}"
        _log.info("sampling of %s: %s", self._where, text, extra={"service": self._where, "rules": len(rules)})

    def _chain(self, root: Sampler | None) -> tuple[Sampler, TagRules | None]:
        """Return the sampler for the settings, and the rules in it.

        Args:
            root: sampler of the settings; `None`: that of the program.
        """
        program = self._program
        own = () if self._rules is None else (self._rules,)
        if root is not None:
            usual, _ = standard_sampler(root)
            chain = _RulesFirst((self._settings, *own), usual.root if isinstance(usual, ParentBased) else usual)
            return ParentBased(chain), chain
        if not self._rules_text:
            return program, self._rules
        # The sampler of the program has its rules.
        inner = program.root if isinstance(program, ParentBased) else program
        chain = _RulesFirst((self._settings,), inner)
        tagged = _RulesFirst((self._settings, *own), inner)
        return ParentBased(chain) if isinstance(program, ParentBased) else chain, tagged
