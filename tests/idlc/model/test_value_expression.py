"""Expressions of `api.vd`, and the constraints that they stand for."""

from __future__ import annotations

import pytest

from idlc.model.value_expression import Constraints, constraints_of


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("$>0", [("vt.gt", "0")]),
        ("$ >= 1.5", [("vt.ge", "1.5")]),
        ("$<100", [("vt.lt", "100")]),
        ("$<=-1", [("vt.le", "-1")]),
        ("$==true", [("vt.const", "true")]),
        ("$!='?'", [("vt.not_in", "?")]),
        ('$=="a b"', [("vt.const", "a b")]),
        ("$=='it\\'s'", [("vt.const", "it's")]),
        ("$!=nil", [("vt.not_nil", "true")]),
        ("len($)>0", [("vt.min_size", "1")]),
        ("len($) >= 0", [("vt.min_size", "0")]),
        ("len($) != 0", [("vt.min_size", "1")]),
        ("len( $ )<100", [("vt.max_size", "99")]),
        ("len($)<=8", [("vt.max_size", "8")]),
        ("len($)==8", [("vt.min_size", "8"), ("vt.max_size", "8")]),
        ("regexp('^\\w+$')", [("vt.pattern", "^\\w+$")]),
        ("regexp('a|b&&(c)', $)", [("vt.pattern", "a|b&&(c)")]),
        ("$>0&&$<200", [("vt.gt", "0"), ("vt.lt", "200")]),
        ("(len($) > 0 && len($) < 100)", [("vt.min_size", "1"), ("vt.max_size", "99")]),
        ("((len($) > 0) && (len($) < 100))", [("vt.min_size", "1"), ("vt.max_size", "99")]),
        ("$==1||$==2", [("vt.in", "1"), ("vt.in", "2")]),
        ("($ == 1||$ == 2) && $ != 3", [("vt.in", "1"), ("vt.in", "2"), ("vt.not_in", "3")]),
        ("$=='a||b' || ($=='c')", [("vt.in", "a||b"), ("vt.in", "c")]),
        ("$!=1 && $!=2", [("vt.not_in", "1"), ("vt.not_in", "2")]),
        ("{@:$>0}", [("vt.gt", "0")]),
        ("{ @: len($)>0 }{ msg: sprintf('%v', $) }", [("vt.min_size", "1")]),
        ("{@:$=='}'}{msg:'x'}", [("vt.const", "}")]),
        ("$<100; msg:'num must less than 100'", [("vt.lt", "100")]),
    ],
)
def test_expressions_that_are_understood(expression: str, expected: Constraints) -> None:
    assert constraints_of(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "$",
        "0<$",
        "$>0 || $<=100",
        "$==1 || $>5",
        "$==1 || $==2 && $==3",
        "($==1 || $==2) && ($==2 || $==3)",
        "$>0 && $>5",
        "(A)$>0",
        "$>(B)$",
        "$%2==0",
        "!($>0)",
        "email($)",
        "len($)>0 && email($)",
        "len($)>0.5",
        "len($)<0",
        "len($)!=3",
        "len($)>len((A)$)",
        "$['k']>0",
        "$==nil",
        "($>0",
        "$>0)",
        "($>0) && ($<1",
        "$=='a",
        "range($, #v>0)",
    ],
)
def test_other_expressions_are_not_translated(expression: str) -> None:
    assert constraints_of(expression) is None
