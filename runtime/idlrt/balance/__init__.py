"""Load balancing: pick one of several instances. Balancers are plugins (entry points `idlrt.balancers`)."""

from typing import TYPE_CHECKING

from idlrt.balance.base import BALANCERS, Balancer, ClockAndRandom, Endpoint, NoSettings
from idlrt.balance.keys import key_of
from idlrt.balance.load import Load
from idlrt.balance.warm_up import warm_weight
from idlrt.exports import deprecated_names

__all__ = ["BALANCERS", "Balancer", "ClockAndRandom", "Endpoint", "Load", "NoSettings", "key_of", "warm_weight"]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
