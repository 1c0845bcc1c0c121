"""Options of the commands that programs push to: the collector and the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from idlrt.cli.health import TOKEN_VARIABLE

__all__ = ["receiving_options"]

_Command = Callable[..., Any]


def receiving_options(port: int, what: str) -> Callable[[_Command], _Command]:
    """Return a decorator that adds `--address`, `--udp`, `--unix`, `--token` and `--allow`.

    Args:
        port: default port.
        what: what callers may do, for the help text.
    """
    options = (
        click.option(
            "--address",
            default="",
            metavar="HOST:PORT",
            help=f"Address to listen on.  [default: 127.0.0.1:{port}]",
        ),
        click.option("--udp", default="", metavar="HOST:PORT", help="Address for datagrams over UDP.  [default: none]"),
        click.option(
            "--unix",
            default="",
            metavar="PATH",
            help="Unix socket for datagrams of this machine.  [default: none]",
        ),
        click.option(
            "--token",
            "tokens",
            multiple=True,
            metavar="TOKEN",
            help=f"Token that programs have to send, over TCP; repeatable.  [default: ${TOKEN_VARIABLE}]",
        ),
        click.option(
            "--allow",
            multiple=True,
            metavar="NETWORK",
            help=f"Address or network that may {what}, or unix; repeatable.  [default: all]",
        ),
    )

    def add(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
