"""Cluster simulator: a thousand servers and a hundred thousand calls a second in virtual time, with failures.

Servers and network are simulated; the clients run the real code: routers, balancers, fault modes, breakers, retry
budgets, outlier detection. So their interaction is seen at a size that no test bench has, and every run is the same.
"""
