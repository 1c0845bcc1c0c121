namespace py acme.spread.one
include "mid.thrift"
include "low.thrift"
typedef mid.Mid Middle
struct High { 1: Middle mid, 2: low.Low low }
const mid.Mid MID = {"low": {"x": low.DEPTH}}
service HighService extends mid.MidService { High up() throws (1: mid.Lost lost) }
