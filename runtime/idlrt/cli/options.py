"""Options that several commands have, and their types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from idlrt.cli.telling import Command
from idlrt.core import LONGEST, SHORTEST, is_duration
from idlrt.net.tls import Tls

__all__ = ["Rate", "Seconds", "client_options", "idl_options", "tls_of"]


if TYPE_CHECKING:
    _Number = click.ParamType[float]
else:  # generic only since click 8.3
    _Number = click.ParamType


class Seconds(_Number):
    """A number of seconds that clocks can count.

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
    """Events a second: 0, or from one in 1000 seconds to a million a second."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number.

        Raises:
            click.BadParameter: it is not a number, or out of range.
        """
        found = _number(self, value, param, ctx)
        if not (found == 0 or 0.001 <= found <= 1e6):
            self.fail(f"must be 0, or between 0.001 and 1000000 a second, got {value}", param, ctx)
        return found


def _number(
    kind: click.ParamType[float], value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return kind.fail(f"must be a number, got {value!r}", param, ctx)


def idl_options(command: Command) -> Command:
    """Add the options that name IDL files."""
    command = click.option(
        "-I",
        "--include",
        "include_dirs",
        multiple=True,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Search DIR for includes. May be given several times.",
    )(command)
    return click.option(
        "--idl",
        "idl",
        multiple=True,
        required=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="The IDL file of the service. May be given several times.",
    )(command)


def client_options(command: Command) -> Command:
    """Add the options of `connect`."""
    options = [
        click.option("--timeout", type=Seconds(), default=5.0, show_default=True, help="Seconds that a call may take."),
        click.option(
            "--framing",
            default=None,
            help="What the server understands: framed, unframed, header, header_zlib, or auto to find out.  [default: "
            "framed, or what a registry says]",
        ),
        click.option("--protocol", show_default="binary", help="Likewise: binary, compact, json; or jsonrpc."),
        click.option("--multiplexed", is_flag=True, help="The server has several services: call this one by its name."),
        click.option("--tls", "use_tls", is_flag=True, help="Speak TLS, and trust what the system trusts."),
        click.option("--tls-ca", default="", metavar="FILE", help="Speak TLS, and trust these certificates (PEM)."),
        click.option("--tls-cert", default="", metavar="FILE", help="Show this certificate (PEM): mutual TLS."),
        click.option("--tls-key", default="", metavar="FILE", help="Its key, if it stands in another file."),
        click.option("--tls-name", default="", metavar="NAME", help="What the server's certificate has to be for."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def tls_of(named: dict[str, Any]) -> Tls | None:
    """Remove the TLS options from `named`, and return what they say."""
    use, ca, cert, key, name = (named.pop(each) for each in ("use_tls", "tls_ca", "tls_cert", "tls_key", "tls_name"))
    if not (use or ca or cert or name):
        return None
    return Tls(certificate=cert, key=key, authorities=ca, server_name=name)
