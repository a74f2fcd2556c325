"""What HTTP means, as pure functions of values: no I/O, no clock, no Twisted.

fields, message    heads as values
uri                the one normal form of a request's target
framing            where a message's body ends (RFC 9112 §6)
hops               fields that belong to one connection only (RFC 9110 §7.6)
forwarded          who asked, as told by proxies before us (RFC 7239)
caching            what may be stored and reused (RFC 9111, RFC 9211)
errors, pages      what went wrong (RFC 9209), and how a person is told

To add a rule of HTTP: a function here and a table of cases in tests/http/.
"""
