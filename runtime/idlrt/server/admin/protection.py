"""Token protection for programs and browsers: a bearer token, or the cookie of a sign-in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from idlrt.core import ServerCall
from idlrt.core.logs import get_logger
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.server.access import require_token
from idlrt.server.admin.pages import wanted_format
from idlrt.server.method_table import ServerCallNext, ServerFilter
from idlrt.web import SignIn, Site

__all__ = ["require_sign_in"]

_log = get_logger("idlrt.server")
_REJECTED: Final = (401, 403)


def require_sign_in(site: Site, tokens: Sequence[str], *, is_secure: bool) -> ServerFilter:
    """Return a filter for a server of pages (`idlrt.protocol.http.pages.PAGES`) that requires a token.

    Programs send `Authorization: Bearer TOKEN`. Browsers get a form, and then have a cookie; see `idlrt.web.SignIn`.
    Files of the web kit are public.

    Args:
        site: appearance of the form.
        tokens: valid tokens.
        is_secure: whether the server has TLS.

    Raises:
        ConfigurationError: there is no token, or one is empty.
    """
    sign_in = SignIn(site, tokens, is_secure=is_secure)
    check_token = require_token(tokens)

    async def check_sign_in(call: ServerCall, next: ServerCallNext) -> Any:
        request: HttpRequest = call.arguments[0]
        response = sign_in.respond(request)
        if response is not None:
            _log_rejection(call, request, response)
            return response
        if sign_in.is_public(request) or sign_in.is_signed_in(request):
            return await next(call)
        if request.verb == "GET" and "authorization" not in request.headers and wanted_format(request) == "html":
            return sign_in.form(request)
        return await check_token(call, next)

    return check_sign_in


def _log_rejection(call: ServerCall, request: HttpRequest, response: HttpResponse) -> None:
    if response.status in _REJECTED:
        fields = {"path": request.path, "peer": call.peer.address, "status": response.status}
        _log.warning("rejected %s from %s: status %d", request.path, call.peer, response.status, extra=fields)
