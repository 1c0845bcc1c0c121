"""Sampling: which traces are recorded. Samplers decide when a trace begins, and may be nested.

- `Always`, `Never`, `Ratio`: a fixed share of all traces, the same in every service.
- `PerSecond`: a rate for each method; `Adaptive`: a rate for all of them, by a share that follows the calls.
- `MethodFloor`: at least one trace of each method a minute; `Capped`: at most a rate.
- `Rules`: by method, caller and tags, replaced at run time.
- `ParentBased`: the decision of the caller first.

`standard_sampler` nests them as usual, `parse_sampler` makes one from text.
"""

from __future__ import annotations

from idlrt.observe.tracing.sampling.adaptive import Adaptive
from idlrt.observe.tracing.sampling.base import Decision, Sampler, SampleRequest, parent_decision
from idlrt.observe.tracing.sampling.capped import Capped
from idlrt.observe.tracing.sampling.guarded import GuardedSampler
from idlrt.observe.tracing.sampling.parent_based import ParentBased
from idlrt.observe.tracing.sampling.parse import parse_sampler, sampler_of_environment, standard_sampler
from idlrt.observe.tracing.sampling.per_method import MethodFloor, PerSecond
from idlrt.observe.tracing.sampling.ratio import Always, Never, Ratio
from idlrt.observe.tracing.sampling.reservoir import Reservoir
from idlrt.observe.tracing.sampling.ruled import Rules
from idlrt.observe.tracing.sampling.rules import SamplingRule, read_rules

__all__ = [
    "Adaptive",
    "Always",
    "Capped",
    "Decision",
    "GuardedSampler",
    "MethodFloor",
    "Never",
    "ParentBased",
    "PerSecond",
    "Ratio",
    "Reservoir",
    "Rules",
    "SampleRequest",
    "Sampler",
    "SamplingRule",
    "parent_decision",
    "parse_sampler",
    "read_rules",
    "sampler_of_environment",
    "standard_sampler",
]
