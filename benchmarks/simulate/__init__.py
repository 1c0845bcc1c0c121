"""A thousand servers, a hundred thousand calls a second, and everything that can go wrong with them, on a desk.

Time is virtual, and so are servers and network. What decides is the real code of clients: routers, balancers, fault
modes, breakers, budgets, outliers. So it is seen what they come to together, at a size that no test bench has, and
every run is the same.
"""
