from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.limits.tally import Tally


def weight(key: str, value: float) -> float:
    return value


@given(st.lists(st.tuples(st.text(max_size=2), st.floats(0, 1e9)), max_size=60), st.integers(1, 9))
def test_it_is_what_a_dictionary_is_but_for_what_it_says_it_forgot(
    added: list[tuple[str, float]], most: int
) -> None:
    tally, model = Tally(weight, most), dict[str, float]()
    for key, value in added:
        if key in tally.values:
            tally.values[key] = model[key] = value
            continue
        full = len(tally) == most
        forgotten = tally.add(key, value)
        assert (forgotten is not None) is full
        if forgotten is not None:
            assert model.pop(forgotten[0]) == forgotten[1]
        model[key] = value
        assert tally.values == model
        assert len(tally) <= most


def test_what_is_in_use_is_not_pushed_out_by_what_is_made_up() -> None:
    tally = Tally(weight, 10_000)
    for number in range(2_000):  # side by side, as they came
        tally.add(f"used {number}", 50.0)
    for number in range(50_000):
        tally.add(f"made up {number}", 1.0)
    assert len(tally) == 10_000
    assert sum(key.startswith("used") for key in tally.values) == 2_000


def test_where_all_weigh_the_same_one_goes() -> None:
    tally = Tally(lambda key, value: float("inf"), 3)
    for number in range(100):
        tally.add(str(number), 0.0)
        assert str(number) in tally.values
    assert len(tally) == 3
