"""Version of the runtime. It is the same as that of the compiler, because one distribution contains both."""

__version__ = "0.1.0"
