"""Choosing one of several instances. Balancers are plugins: entry points `idlrt.balancers`."""

from idlrt.balance.base import BALANCERS, Balancer, Candidate, Chance, key_of
from idlrt.balance.load import Load

__all__ = ["BALANCERS", "Balancer", "Candidate", "Chance", "Load", "key_of"]
