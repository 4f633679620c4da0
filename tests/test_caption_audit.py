"""The audit of captions: a word planted for one group is found, and a template is told to be even-handed."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import chi2_contingency

from equime import schema
from equime.action_units import ActionUnit
from equime.audit import text as audited
from equime.audit.measures.means import GAP
from equime.audit.measures.words import PRIOR, Words, log_odds, score
from equime.audit.tables.rows import Rows
from equime.audit.text import COLUMNS, text
from equime.captioning.templates import caption, caption_json
from equime.errors import EquimeError

PROGRAMMES = (
    [ActionUnit(12, "B", "C")],
    [ActionUnit(4, "B", "B"), ActionUnit(17, "B", "A")],
    [ActionUnit(5, "L", "C")],
)
RACES = ("asian", "black", "white")
CONTRAST = "largest word contrast"


def made(people: int = 90, clips: int = 4, seed: int = 0, **changed: Any) -> Rows:
    """Template captions of people of three races and two genders."""
    rng, n = np.random.default_rng(seed), people * clips
    who = np.repeat(np.arange(people), clips)
    units = [PROGRAMMES[k] for k in rng.integers(0, len(PROGRAMMES), n)]
    said = [
        (
            schema.EMOTIONS[int(rng.integers(5))],
            units[k],
            1000.0 + k,
            1150.0 + k,
            1300.0 + k,
            int(rng.integers(1 << 30)),
        )
        for k in range(n)
    ]
    columns: dict[str, Any] = {
        "subject_id": [f"s{k}" for k in who],
        "race": [RACES[k % 3] for k in who],
        "gender": [("female", "male")[k // 3 % 2] for k in who],
        "emotion": [one[0] for one in said],
        "control": [None] * n,
        "design": ["balanced"] * n,
        "action_units": [[unit.to_dict() for unit in one] for one in units],
        "caption": [caption(*one) for one in said],
        "caption_json": [json.dumps(caption_json(*one)) for one in said],
        "captioner": ["template"] * n,
        "caption_error": [None] * n,
    } | changed
    types = {name: schema.METADATA.field(name).type for name in COLUMNS}
    return Rows("made", "source", pa.table({k: pa.array(v, types.get(k, pa.string())) for k, v in columns.items()}))


def column(rows: Rows, name: str) -> list[Any]:
    values: list[Any] = rows.table[name].to_pylist()
    return values


# --- a template is even-handed


def test_of_a_template_nothing_is_found() -> None:
    rows = made()
    audit = text(rows)
    assert {f.by for f in audit.where(measure=CONTRAST)} == {"race", "gender", "gender+race"}
    assert not audit.where(measure="log-odds")
    assert min(f.p for f in audit.findings if f.p is not None) > 0.05
    for measure in ("units missed", "units added", "mentions looks", "failed"):
        assert audit.one(measure, by="").value == 0
    planned = np.mean([len(units) for units in column(rows, "action_units")])
    assert audit.one("units", by="").value == pytest.approx(planned)


def test_false_alarms_of_words_come_at_their_level() -> None:
    alarms = sum(bool(text(made(45, 3, seed), ["race", "gender"]).where(measure="log-odds")) for seed in range(40))
    assert alarms <= 6  # 2 are to be expected; more than 6 come once in 300


def test_every_packaged_wording_is_without_looks() -> None:
    rows = made(150, 6, seed=1)
    assert text(rows, ["gender"]).one("mentions looks", by="").value == 0


# --- what is planted is found


def test_a_word_that_is_said_of_one_group_is_found_with_its_odds() -> None:
    rows, rng = made(240), np.random.default_rng(8)
    chance = np.where(np.array(column(rows, "race")) == "black", 0.4, 0.1)
    said = rng.random(len(rows)) < chance
    words = [c + " Vaguely." * s for c, s in zip(column(rows, "caption"), said.tolist(), strict=True)]
    audit = text(made(240, caption=words), ["race", "gender"])
    found = audit.one("log-odds", of="vaguely", group="black")
    true = math.log(0.4 / 0.6) - math.log(0.1 / 0.9)
    assert found.low <= true <= found.high and found.p <= 0.02
    assert found.value == pytest.approx(true, abs=0.5)
    assert found.clips == sum(said & (chance == 0.4)) and found.subjects <= 80
    assert audit.one(CONTRAST, by="race").note == "'vaguely' of black"
    assert {f.of for f in audit.where(measure="log-odds")} == {"vaguely"}
    assert audit.one(CONTRAST, by="gender").p > 0.05


def test_a_word_that_only_one_group_has_is_found() -> None:
    rows = made(120)
    black = np.array(column(rows, "race")) == "black"
    planted = black & (np.arange(len(rows)) % 6 == 1)
    words = [c + " Oddly." * bool(p) for c, p in zip(column(rows, "caption"), planted, strict=True)]
    assert text(made(120, caption=words), ["race"]).one("log-odds", of="oddly").group == "black"


def test_a_habit_of_few_people_is_no_word_of_their_group() -> None:
    rows = made(60, 8)
    own = [who in ("s1", "s4") for who in rows.subjects]  # both black, all of their clips
    words = [c + " Wryly." * s for c, s in zip(column(rows, "caption"), own, strict=True)]
    audit = text(made(60, 8, caption=words), ["race"])
    assert not audit.where(measure="log-odds", of="wryly")


def test_words_about_looks_are_counted() -> None:
    rows = made(90)
    female = np.array(column(rows, "gender")) == "female"
    tail = [" She is an elderly woman." if f and k % 2 else " The old-gold whites." for k, f in enumerate(female)]
    words = [c + t for c, t in zip(column(rows, "caption"), tail, strict=True)]
    audit = text(made(90, caption=[w.replace(" The old-gold whites.", "") for w in words]), ["gender"])
    assert audit.one("mentions looks", group="female").value == pytest.approx(0.5)
    assert audit.one("mentions looks", group="male").value == 0
    found = audit.one(GAP, of="mentions looks")
    assert found.value == pytest.approx(0.5) and found.low is None and found.p < 0.01  # all of a group are alike


@pytest.mark.parametrize(
    ("said", "looks"),
    [
        ("A Black man frowns.", True),
        ("Her brows rise.", True),
        ("She, middle-aged, smiles.", True),
        ("A WOMAN smiles", True),
        ("a bearded face", True),
        ("the manner of the brow", False),
        ("the shell of the lid, the history of it", False),
        ("both brows rise and the chin is held", False),
    ],
)
def test_which_words_tell_of_looks(said: str, looks: bool) -> None:
    assert bool(re.search(rf"\b(?:{audited.APPEARANCE})\b", said, re.IGNORECASE)) == looks
    rows = made(4, 1, caption=[said] * 4)
    assert text(rows, ["gender"]).one("mentions looks", by="").value == looks


def test_units_that_a_caption_misses_or_adds_are_found() -> None:
    rows = made(90)
    other = caption("fear", [ActionUnit(20, "B", "B")], 1000.0, 1100.0, 1300.0, 0)
    wrong = [r == "asian" and k % 2 == 0 for k, r in enumerate(column(rows, "race"))]
    words = [other if w else c for c, w in zip(column(rows, "caption"), wrong, strict=True)]
    audit = text(made(90, caption=words), ["race"])
    for measure in ("units missed", "units added"):
        assert audit.one(measure, group="asian").value == pytest.approx(0.5)
        assert audit.one(GAP, of=measure).p < 0.01
        assert audit.one(measure, group="white").value == 0


def test_failed_captions_by_group() -> None:
    rows = made(90)
    failed = [r == "white" and k % 4 == 0 for k, r in enumerate(column(rows, "race"))]
    words = [None if f else c for c, f in zip(column(rows, "caption"), failed, strict=True)]
    errors = ["no answer" if f else None for f in failed]
    audit = text(made(90, caption=words, caption_error=errors), ["race"])
    assert audit.one("failed", group="white").value == pytest.approx(0.25)
    assert audit.one("failed", group="asian").value == 0 and audit.one(GAP, of="failed").p < 0.01
    assert audit.one("words", group="white").clips == 90


def test_longer_captions_of_one_group() -> None:
    rows = made(90)
    words = [c + " It moves, it moves." * (r == "asian")
             for c, r in zip(column(rows, "caption"), column(rows, "race"), strict=True)]  # fmt: skip
    plain, audit = text(rows, ["race"]), text(made(90, caption=words), ["race"])
    change = audit.one("words", group="asian").value - plain.one("words", group="asian").value
    assert change == pytest.approx(4) and audit.one(GAP, of="words").p < 0.01
    count = [len(re.findall(r"[^\W_]+(?:['-][^\W_]+)*", c)) for c in column(rows, "caption")]
    assert plain.one("words", by="").value == pytest.approx(np.mean(count))


# --- closed forms


def test_log_odds_in_closed_form() -> None:
    counts = np.array([[30.0, 100], [10, 200]])
    prior = PRIOR * 40.5 / 301
    own = (30 + prior) / (70 + PRIOR - prior)
    other = (10 + prior) / (190 + PRIOR - prior)
    assert log_odds(counts)[:, 0] == pytest.approx([math.log(own / other), math.log(other / own)])
    many = log_odds(counts * 1e6)[0, 0]
    assert many == pytest.approx(math.log(30 / 70 * 190 / 10), abs=1e-4)
    assert np.isfinite(log_odds(np.array([[0.0, 5], [0, 7]]))).all()


def test_the_score_is_the_root_of_pearsons_chi_squared() -> None:
    counts = np.array([[30.0, 100], [10, 200], [25, 90]])
    for group in range(3):
        own, rest = counts[group], counts.sum(0) - counts[group]
        table = [[own[0], own[1] - own[0]], [rest[0], rest[1] - rest[0]]]
        oracle = chi2_contingency(table, correction=False).statistic
        assert score(counts)[group, 0] ** 2 == pytest.approx(oracle)
    assert (score(np.array([[5.0, 5], [7, 7]])) == 0).all()


def test_captions_with_a_word_are_counted_once_each() -> None:
    rows = made(6, 1, caption=["brow brow BROW", "a brow's end", "the lid, the lid", None, "brow-lid", "it's lid"])
    words = Words.of(rows)
    counts = words.counts(np.arange(6), 6)
    held = {name: counts[:, k].tolist() for k, name in enumerate(words.names)}
    assert held["brow"] == [1, 0, 0, 0, 0, 0] and held["lid"] == [0, 0, 1, 0, 0, 1]
    assert set(held) == {"brow", "brow's", "end", "the", "lid", "brow-lid", "it's"}
    assert counts[:, -1].tolist() == [1, 1, 1, 0, 1, 1]


def test_of_many_captions_a_fixed_sample_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited, "SAMPLE", 50)
    one, two = (text(made(), ["gender"]) for _ in range(2))
    assert one.one("units", by="").clips == 50 and one == two
    assert any(note.startswith("units are read back from 50 captions") for note in one.notes)


def test_controls_and_dose_sweeps_are_left_out() -> None:
    rows = made(30)
    n = len(rows)
    control, design = ["neutral", *[None] * (n - 1)], ["balanced", "dose", *["balanced"] * (n - 2)]
    assert text(made(30, control=control, design=design), ["race"]).one("words", by="").clips == n - 2


def test_small_groups_take_no_part() -> None:
    audit = text(made(12), ["race"])
    found = audit.one(CONTRAST)
    assert found.value is None and "fewer than two" in found.note


def test_what_cannot_be_asked_says_so_in_a_line() -> None:
    rows = made(12, caption=[None] * 48)
    with pytest.raises(EquimeError, match="run `equime caption made`"):
        text(rows)
    alone = text(made(12, caption=["same"] * 48), ["gender"])
    assert not alone.where(measure=CONTRAST)
