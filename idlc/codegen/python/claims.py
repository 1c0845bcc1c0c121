"""Resolve name conflicts: derived names yield to names that the IDL declares.

Everything in one space of names (a module, a class, a parameter list) claims a name. Claims are settled in two rounds:

1. Each gets the name it claims, if that is free; of several, the one of the lowest `Rank`, then the first in the file.
2. Each of the others gets its name with as many underscores behind it as it takes to be free.

So the result depends on nothing but the claims and their order, a declared name never changes because of a derived one,
and a definition that is added changes other names only where it takes the very name that one of them had.

Names that the IDL chooses with `py.name` have the rank of declared ones, but do not change: where one is not free, or
takes the name of another declaration, that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

import msgspec

from idlc.codegen.python.chosen import ANNOTATION, annotation_span, chosen_name, problem_of
from idlc.diagnostics import Label, Report
from idlc.model import Declaration

__all__ = ["Claim", "Grant", "Rank", "resolve_claims"]


class Rank(IntEnum):
    """The priority of a claim; lower ranks win."""

    DECLARED = 0
    """The name is as the IDL has it."""
    CONSTANT = 1
    """So is this one; but a constant may have the name of a type in the IDL, and then the type keeps it."""
    ESCAPED = 2
    """The name in the IDL is not possible in Python."""
    DERIVED = 3
    """The IDL has no such name: the client of a service, for example."""


class Claim(msgspec.Struct, frozen=True):
    """A request for a name.

    Attributes:
        owner: the declaration that needs the name.
        name: the requested name.
        kind: the kind of thing to name, as messages put it before the owner's name (`client of service`).
        is_chosen: the IDL chooses the name with `py.name`.
    """

    owner: Declaration
    name: str
    rank: Rank
    kind: str
    is_chosen: bool = False

    @property
    def declared_name(self) -> str:
        """The name as the IDL has it: the chosen one, or that of the declaration."""
        return self.name if self.is_chosen else self.owner.name

    @classmethod
    def of(cls, owner: Declaration, escape: Callable[[str], str], kind: str) -> Claim:
        """Return the claim of a declaration to its chosen name, or to its own, escaped if Python does not allow it."""
        chosen = chosen_name(owner)
        if chosen is not None:
            return cls(owner, chosen, Rank.CONSTANT if kind == "constant" else Rank.DECLARED, kind, is_chosen=True)
        name = escape(owner.name)
        rank = Rank.ESCAPED if name != owner.name else Rank.CONSTANT if kind == "constant" else Rank.DECLARED
        return cls(owner, name, rank, kind)


class Grant(msgspec.Struct, frozen=True):
    """The name that a claim received, and the claim that holds the requested one if they differ."""

    claim: Claim
    name: str
    holder: Claim | None = None

    def report_to(self, report: Report, *, is_always: bool = False) -> None:
        """Add a note to `report` if the name is not the requested one.

        Args:
            is_always: also for files that are only included.
        """
        claim, holder = self.claim, self.holder
        if (claim.is_chosen and self._report_impossible(report)) or self._report_collision(report):
            return
        if self.name == claim.name or not (is_always or claim.owner.program.is_requested):
            return
        labels: tuple[Label, ...] = ()
        if holder is not None and holder.owner is not claim.owner:
            is_plain = holder.owner.name == claim.name
            what = "declared here" if is_plain else f"the name of the {holder.kind} `{holder.owner.name}`"
            labels = (Label(holder.owner.span, f"`{claim.name}` is {what}"),)
        report.note(
            "python.name.yielded",
            f"the {claim.kind} `{claim.owner.name}` is called `{self.name}` in Python, as `{claim.name}` is taken",
            claim.owner.span,
            labels=labels,
        )

    def _report_impossible(self, report: Report) -> bool:
        """Add an error if the chosen name is not possible; whether there is one."""
        claim = self.claim
        problem, help = problem_of(claim.owner, claim.name)
        if not problem and self.name != claim.name and self.holder is None:
            problem, help = f"`{claim.name}` is reserved here", f"choose another name, such as `{self.name}`"
        if problem:
            report.error(
                "python.name.invalid",
                f"invalid `{ANNOTATION}` of {claim.kind} `{claim.owner.name}`: {problem}",
                annotation_span(claim.owner),
                help=help,
            )
        return bool(problem)

    def _report_collision(self, report: Report) -> bool:
        """Add an error if a chosen name is that of another declaration; whether there is one."""
        claim, holder = self.claim, self.holder
        if self.name == claim.name or holder is None:
            return False
        if not claim.is_chosen and not (holder.is_chosen and claim.rank <= Rank.CONSTANT):
            return False
        chosen, other = (claim, holder) if claim.is_chosen else (holder, claim)
        report.error(
            "python.name.collision",
            f"`{ANNOTATION}` of {chosen.kind} `{chosen.owner.name}` is `{chosen.name}`, "
            f"which is the name of {other.kind} `{other.owner.name}`",
            annotation_span(chosen.owner),
            labels=(Label(annotation_span(other.owner) if other.is_chosen else other.owner.span, "the other one"),),
            help="choose another name",
        )
        return True


def resolve_claims(claims: Sequence[Claim], is_taken: Callable[[str], bool] = lambda name: False) -> list[Grant]:
    """Return a unique name for each claim, in the order of `claims`.

    Args:
        claims: in the order of the IDL.
        is_taken: whether a name is reserved, so that no claim can have it.
    """
    holders: dict[str, Claim] = {}
    granted: dict[int, Grant] = {}
    for index in sorted(range(len(claims)), key=lambda index: claims[index].rank):
        claim = claims[index]
        if claim.name not in holders and not is_taken(claim.name):
            holders[claim.name] = claim
            granted[index] = Grant(claim, claim.name)
    for index in sorted(set(range(len(claims))) - granted.keys(), key=lambda index: (claims[index].rank, index)):
        claim = claims[index]
        name = claim.name + "_"
        while name in holders or is_taken(name):
            name += "_"
        granted[index] = Grant(claim, name, holders.get(claim.name))
        holders[name] = claim
    return [granted[index] for index in range(len(claims))]
