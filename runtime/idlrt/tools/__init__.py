"""Building blocks of the command line `idlrt`: compile stubs, probe a server, generate load, explain routing."""

__all__: list[str] = []
