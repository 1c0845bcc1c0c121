"""Keywords of languages that Thrift has compilers for. Sources: the reference of each language.

Words that Thrift itself reserves are left out, because the parser rejects or accepts them as names.
"""

from __future__ import annotations

from functools import cache
from typing import Final

__all__ = ["languages_that_reserve"]

_KEYWORDS: Final = {
    "C++": "alignas alignof asm auto bool break case catch char class concept const_cast consteval constexpr constinit "
    "continue decltype default delete do double dynamic_cast else explicit export extern false float for friend goto "
    "if inline int long mutable namespace new noexcept nullptr operator private protected public register "
    "reinterpret_cast requires return short signed sizeof static static_assert static_cast switch template this "
    "thread_local throw true try typeid typename unsigned using virtual volatile wchar_t while",
    "Go": "break case chan continue default defer else fallthrough for func go goto if import interface map package "
    "range return select switch type var",
    "Java": "abstract assert boolean break case catch char class continue default do else extends false final finally "
    "float for goto if implements import instanceof int interface long native new null package private protected "
    "public return short static strictfp super switch synchronized this throw transient true try volatile while",
    "JavaScript": "await break case catch class continue debugger default delete do else export extends false finally "
    "for function if import in instanceof let new null return static super switch this throw true try typeof var "
    "while with yield",
    "Python": "False None True and as assert async await break class continue def del elif else except finally for "
    "from global if import in is lambda nonlocal not or pass raise return try while with yield",
    "Rust": "as async await break continue crate dyn else extern false fn for if impl in let loop match mod move mut "
    "pub ref return self static super trait true type unsafe use where while",
}


@cache
def _languages() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for language, words in _KEYWORDS.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), language)
    return found


def languages_that_reserve(name: str) -> tuple[str, ...]:
    """Return the languages in which `name` is a keyword, sorted."""
    return _languages().get(name, ())
