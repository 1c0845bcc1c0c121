"""Values of any type in a table of fields: the shipped strategy."""

from idlrt.testing.strategies import values

__all__ = ["values"]
