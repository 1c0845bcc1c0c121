"""Lazy exports and deprecated names of packages."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import idlrt
from idlrt.exports import RENAMED, deprecated_names, lazy_exports

OLD_NAMES = [(module, old, new) for module, names in RENAMED.items() for old, new in names.items()]


@pytest.fixture
def package() -> Iterator[Any]:
    made = ModuleType("made_for_exports")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


def test_a_lazy_name_is_imported_on_first_use(package: Any) -> None:
    package.__getattr__ = lazy_exports(package.__name__, {"fractions": ("Fraction",)})
    assert "Fraction" not in vars(package)
    assert package.Fraction is import_module("fractions").Fraction
    assert "Fraction" in vars(package)


def test_a_module_with_a_leading_dot_is_relative_to_the_package() -> None:
    load = lazy_exports("idlrt", {".printable": ("plural",)})
    assert load("plural") is import_module("idlrt.printable").plural
    del sys.modules["idlrt"].plural


def test_packages_are_attributes_without_an_import() -> None:
    load = lazy_exports("idlrt", {}, ("printable",))
    assert load("printable") is import_module("idlrt.printable")
    with pytest.raises(AttributeError, match="module 'idlrt' has no attribute 'wire'"):
        load("wire")


def test_names_of_the_runtime_are_listed_before_they_are_imported() -> None:
    assert set(idlrt.__all__) <= set(dir(idlrt))


def test_unknown_names_are_attribute_errors(package: Any) -> None:
    package.__getattr__ = lazy_exports(package.__name__, {})
    with pytest.raises(AttributeError, match="module 'made_for_exports' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_an_old_name_warns_where_it_is_used(package: Any) -> None:
    package.New = object()
    package.__getattr__ = deprecated_names(package.__name__, {"Old": "New"})
    with pytest.warns(DeprecationWarning, match=r"^made_for_exports\.Old was renamed to New$") as caught:
        assert package.Old is package.New
    assert [each.filename for each in caught] == [__file__]


def test_lazy_packages_serve_old_names_too(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RENAMED, package.__name__, {"Old": "Fraction"})
    package.__getattr__ = lazy_exports(package.__name__, {"fractions": ("Fraction",)})
    with pytest.warns(DeprecationWarning, match="was renamed to Fraction") as caught:
        assert package.Old is package.Fraction
    assert [each.filename for each in caught] == [__file__]


def test_renamed_public_names_still_work() -> None:
    for module, old, new in OLD_NAMES:
        home = import_module(module)
        assert old not in home.__all__
        with pytest.warns(DeprecationWarning, match=f"{old} was renamed to {new}"):
            found = getattr(home, old)
        assert found is getattr(home, new)


def test_new_names_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for module, _, new in OLD_NAMES:
            getattr(import_module(module), new)
