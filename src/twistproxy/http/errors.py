"""What can go wrong with an exchange, as values: name, status, what the person can do.

Names are the proxy error types of RFC 9209 §2.3; their statuses are the recommended ones.
A parser or a component returns a `Problem`; nothing that a peer sends is an exception.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, field, frozen


@frozen
class Problem:
    """One way to fail.

    name: proxy error type (RFC 9209 §2.3). status: of the response that says so.
    text: a sentence for the person at the other end, with ``{…}`` for what `about` fills in.
    retry: whether another server may be tried for the same request.
    template, details: of which `about` made the text, for who tells it in another language; None
    and {} where the text is as it was written.
    """

    name: str
    status: int
    text: str
    retry: bool = False
    template: str | None = field(default=None, eq=False, repr=False)
    details: Mapping[str, str] = field(factory=dict, eq=False, repr=False)

    def about(self, **details: object) -> Problem:
        """This problem with the placeholders of its text filled in."""
        words = {name: str(detail) for name, detail in details.items()}
        return evolve(self, text=self.text.format(**words), template=self.text, details=words)

    def as_status(self, status: int) -> Problem:
        """This problem, told with another status."""
        return evolve(self, status=status)


def _request_error(status: int, text: str) -> Problem:
    """A request that we can't frame or won't take (RFC 9209 §2.3.17)."""
    return Problem("http_request_error", status, text)


# The client's doing: framing, syntax, limits.
BAD_REQUEST = _request_error(400, "The request can't be understood: {why}.")
REQUEST_TIMEOUT = _request_error(408, "The request did not arrive in time.")
LENGTH_REQUIRED = _request_error(411, "A request with this method needs a Content-Length.")
BODY_TOO_LARGE = _request_error(413, "The request's body is larger than {limit} bytes.")
URI_TOO_LONG = _request_error(414, "The request's target is longer than {limit} bytes.")
EXPECTATION_FAILED = _request_error(417, "Only Expect: 100-continue is understood.")
HEAD_TOO_LARGE = _request_error(431, "The request's head is larger than {limit}.")
UNKNOWN_CODING = _request_error(501, "Transfer-Encoding can only be chunked.")
VERSION_NOT_SUPPORTED = _request_error(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")

# The client's doing, but the connection is sound.
NOT_FOUND = Problem("http_request_error", 404, "Nothing is served under {url}.")
MISDIRECTED = Problem(
    "http_request_error", 421, "The host {host} is not served on this TLS connection."
)
METHOD_NOT_ALLOWED = Problem("http_request_error", 405, "{method} is not possible here.")
NOT_A_PROXY_REQUEST = Problem(
    "http_request_error",
    400,
    "This is a forward proxy: it takes http://host/path and CONNECT host:port. "
    "Set it as the proxy of your client, do not open it as a page.",
)
REDIRECTED = Problem("", 302, "What was asked for is to be found elsewhere.")  # no error
REQUEST_DENIED = Problem("http_request_denied", 403, "{what} is not allowed here.")
NOT_GRANTED = Problem("http_request_denied", 403, "{what} is not allowed here: {why}.")


def limit_reached(template: str, /, **details: object) -> Problem:
    """A limit of the policy is reached (RFC 6585 §4), which has its own sentence for that."""
    return Problem("http_request_denied", 429, template).about(**details)


# On the way to the server.
DNS_TIMEOUT = Problem("dns_timeout", 504, "The name {host} was not resolved in time.")
DNS_ERROR = Problem("dns_error", 502, "The name {host} can't be resolved.")
DESTINATION_UNAVAILABLE = Problem(
    "destination_unavailable", 503, "No server of pool {pool} can take the request now."
)
DESTINATION_IP_PROHIBITED = Problem(
    "destination_ip_prohibited",
    502,
    "{host} has only addresses that this proxy does not connect to (private or special).",
)
DESTINATION_IP_UNROUTABLE = Problem(
    "destination_ip_unroutable", 502, "There is no route to {server}.", retry=True
)
CONNECTION_REFUSED = Problem(
    "connection_refused", 502, "{server} refused the connection; is it running?", retry=True
)
CONNECTION_TERMINATED = Problem(
    "connection_terminated", 502, "{server} closed the connection without an answer.", retry=True
)
CONNECTION_TIMEOUT = Problem(
    "connection_timeout", 504, "{server} did not take the connection in time.", retry=True
)
CONNECTION_READ_TIMEOUT = Problem(
    "connection_read_timeout", 504, "{server} stopped sending in the middle of its answer."
)
CONNECTION_WRITE_TIMEOUT = Problem(
    "connection_write_timeout", 504, "{server} stopped reading the request."
)
CONNECTION_LIMIT_REACHED = Problem(
    "connection_limit_reached", 503, "As many connections are open as the limits allow: {what}."
)
TLS_PROTOCOL_ERROR = Problem(
    "tls_protocol_error", 502, "TLS with {server} failed: {why}.", retry=True
)
TLS_CERTIFICATE_ERROR = Problem(
    "tls_certificate_error", 502, "The certificate of {server} is not valid: {why}."
)

# The server's answer.
RESPONSE_INCOMPLETE = Problem(
    "http_response_incomplete", 502, "{server} closed the connection within its answer."
)
RESPONSE_HEAD_TOO_LARGE = Problem(
    "http_response_header_section_size", 502, "The answer's head is larger than {limit}."
)
RESPONSE_CODING = Problem(
    "http_response_transfer_coding", 502, "The answer's transfer coding is not chunked."
)
RESPONSE_TIMEOUT = Problem(
    "http_response_timeout", 504, "{server} did not answer in time.", retry=True
)
RESPONSE_CODING_BROKEN = Problem(
    "http_response_transfer_coding", 502, "The answer's chunks are broken: {why}."
)
UPGRADE_FAILED = Problem(
    "http_upgrade_failed", 502, "{server} switched to a protocol nobody asked for."
)
BAD_RESPONSE = Problem("http_protocol_error", 502, "The answer can't be understood: {why}.")

SERVER_PAGE = Problem("proxy_internal_response", 502, "The server could not answer the request.")

# Our own.
PARENT_REFUSED = Problem(
    "proxy_configuration_error", 500, "The parent {server} wants credentials that it is not given."
)
INTERNAL_ERROR = Problem("proxy_internal_error", 500, "The proxy failed; its log says how.")
NOT_CACHED = Problem(
    "proxy_internal_response", 504, "It is not in the cache, and only-if-cached was asked for."
)
LOOP_DETECTED = Problem("proxy_loop_detected", 502, "The request would come back to this proxy.")
