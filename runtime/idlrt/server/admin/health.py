"""Health pages, as those of the Kubernetes API server: `/livez`, `/readyz` and `/startupz`.

| request                | response                                                                            |
|------------------------|-------------------------------------------------------------------------------------|
| `/readyz`              | `ok`; or 503 with a line for each check                                             |
| `/readyz?verbose`      | a line for each check                                                               |
| `/readyz?exclude=NAME` | without running that check; the parameter may be repeated                           |
| `/readyz/NAME`         | that check alone; 404 if there is none                                              |

Source: https://kubernetes.io/docs/reference/using-api/health-checks/, with 503 instead of 500
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from idlrt.core import current_call
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.admin.checks import CHECK_TIMEOUT, Check, CheckResult, run_all
from idlrt.server.admin.pages import text_page

__all__ = ["HealthPage"]

# Share of the time that a probe has left, so that it receives the reason before it gives up.
_SHARE: Final = 0.9


class HealthPage:
    """A page with the results of checks.

    Args:
        name: name of the page: `livez`.
        checks: the checks, in the order in which they are shown.
    """

    def __init__(self, name: str, checks: Sequence[Check]) -> None:
        self._name = name
        self._checks = list(checks)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        page, _, name = request.path[1:].partition("/")
        checks = [each for each in self._checks if not name or each.name == name]
        if not checks:
            known = ", ".join(each.name for each in self._checks)
            return text_page(404, f"{page} has no check {name!r} (known: {known})")
        excluded = {value for key, value in request.query if key == "exclude"}
        run = [each for each in checks if each.name not in excluded]
        found = {each.name: each for each in await run_all(run, _timeout())}
        results = [found.get(each.name) or CheckResult(each.name, is_excluded=True) for each in checks]
        is_good = not any(each.reason for each in results)
        if is_good and "verbose" not in dict(request.query):
            return text_page(200, "ok")
        lines = [str(each) for each in results]
        if unknown := sorted(excluded - {each.name for each in checks}):
            lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(map(repr, unknown))}")
        lines.append(f"{self._name} check {'passed' if is_good else 'failed'}")
        return text_page(200 if is_good else 503, "\n".join(lines))


def _timeout() -> float:
    call = current_call()
    return CHECK_TIMEOUT if call is None else min(CHECK_TIMEOUT, max(call.remaining() * _SHARE, 0.01))
