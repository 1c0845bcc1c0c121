"""Sign-in with a token, for browsers, which cannot send `Authorization: Bearer TOKEN` with the pages that they load.

The form is a plain one. Requests to sign in and out must come from a page of the same origin. A sign-in is a cookie
that scripts cannot read and that browsers send with requests of the own pages only. Its value is an expiry time and a
random number, with a MAC whose key is made of the token and of a random secret of the process: it neither reveals the
token nor outlives the process, and it ends with the token that it was made of.

Cookies belong to a host, not to a port, so the name contains the port; other ports of the host see it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from idlrt.errors import ConfigurationError, RemoteProtocolError
from idlrt.protocol.http.forms import URL_ENCODED, cookies_of, parse_pairs
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web.assets import ASSETS_PATH
from idlrt.web.security import is_cross_origin
from idlrt.web.site import COOKIE_PREFIX, Site

__all__ = ["SIGN_IN", "SIGN_OUT", "SignIn"]

SIGN_IN: Final = "/sign-in"
SIGN_OUT: Final = "/sign-out"

_LIFETIME_S: Final = 12 * 3600
_SECRET_SIZE: Final = 32
_NONCE_SIZE: Final = 16
_MAX_VALUE: Final = 256


class SignIn:
    """Sign-in pages and cookies of one site.

    Args:
        site: the site.
        tokens: valid tokens.
        is_secure: whether the pages are served with TLS, so that browsers send the cookie with TLS only.
        lifetime_s: seconds for which a sign-in is valid.
        now: returns the time in seconds since 1970.

    Raises:
        ConfigurationError: there is no token, or one is empty.
    """

    def __init__(
        self,
        site: Site,
        tokens: Sequence[str],
        *,
        is_secure: bool,
        lifetime_s: int = _LIFETIME_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not tokens or not all(tokens):
            raise ConfigurationError("sign-in: requires at least one token, and no empty ones")
        secret = secrets.token_bytes(_SECRET_SIZE)
        self._site = site
        self._tokens = [each.encode() for each in tokens]
        self._keys = [hmac.digest(secret, each, hashlib.sha256) for each in self._tokens]
        self._is_secure = is_secure
        self._lifetime_s = lifetime_s
        self._now = now
        # Nonces of sign-ins that were ended, with their expiry times.
        self._ended: dict[str, int] = {}

    def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response to a request to sign in or out; `None` for other requests."""
        if request.path not in (SIGN_IN, SIGN_OUT):
            return None
        if request.path == SIGN_IN and request.verb == "GET":
            return self.form(request, status=200, after="/")
        if request.verb != "POST":
            allowed = "GET, HEAD, POST" if request.path == SIGN_IN else "POST"
            return _text(405, f"this page supports {allowed}", ("allow", allowed))
        if is_cross_origin(request, needs_origin=True):
            return _text(403, "requests of pages of other sites are not allowed")
        return self._sign_in(request) if request.path == SIGN_IN else self._sign_out(request)

    def is_public(self, request: HttpRequest) -> bool:
        """Whether a request needs no token: files of the kit."""
        return request.verb == "GET" and request.path.startswith(f"{ASSETS_PATH}/")

    def is_signed_in(self, request: HttpRequest) -> bool:
        """Whether a request has a valid cookie."""
        return self._valid_sign_in(request) is not None

    def form(self, request: HttpRequest, *, status: int = 401, after: str = "", error: str = "") -> HttpResponse:
        """Return the page with the form.

        Args:
            request: the request.
            status: status code.
            after: path and query of the page to show after signing in. Default: those of the request.
            error: why signing in failed.
        """
        headers = (("www-authenticate", "Bearer"),) if status == 401 else ()
        after = after or _target(request)
        return self._site.page(
            request, "sign_in.html", title="Sign in", status=status, headers=headers, after=after, error=error
        )

    def _sign_in(self, request: HttpRequest) -> HttpResponse:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.encode("latin-1", "replace") != URL_ENCODED:
            return _text(415, f"the content type must be {URL_ENCODED.decode()}")
        try:
            fields = parse_pairs(request.body, "form")
        except RemoteProtocolError as error:
            return _text(400, str(error))
        token, after = fields.get("token", [""])[-1].strip(), fields.get("after", [""])[-1]
        if not _is_local(after):
            after = "/"
        given = token.encode(errors="surrogatepass")
        # Compare with all of them, so that the duration does not reveal which one matched.
        matches = [hmac.compare_digest(given, each) for each in self._tokens]
        if not any(matches):
            return self.form(request, after=after, error="invalid token" if token else "missing token")
        expires = int(self._now()) + self._lifetime_s
        signed = f"{expires}.{secrets.token_hex(_NONCE_SIZE)}"
        value = f"{signed}.{_mac(self._keys[matches.index(True)], signed)}"
        return _redirect(f".{after}", self._cookie(request, value, self._lifetime_s))

    def _sign_out(self, request: HttpRequest) -> HttpResponse:
        found = self._valid_sign_in(request)
        if found is not None:
            expires, nonce = found
            now = self._now()
            self._ended = {each: until for each, until in self._ended.items() if until > now} | {nonce: expires}
        return _redirect(f".{SIGN_IN}", self._cookie(request, "", 0))

    def _valid_sign_in(self, request: HttpRequest) -> tuple[int, str] | None:
        """Return the expiry time and the nonce of a valid cookie."""
        header = request.headers.get("cookie", "")
        value = cookies_of(header.encode("latin-1", "replace")).get(self._cookie_name(request), [""])[0]
        signed, _, mac = value.rpartition(".")
        expires, _, nonce = signed.partition(".")
        if len(value) > _MAX_VALUE or not value.isascii() or not expires.isdecimal():
            return None
        if not sum(hmac.compare_digest(mac, _mac(key, signed)) for key in self._keys):
            return None
        if int(expires) <= self._now() or nonce in self._ended:
            return None
        return int(expires), nonce

    def _cookie_name(self, request: HttpRequest) -> str:
        port = request.headers.get("host", "").rpartition(":")[2]
        name = f"{COOKIE_PREFIX}-{port if port.isascii() and port.isdecimal() else 'default'}"
        return f"__Host-{name}" if self._is_secure else name

    def _cookie(self, request: HttpRequest, value: str, seconds: int) -> tuple[str, str]:
        secure = "; Secure" if self._is_secure else ""
        name = self._cookie_name(request)
        return "set-cookie", f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _target(request: HttpRequest) -> str:
    """Return the path and the query of a request."""
    query = urlencode(request.query)
    return quote(request.path) + (f"?{query}" if query else "")


def _is_local(target: str) -> bool:
    """Whether a target is a path of the same site."""
    return target.startswith("/") and not target.startswith(("//", "/\\")) and target.isascii() and target.isprintable()


def _redirect(location: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(status=303, headers=(("location", location), *headers))


def _text(status: int, text: str, *headers: tuple[str, str]) -> HttpResponse:
    return HttpResponse(status=status, body=f"{text}\n".encode(), headers=headers)
