"""path: a prefix of characters, the longest first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.model import Route
from twistproxy.http.uri import path_prefix
from twistproxy.upstream.routing.path import by_path


def longest(paths: list[str], asked: str) -> str | None:
    routes = [Route(path=path, pool="p") for path in paths]
    find = by_path(routes, lambda group: lambda target: group[0])
    route = find(SimpleNamespace(host="h", path=asked))
    return None if route is None else route.path


PATHS = {
    "root": (["/"], "/x", "/"),
    "folder": (["/api/"], "/api/x", "/api/"),
    "folder_itself": (["/api/"], "/api/", "/api/"),
    "folder_without_slash": (["/api/"], "/api", None),
    "characters": (["/api"], "/apix", "/api"),
    "characters_below": (["/api"], "/api/x", "/api"),
    "characters_itself": (["/api"], "/api", "/api"),
    "longer_than_the_target": (["/api/v1"], "/api", None),
    "longest": (["/", "/api/v1/", "/api/"], "/api/v1/x", "/api/v1/"),
    "middle": (["/", "/api/v1/", "/api/"], "/api/v2", "/api/"),
    "shortest": (["/", "/api/v1/", "/api/"], "/apix", "/"),
    "case": (["/Api/"], "/api/", None),
    "tunnel": (["/"], "", None),
    "configured_with_escapes": (["/%7Ejoe/"], "/~joe/x", "/%7Ejoe/"),
}


@pytest.mark.parametrize(("paths", "asked", "found"), PATHS.values(), ids=PATHS)
def test_prefixes(paths, asked, found):
    assert longest(paths, asked) == found


def test_a_path_begins_with_a_slash():
    with pytest.raises(ValueError, match="slash"):
        longest(["api"], "/api")


PATH = st.text("ab/", max_size=6).map(lambda text: "/" + text.replace("//", "/").lstrip("/"))


@given(paths=st.lists(PATH, min_size=1, max_size=8), asked=PATH)
def test_found_is_the_longest_prefix_and_nothing_else(paths, asked):
    fitting = [path for path in paths if asked.startswith(path_prefix(path))]
    found = longest(paths, asked)
    if not fitting:
        assert found is None
    else:
        assert found in fitting
        assert len(path_prefix(found)) == max(len(path_prefix(path)) for path in fitting)
