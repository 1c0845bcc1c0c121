namespace py acme.spread.two
include "low.thrift"
struct Mid { 1: low.Low low, 2: low.Level level = 1, 3: list<low.Low> more = [{"x": low.DEPTH}] }
exception Lost { 1: low.Low low }
service MidService { low.Low get(1: low.Level level) throws (1: Lost lost) }
