"""Caption: what each clip shows, in words and as JSON: from its plan, or as a vision-language model sees it.

    equime caption ws                                                              # from the plan
    equime caption ws --captioner vlm --model Qwen/Qwen3-VL-4B-Instruct            # from the frames, on a GPU

Template captions tell emotion, units with their FACS names, sides and intensities, and the times. The wording varies
with the clip's seed and is the same again on every run. A model's answer is read into the same structure, null where
it says nothing; an emotion in it is the model's word, no more. An answer that cannot be read stays in `caption` as it
came, and `caption_error` says what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pyarrow as pa

from equime.action_units import ActionUnit
from equime.captioning import answers, templates
from equime.captioning.vlm import VLM, Shown
from equime.errors import EquimeError, MissingPackageError
from equime.noise import seed_of
from equime.options import nested, option
from equime.shard_worker import reason
from equime.stage import Row, writes

TEMPLATE = "template"
PLAN = ("emotion", "control", "action_units", "onset_ms", "apex_ms", "offset_ms", "seed")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caption:
    """The stage of column group `caption`."""

    name: ClassVar[str] = "caption"
    version: ClassVar[int] = 3
    writes: ClassVar[pa.Schema] = writes("caption")

    captioner: Literal["template", "vlm"] = option(TEMPLATE, help="who words it: the plan, or a model that sees it")
    wording: int = option(0, help="which of a clip's wordings the template draws", when=("captioner", TEMPLATE))
    vlm: VLM = nested(VLM, when=("captioner", "vlm"))

    @property
    def reads(self) -> tuple[str, ...]:
        """The plan; or the clips, and then the captions wait for them."""
        return PLAN if self.captioner == TEMPLATE else self.vlm.reads

    @property
    def batch(self) -> int:
        """Rows a call: no more clips are decoded at a time than are answered together."""
        return 16 if self.captioner == TEMPLATE else self.vlm.batch_size

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions can change a caption."""
        return () if self.captioner == TEMPLATE else ("torch", "transformers", "torchvision", "av")

    @property
    def models(self) -> Mapping[str, str]:
        """Model id -> revision."""
        return {} if self.captioner == TEMPLATE else self.vlm.models

    def load(self) -> None:
        """Open the model, if there is one.

        Raises:
            EquimeError: It does not open, or a flag of models alone was given for templates.
        """
        if self.captioner == "vlm":
            self.vlm.load()
        elif alien := [f.name for f in dataclasses.fields(VLM) if getattr(self.vlm, f.name) != f.default]:
            flag = "--" + alien[0].replace("_", "-")
            raise EquimeError(f"{flag} is of models alone: add --captioner vlm, or leave it out")

    def __call__(self, rows: list[Row]) -> list[Row]:
        """Word each row."""
        return [_worded(row, self.wording) for row in rows] if self.captioner == TEMPLATE else self._seen(rows)

    def _seen(self, rows: list[Row]) -> list[Row]:
        """What the model answers. A clip that does not decode keeps its reason and costs the others nothing."""
        made: dict[int, Row] = {}
        clips: dict[int, Shown] = {}
        for index, row in enumerate(rows):
            try:
                clips[index] = self.vlm.shown(row)
            except MissingPackageError:
                raise  # the machine's fault, not the row's
            except Exception as error:
                made[index] = {"caption_error": reason(error)}
        said = self.vlm(list(clips.values()))
        made |= {index: self._answered(rows[index], text) for index, text in zip(clips, said, strict=True)}
        return [made[index] for index in range(len(rows))]

    def _answered(self, row: Row, text: str) -> Row:
        result: Row = {"caption": text, "captioner": self.vlm.captioner}
        try:
            answer = answers.read(text, self.vlm.slowdown)
        except EquimeError as error:
            return result | {"caption_error": reason(error)}
        if answer.unknown:
            logger.debug("%s: no units of FACS: %s", row["clip_id"], ", ".join(answer.unknown))
        said = answer.to_json()
        return result | {"caption": answer.caption or text, "caption_json": json.dumps(said)}


def _worded(row: Row, wording: int) -> Row:
    seed = row["seed"] or 0
    seed = seed_of(wording, f"caption {seed}") if wording else seed
    units = [ActionUnit.from_dict(unit) for unit in row["action_units"] or ()]
    times = (row["onset_ms"], row["apex_ms"], row["offset_ms"])
    said = templates.caption_json(row["emotion"], units, *times, seed, row["control"])
    return {"caption": said["caption"], "caption_json": json.dumps(said), "captioner": TEMPLATE}
