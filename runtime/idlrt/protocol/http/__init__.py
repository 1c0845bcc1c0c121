"""HTTP/1.1 as a protocol of servers and clients: REST routes from the IDL, and JSON."""
