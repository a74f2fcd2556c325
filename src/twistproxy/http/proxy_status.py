"""What went wrong, or by which rule it went, for a program: Proxy-Status (RFC 9209)."""

from __future__ import annotations

import re

from twistproxy.http.errors import Problem


def proxy_status(
    problem: Problem | None,
    name: str,
    *,
    rule: str | None = None,
    details: str | None = None,
    cloak: bool = False,
) -> bytes:
    """Our member of a Proxy-Status list (RFC 9209 §2).

    problem: None for a response that is passed on. name: our pseudonym. rule: of the policy,
    whose verdict this is; it is named before `details`.
    """
    member = _bare_item(name)
    if problem is not None:
        member += f"; error={problem.name}"
        if problem.name == "http_request_error":  # §2.3.17: ours, not the server's
            member += f"; status-code={problem.status}"
    said = [f"rule {rule}"] if rule is not None else []
    said += [details] if details is not None else []
    if said and not cloak:
        member += f"; details={_string(', '.join(said))}"
    return member.encode("ascii")


_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")


def _bare_item(text: str) -> str:
    """An sf-token where the text can be one, an sf-string otherwise (RFC 8941 §3.3)."""
    return text if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """An sf-string (RFC 8941 §3.3.3), with ``?`` for what it can't hold."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
