"""CI runs everything that has to do with codecs a second time, with the pure codecs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
CODECS = re.compile(r"^\s*(?:from|import) idlrt\.(?:serialization|protocol|codecs|wire)\b", re.MULTILINE)


def without_codecs() -> list[str]:
    """Return the packages of the runtime whose tests CI runs with the native codecs only."""
    found = re.search(r"^without_codecs=\((.+)\)$", SCRIPT, re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.parametrize("package", without_codecs())
def test_packages_that_are_left_out_import_no_codecs(package: str) -> None:
    assert (ROOT / "tests" / "idlrt" / package).is_dir()
    sources = [*(ROOT / "runtime" / "idlrt" / package).rglob("*.py")]
    assert sources
    assert [source.name for source in sources if CODECS.search(source.read_text(encoding="utf-8"))] == []
