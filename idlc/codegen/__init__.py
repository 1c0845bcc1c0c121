"""Generate code from linked programs: targets, templates and output files."""

from idlc.codegen.output import Outcome, compare_outputs, prepare_outputs, write_outputs
from idlc.codegen.registry import find_target
from idlc.codegen.target import GeneratedFile, Target, TargetOptions, UnknownTarget

__all__ = [
    "GeneratedFile",
    "Outcome",
    "Target",
    "TargetOptions",
    "UnknownTarget",
    "compare_outputs",
    "find_target",
    "prepare_outputs",
    "write_outputs",
]
