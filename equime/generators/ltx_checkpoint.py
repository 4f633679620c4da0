"""Where an LTX-Video model lies: a folder, or a Hub id and its commit; checked before any weights are read.

find("Lightricks/LTX-Video", None)    # downloads what `diffusers` needs of it, once, and says which commit it is
find("/models/ltx", None)             # a folder, as `pipeline.save_pretrained` or `hf download --local-dir` writes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from equime import checkpoints
from equime.checkpoints import Checkpoint, absent_weights, read_json
from equime.errors import EquimeError

CLASSES = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline")
"""The `_class_name` of models that share the components below. LTX-2 and the upsamplers are made otherwise."""
WEIGHTS = ("transformer", "vae", "text_encoder")
COMPONENTS = (*WEIGHTS, "tokenizer", "scheduler")
TOKENIZERS = ("spiece.model", "tokenizer.json")


@dataclass(frozen=True)
class LTXLayout(checkpoints.Layout):
    """A folder for each component, beside `model_index.json`."""

    extra: str = "generate"
    example: str = "Lightricks/LTX-Video"
    flags: str = "--exclude 'ltx*.safetensors'"
    """Without the files that hold a whole model each, of other programs: they are ten times the rest."""

    @property
    def wanted(self) -> list[str]:
        """Patterns of the files to download."""
        endings = ("safetensors", "json", "model")
        return ["model_index.json", *(f"{part}/*.{end}" for part in COMPONENTS for end in endings)]

    def files(self, folder: Path) -> Iterator[Path]:
        """The files of the components."""
        return (path for part in COMPONENTS for path in (folder / part).rglob("*") if path.is_file())

    def check(self, folder: Path, remedy: str) -> None:
        """Refuse a folder that is not a whole LTX-Video model in safetensors; `remedy` ends the message.

        Raises:
            EquimeError: One line.
        """
        name = read_json(folder / "model_index.json", remedy).get("_class_name")
        if name not in CLASSES:
            raise EquimeError(f"expected a model of {', '.join(CLASSES)}, got {name} in {folder}; {remedy}")
        missing = [part for part in COMPONENTS if not (folder / part).is_dir()]
        for part in (part for part in WEIGHTS if part not in missing):
            absent = absent_weights(folder / part, remedy)
            absent += [] if (folder / part / "config.json").is_file() else ["config.json"]
            missing += [f"{part}/{file}" for file in sorted(absent)]
        if "tokenizer" not in missing and not any((folder / "tokenizer" / name).is_file() for name in TOKENIZERS):
            missing.append(f"tokenizer/{TOKENIZERS[0]}")
        if missing:
            raise EquimeError(f"the model in {folder} lacks {', '.join(missing)}; {remedy}")


def find(model: str, revision: str | None) -> Checkpoint:
    """Find a model, downloading a Hub model that is not here yet; see `equime.checkpoints.find`."""
    return checkpoints.find(model, revision, LTXLayout())
