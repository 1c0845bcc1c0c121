"""Compares the speed of two versions of this project on a noisy machine. `make bench-compare REF=<commit>`.

Times on a shared machine move by far more than what a change costs, so two runs, one after the other, compare nothing.
Here the versions take turns in one run, in processes that are pinned to one CPU, and each pair of measurements gives
a ratio. Every pair has new processes, because two processes of the same version differ, too, by where their memory
lies. The result is the median of the ratios with its confidence interval. First the new version is compared with
itself; if that does not come out as 1, the machine is too noisy.
"""
