"""Block pages as a browser shows them: in its language, in the operator's words, without a word
too much behind a cloak."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import Client, need
from conftest import Start
from program import PATIENCE, Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[errors]
pages = "$pages"

[[policy.rule]]
name = "office-hours"
when = { host = ["video.example", "127.0.0.1"] }
action = "deny"

[[policy.rule]]
name = "our-words"
when = { host = "words.example" }
action = "deny"
page = "blocked.html"

[[policy.rule]]
name = "lawyers"
when = { host = "law.example" }
action = "deny"
status = 451

[[policy.rule]]
name = "a-month"
when = { host = "quota.example" }
action = "continue"
quota = { requests = 1, per = "month", by = "client" }

[[policy.rule]]
name = "new-places"
when = { host = "new.example" }
action = "ask"
ask = { timeout = "100ms", default = "deny" }
"""
PAGES = {
    "451.html": "<!DOCTYPE html><html lang='en'><h1>The law: ${host}</h1>",
    "blocked.html": "<!DOCTYPE html><html lang='en'><h1>Our words</h1><p title='${url}'>${url}</p>",
    "blocked.de.html": "<!DOCTYPE html><html lang='de'><h1>Unsere Worte</h1><p>${title}</p>",
}

Show = Callable[..., str]


@pytest.fixture(scope="module")
def proxy(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Program:
    need("chromium")
    pages = tmp_path_factory.mktemp("pages")
    for name, text in PAGES.items():
        (pages / name).write_text(text)
    return start_shared(CONFIG, pages=pages)


@pytest.fixture
def show(proxy: Program, tmp_path: Path) -> Show:
    """show(url, language): the document that chromium makes of it, with nothing to complain of."""

    def show(url: str, language: str = "en-US,en", through_proxy: bool = True) -> str:
        way = [f"--proxy-server=http://127.0.0.1:{proxy.forward}"] if through_proxy else []
        done = subprocess.run(
            [
                need("chromium"),
                "--headless=new",
                "--no-sandbox",
                "--no-first-run",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-dev-shm-usage",
                "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'profile'}",
                f"--accept-lang={language}",
                *way,
                "--dump-dom",
                url,
            ],
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=True,
        )
        said = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        # Of itself it says that the page failed; anything else the page would be to blame for.
        assert [line for line in said if "Failed to load resource" not in line] == []
        return done.stdout

    return show


@pytest.mark.parametrize(
    ("accepted", "language", "title", "text"),
    [
        ("en-US,en", "en", "403 Forbidden", "video.example is not allowed here."),
        ("de-AT,de,en", "de", "403 Nicht erlaubt", "video.example ist hier nicht erlaubt."),
    ],
    ids=["english", "german"],
)
def test_a_block_page_is_in_the_readers_language(
    show: Show, accepted: str, language: str, title: str, text: str
) -> None:
    page = show("http://video.example/watch?v=1&t=<b>", accepted)
    assert f'<html lang="{language}">' in page
    assert f"<title>{title}</title>" in page
    assert f"<p>{text}</p>" in page
    assert "<dd>office-hours</dd>" in page
    assert "<dd>http://video.example/watch?v=1&amp;t=%3Cb%3E</dd>" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("accepted", "text"),
    [("en", "This is not allowed here."), ("de", "Das ist hier nicht erlaubt.")],
)
def test_behind_a_cloak_it_names_error_and_request_alone(
    proxy: Program, show: Show, accepted: str, text: str
) -> None:
    page = show(f"http://127.0.0.1:{proxy.reverse}/x", accepted, through_proxy=False)
    assert f"<p>{text}</p>" in page
    facts = re.findall("<dd>(.*?)</dd>", page)
    assert facts[0] == "http_request_denied"
    assert len(facts) == 2
    assert proxy.access(request_id=facts[1], rule="office-hours", status=403)


def test_the_operators_page_is_shown_with_what_it_asks_for(show: Show) -> None:
    url = "http://words.example/?q='\"><script>alert(1)</script>"
    page = show(url)
    assert "<h1>Our words</h1>" in page
    assert "<script" not in page
    shown = re.findall('<p title="(.*?)">(.*?)</p>', page)
    assert [title for title, _ in shown] == [text for _, text in shown] != []
    assert shown[0][0].startswith("http://words.example/?q=")
    assert "<p>Nicht erlaubt</p>" in show("http://words.example/", "de")


def test_the_operators_page_of_a_status(show: Show) -> None:
    assert "<h1>The law: law.example</h1>" in show("http://law.example/", "de")


def test_who_has_used_up_a_quota_learns_when_there_is_more(proxy: Program, show: Show) -> None:
    with Client(proxy.forward) as client:
        client.ask(b"GET http://quota.example/ HTTP/1.1\r\nHost: quota.example\r\n\r\n")
    page = show("http://quota.example/")
    assert "<title>429 Too Many Requests</title>" in page
    assert "The 1 requests of the month are used up; more from " in page
    assert re.search("Try again in [0-9]+ (seconds?|minutes|hours|days)[.]", page)
    assert "<dd>a-month</dd>" in page


def test_an_operator_was_asked(show: Show) -> None:
    page = show("http://new.example/", "de")
    assert "<title>403 Nicht erlaubt</title>" in page
    assert "die Betreuung wurde gefragt und hat nicht rechtzeitig geantwortet" in page
    assert "<dd>new-places</dd>" in page


def test_a_refused_tunnel_has_its_page_though_browsers_do_not_show_it(
    proxy: Program, show: Show
) -> None:
    assert "video.example is not allowed" not in show("https://video.example/")
    assert proxy.access(method="CONNECT", rule="office-hours", status=403)
    with Client(proxy.forward) as client:
        reply = client.ask(
            b"CONNECT video.example:443 HTTP/1.1\r\nHost: video.example:443\r\n"
            b"Accept: text/html\r\nAccept-Language: de\r\n\r\n"
        )
    assert reply.status == 403
    assert reply.get("content-language") == "de"
    assert reply.get("vary") == "Accept, Accept-Language"
    assert "office-hours" in reply.get("proxy-status")
    assert "video.example ist hier nicht erlaubt." in reply.body.decode()
