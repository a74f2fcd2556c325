"""flights: who waits for whom, and what becomes of those who waited."""

from __future__ import annotations

from twistproxy.cache.flights import ALONE, Flight, Flights, Wave
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.errors import CONNECTION_REFUSED, Problem
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import Freshness

KEY = Key("open", "http://a.test/")
STORED = Stored(KEY, (), 200, b"OK", Fields(), Freshness(60, 0, 0), 0)


class Leader:
    generation = 1
    goes_to_a_file = False

    def share(self) -> None: ...
    def let_go(self, flight: Flight) -> None: ...


class Waiter:
    """Notes what becomes of it."""

    def __init__(self) -> None:
        self.became: list[object] = []

    def read_along(self, flight: Flight) -> None:
        self.became.append("reads along")

    def look_again(self, wave: Wave | None) -> None:
        self.became.append(wave or "looks again")

    def fail(self, problem: Problem) -> None:
        self.became.append(problem)


def under_way(count: int) -> tuple[Flights, Flight, list[Waiter]]:
    flights = Flights()
    flight = flights.depart(KEY, Leader(), 0)
    assert flight is not None
    waiters = [Waiter() for _ in range(count)]
    for waiter in waiters:
        flight.join(waiter)
    return flights, flight, waiters


def test_those_who_wait_read_along_and_so_do_those_who_come_late() -> None:
    flights, flight, waiters = under_way(2)
    flights.board(flight, STORED, 5)
    late = Waiter()
    flight.join(late)
    assert [each.became for each in (*waiters, late)] == [["reads along"]] * 3
    assert (flight.stored, flight.length) == (STORED, 5)
    flights.land(flight)
    assert flights.get(KEY, 1) is None


def test_when_it_lands_the_others_look_again() -> None:
    flights, flight, waiters = under_way(2)
    flights.land(flight)
    assert [each.became for each in waiters] == [["looks again"]] * 2
    assert len(flights) == 0


def test_when_it_fails_so_do_the_others() -> None:
    flights, flight, waiters = under_way(2)
    flights.fail(flight, CONNECTION_REFUSED)
    assert [each.became for each in waiters] == [[CONNECTION_REFUSED]] * 2


def test_who_left_hears_nothing() -> None:
    flights, flight, waiters = under_way(2)
    flight.leave(waiters[0])
    flight.leave(waiters[0])
    flights.land(flight)
    assert [each.became for each in waiters] == [[], ["looks again"]]


def test_a_later_flight_of_the_key_is_not_forgotten_with_an_earlier_one() -> None:
    flights, first, _ = under_way(0)
    second = flights.depart(KEY, Leader(), 0)
    flights.land(first)
    assert flights.get(KEY, 1) is second
    assert flights.get(KEY, 2) is None, "after a reload"


def test_dissolved_they_go_two_for_each_that_has_its_answer() -> None:
    flights, flight, waiters = under_way(7)
    flights.dissolve(flight, 0)

    def gone() -> list[Waiter]:
        return [each for each in waiters if each.became]

    assert gone() == waiters[:2]
    (wave,) = waiters[0].became
    assert isinstance(wave, Wave)
    wave.go_on()
    assert gone() == waiters[:4]
    wave.go_on()
    assert gone() == waiters[:6]
    wave.go_on()
    wave.go_on()
    assert gone() == waiters


def test_those_who_get_an_answer_at_once_are_no_recursion() -> None:
    flights, flight, _ = under_way(0)
    count = 5000

    class Quick(Waiter):
        def look_again(self, wave: Wave | None) -> None:
            super().look_again(wave)
            assert wave is not None
            wave.go_on()

    waiters = [Quick() for _ in range(count)]
    for waiter in waiters:
        flight.join(waiter)
    flights.dissolve(flight, 0)
    assert [len(each.became) for each in waiters] == [1] * count


def test_for_a_while_nobody_waits_for_it_then() -> None:
    flights, flight, _ = under_way(1)
    flights.dissolve(flight, 100)
    assert flights.depart(KEY, Leader(), 100 + ALONE - 1) is None
    assert flights.depart(KEY, Leader(), 100 + ALONE) is not None


def test_what_nobody_waited_for_is_not_remembered() -> None:
    flights, flight, _ = under_way(0)
    flights.dissolve(flight, 100)
    assert flights.depart(KEY, Leader(), 100) is not None


def test_what_is_remembered_is_bounded() -> None:
    flights = Flights()
    for n in range(5000):
        flight = flights.depart(Key("open", str(n)), Leader(), 0)
        assert flight is not None
        flight.join(Waiter())
        flights.dissolve(flight, 0)
    assert len(flights._alone) == 4096


def test_who_comes_first_leads_and_the_others_join() -> None:
    flights, first, second = Flights(), Leader(), Leader()
    flight = flights.enter(KEY, first, 0)
    assert flight is not None
    assert flight.leader is first
    assert flights.enter(KEY, second, 0) is flight
    after_a_reload = Leader()
    after_a_reload.generation = 2
    other = flights.enter(KEY, after_a_reload, 0)
    assert other is not None
    assert other.leader is after_a_reload
