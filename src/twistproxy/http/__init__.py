"""What HTTP means, as pure functions of values: no I/O, no clock, no Twisted.

fields, message    heads as values
uri                the one normal form of a request's target
framing            where a message's body ends (RFC 9112 §6)
hops               fields that belong to one connection only (RFC 9110 §7.6)
forwarded          who asked, as told by proxies before us (RFC 7239)
caching            what may be stored, and what is outdated by whom (RFC 9111)
  directives       what is said to caches: Cache-Control, RFC 9213, RFC 5861
  freshness        how old, how long, when stale
  variants         Vary
  conditional      validators, 304 and HEAD
  ranges           parts of a body (RFC 9110 §14)
cache_status       what our cache says it did (RFC 9211)
errors             what went wrong (RFC 9209)
proxy_status       what our member of Proxy-Status says of it
pages/             how a person is told
negotiation        which of several the client would rather have (RFC 9110 §12.5)

To add a rule of HTTP: a function here and a table of cases in tests/http/.
"""
