"""How our own page looks: dark where the reader's screen is, on a phone too, and of one piece."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Final

from twistproxy.http.pages.words import Words

_STYLE: Final = """
:root {
  color-scheme: light dark;
  --ink: #1d2330; --soft: #566073; --ground: #f4f5f7; --paper: #fff; --line: #dfe3ea;
  --mark: #b3261e; --link: #0b57d0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8eaee; --soft: #a5adba; --ground: #14171c; --paper: #1d2127; --line: #343a44;
    --mark: #ff8a80; --link: #8ab4f8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 12vh 1rem 2rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif;
}
main {
  max-width: 40rem; margin: auto; padding: 2rem; background: var(--paper);
  border: 1px solid var(--line); border-top: 4px solid var(--mark); border-radius: .5rem;
}
h1 { margin: 0 0 1rem; font-size: 1.5rem; line-height: 1.25; }
h1 span { color: var(--mark); }
p { margin: 0 0 1rem; }
h1, p, dd { overflow-wrap: anywhere; }
a { color: var(--link); }
.soft { color: var(--soft); }
dl {
  display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .375rem 1.25rem;
  margin: 1.5rem 0 0; padding-top: 1.25rem; border-top: 1px solid var(--line);
  font-size: .875rem;
}
dt { color: var(--soft); }
dd { margin: 0; font-family: ui-monospace, monospace; }
@media (max-width: 30rem) {
  body { padding-top: 1rem; }
  main { padding: 1.25rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .625rem; }
}
"""

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1><span>{status}</span> {title}</h1>
<p>{text}</p>
{more}<dl>
{facts}
</dl>
</main>
</body>
</html>
"""

_OF_THE_STYLE: Final = b64encode(sha256(_STYLE.encode()).digest())
#: Content-Security-Policy: its own style, and nothing else. It may be shown in a frame, since what
#: was blocked may be what the frame was for.
POLICY: Final = (
    b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; form-action 'none'"
    % _OF_THE_STYLE
)

#: Characters of a fact: the rest of a long address tells a reader nothing.
_LONGEST: Final = 300


def page(
    words: Words,
    status: int,
    text: str,
    facts: Iterable[tuple[str, str]],
    location: str | None,
    paragraphs: Iterable[str],
) -> bytes:
    """facts: name of a label in `words`, and value. paragraphs: what else there is to say."""
    more = [f'<p class="soft">{escape(paragraph)}</p>\n' for paragraph in paragraphs]
    if location is not None:
        target = escape(location)
        more.insert(0, f'<p><a href="{target}">{target}</a></p>\n')
    return _PAGE.format(
        language=words.language,
        style=_STYLE,
        status=status,
        title=escape(words.phrase(status)),
        text=escape(text),
        more="".join(more),
        facts="\n".join(
            f"<dt>{words.labels[name]}</dt><dd>{escape(_short(value))}</dd>"
            for name, value in facts
        ),
    ).encode("utf-8", "replace")


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
