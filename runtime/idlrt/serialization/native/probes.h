/* Keys that were made to collide: see `_hash_probes.py`, of which this is the same in C. */
#ifndef IDLRT_PROBES_H
#define IDLRT_PROBES_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    uint64_t *bits; /* which slots are taken; NULL: nothing is watched */
    Py_hash_t *hashes;
    Py_ssize_t used, usable, room;
    size_t mask, slot;
    int64_t left; /* steps that may still be made */
} Probes;

static inline void probes_close(Probes *p) {
    if (p->bits == NULL) return; /* nothing was watched, as in almost all containers */
    PyMem_Free(p->bits);
    PyMem_Free(p->hashes);
    p->bits = NULL;
    p->hashes = NULL;
}

static inline void probes_find(Probes *p, Py_hash_t hash) {
    size_t slot = (size_t)hash & p->mask, perturb = (size_t)hash;
    while (p->bits[slot >> 6] >> (slot & 63) & 1) {
        p->left--;
        perturb >>= 5;
        slot = (slot * 5 + perturb + 1) & p->mask;
    }
    p->slot = slot;
}

static inline void probes_take(Probes *p) { p->bits[p->slot >> 6] |= (uint64_t)1 << (p->slot & 63); }

static int probes_resize(Probes *p, size_t size) {
    uint64_t *bits = (uint64_t *)PyMem_Calloc((size + 63) / 64, sizeof(uint64_t));
    if (bits == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_Free(p->bits);
    p->bits = bits;
    p->mask = size - 1;
    p->usable = (Py_ssize_t)(size * 2 / 3);
    for (Py_ssize_t i = 0; i < p->used; i++) {
        probes_find(p, p->hashes[i]);
        probes_take(p);
    }
    return 0;
}

/* Start to count the probes of a container of `length` keys, if there are at least `from` (0: never). */
static inline int probes_open(Probes *p, Py_ssize_t length, Py_ssize_t from) {
    p->bits = NULL;
    p->hashes = NULL;
    if (from == 0 || length < from) return 0;
    p->used = p->room = 0;
    p->left = 64 * (int64_t)length;
    return probes_resize(p, 8);
}

/* The key that was looked up last, with this hash, was new. */
static int probes_added(Probes *p, Py_hash_t hash) {
    if (p->used == p->room) {
        Py_ssize_t room = p->room ? p->room * 2 : 1024;
        Py_hash_t *hashes = (Py_hash_t *)PyMem_Realloc(p->hashes, (size_t)room * sizeof(Py_hash_t));
        if (hashes == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        p->hashes = hashes;
        p->room = room;
    }
    probes_take(p);
    p->hashes[p->used++] = hash;
    if (p->used >= p->usable) {
        size_t size = 8;
        while (size < (size_t)p->used * 3) size *= 2;
        return probes_resize(p, size);
    }
    return 0;
}

#endif
