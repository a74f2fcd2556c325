"""The console script: what it prints and how it exits."""

from __future__ import annotations

import subprocess
import sys
from errno import EACCES
from pathlib import Path
from typing import NoReturn

import bcrypt
import pytest
from certificates import Authority
from click.testing import CliRunner, Result

from twistproxy import __version__, cli
from twistproxy.admin import CommandFailed
from twistproxy.admin.client import NoAnswer
from twistproxy.admin.commands import COMMANDS


def twistproxy(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(cli.cli, words, input=stdin)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "twistproxy.toml"
    path.write_text('state_dir = "state"\n[forward]\n')
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.toml"
    path.write_text('[forward]\nanonymity = "no"\n[reverse]\nclok = 1\n')
    return path


class TestCheck:
    def test_a_good_file(self, config: Path) -> None:
        result = twistproxy("check", str(config))
        assert (result.exit_code, result.output) == (0, f"{config}: ok\n")

    def test_by_its_option(self, config: Path) -> None:
        assert twistproxy("check", "--config", str(config)).output == f"{config}: ok\n"

    def test_the_first_that_is_found(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(config.parent)
        assert twistproxy("check").output == "twistproxy.toml: ok\n"

    def test_none_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli.load, "SEARCH", ())
        assert twistproxy("check").output == "the defaults: ok\n"

    def test_errors_one_a_line_and_nothing_else(self, broken: Path) -> None:
        result = twistproxy("check", str(broken))
        assert (result.exit_code, result.stdout) == (1, "")
        first, second = result.stderr.splitlines()
        assert first.startswith(f"{broken}:2: forward.anonymity: ")
        assert second.startswith(f"{broken}:4: reverse.clok: ")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        result = twistproxy("check", str(tmp_path / "none"))
        assert result.exit_code == 1
        assert "No such file" in result.stderr

    def test_a_file_that_may_not_be_read_is_a_failure_not_a_wrong_usage(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def may_not(*_: object) -> NoReturn:
            raise PermissionError(EACCES, "Permission denied")

        monkeypatch.setattr(cli.click.types.os, "access", lambda *_: False)
        monkeypatch.setattr(Path, "read_bytes", may_not)
        for words in ([str(config)], ["--config", str(config)]):
            result = twistproxy("check", *words)
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr == f"{config}: can't be read: Permission denied\n"

    def test_what_only_the_whole_program_would_refuse(self, config: Path) -> None:
        config.write_text(
            '[[policy.rule]]\nname = "no"\nwhen = { path = "/%4" }\naction = "deny"\n'
        )
        result = twistproxy("check", str(config))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"{config}:3: policy.rule[0].when.path[0]: ")

    def test_a_certificate_out_of_date_is_a_warning(self, config: Path) -> None:
        cert, key = Authority(config.parent).issue("a.example", days=-5)
        config.write_text(
            f'[reverse]\n[[reverse.tls]]\nhosts = ["a.example"]\ncert = "{cert}"\nkey = "{key}"\n'
        )
        result = twistproxy("check", str(config))
        assert (result.exit_code, result.stdout) == (0, f"{config}: ok\n")
        assert result.stderr.startswith(f"{cert}: expired on ")

    def test_two_files(self, config: Path) -> None:
        assert twistproxy("check", str(config), "--config", str(config)).exit_code == 2


class TestAsking:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
        asked: list[tuple[object, ...]] = []

        def ask(*args: object, patience: float) -> str:
            assert patience == COMMANDS[str(args[1])].patience
            asked.append(args)
            return "hits 3\n"

        monkeypatch.setattr(cli, "ask", ask)
        return asked

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("help", "explain")])
    def test_each_command_is_a_verb(
        self, config: Path, asked: list[tuple[object, ...]], name: str
    ) -> None:
        words = ["word"] * COMMANDS[name].least
        result = twistproxy(name, *words, "--config", str(config))
        assert (result.exit_code, result.output) == (0, "hits 3\n")
        assert asked == [(config.parent / "state/admin.sock", name, *words)]

    def test_options_are_words_too(self, config: Path, asked: list[tuple[object, ...]]) -> None:
        result = twistproxy("purge", "--tag", "news", "--config", str(config), "--soft")
        assert result.exit_code == 0
        assert asked[0][1:] == ("purge", "--tag", "--soft", "news")

    def test_files_are_named_as_from_everywhere(
        self, config: Path, asked: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(config.parent)
        twistproxy("warm", "http://a.example/", "urls", "--config", str(config))
        assert asked[0][1:] == ("warm", "http://a.example/", f"{config.parent}/urls")

    def test_options_and_their_help_are_shown(self) -> None:
        result = twistproxy("purge", "--help")
        assert result.exit_code == 0
        for option, told in COMMANDS["purge"].options.items():
            assert option in result.output
            assert told in " ".join(result.output.split())

    def test_a_command_that_fails(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            cli, "ask", lambda *_, patience: CommandFailed("FILE:1: no\nFILE:2: no")
        )
        result = twistproxy("reload", "--config", str(config))
        assert (result.exit_code, result.stderr) == (1, "FILE:1: no\nFILE:2: no\n")

    def test_nobody_answers(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cli, "ask", lambda *_, patience: NoAnswer("Connection refused"))
        result = twistproxy("stats", "--config", str(config))
        assert result.exit_code == 1
        assert result.stderr == (
            f"{config.parent}/state/admin.sock: Connection refused; "
            f"does twistproxy run with {config}?\n"
        )

    def test_a_configuration_with_errors(
        self, broken: Path, asked: list[tuple[object, ...]]
    ) -> None:
        result = twistproxy("reload", "--config", str(broken))
        assert (result.exit_code, asked) == (1, [])
        assert len(result.stderr.splitlines()) == 2

    @pytest.mark.parametrize(
        "words", [["stats", "now"], ["why"], ["why", "a", "b"], ["purge", "--all", "a"]]
    )
    def test_words_that_do_not_fit(self, config: Path, words: list[str]) -> None:
        assert twistproxy(*words, "--config", str(config)).exit_code == 2


RULES = """
[[policy.rule]]
name = "staff"
when = { user = ["alice"], group = ["staff"] }
action = "allow"

[[policy.rule]]
name = "no-ads"
when = { host = [".ads.example"], header = { Accept = "html" } }
action = "deny"
"""


class TestExplain:
    @pytest.fixture
    def rules(self, config: Path) -> tuple[str, str]:
        config.write_text(config.read_text() + RULES)
        return "--config", str(config)

    def test_why(self, rules: tuple[str, str]) -> None:
        result = twistproxy("explain", "http://x.ads.example/", *rules, "--header", "Accept:html")
        assert result.exit_code == 0
        first, _, _, staff, ads, verdict = result.output.splitlines()
        assert first.startswith("GET http://x.ads.example/ from 127.0.0.1, at 20")
        assert staff.startswith("staff   allow   no ")
        assert ads.startswith("no-ads  deny    yes ")
        assert verdict == "deny by no-ads (forward), status 403"

    def test_who_and_when(self, rules: tuple[str, str]) -> None:
        who = ["--user", "alice", "--group", "x", "--group", "staff", "--client", "::1"]
        what = ["--method", "CONNECT", "--time", "2026-03-01T09:30Z", "--address", "192.0.2.1"]
        result = twistproxy("explain", "a.example:443", *rules, *who, *what)
        assert result.output.splitlines()[0] == (
            "CONNECT a.example:443 from ::1, user alice, in staff, x, at 2026-03-01 09:30:00+00:00"
        )
        assert result.output.splitlines()[-1] == "allow by staff (forward)"

    def test_the_other_side(self, rules: tuple[str, str]) -> None:
        result = twistproxy("explain", "http://a.example/", *rules, "--side", "reverse")
        assert result.output.splitlines()[-2:] == [
            "allow by default (reverse)",
            "But: there is no [reverse], so nobody can ask this.",
        ]

    def test_what_cannot_be_asked(self, rules: tuple[str, str]) -> None:
        for words in (["a", "--client", "x"], ["http://a/", "--header", "x"]):
            result = twistproxy("explain", *words, *rules)
            assert (result.exit_code, result.stdout) == (1, "")
            assert len(result.stderr.splitlines()) == len(words) // 2 + (words[0] == "a")

    def test_a_configuration_with_errors(self, broken: Path) -> None:
        result = twistproxy("explain", "http://a/", "--config", str(broken))
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 2)

    def test_a_running_proxy(self, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[object, ...]] = []

        def ask(*args: object, patience: float) -> str:
            asked.append(args)
            return "why\n"

        monkeypatch.setattr(cli, "ask", ask)
        words = ["--user", "alice", "--group", "x", "--group", "y", "--header", "A: b"]
        result = twistproxy("explain", "--live", "http://a/", *words, "--config", str(config))
        assert (result.exit_code, result.output) == (0, "why\n")
        said = ("user=alice", "group=x", "group=y", "header=A: b")
        assert asked == [(config.parent / "state/admin.sock", "explain", "http://a/", *said)]


class TestTest:
    @pytest.fixture
    def tests(self, config: Path) -> Path:
        config.write_text(config.read_text() + RULES)
        return config.with_name("tests.toml")

    def test_what_holds(self, config: Path, tests: Path) -> None:
        tests.write_text('[[test]]\nurl = "http://a/"\nverdict = "allow"\n')
        result = twistproxy("test", str(tests), "--config", str(config))
        assert (result.exit_code, result.output) == (0, f"{tests}: 1 ok\n")

    def test_what_does_not(self, config: Path, tests: Path) -> None:
        tests.write_text(
            '[[test]]\nurl = "http://a/"\nverdict = "allow"\n'
            '[[test]]\nurl = "http://a/"\nrule = "no-ads"\n'
        )
        result = twistproxy("test", str(tests), "--config", str(config))
        assert result.exit_code == 1
        assert result.stdout.startswith(
            f"{tests}:4: test[1]: GET http://a/ from 127.0.0.1\n"
            '  rule: expected "no-ads", got "default"\n'
        )
        assert "no-ads  deny    no     host .ads.example; it is a\n" in result.stdout
        assert result.stderr == f"{tests}: 1 of 2 failed\n"

    def test_a_file_with_errors(self, config: Path, tests: Path) -> None:
        tests.write_text('[[test]]\nurl = "a"\nrule = "no-adds"\n')
        result = twistproxy("test", str(tests), "--config", str(config))
        assert (result.exit_code, result.stdout) == (1, "")
        first, second = result.stderr.splitlines()
        assert first.startswith(f'{tests}:2: test[0].url: "a" is not a URL such as')
        assert second.endswith('no rule named "no-adds"; did you mean "no-ads"?')

    def test_a_file_that_is_not_there(self, config: Path, tests: Path) -> None:
        result = twistproxy("test", str(tests), "--config", str(config))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "can't be read" in result.stderr


class TestHashPassword:
    def test_of_standard_input(self) -> None:
        result = twistproxy("hash-password", stdin="secret\nanother\n")
        assert result.exit_code == 0
        assert result.output.startswith("$2y$12$")
        assert bcrypt.checkpw(b"secret", result.output.strip().encode())

    def test_with_a_name(self) -> None:
        assert twistproxy("hash-password", "anna", stdin="secret").output.startswith("anna:$2y$")

    @pytest.mark.parametrize("name", ["a:b", "", " ", "a\nb"])
    def test_with_a_name_that_would_break_the_file(self, name: str) -> None:
        assert twistproxy("hash-password", name, stdin="secret").exit_code == 2

    @pytest.mark.parametrize("password", ["", "\n", "x" * 73, "é" * 37, "a\0b"])
    def test_of_what_bcrypt_can_not_take(self, password: str) -> None:
        result = twistproxy("hash-password", stdin=password)
        assert (result.exit_code, result.stdout) == (1, "")
        assert len(result.stderr.splitlines()) == 1


def test_version() -> None:
    assert twistproxy("version").output.startswith(f"twistproxy {__version__} (Twisted ")


@pytest.mark.parametrize("words", [["nosuch"], ["check", "--nosuch"], ["check", "a", "b"]])
def test_wrong_usage(words: list[str]) -> None:
    assert twistproxy(*words).exit_code == 2


def test_every_verb_takes_a_configuration() -> None:
    for name, verb in cli.cli.commands.items():
        assert "--config" in {option for each in verb.params for option in each.opts}, name


@pytest.mark.parametrize("options", [[], ["--config", "x.toml"]])
def test_run_is_twistd(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    from twisted.scripts import twistd

    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(twistd, "run", lambda: None)
    assert twistproxy("run", *options).exit_code == 0
    assert sys.argv == ["twistd", "--nodaemon", "--pidfile=", "twistproxy", *options]


def test_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(cli, "cli", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "twistproxy: OSError: no space left\n"


def test_the_choice_of_the_reactor_is_left_to_twistd() -> None:
    code = "import sys, twistproxy.cli; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_asking_runs_a_reactor_of_its_own(tmp_path: Path) -> None:
    asking = f"cli.ask(cli.Path({str(tmp_path / 'x')!r}), 'stats', patience=9)"
    code = f"from twistproxy import cli; print({asking})"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("No such file or directory\n", "")
