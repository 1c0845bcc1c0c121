"""Fault modes: retry, fail over, hedge or ignore failed calls. Plugins (entry points `idlrt.fault_modes`)."""

from typing import TYPE_CHECKING

from idlrt.exports import deprecated_names
from idlrt.fault.base import FAULT_MODES, FaultMode, Reach, Reachable, may_repeat
from idlrt.fault.failback import Failure, OnFailure, Retry, Use
from idlrt.fault.failcache import OnDone, Outcome

__all__ = [
    "FAULT_MODES",
    "Failure",
    "FaultMode",
    "OnDone",
    "OnFailure",
    "Outcome",
    "Reach",
    "Reachable",
    "Retry",
    "Use",
    "may_repeat",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
