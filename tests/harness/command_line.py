"""Commands of `idlrt`, run in this process: starting Python for each would take most of the time."""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence

from click.testing import CliRunner, Result

from idlrt.cli import main

__all__ = ["run_idlrt"]

# What the environment of the tests says is nothing to the commands.
_UNSET = ("IDLRT_CONFIG", "IDLRT_REG")


def run_idlrt(arguments: Sequence[str], *, code: int = 0, environment: dict[str, str] | None = None) -> Result:
    """Run a command to its end.

    Args:
        arguments: after `idlrt`.
        code: that it has to exit with.
        environment: variables, besides those that there are.
    """
    unset: dict[str, str | None] = {name: None for name in os.environ if name.startswith(_UNSET)}
    done = CliRunner().invoke(main, list(arguments), env={**unset, **(environment or {})})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("".join(traceback.format_exception(done.exception)))
    assert done.exit_code == code, done.stdout + done.stderr
    return done
