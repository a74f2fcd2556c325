"""later: names that are not in this version."""

from __future__ import annotations

import attrs
import pytest

from twistproxy.config import later


@pytest.mark.parametrize(("class_", "keys"), later.KEYS.items())
def test_a_key_is_known_or_not_in_this_version_never_both(class_, keys):
    assert not keys & attrs.fields_dict(class_).keys()
