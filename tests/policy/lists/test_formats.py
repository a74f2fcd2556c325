from __future__ import annotations

import pytest

from listing import contents
from twistproxy.policy.lists.formats import FORMATS


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("text", ["", "\n\n \n\t\r\n", "# nothing\n"])
def test_nothing_is_nothing(form: str, text: str) -> None:
    keys, found = contents(form, text)
    assert (keys, found.entries, found.skipped, found.unreadable) == ([], 0, 0, 0)


def test_as_the_configuration_has_them() -> None:
    assert list(FORMATS) == ["hosts", "domains", "urls", "regex", "cidr", "adblock"]
