"""Guards of a server, built from its `guards` option and its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from idlrt.config import Layer, Problem, check, effective, flatten, invalid, read_config
from idlrt.config.guards import Guards
from idlrt.config.schema import locate, section
from idlrt.core import ClockAndRandom, Listener
from idlrt.core.renamed import warn_renamed
from idlrt.guard.base import no_listener
from idlrt.server.method_table import ServerFilter
from idlrt.spec import Method

__all__ = ["server_guards"]


def server_guards(
    given: Mapping[str, Any], config: Any, listener: Listener = no_listener
) -> Callable[[Method[..., Any]], Sequence[ServerFilter]]:
    """Return a function that returns the guards of a method.

    Args:
        given: the server's `guards` option, as nested tables; overrides `config`.
        config: configuration as accepted by `read_config`.
        listener: receives the decisions of the guards.

    Raises:
        ConfigurationError: an option or the configuration is invalid.
    """
    layers = [Layer("config", read_config(config).server), Layer("guards", _checked(given))]
    guards = Guards(ClockAndRandom(), listener)

    def of(method: Method[..., Any]) -> Sequence[ServerFilter]:
        return guards.of(effective(layers, method.name))

    return of


def _checked(given: Mapping[str, Any]) -> Mapping[str, Any]:
    flat = flatten(given)
    problems = check(flat)
    if not problems:
        problems = [Problem(key, "only guards apply to servers") for key in flat if not _is_of_guard(key)]
    if problems:
        raise invalid(problems, "guards of a server")
    warn_renamed(flat, "guards of a server: ")
    return flat


def _is_of_guard(key: str) -> bool:
    found = section(locate(key)[1])
    return found is not None and found.kind == "guard"
