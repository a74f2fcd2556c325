from __future__ import annotations

from types import SimpleNamespace

import pytest

from twistproxy.http import uri
from twistproxy.policy import Means
from twistproxy.policy.conditions.path import Path

CASES = {
    "begins_with_it": (["/a/"], b"http://h/a/b", True),
    "is_it": (["/a/"], b"http://h/a/", True),
    "shorter": (["/a/"], b"http://h/a", False),
    "letters_not_segments": (["/a"], b"http://h/abc", True),
    "case_matters": (["/a"], b"http://h/A", False),
    "any_of_several": (["/x", "/a"], b"http://h/a", True),
    "written_in_another_form": (["//%61/./"], b"http://h/a/", True),
    "asked_in_another_form": (["/a/"], b"http://h/x/..//%61/", True),
    "not_in_the_query": (["/a"], b"http://h/b?/a", False),
    "hidden_files": (["/."], b"http://h/.git/config", True),
    "everything": (["/"], b"http://h", True),
    "none": ([], b"http://h/", False),
}


@pytest.mark.parametrize(("prefixes", "url", "holds"), CASES.values(), ids=CASES)
def test_path(prefixes: list[str], url: bytes, holds: bool) -> None:
    assert Path(prefixes, Means()).holds(SimpleNamespace(target=uri.absolute(url))) is holds


def test_a_tunnel_has_no_path() -> None:
    assert not Path(["/"], Means()).holds(SimpleNamespace(target=uri.tunnel(b"a:443")))


def test_what_is_no_path() -> None:
    with pytest.raises(ValueError, match="slash"):
        Path(["/a", "b"], Means())
