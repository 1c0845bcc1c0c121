"""`idlc explain`: what a diagnostic means, with examples."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("explain", short_help="Explain a diagnostic.")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Explain the diagnostic NAME: what it means and why, with an example that has it and one that does not.

    Without NAME, lists all diagnostics.
    """
    from idlc.breaking.rules import RULES
    from idlc.findings import UnknownSelector, all_rules, require_known
    from idlc.findings.explain import explain, render_explanation

    if name is None:
        for rule in all_rules().values():
            click.echo(f"{rule.name:40}{rule.summary}")
        for change in RULES.values():
            click.echo(f"{change.name:40}{change.doc}")
        return
    if name in RULES:
        change = RULES[name]
        click.echo(f"{name}: incompatible change ({', '.join(change.categories)})\n\n{change.doc}\n")
        click.echo(f"Reported by `idlc breaking`. Accept it with --ignore {name}.")
        return
    found = explain(name)
    if found is not None:
        click.echo(render_explanation(*found), nl=False)
        return
    try:
        require_known([name])
    except UnknownSelector as error:
        raise click.UsageError(str(error)) from None
    names = [rule.name for rule in all_rules().values() if rule.name.startswith(f"{name}.") or rule.category == name]
    raise click.UsageError(f"'{name}' is not the name of one diagnostic: {', '.join(names or all_rules())}")
