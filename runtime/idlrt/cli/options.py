"""Options that several commands share, and parameter types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idlrt.cli.output import Command
from idlrt.core import LONGEST, SHORTEST, is_duration
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls

__all__ = ["INSTANCE_TYPES", "Rate", "Seconds", "client_options", "idl_options", "parse_pair", "tls_of"]


if TYPE_CHECKING:
    _Number = click.ParamType[float]
else:  # generic only since click 8.3
    _Number = click.ParamType


class Seconds(_Number):
    """Duration in seconds, within the range of clocks.

    Args:
        zero: whether 0 is allowed.
    """

    name = "seconds"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is not a number, or out of range.
        """
        found = _number(self, value, param, ctx)
        if not is_duration(found) and not (self._zero and found == 0):
            least = "0, or between" if self._zero else "between"
            self.fail(f"must be {least} {SHORTEST:g} and {LONGEST:.0f} seconds, got {value}", param, ctx)
        return found


class Rate(_Number):
    """Rate per second: 0, or between 0.001 and 1 000 000."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is not a number, or out of range.
        """
        found = _number(self, value, param, ctx)
        if not (found == 0 or 0.001 <= found <= 1e6):
            self.fail(f"must be 0, or between 0.001 and 1000000 per second, got {value}", param, ctx)
        return found


def _number(
    kind: click.ParamType[float], value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return kind.fail(f"must be a number, got {value!r}", param, ctx)


def idl_options(command: Command) -> Command:
    """Add the options for IDL files."""
    command = click.option(
        "-I",
        "--include",
        "include_dirs",
        multiple=True,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Directory to search for includes; repeatable.",
    )(command)
    return click.option(
        "--idl",
        "idl",
        multiple=True,
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="IDL file of the service; repeatable.",
    )(command)


def client_options(command: Command) -> Command:
    """Add the options of `connect`."""
    options = [
        click.option("--timeout", type=Seconds(), default=5.0, show_default=True, help="Timeout of a call in seconds."),
        click.option(
            "--framing",
            default=None,
            help="Framing: framed, unframed, header, header_zlib, or auto to detect it.  [default: as registered, else "
            "framed]",
        ),
        click.option("--protocol", show_default="binary", help="Protocol: binary, compact, json, jsonrpc, or http."),
        click.option(
            "--multiplexed", is_flag=True, help="Prefix method names with the service name, for multi-service servers."
        ),
        click.option("--tls", "use_tls", is_flag=True, help="Use TLS and trust the system's CA certificates."),
        click.option("--tls-ca", default="", metavar="FILE", help="CA certificates to trust (PEM); implies --tls."),
        click.option("--tls-cert", default="", metavar="FILE", help="Client certificate (PEM), for mutual TLS."),
        click.option("--tls-key", default="", metavar="FILE", help="Key of the certificate, if in a separate file."),
        click.option("--tls-name", default="", metavar="NAME", help="Expected name in the server's certificate."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def tls_of(named: dict[str, Any]) -> Tls | None:
    """Remove the TLS options from `named` and return them as `Tls`; `None` if TLS is not used."""
    use, ca, cert, key, name = (named.pop(each) for each in ("use_tls", "tls_ca", "tls_cert", "tls_key", "tls_name"))
    if key and not cert:
        raise ConfigurationError("--tls-key requires --tls-cert")
    if not (use or ca or cert or name):
        return None
    return Tls(certificate=cert, key=key, authorities=ca, server_name=name)


def parse_pair(text: str, option: str = "--metadata") -> tuple[str, str]:
    """Split NAME=VALUE.

    Raises:
        ConfigurationError: it has another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigurationError(f"invalid {option} {text!r}: expected NAME=VALUE")
    return name, value


def _attribute_number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ConfigurationError(f"invalid --instance value {text!r}: expected a number") from None

    return parse


INSTANCE_TYPES: dict[str, Callable[[str], Any]] = {
    "weight": _attribute_number(int),
    "retries": _attribute_number(int),
    "timeout": _attribute_number(float),
}
"""Parsers of the instance attributes that are not text."""
