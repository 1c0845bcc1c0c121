# The input of a reader, and its errors.
#
# A function that finds an error sets it with one of the `wrong_...` functions and returns NULL (or -1); each enclosing
# value adds its step to the path. `error_of` creates the exception, with the texts of `idlrt.serialization.errors`.

cdef enum Wrong:
    FINE          # no error, or a Python exception that is not about the input
    SHORT         # `number` bytes are needed at `at`
    OVER_STRING   # a length of `number`
    OVER_CONTAINER
    DEEP
    COLLIDING     # crafted keys that collide
    DECODED       # the values need too much memory
    MISSING       # the required field `thing`
    ELEMENTS      # types `number` and `second`, expected `third` and `fourth`
    UNKNOWN       # type `number`
    TEXT          # the Python exception that is set has the cause
    REFUSED       # likewise
    OTHER         # `thing` is a `DecodeError`

cdef enum Where:
    IN_FIELD, IN_UNKNOWN, IN_ELEMENT, IN_KEY, IN_VALUE

cdef struct Step:
    Where where
    Py_ssize_t index
    PyObject* thing  # a name, or a key

cdef struct Bounds:
    int max_depth
    Py_ssize_t max_string
    Py_ssize_t max_container
    Py_ssize_t max_message
    const char* text_errors  # Python error handler for text that is not UTF-8; NULL: `strict`
    bint keeps_unknown       # whether structs keep unknown fields
    bint escapes_text        # whether lone surrogates are written as the bytes that they represent
    int64_t max_decoded
    int64_t max_expansion

cdef struct Input:
    const unsigned char* start
    const unsigned char* p
    const unsigned char* end
    Protocol protocol
    const Bounds* bounds
    int64_t budget      # bytes of memory that values may still take
    Py_ssize_t received # bytes of the message, as they arrived
    int depth           # structs that may still nest
    bint is_guarded     # whether nesting may go so deep that the stack has to be watched
    int context         # JSON: what comes next
    bint truth          # compact: the boolean that came with the head of a field
    Wrong wrong
    Py_ssize_t at
    Py_ssize_t number
    int second
    int third
    int fourth
    PyObject* thing
    Step* steps
    int count
    int room

# Nesting for which the stack of every thread is large enough.
cdef int SAFE_DEPTH = 200

cdef void open_input(
    Input* s, const unsigned char* data, Py_ssize_t start, Py_ssize_t end, Protocol protocol, Bounds* bounds, Py_ssize_t received
) noexcept:
    # Field by field: most fields are only set for errors.
    s.received = received
    s.budget = budget_of(bounds, received) - (end - start)
    s.protocol = protocol
    s.context = 0
    s.wrong = FINE
    s.thing = NULL
    s.steps = NULL
    s.count = s.room = 0
    s.start = data
    s.p = data + start
    s.end = data + end
    s.bounds = bounds
    s.depth = bounds.max_depth
    s.is_guarded = bounds.max_depth > SAFE_DEPTH

cdef inline int64_t budget_of(const Bounds* bounds, Py_ssize_t received) noexcept:
    # See `_decoded_size.budget_of`; `max_expansion` has at most 30 bits.
    if received >> 32:
        return bounds.max_decoded
    return min(bounds.max_decoded, EXPANSION_FLOOR + bounds.max_expansion * received)

cdef inline int charge(Input* s, const unsigned char* at, int64_t cost) noexcept:
    # Charge the budget for values that are about to be created.
    s.budget -= cost
    return wrong_limit(s, DECODED, at, 0) if UNLIKELY(s.budget < 0) else 0

cdef void close_input(Input* s) noexcept:
    cdef int i
    for i in range(s.count):
        XDECREF(s.steps[i].thing)
    PyMem_Free(s.steps)
    XDECREF(s.thing)
    s.steps = NULL
    s.thing = NULL
    s.count = s.room = 0

cdef inline Py_ssize_t left(Input* s) noexcept:
    return s.end - s.p

cdef int wrong_short(Input* s, const unsigned char* at, Py_ssize_t wanted) noexcept:
    s.wrong = SHORT
    s.at = at - s.start
    s.number = wanted
    return -1

cdef int wrong_limit(Input* s, Wrong which, const unsigned char* at, Py_ssize_t value) noexcept:
    s.wrong = which
    s.at = at - s.start
    s.number = value
    return -1

cdef int wrong_type(Input* s, const unsigned char* at, int number) noexcept:
    s.wrong = UNKNOWN
    s.at = at - s.start
    s.number = number
    return -1

cdef int wrong_elements(
    Input* s, const unsigned char* at, int got, int wanted, int got_value, int wanted_value
) noexcept:
    s.wrong = ELEMENTS
    s.at = at - s.start
    s.number = got
    s.second = wanted
    s.third = got_value
    s.fourth = wanted_value
    return -1

cdef int wrong_other(Input* s, object decode_error) noexcept:
    INCREF(<PyObject*>decode_error)
    s.wrong = OTHER
    XDECREF(s.thing)
    s.thing = <PyObject*>decode_error
    return -1

cdef void add_step(Input* s, Where where, Py_ssize_t index, PyObject* thing) noexcept:
    # Called while an error propagates: a Python exception may be set, so no Python code may run.
    cdef Step* steps
    if s.count == s.room:
        steps = <Step*>PyMem_Realloc(s.steps, (s.room + 32) * sizeof(Step))
        if steps == NULL:
            return
        s.steps = steps
        s.room += 32
    if thing != NULL:
        INCREF(thing)
    s.steps[s.count].where = where
    s.steps[s.count].index = index
    s.steps[s.count].thing = thing
    s.count += 1

cdef int reraise() except -1:
    # Raise the Python exception that a `noexcept` function has set.
    if PyErr_Occurred() == NULL:
        raise SystemError("idlrt's native codec failed without a reason; please report this")
    return -1

cdef object decode_error_of(Input* s):
    # Return the `DecodeError`; raise the Python exception if that is not about the input.
    cdef Py_ssize_t end = s.end - s.start
    if s.wrong == SHORT:
        return decode_errors.too_short(s.at, s.number, end)
    if s.wrong == OVER_STRING:
        return decode_errors.over_limit(s.at, s.number, "max_string", s.bounds.max_string)
    if s.wrong == OVER_CONTAINER:
        return decode_errors.over_limit(s.at, s.number, "max_container", s.bounds.max_container)
    if s.wrong == COLLIDING:
        return decode_errors.colliding(s.at)
    if s.wrong == DECODED:
        return decode_errors.over_decoded(s.at, s.received, limits_of(s.bounds))
    if s.wrong == DEEP:
        return decode_errors.too_deep(s.at, s.bounds.max_depth)
    if s.wrong == MISSING:
        return decode_errors.missing(s.at, <object>s.thing)
    if s.wrong == ELEMENTS:
        return decode_errors.wrong_elements(s.at, s.number, s.second, s.third, s.fourth)
    if s.wrong == UNKNOWN:
        return decode_errors.unknown_type(s.at, s.number)
    if s.wrong == OTHER:
        return <object>s.thing
    try:
        reraise()
    except UnicodeDecodeError as error:
        if s.wrong != TEXT:
            raise
        return decode_errors.bad_text(s.at, error)
    except (TypeError, ValueError, RecursionError) as error:
        return decode_errors.bad_union(s.at, error) if s.wrong == REFUSED else decode_errors.DecodeError(str(error))

cdef object limits_of(const Bounds* bounds):
    return Limits(max_decoded=bounds.max_decoded, max_expansion=bounds.max_expansion)

cdef object error_of(Input* s, str root):
    # Return the exception of a reader, and close the input.
    cdef int i
    try:
        decode_error = decode_error_of(s)
        for i in range(s.count):
            decode_error.path.append(step_text(&s.steps[i]))
        return decode_errors.public_error(decode_error, root)
    finally:
        close_input(s)

cdef object step_text(Step* step):
    if step.where == IN_FIELD:
        return decode_errors.at_field(<object>step.thing)
    if step.where == IN_UNKNOWN:
        return decode_errors.at_field(f"field {step.index}")
    if step.where == IN_ELEMENT:
        return decode_errors.at_element(step.index)
    if step.where == IN_KEY:
        return decode_errors.at_key(step.index)
    return decode_errors.at_value(<object>step.thing)
