"""The demo: a small, real data set from one real face, made, checked, loaded and drawn.

    equime demo demo/                  # scikit-image's astronaut: Eileen Collins, photographed by NASA
    equime demo demo/ --faces faces/   # your own

It runs the same functions as the command line does, so that what it shows is what a user gets. Run again, it
goes on where it was.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

import equime
from equime.checks import check
from equime.clip import Clip
from equime.errors import EquimeError
from equime.optional import need
from equime.plan import PlanOptions, plan
from equime.receipt import Receipt
from equime.runner import run
from equime.screening.thresholds import Screen
from equime.stages import stage_class
from equime.table import Table, is_workspace, writing

SUBJECT = "Eileen Collins"
SOURCE = "scikit-image's astronaut, a NASA photograph in the public domain"
SHOWN = 10
COLUMNS = 2
MARGIN = 24
INK, SOFT = (28, 30, 34), (110, 116, 124)


@dataclass(frozen=True)
class DemoReport:
    """What the demo made, and where."""

    clips: int
    loaded: int
    accepted: int
    workspace: str
    sheet: str

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return dict(vars(self))

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.clips} synthetic clips made and checked in {self.workspace}; "
            f'load_dataset("equime", "video") returned {self.loaded}\n'
            f"measured: {self.accepted} of {self.clips} are the micro-expressions that were planned "
            f"(`equime summary {self.workspace}`)\nlook at {self.sheet}"
        )


def demo(
    out: Path, faces: Path | None = None, workers: int = 1, say: Callable[[str], object] = lambda text: None
) -> DemoReport:
    """Make, score, check, load and draw a small data set.

    Args:
        out: Folder for the faces, the workspace `ws` and the picture.
        faces: A folder or table of faces; None takes the packaged photograph.
        workers: Processes of the generator.
        say: Told what is being done.

    Raises:
        EquimeError: No usable face, failed rows, a check that found something, or clips that do not load.
    """
    credit = f"Face: {SUBJECT}, {SOURCE}." if faces is None else f"Faces: {faces}."
    if is_workspace(out):
        raise EquimeError(f"{out} is a workspace: name a folder for the demo")
    say(f"{credit} Every clip made from it is synthetic and says so in its file.")
    # One face is no balanced data set, and the packaged one smiles: that much is waived here, not elsewhere.
    screen = Screen(faces=faces or packaged_face(out / "faces"), screen=faces is not None)
    options = PlanOptions(screen=screen, per_emotion=2 if faces is None else 1, shard_rows=2, allow_shortfall=True)
    generate, caption, score = stage_class("generate"), stage_class("caption"), stage_class("score")
    planned = plan(out / "ws", options, generate().shows)
    for path, reason in planned.rejected.items():
        say(f"left out {path}: {reason}")
    table = Table(out / "ws")
    _require(run(generate(faces=Path(table.settings["faces"])), table, workers=workers))
    _require(run(caption(), table))
    _require(run(score(), table, workers=workers))
    if problems := list(check(table)):
        raise EquimeError(f"the check found {len(problems)} problems, first: {problems[0]}")
    clips = load(table.path)
    if len(clips) != planned.rows:
        raise EquimeError(f"loaded {len(clips)} of {planned.rows} clips")
    sheet = out / "contact_sheet.png"
    with writing(sheet):
        draw(clips[:SHOWN], credit).save(sheet)
    accepted = sum(row["accepted"] for row in table.rows(["accepted"]))
    return DemoReport(planned.rows, len(clips), accepted, str(table.path), str(sheet))


def packaged_face(folder: Path) -> Path:
    """Write scikit-image's astronaut and the table that names her; returns the table."""
    data = need("skimage.data", extra="demo")
    table = folder / "faces.csv"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
    with writing(table), table.open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["subject_id", "path", "gender", "licence", "adult"])
        rows.writerow([SUBJECT.replace(" ", "-"), "astronaut.png", "female", "public domain (NASA)", "yes"])
    return table


def load(workspace: Path) -> list[Clip]:
    """Every clip, the way a user loads them."""
    from datasets import load_dataset

    equime.__version__  # noqa: B018  imported for what it arranges: the name "equime"
    splits = load_dataset("equime", "video", data_dir=str(workspace), streaming=True)
    return [Clip(row) for rows in splits.values() for row in rows]


def draw(clips: Iterable[Clip], credit: str) -> Image.Image:
    """The clips' contact sheets on one page, with a title and whose face it is."""
    sheets = [clip.contact_sheet() for clip in clips]
    width, height = sheets[0].width, max(sheet.height for sheet in sheets)
    paper = sheets[0].getpixel((0, 0))
    rows = -(-len(sheets) // COLUMNS)
    top = 6 * MARGIN
    page = Image.new("RGB", (COLUMNS * (width + MARGIN) + MARGIN, top + rows * (height + MARGIN) + MARGIN), paper)
    pen = ImageDraw.Draw(page)
    pen.text((2 * MARGIN, MARGIN), "EquiME: synthetic micro-expressions", INK, ImageFont.load_default(44))
    under = f"{credit} Intended emotions, not felt ones; each difference is amplified."
    pen.text((2 * MARGIN, MARGIN + 60), under, SOFT, ImageFont.load_default(24))
    for place, sheet in enumerate(sheets):
        row, column = divmod(place, COLUMNS)
        page.paste(sheet, (MARGIN + column * (width + MARGIN), top + row * (height + MARGIN)))
    return page


def _require(receipt: Receipt) -> None:
    if receipt.failed:
        clip_id, why = next(iter(receipt.errors.items()), ("a clip", "see `equime show`"))
        raise EquimeError(f"{receipt.stage} failed on {receipt.failed} clips, first {clip_id}: {why}")
