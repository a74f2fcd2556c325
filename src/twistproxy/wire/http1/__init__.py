"""HTTP/1.0 and 1.1 (RFC 9112): the two legs, and how their messages are read.

head, body     bytes to heads and bodies; what is refused, and why
client_leg     a connection from a client: one request after the other
server_leg     a connection to a server or parent: one exchange at a time
handover       a connection that becomes a tunnel
valve          a transport's backpressure, and whether a peer that stalls moves at all
"""
