/** The service that W3C's test suite of Trace Context calls. */
namespace py w3c_stubs

/** A request that the service has to send. */
struct Callback {
  1: required string url
  /** The body of the request. */
  2: required list<Callback> arguments
}

service TraceContextTest {
  /** Send the requests one after the other, in the current trace. */
  void test(1: list<Callback> callbacks (http.body)) (http.post = "/test")
}
