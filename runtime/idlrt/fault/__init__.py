"""What follows when a call fails. Fault modes are plugins: entry points `idlrt.fault_modes`."""

from idlrt.fault.base import FAULT_MODES, FaultMode, Reach, Reachable, may_repeat

__all__ = ["FAULT_MODES", "FaultMode", "Reach", "Reachable", "may_repeat"]
