"""Refusing calls before they do harm. Guards are plugins: entry points `idlrt.guards`."""

from idlrt.guard.base import GUARDS, Guard

__all__ = ["GUARDS", "Guard"]
