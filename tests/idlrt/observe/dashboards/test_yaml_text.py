"""YAML text: a reader of YAML gets back what was written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idlrt.observe.dashboards.yaml_text import yaml_text

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    st.sampled_from(
        ["yes", "No", "null", "~", "1e3", "0x1f", "12:30", "5m", "- a", "a: b", "#", "a #b", "{{ $x }}", ""]
    ),
)
values = st.recursive(
    st.one_of(texts, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(texts, values, max_size=3))
def test_values_come_back(value: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml", reason="NOT RUN: PyYAML, which comes with schemathesis, is not installed")
    assert (yaml.safe_load(yaml_text(value, "a comment\n\nof lines")) or {}) == value


def test_the_text_is_as_people_write_it() -> None:
    value = {"groups": [{"name": "a", "rules": [{"expr": "x > 1", "for": "5m"}, {"on": "y"}]}], "empty": [], "count": 1}
    assert yaml_text(value, "comment") == (
        "# comment\n"
        "groups:\n"
        "  - name: a\n"
        "    rules:\n"
        '      - expr: "x > 1"\n'
        '        for: "5m"\n'
        '      - "on": "y"\n'
        "empty: []\n"
        "count: 1\n"
    )
