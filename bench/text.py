"""Templates whose names begin with @: dollars and braces are nginx's, HAProxy's and VCL's own."""

from __future__ import annotations

from string import Template


class Text(Template):
    """``@name`` or ``@{name}``; a plain @ is written twice."""

    delimiter = "@"
