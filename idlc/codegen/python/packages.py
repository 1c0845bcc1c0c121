"""Assign names to the modules of a namespace and decide which of their names the package re-exports.

A package has its modules, its subpackages and the names that it offers as attributes, all in one space. Subpackages
keep their names, as `import` has to find them. A module makes way for a name that the package offers: that one is what
people type. A name that the package cannot offer is still in its module.

Files of a namespace may be compiled one by one: what earlier compiles left in the folder counts, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from unicodedata import normalize

import msgspec

from idlc.codegen.python import names
from idlc.codegen.python.chosen import ANNOTATION
from idlc.codegen.python.claims import Claim, Rank, resolve_claims
from idlc.codegen.python.docs import comment_text
from idlc.codegen.python.earlier import EarlierModule, EarlierName, is_subpackage, read_table, source_of
from idlc.diagnostics import Label, Report
from idlc.model import Declaration, Program
from idlc.source import Span

__all__ = ["Module", "OfferedModule", "Package", "file_claim", "place"]


class Module(msgspec.Struct, eq=False, kw_only=True):
    """The module of one IDL file.

    Attributes:
        package: its package, parts from the output folder on.
        name: its file name without `.py`.
        exports: Python name → the claim by which it has it.
    """

    program: Program
    package: tuple[str, ...]
    name: str = ""
    exports: dict[str, Claim] = {}


class _Offer(msgspec.Struct, frozen=True):
    """A name that a module could give to the package. The claim is unknown in modules of earlier compiles."""

    rank: Rank
    module: str
    is_constant: bool = False
    claim: Claim | None = None

    def is_declared_as(self, other: _Offer) -> bool:
        """Whether both are names that the IDL declares, and the same there."""
        if Rank.DERIVED in (self.rank, other.rank):
            return False
        if self.is_constant != other.is_constant:
            return False
        if self.claim is None or other.claim is None:
            return self.rank is other.rank
        return self.claim.declared_name == other.claim.declared_name


class OfferedModule(msgspec.Struct, frozen=True):
    """A module of a package.

    Attributes:
        exports: the names that the package offers of it, sorted.
        is_whole: these are all its names.
    """

    name: str
    exports: list[str]
    is_whole: bool


class Package:
    """The package of one namespace.

    Args:
        parts: from the output folder on.
        modules: of this compile; they are given their names.
        below: names of subpackages.
        existing: the text of a file below the output folder, or `None`.
    """

    def __init__(
        self,
        parts: tuple[str, ...],
        modules: Sequence[Module],
        below: AbstractSet[str],
        existing: Callable[[PurePosixPath], str | None],
        report: Report,
    ) -> None:
        self.parts = parts
        self.modules = sorted(modules, key=lambda module: place(module.program))
        self._below = below
        self._existing = existing
        self._report = report
        self._earlier = self._read_earlier()
        self._name_modules()
        self._hidden = self._hide()

    @property
    def folder(self) -> PurePosixPath:
        """Where it is below the output folder."""
        return PurePosixPath(*self.parts)

    def offers(self, programs: Iterable[Program], texts: Mapping[int, str]) -> list[OfferedModule]:
        """Return the modules of the package, sorted, with the names that the package offers of each.

        Args:
            programs: those whose modules are written now. Others count if their modules are there.
            texts: identity of a program → the text of its module, where a custom template wrote it: that may have
                dropped names or added some.
        """
        written = {id(program) for program in programs}
        found = {name: earlier.names() for name, earlier in self._earlier.items()}
        added: dict[str, set[str]] = {}
        for module in self.modules:
            path = self.folder / f"{module.name}.py"
            if id(module.program) in written or self._existing(path) is not None:
                found[module.name] = list(module.exports)
            if id(module.program) in texts:
                found[module.name] = EarlierModule(texts[id(module.program)], found[module.name]).names()
                added[module.name] = {*found[module.name]} - module.exports.keys()
        taken = {*found, *self._below}.union(*({*found[name]} - added.get(name, set()) for name in found))
        offers: list[OfferedModule] = []
        for name in sorted(found):
            hidden = self._hidden.get(name, set()) | (added.get(name, set()) & taken)
            taken |= added.get(name, set())
            offered = {*found[name]} - hidden
            offers.append(OfferedModule(name, sorted(offered), is_whole=not hidden))
        return offers

    def check_sources(self, programs: Iterable[Program]) -> None:
        """Report modules that would replace those of other files, which separate compiles wrote.

        Files of one compile get different modules. A compile of one of them cannot know whether the other one still
        exists, and to give it another name would have names depend on the order of the compiles.

        Args:
            programs: those whose modules are written now.
        """
        written = {id(program) for program in programs}
        for module in self.modules:
            path = self.folder / f"{module.name}.py"
            source = source_of(self._existing(path))
            if id(module.program) not in written or source is None or _is_source(source, module.program):
                continue
            if any(_is_source(source, other.program) for other in self.modules if other.name != module.name):
                continue  # this compile writes that one elsewhere
            self._report.error(
                "python.module.overwritten",
                f"cannot write module `{'.'.join((*self.parts, module.name))}`: {path} was generated from `{source}`",
                Span(module.program.source, 0, 0),
                help=f"compile both files at once, or delete {path} if `{source}` is gone",
            )

    def _read_earlier(self) -> dict[str, EarlierModule]:
        """Return the modules that earlier compiles wrote into this package from other files, by name."""
        wanted = {names.module_file_name(module.program.stem) for module in self.modules}
        sources = {_source_name(module.program) for module in self.modules}
        found: dict[str, EarlierModule] = {}
        for module, listed in read_table(self._existing(self.folder / "__init__.py")).items():
            text = self._existing(self.folder / f"{module}.py")
            if text is None or module in wanted:
                continue
            if source_of(text) in sources and module.rstrip("_") in {each.rstrip("_") for each in wanted}:
                continue  # one of this compile, which had to make way then
            found[module] = EarlierModule(text, listed)
        return found

    def _name_modules(self) -> None:
        exported = {name for module in self.modules for name in module.exports}
        exported |= {name for earlier in self._earlier.values() for name in earlier.names()}

        def is_taken(name: str) -> bool:
            return name in exported or name in self._below or name in self._earlier or self._is_package(name)

        claims = [file_claim(module.program, "module") for module in self.modules]
        for module, grant in zip(self.modules, resolve_claims(claims, is_taken), strict=True):
            module.name = grant.name
            if grant.holder is not None:
                grant.report_to(self._report, is_always=True)

    def _is_package(self, name: str) -> bool:
        return self._existing(self.folder / name / "__init__.py") is not None

    def _has_subpackage(self, name: str) -> bool:
        """Whether an earlier compile, or the user, made a package of this very name."""
        text = self._existing(self.folder / name / "__init__.py")
        return is_subpackage(text, ".".join((*self.parts, name)))

    def _hide(self) -> dict[str, set[str]]:
        """Module → its names that the package cannot offer. Says why, and reports what was declared twice."""
        offers: dict[str, list[_Offer]] = {}
        for module in self.modules:
            for name, claim in module.exports.items():
                offers.setdefault(name, []).append(_Offer(claim.rank, module.name, claim.kind == "constant", claim))
        known = {module: earlier.names() for module, earlier in self._earlier.items()}
        count = Counter(name for found in known.values() for name in found)
        contested = {name for name, number in count.items() if number + len(offers.get(name, ())) > 1}
        for module_name, earlier in self._earlier.items():
            details = earlier.details() if contested.intersection(known[module_name]) else {}
            for name in known[module_name]:
                detail = details.get(name, EarlierName())
                offers.setdefault(name, []).append(_Offer(detail.rank, module_name, detail.is_constant))
        hidden: dict[str, set[str]] = {}
        for name, found in offers.items():
            found.sort(key=lambda offer: (offer.rank, offer.module))
            losers = found[1:]
            is_package = name in self._below or self._has_subpackage(name)
            if is_package or name in self._earlier:
                losers = found
            for offer in losers:
                hidden.setdefault(offer.module, set()).add(name)
                if losers is found:
                    what = "package" if is_package else "module"
                    self._report_hidden(name, offer, f"`{'.'.join((*self.parts, name))}` is a {what}")
                elif found[0].is_declared_as(offer):
                    self._collision(name, found[0], offer)
                else:
                    self._report_hidden(name, offer, f"module `{found[0].module}` has one, too", found[0].claim)
        return hidden

    def _report_hidden(self, name: str, offer: _Offer, reason: str, other: Claim | None = None) -> None:
        if offer.claim is None or not offer.claim.owner.program.is_requested:
            return
        module = ".".join((*self.parts, offer.module))
        self._report.note(
            "python.name.hidden",
            f"package `{'.'.join(self.parts)}` does not offer `{name}` of module `{module}`: {reason}",
            offer.claim.owner.span,
            labels=() if other is None else (Label(other.owner.span, f"the {other.kind} `{other.owner.name}`"),),
            help=f"import it from `{module}`",
        )

    def _collision(self, name: str, first: _Offer, second: _Offer) -> None:
        package = ".".join(self.parts)
        if first.claim is not None and second.claim is not None:
            self._report.error(
                "python.name.collision",
                f"two declarations are called `{name}` in Python in package {package}",
                second.claim.owner.span,
                labels=(Label(first.claim.owner.span, "the other one"),),
                help=f'rename one of them with `({ANNOTATION} = "...")`, or put the files into different namespaces '
                "(`namespace py ...`)",
            )
            return
        new, old = (first, second) if second.claim is None else (second, first)
        if new.claim is not None:
            self._report.warning(
                "python.name.collision",
                f"module `{package}.{old.module}` of an earlier compile has a `{name}`, too; "
                f"the package offers that of `{first.module}`",
                new.claim.owner.span,
                help=f"rename one of them, or delete {self.folder / old.module}.py if its IDL file is gone",
            )


def place(program: Program) -> tuple[str, ...]:
    """Return the sort key of a file: its name, then the names of its folders, the nearest first.

    So the order does not depend on the order on the command line, nor on the folder that all of them are in.
    """
    return tuple(reversed(program.source.path.parts))


def file_claim(program: Program, kind: str) -> Claim:
    """Return the claim of a file to a module or package named after it."""
    file = Declaration(name=program.stem, span=Span(program.source, 0, 0), program=program)
    return Claim.of(file, names.module_file_name, f"{kind} of file")


def _is_source(name: str, program: Program) -> bool:
    """Whether a module's first line names the file of `program`, in any form of Unicode."""
    return normalize("NFC", name) == normalize("NFC", _source_name(program))


def _source_name(program: Program) -> str:
    """Return the name of a program's file, as its module's first line has it."""
    return comment_text(program.source.path.name)
