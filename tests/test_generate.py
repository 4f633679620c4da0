"""The stage that makes clips: what each says of itself, failures, order, controls; by the warp and by LTX-Video."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ltx
from PIL import Image
from scipy.stats import ks_2samp
from skimage.transform import SimilarityTransform
from skimage.transform import warp as resample

from equime import flow, schema, traces, video
from equime.action_units import parse
from equime.builders.generate import COMMENT_BYTES, Generate
from equime.causal import EmotionModel, noise
from equime.errors import EquimeError
from equime.generators import motion
from equime.generators.ltx import LTX
from equime.generators.scene import Scene, Still
from equime.generators.warp import Warp
from equime.options import result_fields

SHORT = Warp(num_frames=26)
TIMES = {"onset_ms": 420.0, "apex_ms": 575.0, "offset_ms": 760.0}


def planned(faces: Path, sequence: int = 1, units: str = "R12C", source: str = "ann.png", **other: Any) -> dict:
    """A row as the stage gets it."""
    return {
        "clip_id": f"happiness/f_ann_{sequence:02d}",
        "source": source,
        "source_sha256": hashlib.sha256((faces / source).read_bytes()).hexdigest(),
        "control": None,
        "action_units": [unit.to_dict() for unit in parse(units).units],
        **TIMES,
        "seed": 1000 + sequence,
        "prompt": "a person blinking and turning their head",
        "negative_prompt": "a",
        **other,
    }


def control(faces: Path, kind: str, seed: int) -> dict:
    return planned(
        faces, seed, units="", control=kind, **dict.fromkeys(TIMES), clip_id=f"{kind}/f_ann_{seed}", seed=seed
    )


@pytest.fixture(scope="module")
def stage(faces: Path) -> Generate:
    stage = Generate(faces=faces, warp=SHORT)
    stage.load()
    return stage


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


# ------------------------------------------------------------------------------------------------- what is recorded


def test_the_recorded_square_is_the_square_that_was_cut(stage: Generate, faces: Path, still: Still) -> None:
    """Cut again by scikit-image from the four numbers alone."""
    (row,) = stage([planned(faces)])
    square = row["crop"]
    photo = np.asarray(Image.open(faces / "ann.png").convert("RGB")) / 255
    cut = SimilarityTransform(translation=[-255.5, -255.5])
    cut += SimilarityTransform(scale=square["side"] / 512, rotation=np.radians(square["angle"]))
    cut += SimilarityTransform(translation=[square["x"], square["y"]])
    again = resample(photo, cut, order=3, mode="reflect", output_shape=(512, 512)) * 255
    assert np.abs(again - still.image)[20:-20, 20:-20].mean() < 1.5
    assert row["eye_distance_px"] == pytest.approx(0.28 * 512, abs=0.5)


def test_the_recorded_peak_is_what_flow_sees(stage: Generate, faces: Path, still: Still) -> None:
    row = planned(faces, units="12D")
    (made,) = stage([row])
    key = SHORT.apex(still, parse("12D").units, row["seed"])
    seen = float(np.hypot(*np.moveaxis(flow.dense(still.image, key), 2, 0)).max())
    assert made["peak_px"] == pytest.approx(seen, rel=0.25)
    weak, strong = (SHORT.peak_px(still, parse(text).units, 5) for text in ("12B", "12D"))
    assert strong / weak == pytest.approx(0.032 / 0.012, rel=0.01)


def test_provenance_is_whole_of_constant_length_and_names_no_source(stage: Generate, faces: Path) -> None:
    rows = [planned(faces), planned(faces, 2, "1B+2B+5A+L12C"), control(faces, "blink", 3)]
    for row, made in zip(rows, stage(rows), strict=True):
        comment = video.probe(made["video"]["bytes"]).comment
        assert comment is not None and len(comment.encode()) == COMMENT_BYTES
        said = json.loads(comment)
        assert said["synthetic"] is True and said["clip_id"] in row["clip_id"]
        assert {name: said[name] for name in (*TIMES, "seed", "action_units", "control")} == {
            name: row[name] for name in (*TIMES, "seed", "action_units", "control")
        }
        assert said["versions"]["av"] == importlib.metadata.version("av")
        assert said["model"] is said["revision"] is said["prompt"] is None, "words move no warp"
        for secret in ("happiness", row["source"], row["source_sha256"]):
            assert secret not in comment


def test_the_longest_provenance_fits(faces: Path) -> None:
    words = {"prompt": "w" * 900, "negative_prompt": "w" * 400}
    row = planned(faces, units="1C+2C+4C+5C+L6C+L12C+17C", **words)
    ltx = Generate(faces=faces, ltx=LTX(model="m" * 60))
    assert len(ltx._provenance(row)) == COMMENT_BYTES
    with pytest.raises(EquimeError, match="plan shorter prompts"):
        Generate(faces=faces)._provenance(row | {"clip_id": "fear/" + "f" * COMMENT_BYTES})


def test_the_marks_of_one_generators_clips_know_nothing_of_the_other() -> None:
    warp, ltx = Generate(), Generate(generator="ltx")
    assert result_fields(warp) == result_fields(replace(warp, ltx=LTX(steps=8)))
    assert result_fields(ltx) == result_fields(replace(ltx, warp=Warp(sway=0)))
    assert result_fields(ltx) != result_fields(replace(ltx, ltx=LTX(steps=8)))
    assert result_fields(warp) != result_fields(replace(warp, warp=Warp(sway=0)))
    assert result_fields(warp) == result_fields(replace(warp, encoders=7))


def test_options_of_the_other_generator_are_refused_and_not_ignored(faces: Path) -> None:
    with pytest.raises(EquimeError, match="--vae-tiling is of LTX-Video alone: add --generator ltx"):
        Generate(faces=faces, ltx=LTX(vae_tiling=True)).load()


def test_a_plan_keeps_to_what_the_generator_can_be_asked_for() -> None:
    worded = Generate(generator="ltx").shows
    assert worded[25] == "E" and 28 in worded
    assert Generate().shows == Generate(generator="ltx", ltx=LTX(drive="keyframes")).shows == Warp.SHOWS


# ------------------------------------------------------------------------------------- order, batches and failures


def test_bytes_depend_on_no_batch_order_or_encoder(stage: Generate, faces: Path) -> None:
    rows = [
        planned(faces, n, units, source)
        for n, units, source in ((1, "R12C", "ann.png"), (2, "1B+2B", "bob.jpg"), (3, "4C", "ann.png"))
    ]
    together = stage(rows)
    backwards = replace(stage, encoders=1)(rows[::-1])[::-1]
    alone = [replace(stage, encoders=3)([row])[0] for row in rows]
    assert together == backwards == alone
    assert len({row["sha256"] for row in together}) == 3


def test_a_bad_row_leaves_the_others_of_its_batch_as_they_are(stage: Generate, faces: Path) -> None:
    rows = [
        planned(faces, 1),
        planned(faces, 2, "26E"),
        planned(faces, 3, source_sha256="0" * 64),
        planned(faces, 4, offset_ms=None),
        planned(faces, 5),
        planned(faces, 6, control="nonsense"),
    ]
    made = stage(rows)
    reasons = [row.get("generate_error") for row in made]
    assert [bool(reason) for reason in reasons] == [False, True, True, True, False, True]
    for reason, says in zip(filter(None, reasons), ("up to C", "not the picture", "offset", "nonsense"), strict=True):
        assert says in reason and "\n" not in reason
    assert [made[0], made[4]] == [stage([rows[0]])[0], stage([rows[4]])[0]]


# ------------------------------------------------------------------------------------------------------ controls


def test_a_neutral_clip_is_an_emotional_one_without_its_expression(still: Still) -> None:
    """Drawn from one seed, they differ while the expression lasts and nowhere else: blink, sway and grain agree."""
    model, warp = EmotionModel.from_tables(), Warp(blinks=1)
    programme = model.sample("fear", partial(noise, 11))
    times = (programme.onset_ms, programme.apex_ms, programme.offset_ms)
    emotional = Scene("fear/f_a_1", still, programme.units, *times, seed=11)
    neutral = Scene("neutral/f_a_1", still, (), None, None, None, seed=11, control="neutral")
    assert neutral.times == times
    (one, _), (two, _) = warp.clips([emotional, neutral])
    course = motion.course(11, *times)
    for index in range(144):
        assert np.array_equal(one[index], two[index]) == (course(index * 1000 / 24) == 0)


def test_blink_times_do_not_tell_neutral_from_emotional(still: Still) -> None:
    model = EmotionModel.from_tables()

    def starts(scenes: list[Scene], quiet: bool = True) -> list[float]:
        windows = [(s.times[0], s.times[2]) if quiet else (None, None) for s in scenes]
        drawn = [motion.blink(s.seed, 0.5, 143 * 1000 / 24, *w) for s, w in zip(scenes, windows, strict=True)]
        return [blink.start_ms for blink in drawn if blink]

    emotional = []
    for seed in range(3000):
        p = model.sample(schema.EMOTIONS[seed % 5], partial(noise, seed))
        emotional.append(Scene("", still, p.units, p.onset_ms, p.apex_ms, p.offset_ms, seed))
    neutral = [Scene("", still, (), None, None, None, seed, control="neutral") for seed in range(3000, 6000)]
    assert abs(len(starts(neutral)) - len(starts(emotional))) < 120
    assert ks_2samp(starts(neutral), starts(emotional)).pvalue > 0.05
    assert ks_2samp(starts(neutral, quiet=False), starts(emotional)).pvalue < 0.01, "the test can tell"


def test_a_blink_control_is_one_blink_and_nothing_else(faces: Path, still: Still) -> None:
    stage = Generate(faces=faces, warp=Warp(sensor_noise=0, sway=0))
    (row,) = stage([control(faces, "blink", 5)])
    frames = video.decode(row["video"]["bytes"])
    changed = np.array([np.abs(f.astype(int) - frames[0]).max() > 60 for f in frames])
    (begins,) = np.flatnonzero(np.diff(changed.astype(int)) == 1)
    (ends,) = np.flatnonzero(np.diff(changed.astype(int)) == -1)
    assert 2 <= ends - begins <= 10
    x, y = still.face.eyes.mean(0)
    moved = np.abs(frames[(begins + ends) // 2].astype(int) - frames[0]).max(2) > 40
    rows, columns = np.nonzero(moved)
    assert np.abs(rows - y).max() < 0.5 * still.face.eye_distance
    assert (columns < x).any() and (columns > x).any(), "both eyes"
    assert row["peak_px"] is None


def test_blinks_of_controls_last_as_long_as_they_should_anywhere_in_the_clip() -> None:
    blinks = [motion.one_blink(seed, 6000) for seed in range(500)]
    lengths = [blink.duration_ms for blink in blinks]
    assert 150 <= min(lengths) < 165 and 385 < max(lengths) <= 400
    assert min(b.start_ms for b in blinks) < 100 and 5700 < max(b.start_ms + b.duration_ms for b in blinks) <= 6000


def test_a_macro_control_is_shown_at_its_length(faces: Path, still: Still) -> None:
    row = planned(faces, units="12E", control="macro", onset_ms=1200.0, apex_ms=2100.0, offset_ms=4000.0)
    (made,) = Generate(faces=faces, warp=Warp(blinks=0))([row])
    frames = video.decode(made["video"]["bytes"], indices=list(range(0, 144, 3)))
    moved = traces.traces(frames, still.face, [("mouth_corner", side) for side in "RL"], count=3)
    out = np.mean(
        [traces.project(moved["mouth_corner", s] * ([-1, -1] if s == "R" else [1, -1]), (1, 1)) for s in "RL"], 0
    )
    found = np.array(traces.crossings(out)) * 3000 / 24
    assert np.abs(found - [1200, 2100, 4000]).max() < 250
    assert 0.4 * made["peak_px"] < out.max() < made["peak_px"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"control": "neutral"}, "no units and no times in a neutral"),
        ({"control": "macro", "action_units": []}, "expected units"),
        ({"onset_ms": None}, "expected units with onset"),
        ({"control": "other"}, "neutral, macro or blink"),
    ],
)
def test_a_control_that_contradicts_itself_is_a_row_error(
    stage: Generate, faces: Path, change: dict[str, Any], says: str
) -> None:
    (made,) = stage([planned(faces) | change])
    assert says in made["generate_error"]


# ------------------------------------------------------------------------------------------------------- LTX-Video


def test_a_row_without_a_prompt_names_the_command(faces: Path) -> None:
    stage = Generate(generator="ltx", faces=faces)
    (made,) = stage([planned(faces, prompt=None)])
    assert "equime plan" in made["generate_error"] and set(made) == {"generate_error"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_generators_fill_the_same_columns(faces: Path, tmp_path: Path) -> None:
    """The true LTX pipeline with tiny random weights: the clip is noise, its row is not."""
    model = tiny_ltx.save(tmp_path / "tiny")
    stage = Generate(generator="ltx", faces=faces, ltx=LTX(model=str(model), steps=1, device="cpu"))
    stage.load()
    bad = planned(faces, 2, prompt="person " * 200)
    made, failed = stage([planned(faces), bad])
    assert "128" in failed["generate_error"]
    assert set(made) == set(Generate(faces=faces, warp=SHORT)([planned(faces)])[0])
    assert made["generator_model"] == f"tiny@{stage.models['tiny']}" and made["peak_px"] is None
    assert (made["num_frames"], made["width"], made["height"]) == (144, 512, 512)
    said = json.loads(video.probe(made["video"]["bytes"]).comment or "")
    assert said["prompt"] == planned(faces)["prompt"] and said["model"] == "tiny"
    assert said["versions"]["diffusers"] == importlib.metadata.version("diffusers")
