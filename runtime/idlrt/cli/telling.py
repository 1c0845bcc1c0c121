"""How commands tell what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, NoReturn

import click

from idlrt.errors import ConfigurationError, RegistryError

__all__ = ["Command", "end", "told"]

Command = Callable[..., Any]


def told(command: Command) -> Command:
    """Errors of usage, of the IDL and of addresses are for people, not tracebacks."""

    def run(*arguments: Any, **named: Any) -> Any:
        try:
            return command(*arguments, **named)
        except (ConfigurationError, RegistryError) as error:
            end(str(error), 2)

    return update_wrapper(run, command)


def end(what: str, code: int) -> NoReturn:
    """Say what is wrong, and end."""
    click.echo(f"idlrt: {what}", err=True)
    sys.exit(code)
