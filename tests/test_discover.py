from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from equime.causal import EmotionModel, noise, seed_of
from equime.errors import EquimeError
from equime.schema import EMOTIONS
from equime.scm.discover import ATTRIBUTES, MOST_UNITS, Edge, discover, tabulate

pytest.importorskip("causallearn")
MODEL = EmotionModel.from_tables()


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """A plan's rows: faces dealt at random, units drawn from the model."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        emotion = EMOTIONS[index % 5]
        programme = MODEL.sample(emotion, partial(noise, seed_of(seed, str(index))))
        face = {"source_gender": rng.choice(["female", "male"]), "source_race": rng.choice(list("abcdef"))}
        units = [unit.to_dict() for unit in programme.units]
        found.append({"emotion": emotion, "action_units": units, "source_age": None, **face})
    return found


def touching(edges: list[Edge], *names: str) -> list[Edge]:
    return [edge for edge in edges if {edge.first, edge.second} & set(names)]


def test_emotion_causes_units_and_nothing_touches_the_demographics(capfd: pytest.CaptureFixture[str]) -> None:
    edges = discover(rows(4000), alpha=0.001)
    assert capfd.readouterr() == ("", "")
    assert not touching(edges, *ATTRIBUTES)
    caused = {edge.second for edge in edges if edge.first == "emotion" and edge.mark == "-->"}
    assert {"AU 1", "AU 2", "AU 4", "AU 7", "AU 12", "AU 15", "AU 20"} <= caused
    assert not [edge for edge in edges if edge.second == "emotion"]
    assert str(Edge("emotion", "AU 12", "-->")) == "emotion --> AU 12"


def test_a_planted_arrow_from_the_face_is_found() -> None:
    """Women shown smiling, whatever the emotion: what the design forbids, and an audit has to see."""
    planted = rows(4000)
    for index, row in enumerate(planted):
        if row["source_gender"] == "female" and index % 3 == 0:
            row["action_units"] = [{"au": 12, "side": "B", "intensity": "A"}]
    edges = discover(planted, alpha=0.001)
    found = touching(edges, "gender")
    assert "AU 12" in {edge.second for edge in found} and {edge.first for edge in found} == {"gender"}
    assert not touching(edges, "race")


def test_variables_are_those_that_vary() -> None:
    names, table = tabulate(rows(1000))
    units = [name for name in names if name.startswith("AU ")]
    assert names == ["gender", "race", "emotion", *units] and 5 < len(units) <= MOST_UNITS
    assert table.shape == (1000, len(names)) and (table.min(0) == 0).all()
    assert table.max(0).tolist() == [1, 5, 4, *[1] * len(units)]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_no_level(alpha: float) -> None:
    with pytest.raises(EquimeError, match="--alpha"):
        discover(rows(200), alpha)


def test_controls_are_left_out_and_few_rows_refused() -> None:
    with pytest.raises(EquimeError, match="at least 100 rows with an emotion, got 60"):
        discover([*rows(60), *({**row, "emotion": None} for row in rows(100))])
