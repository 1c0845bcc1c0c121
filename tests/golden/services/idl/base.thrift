namespace py acme.services.base

enum Order { UP, DOWN }

service Base {
  string version(),
  oneway void reset(),
}
