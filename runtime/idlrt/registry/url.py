"""Where a registry is, as text: `embedded://127.0.0.1:7400`, `zookeeper://h1:2181,h2:2181/chroot?timeout=6`.

    SCHEME://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/PATH][?NAME=VALUE[&NAME=VALUE...]]

A client's target is the same with `/SERVICE` at the end (see `idlrt.client.target`).
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
    """A registry's URL in its parts.

    Attributes:
        scheme: the kind of registry, in lower case.
        hosts: names or numbers with ports; 0 where none is given.
        user: empty if there is none.
        password: likewise.
        path: between the hosts and the options, without slashes at its ends.
        options: by name.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...] = ()
    user: str = ""
    password: str = ""
    path: str = ""
    options: Mapping[str, str] = {}

    def __str__(self) -> str:
        """The URL, with what is secret left out."""
        login = f"{quote(self.user)}:***@" if self.password else (f"{quote(self.user)}@" if self.user else "")
        hidden = {name: "***" if name in _SECRETS else value for name, value in self.options.items()}
        shown = self._text(login, hidden)
        # With a slash too many, the user and the password are a part of the path.
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
        """The whole URL. Holds the password: not for people."""
        return self._text(
            f"{quote(self.user)}:{quote(self.password)}@" if self.user or self.password else "", self.options
        )

    @classmethod
    def parse(cls, text: str) -> RegistryUrl:
        """The parts of `text`.

        Raises:
            ConfigurationError: it is no such URL.
        """
        match = _URL.fullmatch(text) if isinstance(text, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if match is None:
            raise _refuse(text, "write scheme://host:port, as in embedded://127.0.0.1:7400")
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
        """The same with another path."""
        return msgspec.structs.replace(self, path=path)

    def without(self, names: Sequence[str]) -> RegistryUrl:
        """The same without some options."""
        return msgspec.structs.replace(
            self, options={name: value for name, value in self.options.items() if name not in names}
        )

    def check_options(self, known: Sequence[str]) -> None:
        """See that there are no options but `known`.

        Raises:
            ConfigurationError: there are.
        """
        for name in self.options:
            if name not in known:
                raise self.refuse(f"there is no option {name!r}; known: {', '.join(sorted(known)) or 'none'}")

    def seconds(self, name: str, default: float) -> float:
        """An option that is a duration.

        Raises:
            ConfigurationError: it is none.
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
        """An error that names this URL."""
        return ConfigurationError(f"cannot use the registry {self}: {why}")


def _host(text: str, part: str) -> tuple[str, int]:
    match = _HOST.fullmatch(part)
    if match is None:
        if "@" in text:  # it may be a piece of the password
            raise _refuse(text, "write host:port after the @; in a password write %2F for /, and %40 for @")
        raise _refuse(text, f"{part!r} is no host:port")
    port = int(match[3] or 0)
    if port > 65535:
        raise _refuse(text, f"the port {port} is over 65535")
    return match[1] or match[2], port


def _host_text(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def _refuse(text: object, why: str) -> ConfigurationError:
    shown = mask_passwords(text, is_url=True) if isinstance(text, str) else text
    return ConfigurationError(f"cannot read the registry's URL {shown!r}: {why}")
