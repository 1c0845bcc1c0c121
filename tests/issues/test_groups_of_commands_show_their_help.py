"""A group of commands without a command shows its help as it is."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from idlrt.cli import main


@pytest.mark.parametrize("group", [[], ["registry"], ["config"], ["route"]], ids=lambda each: " ".join(each) or "idlrt")
def test_help_has_its_lines(group: list[str]) -> None:
    done = CliRunner().invoke(main, group)
    help_text = CliRunner().invoke(main, [*group, "--help"]).output
    assert "\\n" not in done.output
    assert done.output.strip() == help_text.strip()
