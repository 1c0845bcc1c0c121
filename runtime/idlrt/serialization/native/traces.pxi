# Traces that are not sampled, and their headers: the same as `idlrt.observe.tracing.propagation.w3c.next_traceparent`.

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


# For each byte: 0 for the digit 0, 1 for other lower-case hex digits, 2 for all else.
cdef unsigned char[256] DIGIT_KINDS


cdef void fill_digit_kinds() noexcept:
    cdef int each
    for each in range(256):
        DIGIT_KINDS[each] = 1 if c"1" <= each <= c"9" or c"a" <= each <= c"f" else 0 if each == c"0" else 2


fill_digit_kinds()


cdef inline bint is_id(const char* at, int size) noexcept:
    # Whether these are lower-case hex digits, not all zero.
    cdef int place
    cdef unsigned char kinds = 0
    for place in range(size):
        kinds |= DIGIT_KINDS[<unsigned char>at[place]]
    return kinds == 1


cdef inline char plain_flag(str text) except? 1:
    # The last digit of the flags of a valid header of version 00 that says nothing but 0 or 2 in them; 0 for any other.
    cdef Py_ssize_t size
    cdef const char* given
    cdef char low
    if PyUnicode_GET_LENGTH(<PyObject*>text) != TRACEPARENT_SIZE:
        return 0
    given = PyUnicode_AsUTF8AndSize(<PyObject*>text, &size)
    if given == NULL:
        # Lone surrogates.
        PyErr_Clear()
        return 0
    if (
        size != TRACEPARENT_SIZE
        or memcmp(given, b"00-", 3)
        or not is_id(given + TRACE_ID_AT, 32)
        or given[SPAN_ID_AT - 1] != c"-"
        or not is_id(given + SPAN_ID_AT, 16)
        or given[FLAGS_AT - 1] != c"-"
        or given[FLAGS_AT] != c"0"
    ):
        return 0
    low = given[FLAGS_AT + 1]
    # Not sampled, with the flag of random ids or without it.
    return low if low == c"0" or low == c"2" else 0


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
        low = plain_flag(text)
        if not low:
            return ""
        given = PyUnicode_AsUTF8AndSize(<PyObject*>text, &size)
        memcpy(made, given, SPAN_ID_AT)
    put_random(made + SPAN_ID_AT)
    made[FLAGS_AT - 1] = c"-"
    made[FLAGS_AT] = c"0"
    made[FLAGS_AT + 1] = low
    return made[:TRACEPARENT_SIZE].decode("ascii")


cdef str TRACEPARENT_NAME = "traceparent"


cdef class DroppedFields:
    """Attributes that each trace has that is not sampled, and its headers, as in `idlrt.observe.tracing.trace`."""

    cdef public object _tracer
    cdef public object began
    cdef public str _text

    def __init__(self, tracer, began, str text not None=""):
        self._tracer = tracer
        self.began = began
        self._text = text

    def headers(self, method, target):
        """Return the metadata that carry it to a server."""
        cdef object own = self
        cdef str text
        if own._context is None and self._tracer.is_plain and not own.baggage and not own.tags:
            text = next_traceparent(self._text)
            if text:
                if not self._text:
                    self._text = text
                return {TRACEPARENT_NAME: text}
        return self._tracer.headers(self, method, target)


cdef class ServerGate:
    """Begins the traces of calls that are not sampled; the same as the first lines of `Tracer._begin_server`.

    Args:
        begin: begins the trace of any other call.
        tracer: the tracer.
        made: class of the traces.
        untraced: methods that are not traced.
        trusted: whether callers are trusted, by address; those that are absent are left to `begin`.
    """

    cdef object begin
    cdef object tracer
    cdef object made
    cdef frozenset untraced
    cdef dict trusted
    cdef uint64_t least
    cdef bint follows

    def __init__(self, begin, tracer, made, frozenset untraced not None, dict trusted not None):
        self.begin = begin
        self.tracer = tracer
        self.made = made
        self.untraced = untraced
        self.trusted = trusted
        self.least = 0
        self.follows = False

    def set(self, uint64_t least, bint follows):
        """Set the rules: the randomness below which a new trace is not sampled, and whether callers are followed."""
        self.least = least
        self.follows = follows

    def __call__(self, call):
        cdef object headers = call.metadata
        cdef str text = call.context.trace
        cdef double received_at
        if text:
            if self.follows and len(headers) == (TRACEPARENT_NAME in headers) and plain_flag(text):
                if self.trusted.get(call.peer.address) is True and call.method.full_name not in self.untraced:
                    received_at = call.received_at
                    call.trace = self.made(self.tracer, <int64_t>(received_at * 1e9), text)
                    return
        elif self.least and not headers and (next_random() >> 8) < self.least:
            if call.method.full_name not in self.untraced:
                received_at = call.received_at
                call.trace = self.made(self.tracer, <int64_t>(received_at * 1e9))
                return
        self.begin(call, self.least != 0 and not text and not headers)


cdef class ClientGate:
    """Begins the traces of client calls that are not sampled; the same as the first lines of `Tracer._begin_client`.

    Args:
        begin: begins the trace of any other call.
        tracer: the tracer.
        made: class of the traces.
        current: context variable with the trace of an internal span.
        joined: holder of the context of another library.
    """

    cdef object begin
    cdef object tracer
    cdef object made
    cdef object current
    cdef object joined
    cdef uint64_t least

    def __init__(self, begin, tracer, made, current, joined):
        self.begin = begin
        self.tracer = tracer
        self.made = made
        self.current = current.get
        self.joined = joined
        self.least = 0

    def set(self, uint64_t least):
        """Set the randomness below which a new trace is not sampled."""
        self.least = least

    def __call__(self, call, outer, began):
        cdef object parent
        cdef double start
        cdef bint is_drawn = False
        if self.joined.context is None:
            parent = self.current()
            if parent is None and outer is not None:
                parent = outer.trace
            if parent is not None:
                if parent.span is None and not parent.once and not parent.next_once:
                    call.trace = parent
                    return
            elif self.least:
                if (next_random() >> 8) < self.least:
                    start = began
                    call.trace = self.made(self.tracer, <int64_t>(start * 1e9))
                    return
                is_drawn = True
        self.begin(call, outer, began, is_drawn)
