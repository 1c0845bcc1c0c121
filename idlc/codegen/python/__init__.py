"""The Python target. The folder reads in the order of the work: names, layout, types, values, views, target."""

from idlc.codegen.python.target import PythonTarget

__all__ = ["PythonTarget"]
