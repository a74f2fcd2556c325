"""setup.cfg has what the package is. Here is what may be compiled, if that is asked for:

    TWISTPROXY_COMPILE=1 pip wheel --no-deps --no-build-isolation .

gives a wheel for this platform and this Python, in which the modules that each request passes
are C, made by mypyc from the very same source. mypyc has to see the types of all that they
import: so everything is to be installed before, as ``pip install -e '.[test]'`` does it.
"""

import os
from typing import Any

from setuptools import setup

#: What each request passes. Not here: where a class has to stay as Python makes it, since it is
#: nothing but attrs, or a subclass of dict.
HOT = (
    "cache/cache",
    "cache/flights",
    "cache/outdated",
    "cache/refusals",
    "cache/shares",
    "cache/stored",
    "cache/writer",
    "exchange",
    "http/cache_status",
    "http/caching",
    "http/conditional",
    "http/dates",
    "http/directives",
    "http/errors",
    "http/fields",
    "http/forwarded",
    "http/framing",
    "http/freshness",
    "http/hops",
    "http/hosts",
    "http/message",
    "http/pages/of_servers",
    "http/proxy_status",
    "http/ranges",
    "http/uri",
    "http/variants",
    "net/sweep",
    "policy/conditions/agent",
    "policy/conditions/client",
    "policy/conditions/content_type",
    "policy/conditions/cookie",
    "policy/conditions/country",
    "policy/conditions/group",
    "policy/conditions/header",
    "policy/conditions/host",
    "policy/conditions/hours",
    "policy/conditions/length",
    "policy/conditions/listed",
    "policy/conditions/method",
    "policy/conditions/path",
    "policy/conditions/port",
    "policy/conditions/query",
    "policy/conditions/resolved",
    "policy/conditions/scheme",
    "policy/conditions/url",
    "policy/conditions/user",
    "policy/edits",
    "policy/index",
    "policy/patterns",
    "policy/plan",
    "policy/rules",
    "services/forward",
    "services/reverse",
    "upstream/balance/round_robin",
    "upstream/destinations",
    "upstream/pool",
    "upstream/routing/path",
    "upstream/routing/table",
    "upstream/server",
    "wire/clients",
    "wire/http1/body",
    "wire/http1/client_leg",
    "wire/http1/encode",
    "wire/http1/head",
    "wire/http1/passage",
    "wire/http1/server_leg",
    "wire/http1/valve",
)


def extensions() -> list[Any]:
    """One library, so that calls from one module to another are calls of C."""
    if os.environ.get("TWISTPROXY_COMPILE", "0") == "0":
        return []
    from mypyc.build import mypycify

    return mypycify(
        [f"src/twistproxy/{name}.py" for name in HOT],
        opt_level="2",
        debug_level="0",
        target_dir="build",
        group_name="twistproxy",
    )


setup(ext_modules=extensions())
