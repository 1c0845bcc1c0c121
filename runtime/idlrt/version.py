"""The version of the runtime: the same as the compiler's, since one distribution holds both."""

__version__ = "0.1.0"
