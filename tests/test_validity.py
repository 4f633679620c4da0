"""The verdict: what is a micro-expression is accepted, what is none is rejected for the right reason first."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from equime import schema
from equime.action_units import ActionUnit, parse
from equime.errors import EquimeError
from equime.face import FaceFinder, crop, one_face
from equime.generators.scene import Still
from equime.generators.warp import Warp
from equime.optional import available
from equime.options import result_fields
from equime.quality.gates import Beside, Gates, Planned, judge
from equime.quality.identity import NETWORKS, embedder, identity
from equime.quality.leaks import Leaks
from equime.quality.measure import Measured
from equime.quality.validity import validity

FPS = 24.0
SIZE = 288
GATES = Gates()
UNITS = parse("R12C").units
TIMES = (700.0, 860.0, 1050.0)
PLAN = Planned(UNITS, None, *TIMES)
QUIET = Leaks(head_motion=0.02, blinks=0, flicker=0.1, noise=1.0, jump=0.05, stillness=0.0, face_lost=0.0)
SEEN = Measured(
    *(705.0, 855.0, 1060.0),
    units=UNITS,
    side="R",
    region_motion={"brow": 0.001, "lid": 0.001, "nose": 0.004, "mouth": 0.02, "chin": 0.003},
    amplitude=0.02,
    signal_to_noise=40.0,
    unit_fidelity=0.9,
    unit_fidelity_shuffled=0.0,
    unit_leakage=0.1,
    residual=0.05,
)


def field_of(reason: str) -> str:
    return reason.rpartition("(")[2].rstrip(")")


# --- judge: each threshold by itself


def test_a_clip_as_planned_is_accepted() -> None:
    assert judge(SEEN, QUIET, PLAN, FPS, GATES) == []
    assert judge(SEEN, QUIET, Planned(known=False), FPS, GATES, Beside(length_ms=2000.0)) == []


def beyond(field: str) -> tuple[Measured, Leaks, Planned, Beside]:
    """A clip that is right but for one thing, just beyond the threshold of that name."""
    limit = getattr(GATES, field)
    past = limit + (1 if isinstance(limit, int) else 0.001)
    short = limit - 0.0005
    measured = {
        "min_signal_to_noise": {"signal_to_noise": short},
        "min_amplitude": {"amplitude": short},
        "max_amplitude": {"amplitude": past},
        "min_unit_fidelity": {"unit_fidelity": short},
        "max_leakage": {"unit_leakage": past},
        "max_residual": {"residual": past},
        "min_region_share": {"region_motion": {**SEEN.region_motion, "chin": 0.02 / (short or 1), "mouth": 0.02}},
        "max_apex_error_ms": {"apex_ms": TIMES[1] + past},
        "max_duration_error_ms": {"offset_ms": SEEN.onset_ms + TIMES[2] - TIMES[0] + past},
    }
    leaked = {"max_jump", "max_head_motion", "max_flicker", "max_noise", "max_stillness", "max_face_lost", "max_blinks"}
    leaks = {field.removeprefix("max_"): past} if field in leaked else {}
    planned = {
        "max_duration_ms": {"offset_ms": TIMES[0] + past},
        "max_onset_to_apex_ms": {"apex_ms": TIMES[0] + past},
    }
    beside = {
        "max_faces": {"faces": past},
        "min_identity": {"identity": short},
        "min_percentile": {"percentile": short},
        "max_percentile": {"percentile": past},
    }
    return (
        dataclasses.replace(SEEN, **measured.get(field, {})),
        dataclasses.replace(QUIET, **leaks),
        dataclasses.replace(PLAN, **planned.get(field, {})),
        Beside(**beside.get(field, {})),
    )


ELSEWHERE = {"tolerance_frames", "max_rest", "max_slow", "max_spread"}
"""Fields that do not judge a planned expression: tried below."""


@pytest.mark.parametrize("field", sorted({f.name for f in dataclasses.fields(Gates)} - ELSEWHERE))
def test_each_threshold_rejects_alone_and_says_its_name(field: str) -> None:
    measured, leaks, planned, beside = beyond(field)
    reasons = judge(measured, leaks, planned, FPS, GATES, beside)
    assert [field_of(reason) for reason in reasons] == [field]
    assert f"{getattr(GATES, field):g}" in reasons[0]
    assert "\n" not in reasons[0]
    looser = {"min": -1000, "max": 1000}[field[:3]]
    free = dataclasses.replace(GATES, **{field: looser})
    remaining = judge(measured, leaks, planned, FPS, free, beside)
    # What nothing can be measured of stays undetected, whatever the gate.
    assert remaining == [] or field == "min_signal_to_noise"


def test_duration_acts_on_the_plan_and_without_one_on_the_measurement_with_a_frames_tolerance() -> None:
    long = dataclasses.replace(SEEN, offset_ms=SEEN.onset_ms + 500 + 41)
    alone = Planned(known=False)
    assert judge(long, QUIET, PLAN, FPS, GATES) == []
    assert judge(long, QUIET, alone, FPS, GATES) == []
    longer = dataclasses.replace(SEEN, offset_ms=SEEN.onset_ms + 500 + 42)
    assert judge(longer, QUIET, alone, FPS, GATES) == ["lasts 542 ms, at most 500 (max_duration_ms)"]
    assert judge(long, QUIET, alone, FPS, dataclasses.replace(GATES, tolerance_frames=0.0)) == [
        "lasts 541 ms, at most 500 (max_duration_ms)"
    ]


def test_what_is_in_the_noise_has_one_reason_and_no_duration() -> None:
    faint = Measured(signal_to_noise=3.21)
    assert judge(faint, QUIET, PLAN, FPS, GATES) == [
        "not detected: signal_to_noise 3.2, at least 6 (min_signal_to_noise)"
    ]


def test_the_other_side_is_a_reason_and_both_sides_are_none() -> None:
    left = dataclasses.replace(SEEN, side="L")
    assert judge(left, QUIET, PLAN, FPS, GATES) == ["moves on side L, planned on R (side)"]
    assert judge(dataclasses.replace(SEEN, side="B"), QUIET, PLAN, FPS, GATES) == []
    assert judge(left, QUIET, dataclasses.replace(PLAN, units=parse("12C").units), FPS, GATES) == []


@pytest.mark.parametrize(
    ("change", "leaked", "field"),
    [
        pytest.param({"onset_ms": 0.0}, {}, "onset_ms", id="begins before the clip"),
        pytest.param({"offset_ms": 2000.0, "onset_ms": 1700.0, "apex_ms": 1800.0}, {}, "offset_ms", id="never ends"),
        pytest.param({}, {"blinks": 1, "blink_ms": ((900.0, 1100.0),)}, "blinks", id="a blink"),
        pytest.param({}, {"movement": 0.05}, "max_slow", id="a slow expression as well"),
        pytest.param({"amplitude": 0.05}, {"movement": 0.07}, "max_amplitude", id="a large one as well"),
        pytest.param({"region_motion": dict.fromkeys(schema.REGIONS, 0.02)}, {}, "max_spread", id="the head"),
    ],
)
def test_without_a_plan_what_is_no_expression_of_its_own_is_rejected(change, leaked, field: str) -> None:
    measured, leaks = dataclasses.replace(SEEN, **change), dataclasses.replace(QUIET, **leaked)
    gates = dataclasses.replace(GATES, max_onset_to_apex_ms=1000.0, max_duration_ms=2000.0)
    reasons = judge(measured, leaks, Planned(known=False), FPS, gates, Beside(length_ms=2000.0))
    assert [field_of(reason) for reason in reasons] == [field]


def test_a_control_is_accepted_if_it_is_what_it_says() -> None:
    nothing = Measured(signal_to_noise=2.0)
    once, still = dataclasses.replace(QUIET, blinks=1), dataclasses.replace(QUIET, movement=0.001)
    moving = dataclasses.replace(QUIET, movement=0.02)
    long = dataclasses.replace(SEEN, offset_ms=SEEN.onset_ms + 900)
    large = dataclasses.replace(SEEN, amplitude=0.09)
    neutral, macro, blink = (Planned(control=name) for name in schema.CONTROLS)
    macro = dataclasses.replace(macro, units=UNITS, onset_ms=700.0, apex_ms=1000.0, offset_ms=1600.0)
    assert judge(nothing, still, neutral, FPS, GATES) == []
    assert judge(nothing, once, blink, FPS, GATES) == []
    assert judge(long, moving, macro, FPS, GATES) == judge(large, moving, macro, FPS, GATES) == []
    assert [field_of(r) for r in judge(SEEN, moving, neutral, FPS, GATES)] == ["max_rest"]
    assert [field_of(r) for r in judge(SEEN, moving, macro, FPS, GATES)] == ["max_duration_ms"]
    assert [field_of(r) for r in judge(nothing, QUIET, macro, FPS, GATES)] == ["min_signal_to_noise"]
    assert judge(nothing, QUIET, blink, FPS, GATES) == ["should be one blink and has 0 (blinks)"]


@given(
    st.builds(
        Leaks,
        *(st.floats(0, 3) if hint == "float" else st.integers(0, 9) for hint in ("float", "int", *["float"] * 6)),
    )
)
def test_reasons_are_single_lines_that_end_with_a_field(leaks: Leaks) -> None:
    reasons = judge(SEEN, leaks, PLAN, FPS, GATES)
    names = {"head_motion", "blinks", "flicker", "noise", "jump", "stillness", "face_lost"}
    over = {name for name in names if getattr(leaks, name) > getattr(GATES, f"max_{name}")}
    assert bool(reasons) == bool(over or leaks.movement > GATES.max_amplitude)
    assert all("\n" not in reason and hasattr(GATES, field_of(reason)) for reason in reasons)


def test_thresholds_are_result_fields_with_help() -> None:
    assert set(result_fields(GATES)) == {field.name for field in dataclasses.fields(Gates)}
    assert all(len(field.metadata["help"]) > 10 for field in dataclasses.fields(Gates))


@pytest.mark.parametrize("field", ["max_duration_ms", "min_amplitude"])
def test_a_threshold_that_is_no_number_is_refused(field: str) -> None:
    with pytest.raises(EquimeError, match=f"--{field.replace('_', '-')}, got nan"):
        Gates(**{field: float("nan")})
    assert getattr(Gates(**{field: float("inf")}), field) == float("inf")


def test_a_plan_of_units_that_show_nothing_is_looked_for_everywhere_and_says_so() -> None:
    faint = Measured(signal_to_noise=8.0)
    hidden = dataclasses.replace(PLAN, units=parse("29").units)
    assert judge(faint, QUIET, hidden, FPS, GATES) == [
        "not detected: signal_to_noise 8.0, at least 12, with no planned way to look (min_signal_to_noise)"
    ]


# --- validity: whole clips


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    finder = FaceFinder()
    finder.load()
    return finder


@pytest.fixture(scope="module")
def still(portrait: np.ndarray) -> Still:
    return Still.of(portrait)


def drawn(still: Still, units: Sequence[ActionUnit] = UNITS, seed: int = 3) -> np.ndarray:
    times = TIMES if units else (None, None, None)
    frames = Warp(blinks=0, num_frames=48).frames(still, units, *times, seed)
    return np.stack([cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for frame in frames])


@pytest.fixture(scope="module")
def good(still: Still) -> np.ndarray:
    return drawn(still)


@pytest.fixture(scope="module")
def other(hopper: Image.Image, finder: FaceFinder) -> np.ndarray:
    image = np.asarray(hopper)
    return crop(image, one_face(image, finder)[0], SIZE)[0]


def faded(frames: np.ndarray, other: np.ndarray, first: int, last: int) -> np.ndarray:
    share = np.clip((np.arange(len(frames)) - first + 1) / (last - first), 0, 1)[:, None, None, None]
    return np.rint(frames * (1 - share) + other * share).astype(np.uint8)


def test_a_micro_expression_is_accepted_with_and_without_its_plan(good: np.ndarray, finder: FaceFinder) -> None:
    row = validity(good, FPS, PLAN, finder, GATES)
    assert row["reject_reasons"] == []
    assert row["accepted"] is True
    assert row["measured_apex_ms"] == pytest.approx(TIMES[1], abs=1000 / FPS)
    assert row["measured_side"] == "R"
    assert row["amplitude_percentile"] is None
    assert row["identity"] is None
    unplanned = validity(good, FPS, Planned(known=False), finder, GATES)
    assert unplanned["accepted"] is True, unplanned["reject_reasons"]


def test_a_planned_unit_that_is_not_shown_is_a_reason(good: np.ndarray, finder: FaceFinder) -> None:
    """The corner of the mouth alone, where the inner brows were to rise too."""
    row = validity(good, FPS, dataclasses.replace(PLAN, units=parse("1C+R12C").units), finder, GATES)
    assert "min_region_share" in {field_of(reason) for reason in row["reject_reasons"]}
    # Planned fainter, it may drown.
    fainter = validity(good, FPS, dataclasses.replace(PLAN, units=parse("1A+R12C").units), finder, GATES)
    assert fainter["reject_reasons"] == []


def spoilt(good: np.ndarray, other: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 16, good.shape[:3])[..., None]
    yield "max_stillness", np.stack([good[0]] * len(good))
    yield "max_jump", faded(good, other, 24, 25)
    yield "max_jump", faded(good, other, 12, 36)
    yield "max_noise", np.clip(good + noise, 0, 255).astype(np.uint8)
    middle = tuple(np.array(good.shape[2:0:-1]) / 2)
    tilted = [cv2.getRotationMatrix2D(middle, 10 * np.sin(np.pi * min(1, t / 20)), 1) for t in range(len(good))]
    yield "max_head_motion", np.stack([cv2.warpAffine(f, m, (SIZE, SIZE)) for f, m in zip(good, tilted, strict=True)])
    yield "max_face_lost", np.concatenate([good[:32], np.full_like(good[:16], 90)])
    yield (
        "max_flicker",
        np.stack([np.clip(f * (1 + 0.05 * (-1) ** t), 0, 255) for t, f in enumerate(good)]).astype("u1"),
    )


@pytest.mark.parametrize("case", range(7))
def test_a_spoilt_clip_is_rejected_for_its_own_reason_first(good, other, finder: FaceFinder, case: int) -> None:
    field, frames = list(spoilt(good, other))[case]
    row = validity(frames, FPS, PLAN, finder, GATES)
    assert row["accepted"] is False
    reasons = [field_of(reason) for reason in row["reject_reasons"]]
    # A face that goes is a picture that becomes another one: both stand before all else.
    assert reasons[0] == field or (field, reasons[:2]) == ("max_face_lost", ["max_jump", field])


def test_pure_noise_and_a_picture_without_a_face_have_no_numbers(finder: FaceFinder) -> None:
    rng = np.random.default_rng(0)
    row = validity(rng.integers(0, 256, (6, 128, 128, 3), np.uint8), FPS, PLAN, finder, GATES)
    assert (row["accepted"], row["reject_reasons"]) == (False, ["no face in the first frame"])
    empty = {name: value for name, value in row.items() if name not in ("accepted", "reject_reasons", "region_motion")}
    assert set(empty.values()) == {None}
    assert set(row["region_motion"].values()) == {None}


def test_two_faces_are_a_reason_and_a_bystander_is_none(good: np.ndarray, other: np.ndarray, finder) -> None:
    half = [cv2.resize(picture, (200, 200), interpolation=cv2.INTER_AREA) for picture in (good[0], other)]
    frames = np.stack([np.concatenate(half, 1)] * 3)
    assert validity(frames, FPS, PLAN, finder, GATES)["reject_reasons"][0] == "2 faces, at most 1 (max_faces)"
    behind = good[:3].copy()
    behind[:, :70, :70] = cv2.resize(other, (70, 70), interpolation=cv2.INTER_AREA)
    reasons = validity(behind, FPS, PLAN, finder, GATES)["reject_reasons"]
    assert not [reason for reason in reasons if "max_faces" in reason]


def test_the_columns_are_the_schemas(good: np.ndarray, finder: FaceFinder) -> None:
    row = validity(good, FPS, PLAN, finder, GATES)
    score = schema.GROUPS["score"]
    validity_columns = score.names[score.names.index("measured_onset_ms") : score.names.index("reject_reasons") + 1]
    assert sorted(row) == sorted(validity_columns)
    columns = pa.schema([score.field(name) for name in validity_columns])
    table = pa.Table.from_pylist([row], columns)
    assert table.to_pylist()[0]["measured_units"] is not None


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_very_short_clip_is_judged_and_not_raised(good: np.ndarray, finder: FaceFinder, count: int) -> None:
    row = validity(good[:count], FPS, Planned(known=False), finder, GATES)
    assert row["accepted"] is False
    assert row["reject_reasons"][0].startswith("too short to measure" if count < 3 else "not detected")


def test_no_frames_or_no_rate_is_one_line(good: np.ndarray, finder: FaceFinder) -> None:
    with pytest.raises(EquimeError, match="check the clip"):
        validity(good[:0], FPS, PLAN, finder, GATES)
    with pytest.raises(EquimeError, match="check the clip"):
        validity(good[:3], 0.0, PLAN, finder, GATES)


# --- identity


def thumbnails(faces: Sequence[np.ndarray]) -> np.ndarray:
    """The crudest embedding that there is: a thumbnail less its mean."""
    small = np.stack([cv2.resize(face, (16, 16), interpolation=cv2.INTER_AREA).ravel() for face in faces])
    return small - small.mean(1, keepdims=True)


def test_identity_is_the_least_cosine_to_the_first_frame(good: np.ndarray, other: np.ndarray, finder) -> None:
    face = one_face(good[0], finder)[0]
    same = identity(good, face, finder, thumbnails)
    changed = identity(faded(good, other, 40, 41), face, finder, thumbnails)
    assert same is not None
    assert changed is not None
    assert same > 0.99
    assert changed < 0.9
    assert identity(good[:1], face, finder, thumbnails) is None
    row = validity(good, FPS, PLAN, finder, dataclasses.replace(GATES, min_identity=1.0), embed=thumbnails)
    assert [field_of(reason) for reason in row["reject_reasons"]] == ["min_identity"]
    assert row["identity"] == pytest.approx(same)


def test_an_absent_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFACE_HOME", str(tmp_path))
    for name, (_, file, _) in NETWORKS.items():
        found, note = embedder(name)
        assert found is None
        assert "\n" not in note
        assert file in note or "pip install" in note
    with pytest.raises(EquimeError, match="expected one of ArcFace"):
        embedder("Arcface")
    assert not list(tmp_path.rglob("*"))


NETWORK = """
import sys, numpy as np, torch
from deepface.models.facial_recognition.pytorch import ArcFace
from pathlib import Path
folder = Path(sys.argv[1]) / ".deepface" / "weights"
folder.mkdir(parents=True)
torch.manual_seed(0)
torch.save(ArcFace.base_model().state_dict(), folder / "arcface_weights.pth")
from equime.quality.identity import embedder
faces = list(np.random.default_rng(0).integers(0, 256, (3, 200, 200, 3), np.uint8))
embed, note = embedder("ArcFace")
assert note == "", note
from deepface import DeepFace
bgr = [np.ascontiguousarray(face[..., ::-1]) for face in faces]
said = [DeepFace.represent(face, model_name="ArcFace", detector_backend="skip")[0]["embedding"] for face in bgr]
assert np.abs(embed(faces) - np.array(said)).max() < 1e-5
(folder / "arcface_weights.pth").write_bytes(b"half a file")
try:
    embedder("ArcFace")
except ValueError as error:
    assert "delete it and download it again" in str(error), error
else:
    raise AssertionError("broken weights were loaded")
"""


@pytest.mark.slow
def test_embeddings_are_deepfaces_on_random_weights_of_the_true_network(tmp_path: Path) -> None:
    if not (available("torch") and available("deepface")):
        pytest.skip("torch or deepface is not installed")
    environment = os.environ | {"DEEPFACE_HOME": str(tmp_path), "DEEPFACE_BACKEND_ENGINE": "pytorch"}
    done = subprocess.run(
        [sys.executable, "-c", NETWORK, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
