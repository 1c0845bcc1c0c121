# Values that readers create: objects of classes, members of enums, uuids. New references, or NULL.

cdef PyObject* make_value(Layout* layout) noexcept:
    # An object all of whose slots are empty, or the tuple of a record.
    cdef PyObject* made
    if layout.cls == NULL:
        made = PyTuple_New(layout.count)
        # Untracked: the garbage collector must not expose it while slots are empty.
        if made != NULL and PyObject_GC_IsTracked(made):
            PyObject_GC_UnTrack(made)
        return made
    if layout.is_exception:
        return make_exception(<PyTypeObject*>layout.cls, <PyObject*>NOTHING)
    return make_object(<PyTypeObject*>layout.cls)

cdef int complete(Input* s, Layout* layout, PyObject* value, Came* came) noexcept:
    # Absent fields get their defaults; then `__post_init__` runs.
    if charge(s, s.p - 1, layout.base + came.count * FIELD_COST) < 0:  # offset: where the end of the struct stands
        return -1
    if came.count != layout.count and fill_absent(s, layout, value, came) < 0:
        return -1
    if came.is_tracked and not layout.is_exception:
        PyObject_GC_Track(value)
    if layout.after == NULL or (layout.is_union and (came.count == 1 or (came.count == 0 and came.has_unknown))):
        return 0
    return call_after(s, layout, value)

cdef int fill_absent(Input* s, Layout* layout, PyObject* value, Came* came) noexcept:
    cdef int i
    cdef Slot* slot
    cdef PyObject* found
    for i in range(layout.count):
        slot = &layout.slots[i]
        if get_slot(value, slot.offset) != NULL:
            continue
        if slot.absent == ABSENT_CONSTANT:
            found = slot.default
            INCREF(found)
        elif slot.absent == ABSENT_MADE:
            found = PyObject_CallNoArgs(slot.default)
            if found == NULL:
                return -1
        else:
            s.wrong = MISSING
            s.at = s.p - 1 - s.start  # where the end of the struct stands
            INCREF(slot.name)
            s.thing = slot.name
            return -1
        set_slot(value, slot.offset, found)
        if is_tracked(found):
            came.is_tracked = True
    return 0

cdef int call_after(Input* s, Layout* layout, PyObject* value) noexcept:
    cdef PyObject* answer = PyObject_CallOneArg(layout.after, value)
    if answer == NULL:
        s.wrong = REFUSED
        s.at = s.p - 1 - s.start
        return -1
    DECREF(answer)
    return 0

cdef inline Slot* find_slot(Layout* layout, int16_t id, Slot* expected) noexcept:
    # The field of a number, or NULL. `expected` is the one after the last that was found.
    if expected < layout.slots + layout.count and expected.id == id:
        return expected
    return search_slot(layout, id)

cdef Slot* search_slot(Layout* layout, int16_t id) noexcept:
    cdef int low = 0, high = layout.count, middle
    while low < high:
        middle = (low + high) // 2
        if layout.slots[middle].id < id:
            low = middle + 1
        else:
            high = middle
    return &layout.slots[low] if low < layout.count and layout.slots[low].id == id else NULL

cdef PyObject* make_member(Input* s, Shape* shape, int32_t number) noexcept:
    # The member of an enum; one of an unknown number is made by the class.
    cdef int64_t place = number - shape.first
    cdef PyObject* found
    cdef PyObject* key
    if shape.dense != NULL and 0 <= place < shape.span and shape.dense[place] != NULL:
        found = shape.dense[place]
        INCREF(found)
        return found
    key = PyLong_FromLongLong(number)
    if key == NULL:
        return NULL
    found = PyDict_GetItemWithError(shape.members, key) if shape.dense == NULL else NULL
    if found != NULL:
        INCREF(found)
    elif PyErr_Occurred() == NULL and charge(s, s.p, UNKNOWN_MEMBER) == 0:
        found = PyObject_CallOneArg(shape.cls, key)
    DECREF(key)
    return found

cdef PyObject* make_uuid(const unsigned char* data) noexcept:
    # A `uuid.UUID` without its constructor, which takes longer than the rest of a small message.
    cdef PyObject* number
    cdef PyObject* made
    if uuid_int_offset <= 0 or uuid_safe_offset <= 0:
        return made_uuid(data)
    made = make_exception(<PyTypeObject*><PyObject*>UUID, <PyObject*>NOTHING)
    if made == NULL:
        return NULL
    number = big_number(data)
    if number == NULL:
        DECREF(made)
        return NULL
    set_slot(made, uuid_int_offset, number)
    INCREF(<PyObject*>SAFE_UNKNOWN)
    set_slot(made, uuid_safe_offset, <PyObject*>SAFE_UNKNOWN)
    return made

cdef PyObject* big_number(const unsigned char* data) noexcept:
    try:
        number = int.from_bytes((<const char*>data)[:16], "big")
    except BaseException as error:
        set_error(error)
        return NULL
    INCREF(<PyObject*>number)
    return <PyObject*>number

cdef PyObject* made_uuid(const unsigned char* data) noexcept:
    try:
        made = UUID(bytes=(<const char*>data)[:16])
    except BaseException as error:
        set_error(error)
        return NULL
    INCREF(<PyObject*>made)
    return <PyObject*>made

cdef PyObject* finish_list(Input* s, Shape* shape, PyObject* items) noexcept:
    # Convert a complete list of elements to the Python type of a list or set. Steals the list.
    cdef PyObject* made
    if shape.kind == LIST and not shape.is_frozen:
        return items
    if shape.kind == LIST:
        made = PyList_AsTuple(items)
    elif shape.watched and PyList_GET_SIZE(items) >= shape.watched:
        made = watched_set(s, shape, items)
    elif shape.is_frozen:
        made = PyFrozenSet_New(items)
    else:
        made = PySet_New(items)
    DECREF(items)
    return made

cdef PyObject* watched_set(Input* s, Shape* shape, PyObject* items) noexcept:
    cdef Probes probes
    cdef Py_ssize_t i
    cdef PyObject* made = PyFrozenSet_New(NULL) if shape.is_frozen else PySet_New(NULL)
    if made == NULL:
        return NULL
    if probes_open(&probes, PyList_GET_SIZE(items), shape.watched) == 0:
        for i in range(PyList_GET_SIZE(items)):
            if put_watched(s, &probes, shape.element, made, PyList_GET_ITEM(items, i), NULL) < 0:
                break
        else:
            probes_close(&probes)
            return made
    probes_close(&probes)
    DECREF(made)
    return NULL

cdef int put_watched(Input* s, Probes* probes, Shape* shape, PyObject* made, PyObject* key, PyObject* item) noexcept:
    # Put a key (of `shape`) into a set, or a pair into a dict, unless too many collide.
    cdef Py_ssize_t before
    cdef Py_hash_t number
    if shape.kind == UID and uuid_int_offset > 0:
        number = PyObject_Hash(get_slot(key, uuid_int_offset))  # what its `__hash__` does, in Python
    else:
        number = PyObject_Hash(key)
    if number == -1:
        return -1
    probes_find(probes, number)
    if probes.left < 0:
        return wrong_limit(s, COLLIDING, s.p, 0)
    before = PySet_Size(made) if item == NULL else PyDict_GET_SIZE(made)
    if (PySet_Add(made, key) if item == NULL else PyDict_SetItem(made, key, item)) != 0:
        return -1
    if before == (PySet_Size(made) if item == NULL else PyDict_GET_SIZE(made)):
        return 0
    return probes_added(probes, number)

cdef PyObject* finish_map(Shape* shape, PyObject* items) noexcept:
    # Likewise of a map.
    cdef PyObject* made
    if not shape.is_frozen:
        return items
    made = PyObject_CallOneArg(<PyObject*>FrozenMap, items)
    DECREF(items)
    return made
