from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from twistproxy.policy.countries import KEPT, Countries


def written(path: Path, version: int, **networks: object) -> Path:
    """A file in which countries, as records have them, are in these networks."""
    writer = MMDBWriter(
        ip_version=version,
        ipv4_compatible=version == 6,
        database_type="Test",
        languages=["en"],
        description={"en": "for tests"},
    )
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return path


SWEDEN = {"country": {"iso_code": "SE", "names": {"en": "Sweden"}}, "continent": {"code": "EU"}}
RECORDS = {
    "192.0.2.0/24": SWEDEN,
    "198.51.100.0/25": {"country_code": "no", "country": "Norway"},
    "198.51.100.128/25": {"country": "DK"},
    "203.0.113.0/24": {"registered_country": {"iso_code": "FI"}},
}
IN_IPV6 = {"2001:db8::/32": {"country": {"iso_code": "IS"}}}


@pytest.fixture(scope="module")
def countries(tmp_path_factory: pytest.TempPathFactory) -> Countries:
    return Countries(written(tmp_path_factory.mktemp("mmdb") / "all", 6, **RECORDS, **IN_IPV6))


WHERE = {
    "ipv4": ("192.0.2.1", "SE"),
    "mapped": ("::ffff:192.0.2.1", "SE"),
    "mapped_in_hex": ("::FFFF:c000:201", "SE"),
    "ipv6": ("2001:db8:1::1", "IS"),
    "with_a_zone": ("2001:db8::1%eth0", "IS"),
    "of_flat_records": ("198.51.100.1", "NO"),
    "of_records_with_a_word": ("198.51.100.129", "DK"),
    "registered_elsewhere": ("203.0.113.1", None),
    "private": ("10.0.0.1", None),
    "loopback": ("::1", None),
    "in_no_network": ("8.8.8.8", None),
    "unix_socket": ("", None),
    "no_address": ("localhost", None),
}


@pytest.mark.parametrize(("address", "code"), WHERE.values(), ids=WHERE)
def test_country(countries: Countries, address: str, code: str | None) -> None:
    assert countries(address) == code
    assert countries(address) == code  # remembered


def test_ipv6_is_unknown_to_a_file_for_ipv4(tmp_path: Path) -> None:
    countries = Countries(written(tmp_path / "ipv4", 4, **RECORDS))
    assert countries("192.0.2.1") == "SE"
    assert countries("::ffff:192.0.2.1") == "SE"
    assert countries("2001:db8::1") is None


def test_what_is_remembered_is_bounded(countries: Countries) -> None:
    for number in range(KEPT + 100):
        countries(f"10.0.{number >> 8}.{number & 255}")
    info = countries._known.cache_info()  # type: ignore[attr-defined]
    assert info.currsize == KEPT


def test_it_tells_when_it_was_made(tmp_path: Path) -> None:
    assert Countries(written(tmp_path / "new", 4, **RECORDS)).built > 1_700_000_000


def test_the_file_may_be_replaced_and_removed(tmp_path: Path) -> None:
    path = written(tmp_path / "file", 4, **RECORDS)
    countries = Countries(path)
    path.write_bytes(b"")
    path.unlink()
    assert countries("192.0.2.1") == "SE"


def test_it_is_gone_once_nobody_uses_it(tmp_path: Path) -> None:
    countries = Countries(written(tmp_path / "file", 4, **RECORDS))
    gone = weakref.ref(countries)
    gc.disable()
    try:
        del countries
        assert gone() is None
    finally:
        gc.enable()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"can't be read: No such file"):
        Countries(tmp_path / "none")


def test_a_file_without_countries(tmp_path: Path) -> None:
    path = written(tmp_path / "asn", 4, **{"192.0.2.0/24": {"autonomous_system_number": 64496}})
    with pytest.raises(ValueError, match="database of 'Test' and has no countries"):
        Countries(path)


@pytest.mark.parametrize("content", [b"", b"hello\n" * 100, b"\xab\xcd\xefMaxMind.com"])
def test_a_file_of_another_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="MaxMind"):
        Countries(tmp_path / "file")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_broken_file_is_refused_or_knows_less(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "broken"
    content = bytearray(written(tmp_path / "whole", 4, **RECORDS).read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        countries = Countries(path)
    except ValueError:
        return
    for address in ("192.0.2.1", "198.51.100.200", "2001:db8::1", "0.0.0.0"):
        assert countries(address) is None or len(countries(address) or "") == 2
