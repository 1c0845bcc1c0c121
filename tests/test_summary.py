"""The summary of tests that were not run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

CONFTEST = Path(__file__).with_name("conftest.py")


def test_skips_are_summed_up_by_reason(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_without_a_server(number):
            pytest.skip("there is no such server: apt-get install it")

        @pytest.mark.skip("another reason")
        def test_marked():
            pass

        def test_that_runs():
            pass
        """
    )
    result = pytester.runpytest_subprocess("-n", "1")
    result.assert_outcomes(passed=1, skipped=4)
    result.stdout.fnmatch_lines(
        ["*NOT RUN*", "     3  there is no such server: apt-get install it", "     1  another reason"]
    )


@pytest.mark.parametrize(
    ("expression", "passed"), [("not slow and not long", 1), ("not long", 2), ("slow or long or not slow", 3)]
)
def test_tiers(pytester: pytest.Pytester, expression: str, passed: int) -> None:
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers =\n  slow\n  long\n")
    pytester.makepyfile(
        test_slow="import pytest\n\npytestmark = pytest.mark.slow\n\n\ndef test_one():\n    pass\n",
        test_long="import pytest\n\n\n@pytest.mark.long\ndef test_one():\n    pass\n",
        test_quick="def test_one():\n    pass\n",
    )
    result = pytester.runpytest_subprocess("-m", expression)
    result.assert_outcomes(passed=passed)
    is_complete = passed == 3
    assert ("`make test-all` runs them" in result.stdout.str()) is not is_complete
