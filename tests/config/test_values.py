"""values: what a single value can be."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config import model, values
from twistproxy.config.values import DURATIONS, SIZES, duration, kinds, size

KINDS = kinds(Path("/here"))

GOOD_SIZES = {
    0: 0,
    65536: 65536,
    "0": 0,
    "65536": 65536,
    "512B": 512,
    "64KiB": 64 << 10,
    "256MiB": 256 << 20,
    "10GiB": 10 << 30,
    "2TiB": 2 << 40,
    "1KB": 1000,
    "1GB": 10**9,
    "1.5KiB": 1536,
}
BAD_SIZES = [-1, 1.5, True, None, "", "KiB", "64K", "64kib", "64 KiB", "-1B", "1e3", "1.B", "٣B"]


@pytest.mark.parametrize(("written", "octets"), GOOD_SIZES.items())
def test_size(written, octets):
    assert size(written) == octets


@pytest.mark.parametrize("written", BAD_SIZES)
def test_not_a_size(written):
    with pytest.raises(ValueError, match=r"^$"):
        size(written)


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZES)))
def test_a_size_is_its_number_times_its_unit(number, unit):
    assert size(f"{number}{unit}") == number * SIZES[unit]


GOOD_DURATIONS = {
    "500ms": 0.5,
    "5s": 5.0,
    "0.25s": 0.25,
    "2m": 120.0,
    "1h": 3600.0,
    "1d": 86400.0,
    "0": 0.0,
    0: 0.0,
    "0s": 0.0,
}
BAD_DURATIONS = [True, None, -5, "", "s", "5 s", "5S", "-5s", "5min", "1h30m", "5s\n", "infs"]


@pytest.mark.parametrize(("written", "seconds"), GOOD_DURATIONS.items())
def test_duration(written, seconds):
    assert duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", BAD_DURATIONS)
def test_not_a_duration(written):
    with pytest.raises(ValueError, match=r"^$"):
        duration(written)


@pytest.mark.parametrize("written", [5, 1.5, "5", "1.5"])
def test_a_duration_needs_its_unit(written):
    with pytest.raises(ValueError, match=f'has no unit; did you mean "{written}s"'):
        duration(written)


@given(st.integers(0, 10**6), st.sampled_from(sorted(DURATIONS)))
def test_a_duration_is_its_number_times_its_unit(number, unit):
    assert duration(f"{number}{unit}") == pytest.approx(number * DURATIONS[unit])


def test_positive_values_are_more_than_nothing():
    assert KINDS[model.PositiveSize].structure("1B") == 1
    for kind, nothing in ((model.PositiveSize, 0), (model.PositiveDuration, "0ms")):
        with pytest.raises(ValueError, match="is too small; it must be more than 0"):
            KINDS[kind].structure(nothing)


GOOD_HOSTS = [
    "example.org",
    "EXAMPLE.org.",
    "a",
    "my_api",
    "bücher.example",
    "xn--bcher-kva.example",
]
GOOD_HOSTS += ["127.0.0.1", "::1", "[::1]", "1.example"]
BAD_HOSTS = ["", ".", "a..b", "-a.example", "a-.example", "a b", "a/b", "a:80", "[::1]:80", "[a]"]
BAD_HOSTS += ["1.2.3", "256.0.0.1", "http://a", "*", "a.*.b", "a" * 64, "a." * 130, "a\n", "[127.0"]


@pytest.mark.parametrize("text", GOOD_HOSTS)
def test_host(text):
    assert values.host(text) == text
    assert values.host_pattern(text) == text


@pytest.mark.parametrize("text", BAD_HOSTS)
def test_not_a_host(text):
    for read in (values.host, values.host_pattern):
        with pytest.raises(ValueError, match=r"^$"):
            read(text)


def test_patterns_are_no_hosts():
    for text in (".example.org", "*.example.org"):
        assert values.host_pattern(text) == text
        with pytest.raises(ValueError, match=r"^$"):
            values.host(text)
    for text in ("*example.org", "..example.org", "*..example.org", ".*.example.org", "*."):
        with pytest.raises(ValueError, match=r"^$"):
            values.host_pattern(text)


def test_network():
    assert values.network("10.1.0.0/16") == ip_network("10.1.0.0/16")
    assert values.network("::1") == ip_network("::1/128")
    with pytest.raises(ValueError, match=r'did you mean "10\.1\.0\.0/16"'):
        values.network("10.1.2.3/16")


def test_a_bad_pattern_says_why_and_prints_nothing(capfd):
    assert values.pattern("^https?://[^/]*ads") == "^https?://[^/]*ads"
    with pytest.raises(ValueError, match=r"is not an RE2 pattern: missing \]"):
        values.pattern("[a-")
    with pytest.raises(ValueError, match=r"^$"):
        values.pattern("\udc80")  # from an environment that isn't UTF-8
    assert capfd.readouterr() == ("", "")


def test_server_urls_come_in_one_spelling():
    assert values.server_url("HTTPS://API.internal:8443") == "https://API.internal:8443"
    assert values.parent_url("HTTP://User:Secret@proxy:80") == "http://User:Secret@proxy:80"


REDIS_URLS = {
    "redis://127.0.0.1": "redis://127.0.0.1",
    "redis://:secret@127.0.0.1:6379/0": "redis://:secret@127.0.0.1:6379/0",
    "REDISS://node:a%40b@redis.example:6380/12": "rediss://node:a%40b@redis.example:6380/12",
    "redis://[::1]/": "redis://[::1]/",
    "unix:///run/redis.sock": "unix:///run/redis.sock",
    "unix://:secret@/run/redis.sock?db=3": "unix://:secret@/run/redis.sock?db=3",
}
NO_REDIS_URLS = {
    "no_scheme": "s3cret",
    "scheme": "http://user:s3cret@127.0.0.1:6379",
    "bare_at_sign": "redis://user:s3cret@s3cret@127.0.0.1",
    "secret_as_port": "redis://user:s3cret",
    "database": "redis://user:s3cret@127.0.0.1/one",
    "query": "redis://user:s3cret@127.0.0.1:6379/0?db=1",
    "no_host": "rediss://user:s3cret@",
    "unix_host": "unix://s3cret.sock",
    "unix_query": "unix:///run/redis.sock?password=s3cret",
}


@pytest.mark.parametrize("written", NO_REDIS_URLS.values(), ids=NO_REDIS_URLS)
def test_what_is_no_redis_url_is_not_shown(written):
    with pytest.raises(ValueError, match=r"begins with|is not a url such as") as caught:
        values.redis_url(written)
    assert "s3cret" not in str(caught.value)


def test_paths_start_at_the_folder():
    path = KINDS[Path].read
    assert path("a/b") == Path("/here/a/b")
    assert path("/a") == Path("/a")


def test_an_output_can_be_opened(tmp_path, monkeypatch):
    read = kinds(tmp_path)[model.Output].read
    (tmp_path / "old.log").touch()
    assert [read("-"), read("new.log"), read("old.log"), read("/dev/null")] == [
        "-",
        f"{tmp_path}/new.log",
        f"{tmp_path}/old.log",
        "/dev/null",
    ]
    with pytest.raises(ValueError, match="there is no folder"):
        read("log/new.log")
    with pytest.raises(ValueError, match="is a folder"):
        read(".")
    # Who runs the tests may be root, who may write everything.
    monkeypatch.setattr(values.os, "access", lambda path, mode: path.name == "old.log")
    assert read("old.log")
    with pytest.raises(ValueError, match=r"new\.log\" may not be written by this user"):
        read("new.log")


def test_a_readable_file_is_there(tmp_path, monkeypatch):
    read = kinds(tmp_path)[model.ReadableFile].read
    with pytest.raises(ValueError, match="there is no file"):
        read("a.pem")
    (tmp_path / "a.pem").touch()
    assert read("a.pem") == tmp_path / "a.pem"
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may read everything
    with pytest.raises(ValueError, match="may not be read by this user"):
        read("a.pem")


TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(kind=st.sampled_from(list(KINDS.values())), value=TOML_VALUES)
def test_any_value_is_read_or_refused_in_words(kind, value):
    words = "none"
    try:
        kind.structure(value)
    except ValueError as error:
        words = str(error)
    assert words
