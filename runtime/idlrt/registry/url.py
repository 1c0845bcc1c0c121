"""Registry URLs: `embedded://127.0.0.1:7400`, `zookeeper://h1:2181,h2:2181/chroot?timeout=6`.

    SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/PATH][?NAME=VALUE[&NAME=VALUE...]]

The target of a client is a registry URL followed by `/SERVICE` (see `idlrt.client.target`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from idlrt.core import LONGEST, SHORTEST, is_duration
from idlrt.errors import ConfigurationError
from idlrt.printable import mask_passwords

__all__ = ["RegistryUrl"]

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^@/?#]*)@)?([^/?#@]*)(/[^?#]*)?(?:\?([^#]*))?")
_HOST: Final = re.compile(r"(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:/?#\[\]@,]+))(?::([0-9]{1,5}))?")
_SECRETS: Final = ("token", "password")


class RegistryUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Components of a registry URL.

    Attributes:
        scheme: kind of registry, in lower case.
        hosts: host names or addresses with ports; port 0 if none is given.
        user: user name; empty if there is none.
        password: password of the user; empty if there is none.
        path: path without leading and trailing slashes.
        options: query parameters by name.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    user: str = ""
    password: str = ""
    path: str = ""
    options: Mapping[str, str] = {}

    def __str__(self) -> str:
        """The URL with secrets masked."""
        login = f"{quote(self.user)}:***@" if self.password else (f"{quote(self.user)}@" if self.user else "")
        hidden = {name: "***" if name in _SECRETS else value for name, value in self.options.items()}
        shown = self._text(login, hidden)
        # With an extra slash before it, the login is parsed as part of the path.
        return shown if self.hosts else mask_passwords(shown, is_url=True)

    def __repr__(self) -> str:
        return f"<RegistryUrl {self}>"

    def _text(self, login: str, given: Mapping[str, str]) -> str:
        hosts = ",".join(_host_text(host, port) for host, port in self.hosts)
        path = f"/{quote(self.path, safe='/:@$+,')}" if self.path else ""
        options = f"?{urlencode(given, safe='*')}" if given else ""
        return f"{self.scheme}://{login}{hosts}{path}{options}"

    @property
    def identity(self) -> str:
        """The full URL, including the password. Not for display."""
        return self._text(
            f"{quote(self.user)}:{quote(self.password)}@" if self.user or self.password else "", self.options
        )

    @classmethod
    def parse(cls, text: str) -> RegistryUrl:
        """Parse a URL.

        Raises:
            ConfigurationError: `text` is not a registry URL.
        """
        match = _URL.fullmatch(text) if isinstance(text, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if match is None:
            raise _refuse(text, "write scheme://host:port, for example embedded://127.0.0.1:7400")
        scheme, login, hosts, path, query = match.groups()
        user, _, password = (login or "").partition(":")
        return cls(
            scheme=scheme.lower(),
            hosts=tuple(_host(text, each) for each in hosts.split(",")) if hosts else (),
            user=unquote(user),
            password=unquote(password),
            path=unquote(path or "").strip("/"),
            options=dict(parse_qsl(query or "", keep_blank_values=True)),
        )

    def with_path(self, path: str) -> RegistryUrl:
        """Return a copy with another path."""
        return msgspec.structs.replace(self, path=path)

    def without(self, names: Sequence[str]) -> RegistryUrl:
        """Return a copy without some options."""
        return msgspec.structs.replace(
            self, options={name: value for name, value in self.options.items() if name not in names}
        )

    def check_options(self, known: Sequence[str]) -> None:
        """Reject options other than `known`.

        Raises:
            ConfigurationError: an option is unknown.
        """
        for name in self.options:
            if name not in known:
                raise self.refuse(f"unknown option {name!r} (known: {', '.join(sorted(known)) or 'none'})")

    def seconds(self, name: str, default: float) -> float:
        """Read an option that is a duration in seconds.

        Raises:
            ConfigurationError: the value is not a valid duration.
        """
        text = self.options.get(name)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not is_duration(value):
            raise self.refuse(f"{name} must be between {SHORTEST:g} and {LONGEST:.0f} seconds, got {text!r}")
        return value

    def refuse(self, why: str) -> ConfigurationError:
        """Build an error that names this URL."""
        return ConfigurationError(f"cannot use the registry {self}: {why}")


def _host(text: str, part: str) -> tuple[str, int]:
    match = _HOST.fullmatch(part)
    if match is None:
        if "@" in text:  # the part may be a piece of the password, which must not be shown
            raise _refuse(text, "write host:port after the @; in a password write %2F for /, and %40 for @")
        raise _refuse(text, f"{part!r} is not host:port")
    port = int(match[3] or 0)
    if port > 65535:
        raise _refuse(text, f"port {port} is out of range; it must be at most 65535")
    return match[1] or match[2], port


def _host_text(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def _refuse(text: object, why: str) -> ConfigurationError:
    shown = mask_passwords(text, is_url=True) if isinstance(text, str) else text
    return ConfigurationError(f"invalid registry URL {shown!r}: {why}")
