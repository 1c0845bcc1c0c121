namespace py acme.yields.kv_store

struct Key { 1: string name }
