"""docs/rfc9111.rst is what the table says."""

from __future__ import annotations

from pathlib import Path

from rfc9111.page import page
from rfc9111.subjects import SUBJECTS

DOCUMENT = Path(__file__).parents[3] / "docs" / "rfc9111.rst"


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == page(), (
        "PYTHONPATH=tests/live python -m rfc9111.page > docs/rfc9111.rst"
    )


def test_every_row_is_in_it() -> None:
    text = page()
    for subject in SUBJECTS:
        for row in subject.rows:
            assert text.count(f" ``{row.name}``\n") == 1, row.name
