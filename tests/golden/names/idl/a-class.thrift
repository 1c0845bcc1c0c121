namespace py acme.names

/* Not included: a hyphen cannot be said in the IDL. */
struct FromAHyphen { 1: i32 x }
