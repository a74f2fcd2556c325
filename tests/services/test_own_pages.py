"""own_pages: which files are pages, and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twistproxy.services.own_pages import LONGEST, Found, find


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pages").mkdir()
    return tmp_path / "pages"


def found(folder: Path, *of_rules: str | None) -> Found:
    return find(folder, of_rules, folder.parent)


def chosen(
    found: Found, status: int, page: str | None = None, language: bytes | None = None
) -> str | None:
    assert (found.faults, found.mistakes) == ([], [])
    template = found.pages.choose(status, page, language)
    return None if template is None else template.fill({}).decode()


def errors(found: Found) -> list[str]:
    return [f"{fault.where[-1]}: {fault.message}" for fault in found.faults] + [
        str(mistake) for mistake in found.mistakes
    ]


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    nothing = find(None, [None, None], tmp_path)
    assert (len(nothing.pages), errors(nothing)) == (0, [])


def test_pages_of_a_status_are_found_by_name(folder: Path) -> None:
    for name in ("403", "4xx", "5xx", "403.de", "302"):
        (folder / f"{name}.html").write_text(name)
    pages = found(folder)
    assert len(pages.pages) == 5
    assert chosen(pages, 403) == "403"
    assert chosen(pages, 403, language=b"de") == "403.de"
    assert chosen(pages, 451) == "4xx"
    assert chosen(pages, 301) is None


def test_what_else_is_in_the_folder_is_no_page(folder: Path) -> None:
    for name in ("blocked.html", "README", "logo.svg", "403.html~", "style.css"):
        (folder / name).write_text("${x}")
    pages = found(folder)
    assert (len(pages.pages), errors(pages)) == (0, [])


@pytest.mark.parametrize("place", ["pages/blocked.html", "blocked.html"])
def test_the_page_of_a_rule_is_in_the_folder_or_beside_the_configuration(
    folder: Path, place: str
) -> None:
    path = folder.parent / place
    path.write_text("usual")
    path.with_name("blocked.de.html").write_text("german")
    pages = found(folder, None, "blocked.html", "blocked.html")
    assert len(pages.pages) == 2
    assert chosen(pages, 403, "blocked.html") == "usual"
    assert chosen(pages, 403, "blocked.html", b"de-AT") == "german"
    assert chosen(pages, 403) is None


def test_the_folder_comes_first(folder: Path) -> None:
    (folder / "a.html").write_text("folder")
    (folder.parent / "a.html").write_text("beside")
    assert chosen(found(folder, "a.html"), 403, "a.html") == "folder"
    assert chosen(find(None, ["a.html"], folder.parent), 403, "a.html") == "beside"
    assert chosen(find(None, ["pages/a.html"], folder.parent), 403, "pages/a.html") == "folder"


def test_a_page_that_is_not_there_is_told_for_each_rule(folder: Path) -> None:
    (folder / "blocked.html").write_text("x")
    assert errors(found(folder, "blokced.html", None, "blokced.html", "zzz.html")) == [
        'page: there is no page "blokced.html"; did you mean "blocked.html"?',
        'page: there is no page "blokced.html"; did you mean "blocked.html"?',
        'page: there is no page "zzz.html"',
    ]
    assert [fault.where[2] for fault in found(folder, None, "zzz.html").faults] == [1]


def test_a_page_of_another_kind_is_none(folder: Path) -> None:
    (folder / "blocked.txt").write_text("x")
    assert errors(found(folder, "blocked.txt")) == [
        'page: "blocked.txt" is no page; those are called NAME.html'
    ]


@pytest.mark.parametrize("page", ["", "\0", ".", "x/" * 3000])
def test_what_can_be_no_file_is_no_page(folder: Path, page: str) -> None:
    assert len(errors(found(folder, page))) == 1


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert errors(found(missing)) == [f'pages: there is no folder "{missing}"']
    missing.write_text("")
    assert errors(found(missing)) == [f'pages: "{missing}": Not a directory']


def test_all_mistakes_are_told_at_once_with_file_and_line(folder: Path) -> None:
    (folder / "403.html").write_text("<p>\n${titel}\n${usr}")
    (folder / "40x.html").write_text("")
    (folder / "500.de.html").write_bytes(b"ok\n\nno\xff")
    (folder / "501.html").write_bytes(b" " * (LONGEST + 1))
    (folder / "502.html").mkdir()
    (folder / "a.html").write_text("${")
    assert errors(found(folder, "a.html")) == [
        f"{folder}/403.html:2: no placeholder ${{titel}}; did you mean ${{title}}?",
        f"{folder}/403.html:3: no placeholder ${{usr}}; did you mean ${{user}}?",
        f"{folder}/40x.html: no page of a status; those are 403.html, 4xx.html …",
        f"{folder}/500.de.html:3: not UTF-8, as a page must be",
        f"{folder}/501.html: larger than 256 KiB, which is the most",
        f"{folder}/502.html: is not a file",
        f"{folder}/a.html:1: ${{ without its }}",
    ]


def test_nobody_waits_for_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "403.html")
    assert errors(found(folder)) == [f"{folder}/403.html: is not a file"]


def test_a_page_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "403.html").write_text("x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert errors(found(folder)) == [f"{folder}/403.html: can't be read: Permission denied"]


def test_the_longest_page_and_a_mark_of_byte_order(folder: Path) -> None:
    (folder / "403.html").write_bytes(b"\xef\xbb\xbf" + b"x" * (LONGEST - 3))
    assert chosen(found(folder), 403) == "x" * (LONGEST - 3)
