"""Ranking generators: the clips in common, the order, the table."""

from __future__ import annotations

import pytest

from equime.errors import EquimeError
from equime.quality.ranking import rank


def row(clip: str, accepted: bool | None = True, **other: float | None) -> dict:
    return {"clip_id": clip, "accepted": accepted, "apex_ms": 1000.0, **other}


def test_only_clips_that_all_have_and_that_have_a_verdict_count() -> None:
    shy = [row("a"), row("b"), row("c", None)]
    keen = [row("a", False), row("b"), row("c", False), row("d", False)]
    ranking = rank({"keen": keen, "shy": shy})
    assert [(e.name, e.n, e.accepted) for e in ranking.entries] == [("shy", 2, 1.0), ("keen", 2, 0.5)]
    assert ranking.n == 2 and ranking.left_out == {"keen": 2, "shy": 0}
    assert ranking.lines()[-1] == "2 clips in common; scored but not by all: keen 2"


def test_medians_and_means_leave_nulls_out() -> None:
    rows = [
        row("a", amplitude=0.01, measured_apex_ms=1010.0, identity=0.5, ssim_source=0.9),
        row("b", amplitude=0.03, measured_apex_ms=900.0, identity=None, ssim_source=0.8),
        row("c", amplitude=None, measured_apex_ms=None, identity=0.9, ssim_source=0.7),
    ]
    (entry,) = rank({"one": rows}).entries
    assert entry.amplitude == pytest.approx(0.02)
    assert (entry.apex_error_ms, entry.apexes) == (55.0, 2)
    assert entry.means["identity"] == pytest.approx(0.7) and entry.means["ssim_source"] == pytest.approx(0.8)
    assert "flicker" not in entry.means
    assert any(line.split()[:2] == ["one", "100.0%"] for line in rank({"one": rows}).lines())


def test_equal_shares_are_parted_by_what_stands_out_against_the_shuffled_plan() -> None:
    blunt = [row("a", unit_fidelity=0.9, unit_fidelity_shuffled=0.8)]
    sharp = [row("a", unit_fidelity=0.6, unit_fidelity_shuffled=0.1)]
    assert [entry.name for entry in rank({"blunt": blunt, "sharp": sharp}).entries] == ["sharp", "blunt"]


def test_nothing_in_common_is_one_line() -> None:
    with pytest.raises(EquimeError, match=r"none in common \(scored: x 1, y 0\)"):
        rank({"x": [row("a")], "y": [row("a", None)]})
