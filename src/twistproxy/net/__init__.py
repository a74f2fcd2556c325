"""Where bytes are: connections, addresses, names, TLS and time-outs. No HTTP.

reactor     which reactor runs, and how many files it may open
native      protocols on uvloop's own transports: endpoints, TLS by Python's ssl
sweep       one coarse timer for every time-out
addresses   which addresses may be connected to, and which are our own
names       so many lookups at a time, so that slow ones do not hold up the others
dial        a name and a port → a connection, or why there is none
tls         certificates by SNI for clients, verification of servers
relay       two connections joined: a tunnel
splice      bytes from socket to socket in the kernel
sendfile    bytes from a file to a socket, without waiting for the disk
throttle    bytes a second that those under one limit share
listen      an endpoint string → a port, or one clear line
options     what is asked of the kernel for each connection

In:  host names, addresses, ports, endpoint strings, paths of PEM files.
Out: connected Twisted transports, and failures as values or as one exception a file
     (`dial.Unreachable`, `listen.ListenFailed`, `tls.BadFile`).
Knows nothing of requests, policy, pools or the configuration's classes.

To add a way to move bytes: a file here that speaks IProtocol and ITransport on both sides,
and its test in tests/net/.
"""
