"""Commands that call a collector say in one line that it cannot be reached."""

from __future__ import annotations

import pytest
from command_line import run_idlrt


@pytest.mark.parametrize("command", [["monitor", "query"], ["trace", "search"]])
def test_a_collector_that_is_not_there_is_an_error_in_one_line(command: list[str]) -> None:
    found = run_idlrt([*command, "127.0.0.1:1", "--timeout", "5"], code=1)
    assert found.output.startswith("idlrt: cannot connect to tcp://127.0.0.1:1")
    assert found.output.count("\n") == 1
