"""Programs that some tests need, and that not every machine has."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["not_run", "require_program"]


def not_run(message: str) -> NoReturn:
    """Skip the test, or fail it if everything has to be tested (IDLC_TEST_EVERYTHING).

    Args:
        message: what is missing, and how to install it.
    """
    if os.environ.get("IDLC_TEST_EVERYTHING"):
        pytest.fail(message)
    pytest.skip(message)


def require_program(name: str, package: str) -> str:
    """Return the path of a program; the test is skipped, or fails with IDLC_TEST_EVERYTHING, if there is none.

    Args:
        name: name of the program, or its path.
        package: Debian's package that has it.
    """
    found = shutil.which(name)
    if found is None:
        message = f"NOT RUN: {name} not found; apt-get install {package}"
        not_run(message)
    return found
