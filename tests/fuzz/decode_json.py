"""Decodes bytes as values in the JSON protocol. See `decoding` for what must hold.

python tests/fuzz/decode_json.py [options of libFuzzer] [folders]
"""

from __future__ import annotations

from functools import partial

from guidance import fuzz, guided

with guided(__name__):
    import decoding

check = decoding.checking("json")
seeds = partial(decoding.seeds, "json")

if __name__ == "__main__":
    fuzz(check, seeds)
