"""Beacon: a route by which browsers and apps report how long features took for their users.

A request has a JSON list of reports:

    [{"feature": "checkout", "outcome": "ok", "seconds": 1.2, "steps": {"pay": 0.7}}]

Only names that the server lists are recorded, and the rate, the size and the number of reports are limited, because
anyone can send them. Either all reports of a request are recorded, or none.

Browsers send them with `navigator.sendBeacon`, as text or as JSON, also from pages of other origins that are allowed.
Requests without the header `Origin` are those of apps: the check of origins only keeps out pages of other sites.

Sources: https://w3c.github.io/beacon/, https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from idlrt.errors import ConfigurationError
from idlrt.observe.features import Features, process_features
from idlrt.observe.timed import checked_label
from idlrt.printable import plural, printable
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.protocol.http.statuses import code_of, title

__all__ = ["Beacon", "BeaconRoute"]

_ORIGIN: Final = re.compile(r"https?://[^/\s?#@]+")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_KINDS: Final = ("application/json", "text/plain")
_PROBLEM: Final = "application/problem+json"
_MAX_AGE: Final = "7200"  # the most that Chromium caches
_LARGEST: Final = 1 << 20


class Beacon(msgspec.Struct, frozen=True, kw_only=True):
    """Option `beacon` of `idlrt.Http`: accept figures of browsers and apps.

    Attributes:
        features: names of the features that may be reported.
        steps: names of their steps that may be reported.
        origins: origins of pages that may report, such as `https://app.example.com`, in addition to the origin of the
            server itself; `*` allows all.
        rate: highest number of requests in a second, of all users together, for each server process.
        max_bytes: largest body of a request.
        max_entries: highest number of reports in a request.
        max_seconds: longest duration that may be reported.
        path: path of the route.

    Raises:
        ConfigurationError: a value is invalid.
    """

    features: tuple[str, ...]
    steps: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    rate: float = 50.0
    max_bytes: int = 2048
    max_entries: int = 20
    max_seconds: float = 600.0
    path: str = "/_beacon"

    def __post_init__(self) -> None:
        for name in ("features", "steps"):
            for each in _texts(self, name):
                checked_label(f"Beacon: {name}", each)
        if not self.features:
            raise ConfigurationError("Beacon: features: must have at least one name")
        origins = _texts(self, "origins")
        for each in origins:
            if each != "*" and not _ORIGIN.fullmatch(each):
                must = "must be an origin such as 'https://app.example.com', or '*'"
                raise ConfigurationError(f"Beacon: origins: {must}, got {each!r}")
        msgspec.structs.force_setattr(self, "origins", tuple(each.lower() for each in origins))
        _check_number(self, "rate", 0.01, 1e6)
        _check_number(self, "max_bytes", 16, _LARGEST)
        _check_number(self, "max_entries", 1, 1000)
        _check_number(self, "max_seconds", 0.001, 86_400)
        path: Any = self.path
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise ConfigurationError(f"Beacon: path: must be a path such as '/_beacon', got {path!r}")

    def route(self) -> BeaconRoute:
        """Return the route of one server."""
        return BeaconRoute(self)


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Report of one use of a feature; durations in seconds."""

    feature: str
    seconds: float
    outcome: Literal["ok", "error", "abandoned"] = "ok"
    steps: dict[str, float] = {}


_REPORTS: Final = msgspec.json.Decoder(list[_Report])
_WRONG: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Refused(Exception):
    """A request that is refused.

    Attributes:
        status: status of the response.
        why: reason.
        retry_after: seconds after which it may be sent again; 0 if never.
    """

    def __init__(self, status: int, why: str, retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after = retry_after


class BeaconRoute:
    """The route of one server; an `idlrt.protocol.http.pages.InlineRoute`.

    Args:
        options: its options.
        now: clock in seconds.
        features: recorder. Default: that of the process.
    """

    __slots__ = ("_features", "_full_at", "_now", "_options", "max_bytes", "path", "verbs")

    def __init__(
        self, options: Beacon, now: Callable[[], float] = time.monotonic, features: Features | None = None
    ) -> None:
        self._options = options
        self._now = now
        self._features = features if features is not None else process_features()
        # Token bucket as a generic cell rate algorithm. Only the thread of the server uses it.
        self._full_at = -math.inf
        self.path: Final = options.path
        self.verbs: Final = ("OPTIONS", "POST")
        self.max_bytes: Final = options.max_bytes

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request."""
        headers: list[tuple[str, str]] = []
        try:
            headers = self._check_origin(request)
            if request.verb == "OPTIONS":
                headers.append(("allow", ", ".join(self.verbs)))
                return HttpResponse(status=204, content_type="", headers=tuple(headers))
            self._record(request)
        except _Refused as refused:
            if refused.retry_after:
                headers.append(("retry-after", str(math.ceil(refused.retry_after))))
            document = {
                "type": "about:blank",
                "title": title(refused.status),
                "status": refused.status,
                "code": code_of(refused.status),
                "detail": refused.why,
            }
            body = msgspec.json.encode(document)
            return HttpResponse(
                status=refused.status, content_type=_PROBLEM, body=body, headers=(*headers, ("vary", "origin"))
            )
        return HttpResponse(status=204, content_type="", headers=tuple(headers))

    def _check_origin(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Return the headers for the origin of a request."""
        origin = request.headers.get("origin")
        if origin is None:
            return []
        host, allowed = request.headers.get("host", ""), self._options.origins
        is_own = origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        if not is_own and "*" not in allowed and origin.lower() not in allowed:
            raise _Refused(403, "pages of this origin may not report; the option `origins` lists those that may")
        headers = [
            ("access-control-allow-origin", origin),
            # `sendBeacon` always sends cookies, which nothing here reads.
            ("access-control-allow-credentials", "true"),
        ]
        if request.verb == "OPTIONS":
            headers += [
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", "content-type"),
                ("access-control-max-age", _MAX_AGE),
            ]
        return [*headers, ("vary", "origin")]

    def _record(self, request: HttpRequest) -> None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _KINDS:
            raise _Refused(415, f"the content type must be {' or '.join(_KINDS)}")
        pause = self._take()
        if pause:
            raise _Refused(429, "too many reports", pause)
        options = self._options
        try:
            reports = _REPORTS.decode(request.body)
        except _WRONG as error:
            raise _Refused(400, f"the body is no list of reports: {printable(str(error))}") from None
        if len(reports) > options.max_entries:
            raise _Refused(
                400, f"a request must have at most {plural(options.max_entries, 'report')}, got {len(reports)}"
            )
        for each in reports:
            self._check(each)
        for each in reports:
            steps = {name: _nanoseconds(seconds) for name, seconds in each.steps.items()}
            self._features.record_client(each.feature, each.outcome, _nanoseconds(each.seconds), steps)

    def _check(self, report: _Report) -> None:
        options = self._options
        if report.feature not in options.features:
            raise _Refused(400, "a feature is unknown; the option `features` lists those that may be reported")
        if any(name not in options.steps for name in report.steps):
            raise _Refused(400, "a step is unknown; the option `steps` lists those that may be reported")
        if not all(0 <= seconds <= options.max_seconds for seconds in (report.seconds, *report.steps.values())):
            raise _Refused(400, f"durations must be between 0 and {options.max_seconds:g} s")

    def _take(self) -> float:
        """Take a token; return the seconds until there is one, 0 if it was taken."""
        now, rate = self._now(), self._options.rate
        burst = max(rate, 1.0)
        full_at = max(self._full_at, now)
        pause = full_at + 1 / rate - now - burst / rate
        if pause > 1e-9:
            return pause
        self._full_at = full_at + 1 / rate
        return 0.0


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _texts(of: Beacon, name: str) -> tuple[str, ...]:
    given: object = getattr(of, name)
    if isinstance(given, str) or not isinstance(given, list | tuple):
        raise ConfigurationError(f"Beacon: {name}: must be a list, got {given!r}")
    texts: list[Any] = list(given)  # pyright: ignore[reportUnknownArgumentType]
    for each in texts:
        if not isinstance(each, str):
            raise ConfigurationError(f"Beacon: {name}: must be a list of texts, got {each!r}")
    msgspec.structs.force_setattr(of, name, tuple(texts))
    return tuple(texts)


def _check_number(of: Beacon, name: str, least: float, most: float) -> None:
    value: object = getattr(of, name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"Beacon: {name}: must be between {least:g} and {most:g}, got {value!r}")
