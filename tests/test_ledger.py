"""Results that are kept: found again, whole after a kill, and refused where nothing can be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from equime.errors import EquimeError
from equime.quality.ledger import Ledger, key_of


def test_what_is_kept_is_found_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kept.jsonl"
    ledger = Ledger(path)
    assert ledger.get("a") is None
    assert ledger.add("a", {"x": [1.5, None, "é"]}) == ledger.get("a") == {"x": [1.5, None, "é"]}
    ledger.add("a", {"x": 2})
    assert Ledger(path).get("a") == {"x": 2}, "of two the later"
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "a"]
    assert Ledger(None).add("a", {"x": 1}) == {"x": 1}


@pytest.mark.parametrize("keep", range(1, 40, 6))
def test_a_line_cut_short_costs_only_itself(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "kept.jsonl"
    ledger = Ledger(path)
    ledger.add("a", {"x": 1})
    whole = path.read_bytes()
    ledger.add("b", {"text": "long enough to be cut"})
    path.write_bytes(path.read_bytes()[: len(whole) + keep])
    again = Ledger(path)
    assert again.get("a") == {"x": 1} and again.get("b") is None
    again.add("b", {"x": 2})
    again.add("c", {"x": 3})
    assert [Ledger(path).get(key) for key in "abc"] == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_file_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text in ("hello", '{"my": 1}\n'):
        path.write_text(text)
        with pytest.raises(EquimeError, match="holds something else"):
            Ledger(path)
        assert path.read_text() == text
    for text in ("", "{", '{"key": "a", "x'):  # a first line cut short
        path.write_text(text)
        Ledger(path).add("a", {"x": 1})
        assert Ledger(path).get("a") == {"x": 1}


def test_a_key_follows_content_that_matters(tmp_path: Path) -> None:
    file = tmp_path / "img1.png"
    file.write_bytes(b"1")
    first = key_of(1, {"fps": 24.0}, (file,))
    assert key_of(1, {"fps": 24.0}, (file,)) == first
    file.write_bytes(b"22")
    assert key_of(1, {"fps": 24.0}, (file,)) != first
    assert key_of(2, {"fps": 24.0}, (file,)) != key_of(1, {"fps": 24.0}, (file,))


def test_a_place_that_cannot_be_written_is_one_line_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "kept.jsonl"):
        with pytest.raises(EquimeError, match="cannot write"):
            Ledger(path)
