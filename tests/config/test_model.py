"""model: what can be written."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from twistproxy.config import model
from twistproxy.config.model import Config, Parent, RedisCache, Rule

CLASSES = [value for value in vars(model).values() if isinstance(value, type) and attrs.has(value)]


@pytest.mark.parametrize("class_", CLASSES)
def test_every_key_has_a_type_and_help_or_a_table(class_):
    attrs.resolve_types(class_)
    for attribute in attrs.fields(class_):
        holds_tables = any(other.__name__ in str(attribute.type) for other in CLASSES)
        assert "help" in attribute.metadata or holds_tables, attribute.name
        assert attribute.metadata.get("help", "X.").endswith(".")


def test_a_rules_status_depends_on_its_action():
    assert Rule(name="a", action="deny").status == 403
    assert Rule(name="a", action="redirect").status == 302
    assert Rule(name="a", action="redirect", status=301).status == 301


def test_nothing_can_change():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config(state_dir=Path("/")).cache = model.Cache()  # type: ignore[misc]


def test_the_repr_of_what_may_hold_credentials_has_no_url():
    assert "secret" not in repr(Parent(name="a", url="http://user:secret@h"))
    assert "secret" not in repr(RedisCache(url="redis://user:secret@h"))
