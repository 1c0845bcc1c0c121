"""Fault modes: retry, fail over, hedge or ignore failed calls. Plugins (entry points `idlrt.fault_modes`)."""

from typing import TYPE_CHECKING

from idlrt.exports import deprecated_names
from idlrt.fault.base import FAULT_MODES, Dispatcher, Endpoint, FaultMode, may_repeat
from idlrt.fault.failback import Failure, OnFailure, Retry, Use
from idlrt.fault.failcache import OnDone, Outcome

__all__ = [
    "FAULT_MODES",
    "Dispatcher",
    "Endpoint",
    "Failure",
    "FaultMode",
    "OnDone",
    "OnFailure",
    "Outcome",
    "Retry",
    "Use",
    "may_repeat",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
