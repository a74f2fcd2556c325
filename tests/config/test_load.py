"""load: ``*.case`` files hold TOML, a rule, and what comes of it.

Under the rule either ``EXPRESSION = its repr``, or every error, exactly. The file is named FILE,
its folder is shown as /here and has a file there.pem; ENVIRON and BALANCERS are below.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twistproxy.config import load as module
from twistproxy.config import model
from twistproxy.config.load import ConfigErrors, defaults, find, load
from twistproxy.config.model import Cache, Config, Limits, Timeouts

CASES = sorted(Path(__file__).parent.glob("*.case"))
EXAMPLE = Path(__file__).parents[2] / "etc" / "twistproxy.toml"
ENVIRON = {"NAME": "x", "PORT": "3128", "EMPTY": ""}
BALANCERS = ("round_robin", "rendezvous")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.pem").touch()
    return tmp_path


def loaded(text: str | bytes, environ=ENVIRON) -> Config:
    Path("FILE").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load(Path("FILE"), environ, balancers=BALANCERS)


def errors(text: str | bytes, environ=ENVIRON) -> str:
    with pytest.raises(ConfigErrors) as caught:
        loaded(text, environ)
    return str(caught.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case, here):
    text, _, expected = case.read_text().partition("----------\n")
    try:
        names = attrs.asdict(loaded(text), recurse=False)
    except ConfigErrors as found:
        outcome = f"{found}\n"
    else:
        outcome = "".join(
            f"{expression} = {eval(expression, names)!r}\n"
            for expression in re.findall("^(.*?) = ", expected, re.MULTILINE)
        )
    assert outcome.replace(str(here), "/here") == expected
    assert expected


def test_there_are_cases():
    assert len(CASES) >= 60


def test_errors_are_values_too(here):
    with pytest.raises(ConfigErrors) as caught:
        loaded("\n[cache]\nmemory = 0\nenabled = 0")
    assert [(error.file, error.line, error.key) for error in caught.value.errors] == [
        ("FILE", 3, "cache.memory"),
        ("FILE", 4, "cache.enabled"),
    ]


UNREADABLE = {
    "not_utf8": (b"# \n\n# \xff\n", "FILE:3: not UTF-8, as TOML must be"),
    "nested_too_deeply": ("a = " + "[" * 100_000, "FILE:1: nested too deeply"),
    "cut_off": ("[cache]\nenabled = \n\n", "FILE:2: Invalid value"),
    "nul": ("a = 1\n\0", "FILE:2: Invalid statement"),
}


@pytest.mark.parametrize(("text", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_toml(text, message, here):
    assert errors(text) == message


def test_a_number_of_too_many_digits(here):
    assert errors(f"a = {'1' * 5000}").startswith("FILE:1: Exceeds the limit")


def test_a_file_that_is_not_there(here):
    with pytest.raises(ConfigErrors, match=r"^gone: can't be read: No such file or directory$"):
        load(Path("gone"), {})
    with pytest.raises(ConfigErrors, match=r"^\.: can't be read: Is a directory$"):
        load(Path(), {})
    with pytest.raises(ConfigErrors, match="can't be read: embedded null byte"):
        load(Path("\0"), {})


def test_an_error_among_10_000_rules_has_its_line(here):
    rule = '[[policy.rule]]\nname = "rule-{}"\naction = "deny"\nwhen = {{ host = "a.example" }}\n'
    text = "".join(map(rule.format, range(10_000))).replace('"rule-9000"', "9000")
    assert errors(text) == (
        "FILE:36002: policy.rule[9000].name: 9000 is not a name of printable ASCII characters"
    )


def test_lines_of_a_file_from_windows(here):
    assert errors("# \r\n[cache]\r\nmemory = 0\r\n").startswith("FILE:3: cache.memory: ")


def test_state_dir_is_systemds_if_it_has_one(here):
    assert loaded("", {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}).state_dir == Path("/var/lib/a")
    assert loaded("", {"STATE_DIRECTORY": ""}).state_dir == here / "var"
    assert loaded('state_dir = "x"', {"STATE_DIRECTORY": "/y"}).state_dir == here / "x"


def test_paths_start_at_the_files_own_folder(here, monkeypatch):
    (here / "etc").mkdir()
    (here / "etc" / "file").write_text('manhole.authorized_keys = "keys"')
    config = load(Path("etc/file"), {})
    assert config.manhole is not None
    assert config.manhole.authorized_keys == here / "etc" / "keys"
    assert config.state_dir == here / "etc" / "var"


def test_defaults_are_those_of_an_empty_file(here):
    assert defaults({}) == loaded("", {})
    assert defaults({"STATE_DIRECTORY": "/s"}).state_dir == Path("/s")


def test_find_goes_through_the_search_order(here, monkeypatch):
    first, second = here / "twistproxy.toml", here / "other.toml"
    monkeypatch.setattr(module, "SEARCH", (Path("twistproxy.toml"), second))
    assert find() is None
    second.touch()
    assert find() == second
    first.touch()
    assert find() == Path("twistproxy.toml")
    assert find(Path("gone.toml")) == Path("gone.toml")


def test_the_search_order():
    assert module.SEARCH[0] == Path("twistproxy.toml")
    assert module.SEARCH[-1] == Path("/etc/twistproxy/twistproxy.toml")
    assert module.SEARCH[1:-1] in ((EXAMPLE,), ())  # (): installed, not run from the checkout


PARENT = 'forward.parent = [{{ name = "a", url = "{}" }}]'
SERVER = 'pools.a.servers = ["{}"]'


def test_no_secret_in_a_repr(here):
    assert "hunter2" not in repr(loaded(PARENT.format("http://user:hunter2@127.0.0.1")))


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@",
        "http://user:hun@hunter2@h",
        "ftp://user:hunter2@h",
        "//user:hunter2@h",
        "http://user:hunter2@h:99999",
        "http://user:hunter2@h/path",
        "http://us er:hunter2@h",
    ],
)
@pytest.mark.parametrize("text", [PARENT, SERVER])
def test_no_secret_in_an_error(text, url, here):
    assert "hunter2" not in errors(text.format(url))


# The example


def test_the_example_is_right():
    config = load(EXAMPLE, {})
    assert config.forward is not None
    assert config.reverse is not None
    assert config.manhole is not None
    assert config.manhole.authorized_keys == EXAMPLE.parent / "authorized_keys"
    assert config.pools["demo"].servers[0].url == "http://127.0.0.1:9000"
    assert load(EXAMPLE, {"DEMO_PORT": "1234"}).pools["demo"].servers[0].url.endswith(":1234")


@pytest.mark.parametrize(
    ("table", "class_"), [("timeouts", Timeouts), ("limits", Limits), ("cache", Cache)]
)
def test_the_examples_comments_are_the_defaults(table, class_, here):
    section = re.search(rf"^\[{table}\]\n(?:# .*\n)*", EXAMPLE.read_text(), re.MULTILINE)
    assert section
    text = section[0].replace("\n# ", "\n")
    keys = {key.name for key in attrs.fields(class_) if "help" in key.metadata}  # no tables
    assert tomllib.loads(text)[table].keys() == keys
    assert getattr(loaded(text), table) == class_()


# Whatever the file


SOURCES = [case.read_text().partition("----------\n")[0] for case in CASES]
PIECES = ["[", "]", "[[", "{", "}", '"', "=", ".", "\n", "${", "0", "-1", "true", "[]", "{}", '""']
PIECES += ["policy.rule", "when", "servers", "[pools]\n", '"x"', "\0", "é", "1e9", "1979-05-27"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mutated")


def load_as_file(folder: Path, text: str) -> None:
    (folder / "FILE").write_bytes(text.encode())
    try:
        load(folder / "FILE", ENVIRON)
    except ConfigErrors as raised:
        found = raised
    else:
        return
    lines = text.count("\n") + 1
    assert found.errors
    assert all(1 <= error.line <= lines for error in found.errors)
    assert str(found).count("\n") == len(found.errors) - 1


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_a_mutated_file_loads_or_has_errors(data, folder):
    text = data.draw(st.sampled_from(SOURCES))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 12))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[start + length :]
    load_as_file(folder, text)


NAMES = sorted(
    {
        attribute.name
        for class_ in vars(model).values()
        if isinstance(class_, type) and attrs.has(class_)
        for attribute in attrs.fields(class_)
    }
)
VALUES = st.recursive(
    st.sampled_from(['"x"', '"${X}"', "1", "0", "-1", "true", "1.5", "1979-05-27", '"http://x"']),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda of: f"[{', '.join(of)}]"),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3).map(
            lambda of: f"{{{', '.join(f'{key} = {value}' for key, value in of.items())}}}"
        ),
    ),
    max_leaves=8,
)
TABLES = ["forward", "forward.parent", "reverse", "reverse.route", "reverse.tls", "pools", "cache"]
TABLES += ["pools.a", "policy", "policy.rule", "admin", "manhole", "log", "limits"]


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(TABLES), VALUES),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair[0].partition(".")[0],
    )
)
def test_any_value_anywhere_loads_or_has_errors(folder, pairs):
    load_as_file(folder, "".join(f"{key} = {value}\n" for key, value in pairs))
