"""The README of an export: what it holds, how to load it, how it must be sampled, what it may be used for.

readme(manifest, "Run in this folder ...")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from equime.publishing.documents import statements
from equime.publishing.documents.markdown import table, text
from equime.publishing.documents.terms import LICENCE_URL

NAME: Final = "README.md"


def readme(manifest: Mapping[str, Any], loading: str) -> str:
    """Markdown.

    Args:
        manifest: What `export.json` says.
        loading: How the format's trainers load it.
    """
    source = manifest["source"]
    titles = ("split", "examples", "clips", "subjects")
    rows = [(name, *(part[key] for key in titles[1:])) for name, part in manifest["splits"].items()]
    left = [f"{number} {why}" for why, number in manifest["left_out"].items()]
    return f"""\
# {text(source["name"])} for {manifest["options"]["format"]}

Synthetic micro-expressions with questions and answers, written by `equime export-vlm`.

{table(titles, rows)}

Splits are by subject: no face is in two of them. Left out: {text("; ".join(left)) or "nothing"}.

## Load

{loading}
## Sampling

{sampling(manifest["sampling"])}

## Terms

[CC BY-NC 4.0]({LICENCE_URL}), and the access terms of the data set it was exported from. {statements.LIKENESSES}
{statements.INTENDED} {statements.PERCEIVED} Names of files, ids and `subject_id` are those of the data set: where its
subjects go by their names, so do these files. Each file says that it is synthetic in its metadata. Do not push these
files to a repository that is not gated.
"""


def sampling(facts: Mapping[str, Any]) -> str:
    """How the clips were cut, and what that asks of a trainer."""
    told = (
        f"Clips have {facts['clip_frames']} frames at {facts['clip_fps']:g} a second; up to {facts['frames']} are "
        "shown, "
        f"{facts['sample_fps']:.3g} for each second of the clip. An expression of the median length, 318 ms, lasts "
        f"{0.318 * facts['sample_fps']:.1f} of these; at 2 a second, the default of many processors, 0.6. "
        "Let the trainer take every frame of a file. Times in answers are from the clip's start, of which a "
        "question says which part is shown."
    )
    if facts["oracle"]:
        told += " The frames were chosen by the *planned* times, which no camera tells: say so with what you report."
    return told
