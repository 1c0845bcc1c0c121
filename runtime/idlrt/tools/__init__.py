"""What the command line `idlrt` is made of: serve an object, call a method, ask whether a server is there, load it."""

__all__: list[str] = []
