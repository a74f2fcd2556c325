"""later: names that are not in this version."""

from __future__ import annotations

from typing import get_args

import attrs
import pytest

from twistproxy.config import later


@pytest.mark.parametrize(("class_", "keys"), later.KEYS.items())
def test_a_key_is_known_or_not_in_this_version_never_both(class_, keys):
    assert not keys & attrs.fields_dict(class_).keys()


@pytest.mark.parametrize(("place", "values"), later.VALUES.items())
def test_a_value_is_known_or_not_in_this_version_never_both(place, values):
    class_, key = place
    attrs.resolve_types(class_)
    assert not values & set(get_args(attrs.fields_dict(class_)[key].type))
