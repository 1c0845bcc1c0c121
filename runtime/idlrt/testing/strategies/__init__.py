"""Hypothesis strategies of generated classes, for property tests of programs that use them.

`values(User)` draws users as peers may send them, with the extreme values of each field's type;
`arguments(method)` draws arguments of a handler. `structs()` and `types()` draw *classes* and types as idlc
could have generated them, for tests of codecs.

Requires hypothesis: `pip install 'idlc[testing]'`. Nothing else of the runtime imports this package.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("idlrt.testing.strategies needs hypothesis: install it with `pip install 'idlc[testing]'`")

from idlrt.testing.strategies.made_classes import enums, structs, types
from idlrt.testing.strategies.values_of import arguments, of, values

__all__ = ["arguments", "enums", "of", "structs", "types", "values"]
