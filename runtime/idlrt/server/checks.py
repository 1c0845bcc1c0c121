"""Filter that checks the constraints of the IDL (annotations `vt.*`) before handlers are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.errors import ApplicationCode, ApplicationError
from idlrt.serialization.constraints import ConstraintViolation, constraints_of
from idlrt.server.method_table import ServerCallNext, ServerFilter
from idlrt.spec import Method

__all__ = ["check_constraints", "with_validation"]

_log = get_logger("idlrt.server")


class _ConstraintsFilter:
    """The filter. It is left out of the chains of methods without constraints.

    Args:
        checks_elements: whether structs in containers are checked unless the IDL excludes them.
    """

    def __init__(self, *, checks_elements: bool = True) -> None:
        self._checks_elements = checks_elements

    def applies_to(self, method: Method[..., Any]) -> bool:
        """Compile the constraints of a method, and return whether it has any."""
        return constraints_of(method, checks_elements=self._checks_elements) is not None

    async def __call__(self, call: ServerCall, next: ServerCallNext) -> Any:
        check = constraints_of(call.method, checks_elements=self._checks_elements)
        if check is not None:
            try:
                check(call.arguments)
            except ConstraintViolation as error:
                method = call.method.full_name
                paths = ", ".join(path for path, _ in error.violations[:5])
                fields = {"method": method, "peer": call.peer.address, "paths": paths}
                _log.info("rejected %s from %s: constraints violated: %s", method, call.peer, paths, extra=fields)
                raise ApplicationError(str(error), ApplicationCode.PROTOCOL_ERROR) from error
        return await next(call)


def with_validation(filters: Sequence[ServerFilter], *, is_on: bool) -> Sequence[ServerFilter]:
    """Return the filters of a server, followed by that of the option `validate` if it is on.

    Callers are rejected by the filters before it learns what they sent.
    """
    return (*filters, _ConstraintsFilter(checks_elements=False)) if is_on else filters


def check_constraints() -> ServerFilter:
    """Return a filter that rejects calls whose arguments violate constraints of the IDL, with any protocol.

    The client receives an `ApplicationError` with `ApplicationCode.PROTOCOL_ERROR` that names all violations by path;
    the handler is not called. The cause of the error (`__cause__`) is a
    `idlrt.serialization.constraints.ConstraintViolation`. Put the filter behind those that check who calls.

    Unlike `Server(validate=True)`, it also checks structs in containers, unless the IDL says `vt.elem.skip`.

    Creating a server with this filter raises `ConfigurationError` if a constraint is invalid.
    """
    return _ConstraintsFilter()
