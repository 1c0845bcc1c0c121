# Headers of traces that are not sampled: the same as `idlrt.observe.tracing.propagation.w3c.next_traceparent`.

import os
import random

cdef Py_ssize_t TRACEPARENT_SIZE = 55
cdef Py_ssize_t TRACE_ID_AT = 3
cdef Py_ssize_t SPAN_ID_AT = 36
cdef Py_ssize_t FLAGS_AT = 53
cdef bytes HEX_DIGITS = b"0123456789abcdef"

# State of xoshiro256++ (https://prng.di.unimi.it/xoshiro256plusplus.c), under the lock of the interpreter.
cdef uint64_t[4] random_state


def seed_ids():
    """Seed the generator of ids from that of Python, which is seeded again in forked children."""
    cdef int place
    for place in range(4):
        random_state[place] = random.getrandbits(64) | (place == 0)


seed_ids()
if hasattr(os, "register_at_fork"):
    # Registered after the function of `random`, so it runs after that in a child.
    os.register_at_fork(after_in_child=seed_ids)


cdef inline uint64_t rotated(uint64_t value, int by) noexcept:
    return (value << by) | (value >> (64 - by))


cdef inline uint64_t next_random() noexcept:
    cdef uint64_t result = rotated(random_state[0] + random_state[3], 23) + random_state[0]
    cdef uint64_t shifted = random_state[1] << 17
    random_state[2] ^= random_state[0]
    random_state[3] ^= random_state[1]
    random_state[1] ^= random_state[2]
    random_state[0] ^= random_state[3]
    random_state[2] ^= shifted
    random_state[3] = rotated(random_state[3], 45)
    return result


cdef inline void put_random(char* at) noexcept:
    # 16 hex digits, not all zero.
    cdef uint64_t number = next_random()
    cdef const char* digits = HEX_DIGITS
    cdef int place
    if number == 0:
        number = 1
    for place in range(16):
        at[place] = digits[(number >> (60 - 4 * place)) & 15]


cdef inline bint is_id(const char* at, int size) noexcept:
    # Whether these are lower-case hex digits, not all zero.
    cdef int place
    cdef char each
    cdef bint is_zero = True
    for place in range(size):
        each = at[place]
        if not (c"0" <= each <= c"9" or c"a" <= each <= c"f"):
            return False
        if each != c"0":
            is_zero = False
    return not is_zero


def next_traceparent(str text not None):
    """Return the header of a request in a trace that is not sampled; empty if only a parser can tell."""
    cdef Py_ssize_t size
    cdef const char* given
    cdef char made[55]
    cdef char low
    if not text:
        memcpy(made, b"00-", 3)
        put_random(made + TRACE_ID_AT)
        put_random(made + TRACE_ID_AT + 16)
        made[SPAN_ID_AT - 1] = c"-"
        low = c"2"
    else:
        if PyUnicode_GET_LENGTH(<PyObject*>text) != TRACEPARENT_SIZE:
            return ""
        given = PyUnicode_AsUTF8AndSize(<PyObject*>text, &size)
        if given == NULL:
            # Lone surrogates.
            PyErr_Clear()
            return ""
        if (
            size != TRACEPARENT_SIZE
            or memcmp(given, b"00-", 3)
            or not is_id(given + TRACE_ID_AT, 32)
            or given[SPAN_ID_AT - 1] != c"-"
            or not is_id(given + SPAN_ID_AT, 16)
            or given[FLAGS_AT - 1] != c"-"
            or given[FLAGS_AT] != c"0"
        ):
            return ""
        low = given[FLAGS_AT + 1]
        # Not sampled, with the flag of random ids or without it.
        if low != c"0" and low != c"2":
            return ""
        memcpy(made, given, SPAN_ID_AT)
    put_random(made + SPAN_ID_AT)
    made[FLAGS_AT - 1] = c"-"
    made[FLAGS_AT] = c"0"
    made[FLAGS_AT + 1] = low
    return made[:TRACEPARENT_SIZE].decode("ascii")


cdef class DroppedFields:
    """Attributes that each trace has that is not sampled, as in `idlrt.observe.tracing.trace`."""

    cdef public object _tracer
    cdef public object began
    cdef public str _text

    def __init__(self, tracer, began, str text not None=""):
        self._tracer = tracer
        self.began = began
        self._text = text
