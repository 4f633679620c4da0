"""The contract: every column of EquiME, its type, its labels, and the check that a table keeps to them.

A data set is a table of clips. Each stage owns one *column group*; together the groups make the one schema
that `load_dataset("equime")` returns. Demographic columns are *perceived* (a classifier's or an annotator's
impression, never a person's own word), and `emotion` is the *intended* programme of action units, not a felt
emotion.

    equime show WORKSPACE          # the columns of a workspace, and a row
    equime check WORKSPACE         # this check, and the workspace's own
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import pyarrow as pa

from equime.errors import EquimeError

VERSION = 3
"""Raised whenever a column, a type or a label changes. A reader refuses newer tables."""

REPO = "equime/equime"
"""The Hub repository that `load_dataset("equime")` means, unless `EQUIME_REPO` names another."""

FPS = 24
NUM_FRAMES = 144
SIZE = 512
DURATION_MS = 6000.0

EMOTIONS = ("happiness", "sadness", "surprise", "fear", "anger")
DISGUST = "disgust"
"""A sixth label, only where imported data holds it."""
NEUTRAL = "neutral"
CONTROLS = (NEUTRAL, "macro", "blink")
"""Folders of clips beside the five: no expression, one too long and strong to be micro, a blink. `emotion` is null."""
DESIGNS = ("balanced", "dose", "control", "refill")
"""Why a clip was planned: for the balanced whole, a sweep of intensities, as a control, in a rejected clip's place."""
GENDERS = ("female", "male")
GENDER_CODES: Mapping[str, str | None] = MappingProxyType({"f": "female", "m": "male", "u": None})
RACES = ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")
AGE_BANDS = ("18-29", "30-39", "40-49", "50-59", "60+")
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SPLITS = ("train", "validation", "test")
SIDES = ("L", "R", "B", "U")
INTENSITIES = ("A", "B", "C", "D", "E")

SUBJECT = re.compile(r"[A-Za-z0-9-]+")
CLIP_ID = re.compile(
    r"(?P<emotion>[a-z]+)/(?P<gender>[fmu])_(?P<subject>[A-Za-z0-9-]+)(?:_(?P<sequence>[A-Za-z0-9-]+))?"
)

CROP = pa.struct([("x", pa.float32()), ("y", pa.float32()), ("side", pa.float32()), ("angle", pa.float32())])
"""The aligned square of a source photo: centre and side in its pixels, degrees clockwise."""
ACTION_UNIT = pa.struct([("au", pa.int16()), ("side", pa.string()), ("intensity", pa.string())])
VIDEO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FULL_REFERENCE = (
    *("psnr", "ssim", "ms_ssim", "iw_ssim", "vif_p", "fsim", "vsi", "srsim"),
    *("gmsd", "ms_gmsd", "haarpsi", "mdsi", "dss", "lpips", "dists", "pieapp"),
)
NO_REFERENCE = ("total_variation", "brisque", "clip_iqa", "sharpness")


def _probabilities(labels: Iterable[str]) -> pa.DataType:
    return pa.struct([(label, pa.float32()) for label in labels])


REFERENCE_MEASURES = ("psnr", "ssim", "total_variation", "brisque", "clip_iqa")
"""What the published table of the original EquiME measured, its arithmetic kept: columns that end in `_reference`."""

REGIONS = ("brow", "lid", "nose", "mouth", "chin")
"""The parts of a face in which an expression is measured, as `action_units.REGIONS`."""


def _fidelity() -> list[tuple[str, pa.DataType]]:
    """Each measure against the source frame and between consecutive frames; the reference's, named so."""
    pairs = [f"{name}_{against}" for against in ("source", "consecutive") for name in FULL_REFERENCE]
    reference = [f"{name}_reference" for name in REFERENCE_MEASURES]
    return [(name, pa.float32()) for name in [*pairs, *NO_REFERENCE]] + [(name, pa.float64()) for name in reference]


def _validity() -> list[tuple[str, pa.DataType]]:
    """What was measured of the expression, then what else moved or changed; null where nothing could be measured."""
    times = [(f"measured_{moment}_ms", pa.float64()) for moment in ("onset", "apex", "offset")]
    expression = [
        ("measured_units", pa.list_(ACTION_UNIT)),
        ("measured_side", pa.string()),
        ("region_motion", pa.struct([(region, pa.float32()) for region in REGIONS])),
        ("amplitude", pa.float32()),
        ("amplitude_percentile", pa.float32()),
        ("signal_to_noise", pa.float32()),
        ("unit_fidelity", pa.float32()),
        ("unit_fidelity_shuffled", pa.float32()),
        ("unit_leakage", pa.float32()),
        ("residual", pa.float32()),
    ]
    leaks = [
        ("head_motion", pa.float32()),
        ("blinks", pa.int16()),
        ("flicker", pa.float32()),
        ("noise", pa.float32()),
        ("jump", pa.float32()),
        ("stillness", pa.float32()),
        ("identity", pa.float32()),
    ]
    return [*times, *expression, *leaks]


_ID = ("clip_id", pa.string())

GROUPS: Mapping[str, pa.Schema] = MappingProxyType(
    {
        "plan": pa.schema(
            [
                _ID,
                ("subject_id", pa.string()),
                ("source", pa.string()),
                ("source_sha256", pa.string()),
                ("source_licence", pa.string()),
                ("source_gender", pa.string()),
                ("source_age", pa.string()),
                ("source_race", pa.string()),
                ("cell", pa.string()),
                ("epoch", pa.int32()),
                ("design", pa.string()),
                ("emotion", pa.string()),
                ("sequence", pa.int32()),
                ("control", pa.string()),
                ("action_units", pa.list_(ACTION_UNIT)),
                ("onset_ms", pa.float64()),
                ("apex_ms", pa.float64()),
                ("offset_ms", pa.float64()),
                ("onset", pa.int32()),
                ("apex", pa.int32()),
                ("offset", pa.int32()),
                ("noise_key", pa.string()),
                ("seed", pa.int64()),
                ("twin_id", pa.string()),
                ("twin_contrast", pa.string()),
                ("prompt", pa.string()),
                ("negative_prompt", pa.string()),
                ("split", pa.string()),
            ]
        ),
        "generate": pa.schema(
            [
                _ID,
                ("video", VIDEO),
                ("sha256", pa.string()),
                ("num_frames", pa.int32()),
                ("fps", pa.float64()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("duration_s", pa.float64()),
                ("size_bytes", pa.int64()),
                ("bitrate_kbps", pa.float64()),
                ("generator", pa.string()),
                ("generator_model", pa.string()),
                ("crop", CROP),
                ("eye_distance_px", pa.float32()),
                ("peak_px", pa.float32()),
                ("generate_note", pa.string()),
                ("generate_error", pa.string()),
            ]
        ),
        "caption": pa.schema(
            [
                _ID,
                ("caption", pa.string()),
                ("caption_json", pa.string()),
                ("captioner", pa.string()),
                ("caption_error", pa.string()),
            ]
        ),
        "tag": pa.schema(
            [
                _ID,
                ("gender", pa.string()),
                ("gender_probs", _probabilities(GENDERS)),
                ("age", pa.float32()),
                ("age_std", pa.float32()),
                ("race", pa.string()),
                ("race_probs", _probabilities(RACES)),
                ("expression", pa.string()),
                ("skin_ita", pa.float32()),
                ("face_box", pa.list_(pa.float32())),
                ("face_count", pa.float32()),
                ("agreement", pa.float32()),
                ("tagger", pa.string()),
                ("tag_note", pa.string()),
                ("tag_error", pa.string()),
            ]
        ),
        "score": pa.schema(
            [
                _ID,
                *_fidelity(),
                *_validity(),
                ("accepted", pa.bool_()),
                ("reject_reasons", pa.list_(pa.string())),
                ("score_note", pa.string()),
                ("score_error", pa.string()),
            ]
        ),
    }
)
"""Column group -> its columns, in the order in which stages run."""

OWNER: Mapping[str, str] = MappingProxyType(
    {name: group for group, columns in GROUPS.items() for name in columns.names if name != "clip_id"}
    | {"clip_id": "plan"}
)
"""Column -> the one group that writes it."""

UNPUBLISHED = ("source", "source_sha256")
"""Columns that never leave a workspace: where a face came from, and the hash that would identify it."""

PERCEIVED = (
    *("source_gender", "source_age", "source_race", "cell"),
    *("gender", "gender_probs", "age", "age_std", "race", "race_probs", "expression"),
)
"""Columns that hold how a person is perceived, by a classifier or an annotator: published files mark them so."""

PERCEIVED_MARK: Mapping[bytes, bytes] = MappingProxyType(
    {b"perceived": b"a classifier's or an annotator's impression, never a person's own word"}
)
"""The mark: metadata of the column's field."""

METADATA = pa.schema([f for group in GROUPS.values() for f in group if f.name not in ("clip_id", "video")]).insert(
    0, pa.field(*_ID)
)
"""What the `metadata` configuration holds: every column but the bytes."""

CLIPS = METADATA.append(pa.field("video", VIDEO))
"""What `video` and `emotion` hold: the same, and the clip, last."""

LABELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "source_gender": GENDERS,
        "source_age": AGE_BANDS,
        "source_race": RACES,
        "design": DESIGNS,
        "emotion": (*EMOTIONS, DISGUST),
        "control": CONTROLS,
        "split": SPLITS,
        "gender": GENDERS,
        "race": RACES,
        "expression": EXPRESSIONS,
    }
)
"""Column -> the only strings it may hold, beside null."""


def age_band(age: float) -> str | None:
    """The band of an age in years, of `AGE_BANDS`; None under 18."""
    bounds = zip((18, 30, 40, 50, 60), AGE_BANDS, strict=True)
    return next((band for low, band in reversed(list(bounds)) if age >= low), None)


def emotions(present: Iterable[str | None]) -> tuple[str, ...]:
    """The class names of a data set: the five, and disgust last where it occurs."""
    return (*EMOTIONS, DISGUST) if DISGUST in set(present) else EMOTIONS


def conform(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """`table` in the order and types of `columns`: absent ones become nulls, unknown ones are an error.

    Raises:
        EquimeError: A column is not in the contract, or its values do not fit the type.
    """
    extra = sorted(set(table.column_names) - set(columns.names))
    if extra:
        raise EquimeError(f"unknown columns {extra}: expected some of {columns.names}")
    return pa.table([_column(table, field) for field in columns], schema=columns)


def _column(table: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        return pa.chunked_array([pa.nulls(len(table), field.type)])
    column = table[field.name]
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise EquimeError(
            f"column {field.name!r} should be {field.type}, got {column.type} ({str(error).splitlines()[0]})"
        ) from error


def check(table: pa.Table) -> list[str]:
    """Everything about `table` that breaks the contract, one line each; an empty list when it keeps to it.

    Looks at names, types and labels of the columns that are there, of any group or of several joined. Reads
    no video. Values are checked against `LABELS`, ids against `CLIP_ID`, times for onset <= apex <= offset.
    """
    return [*_check_types(table), *_check_labels(table), *_check_rows(table)]


def _check_types(table: pa.Table) -> Iterator[str]:
    for name in table.column_names:
        if name not in OWNER:
            yield f"unknown column {name!r}"
        elif table.schema.field(name).type != CLIPS.field(name).type:
            yield f"column {name!r} should be {CLIPS.field(name).type}, got {table.schema.field(name).type}"


def _check_labels(table: pa.Table) -> Iterator[str]:
    for name, labels in LABELS.items():
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            for value in sorted(set(table[name].unique().to_pylist()) - {*labels, None}):
                yield f"column {name!r} holds {value!r}: expected one of {list(labels)} or null"


def _check_rows(table: pa.Table) -> Iterator[str]:
    wanted = [f for f in GROUPS["plan"] if f.name in table.column_names]
    if any(table.schema.field(f.name).type != f.type for f in wanted):
        return  # already reported as a type, and the values would not read
    for row in table.select([f.name for f in wanted]).to_pylist():
        for problem in _row_problems(row):
            yield f"{row.get('clip_id')!r}: {problem}"


def _row_problems(row: Mapping[str, object]) -> Iterator[str]:
    clip_id = row.get("clip_id")
    matched = CLIP_ID.fullmatch(clip_id) if isinstance(clip_id, str) else None
    if "clip_id" in row and not matched:
        yield "clip_id should read <emotion>/<f|m|u>_<subject>_<sequence>"
    subject = row.get("subject_id")
    if isinstance(subject, str) and not SUBJECT.fullmatch(subject):
        yield f"subject_id should match {SUBJECT.pattern}, got {subject!r}"
    folder = row.get("emotion") or row.get("control") or NEUTRAL
    if matched and "emotion" in row and matched["emotion"] != folder:
        yield f"emotion or control is {folder!r}, its id says {matched['emotion']!r}"
    times = [row.get(k) for k in ("onset_ms", "apex_ms", "offset_ms")]
    numbers = [t for t in times if isinstance(t, float)]
    if len(numbers) == 3 and not numbers[0] <= numbers[1] <= numbers[2]:
        yield f"expected onset <= apex <= offset, got {numbers} ms"
    units = row.get("action_units")
    for unit in units if isinstance(units, list) else []:
        if unit["side"] not in SIDES or unit["intensity"] not in (*INTENSITIES, None):
            yield f"action unit {unit} should have a side of {SIDES} and an intensity of {INTENSITIES}"
