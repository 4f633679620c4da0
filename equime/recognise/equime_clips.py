"""EquiME's own clips as samples: a workspace, a released tree, a Hub layout or a repository.

Why: synthetic clips are trained on, tested on and compared with recordings as one more data set, by the same table and
the same features. Frames count from 0, and the programme of action units gives every label.

    samples = clips("ws")                           # the gates' accepted clips, planned times
    clips("owner/equime", split="test", apex="measured")
    equime train WORKSPACE --data equime=ws --model ststnet

A planned apex is an oracle that no camera gives; `apex_from` says which was taken. Emotions are *intended*, gender, age
and race are *perceived* labels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, Final, get_args

import pyarrow as pa

from equime import action_units, schema, sources, tree_index, video
from equime.action_units import ActionUnit
from equime.clip import Apex
from equime.errors import EquimeError
from equime.pieces import Source, is_folder
from equime.recognise.readers import labels
from equime.recognise.samples import FIELDS, MOMENTS, Array, Row, Samples

DATASET: Final = "equime"
PERCEIVED: Final = ("gender", "age", "race")
_SEEN: Final = ("num_frames", "fps", "sha256", "size_bytes", "generate_error")
_COLUMNS: Final = (
    *("clip_id", "subject_id", "emotion", "control", "action_units", "split", "accepted", *_SEEN),
    *MOMENTS,
    *(f"{moment}_ms" for moment in MOMENTS),
    *(f"measured_{moment}_ms" for moment in MOMENTS),
    *(*PERCEIVED, *(f"source_{name}" for name in PERCEIVED)),
)


def clips(
    where: str | os.PathLike[str], *, split: str | None = None, apex: Apex = "planned", accepted: bool = True
) -> Samples:
    """EquiME's clips as samples. Rows that have no video yet are not among them.

    Args:
        where: A workspace, a Hub layout or a released tree on this machine, or a Hub repository "owner/name".
        split: "train", "validation" or "test"; None is all.
        apex: Whose times: "planned" (an oracle) or "measured" (by `equime score`, from the pictures alone). Clips
            without such times, neutral controls above all, have none.
        accepted: Leave out the clips that `equime score` rejected; those it has not seen stay.

    Raises:
        EquimeError: Nothing there, an unknown option, nothing left, or measured times where nothing was scored.
    """
    if split is not None and split not in schema.SPLITS:
        raise EquimeError(f"expected split to be one of {', '.join(schema.SPLITS)}, got {split = }")
    if apex not in get_args(Apex):
        raise EquimeError(f"expected apex to be one of {', '.join(get_args(Apex))}, got {apex = }")
    source, pieces, rows = _source(where), list[Any](), list[dict[str, Any]]()
    for name, found in source.splits("video").items():
        if split is not None and name != split:
            continue
        for piece in found:
            wanted = (row for row in _rows(source, piece) if not accepted or row["accepted"] is not False)
            rows += [_sample(row, name, apex, len(pieces)) for row in wanted]
            pieces.append(piece)
    if not rows:
        raise EquimeError(f"no clip to use in {os.fspath(where)} ({split = }, {accepted = }); run `equime generate`")
    if apex == "measured" and not any(row["apex_from"] for row in rows):
        raise EquimeError(f"no measured apex in {os.fspath(where)}: run `equime score` or take apex='planned'")
    return Samples(pa.Table.from_pylist(rows, schema=FIELDS), {DATASET: Origin(source, tuple(pieces))})


@dataclass(frozen=True)
class Origin:
    """Where EquiME's clips are: pieces of a source, each read once for all the rows that lie in it.

    Attributes:
        source: Of `equime.sources` or `equime.remote`.
        pieces: A row's column `frames` is the number of its piece.
    """

    source: Source
    pieces: tuple[Any, ...]

    def parts(self, rows: Sequence[Row]) -> list[list[int]]:
        """See `samples.Origin`: rows of one piece."""
        parts: dict[str, list[int]] = {}
        for position, row in enumerate(rows):
            parts.setdefault(row["frames"], []).append(position)
        return list(parts.values())

    def open(self, rows: Sequence[Row]) -> Iterator[ClipPictures]:
        """See `samples.Origin`: quickest in the order of the table.

        Raises:
            EquimeError: A piece does not read, or a clip is no longer in it.
        """
        for number, several in groupby(rows, key=lambda row: str(row["frames"])):
            yield from self._of(number, [row["sample_id"].removeprefix(f"{DATASET}/") for row in several])

    def _of(self, number: str, wanted: Sequence[str]) -> Iterator[ClipPictures]:
        found: dict[str, ClipPictures] = {}
        done = 0
        for table in self.source.read(self.pieces[int(number)], ["clip_id", *_SEEN, "video"]):
            found |= {row["clip_id"]: ClipPictures(row) for row in table.to_pylist() if row["clip_id"] in wanted}
            while done < len(wanted) and wanted[done] in found:
                again = wanted[done] in wanted[done + 1 :]
                yield found[wanted[done]] if again else found.pop(wanted[done])
                done += 1
        if done < len(wanted):
            raise EquimeError(f"clip {wanted[done]!r} is gone: the data changed while it was read; run it again")


class ClipPictures:
    """The frames of one clip, counted from 0; see `samples.Pictures`.

    Args:
        row: The clip's columns, `video` among them.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    @cached_property
    def data(self) -> bytes:
        """The video file.

        Raises:
            EquimeError: There is none, or it is not the one whose hash the row holds: a single changed byte decodes
                to wrong pixels without a word.
        """
        data = (self._row["video"] or {}).get("bytes")
        if data is None:
            raise EquimeError(f"no video: {self._row['generate_error'] or 'its file cannot be read'}")
        expected = self._row["sha256"]
        if expected and video.sha256(data) != expected:
            raise EquimeError(f"the video is damaged: expected sha256 {expected[:12]}..., got another")
        return bytes(data)

    @cached_property
    def numbers(self) -> range:
        """Every frame."""
        return range(self._row["num_frames"] or video.probe(self.data).num_frames)

    def read(self, numbers: Sequence[int]) -> list[Array]:
        """See `samples.Pictures`: only what these frames need is decoded."""
        return list(video.decode(self.data, list(numbers), expect_frames=len(self.numbers)))

    def digest(self, numbers: Sequence[int]) -> str:
        """The sha256 of the file, whichever frames are meant."""
        data = self.data  # of the row's hash, where it has one
        return str(self._row["sha256"] or video.sha256(data))


def _source(where: str | os.PathLike[str]) -> Source:
    if not is_folder(where):
        from equime.remote import HubRepo, is_repo

        if is_repo(where):
            return HubRepo(os.fspath(where))
    return sources.find(where)


def _rows(source: Source, piece: Any) -> list[dict[str, Any]]:
    """The clips of a piece without their videos; what a tree's metadata does not say is read from its files."""
    rows = [row for table in source.read(piece, list(_COLUMNS)) for row in table.to_pylist()]
    if not isinstance(source, sources.Tree):
        return [row for row in rows if row["num_frames"]]
    unsaid = [row["fps"] is None or row["num_frames"] is None for row in rows]
    entries = [entry for entry, missing in zip(piece.entries, unsaid, strict=True) if missing]
    seen = iter(tree_index.rows(entries, probe=True))
    return [row | _facts(next(seen)) if missing else row for row, missing in zip(rows, unsaid, strict=True)]


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SEEN}


def _sample(row: Mapping[str, Any], split: str, apex: Apex, piece: int) -> dict[str, Any]:
    """A row of `samples.FIELDS`."""
    units = action_units.format(ActionUnit.from_dict(unit) for unit in row["action_units"] or ())
    return {
        "sample_id": f"{DATASET}/{row['clip_id']}",
        "dataset": DATASET,
        "subject_id": f"{DATASET}-{row['subject_id']}",
        "frames": str(piece),
        "fps": float(row["fps"] or schema.FPS),
        "emotion": row["emotion"],
        "emotion3": labels.three(row["emotion"]),
        "emotion5": labels.five(row["emotion"]),
        "objective": labels.objective(action_units.parse(units)) if units else None,
        "au_text": units or None,
        "action_units": row["action_units"],
        "control": row["control"],
        "split": split,
        "gender": row["gender"] or row["source_gender"],
        "age": row["source_age"] if row["age"] is None else schema.age_band(row["age"]),
        "race": row["race"] or row["source_race"],
        **_times(row, apex),
    }


def _times(row: Mapping[str, Any], apex: Apex) -> dict[str, Any]:
    """onset, apex, offset as frames of the clip, and `apex_from`; nulls where there are none."""
    found = [_frame(row, moment, apex) for moment in MOMENTS]
    return dict(zip(MOMENTS, found, strict=True)) | {"apex_from": None if found[1] is None else apex}


def _frame(row: Mapping[str, Any], moment: str, apex: Apex) -> int | None:
    if apex == "planned" and row[moment] is not None:
        return int(row[moment])
    ms = row[f"{moment}_ms" if apex == "planned" else f"measured_{moment}_ms"]
    if ms is None:
        return None
    frame: int = max(0, round(ms * (row["fps"] or schema.FPS) / 1000))
    return min(frame, int(row["num_frames"]) - 1) if row["num_frames"] else frame
