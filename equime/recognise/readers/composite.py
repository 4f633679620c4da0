"""MEGC2019's composite (CDE): 442 clips of SMIC-HS, CASME II and SAMM, three classes, 68 subjects.

Its rows keep the names of their own sets (`dataset` "casme2", subject "casme2-01"), so that results are told by set
and a clip cannot be given twice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from equime.recognise.readers.casme import CASME2
from equime.recognise.readers.layout import Example, Layout, Part, Published
from equime.recognise.readers.others import SMIC_HS
from equime.recognise.readers.samm import SAMM

CROPS: Final = {
    "smic": replace(
        SMIC_HS,
        parts=(
            Part(
                under=("smic", "SMIC*", "."),
                derive={"rest": ("clip", r"^[^_]+_(.+)$")},
                folders=(
                    "s{subject}/micro/*/{clip}",
                    "s{subject:0>2}/s{subject:0>2}_{rest}",
                    "s{subject}/s{subject}_{rest}",
                    "{coded}/{clip}",
                ),
            ),
        ),
    ),
    "casme2": replace(
        CASME2, parts=(Part(under=("casme2", "CASME2*", "."), folders=("sub{subject:0>2}/{clip}", "{coded}/{clip}")),)
    ),
    "samm": replace(
        SAMM, parts=(Part(under=("samm", "SAMM*", "."), folders=("{subject:0>3}/{clip}", "{coded}/{clip}")),)
    ),
}
"""Where the cropped pictures of each set lie; everything else is as in the set itself."""

MEGC2019: Final = Layout(
    name="megc2019",
    title="MEGC2019 composite",
    citation="See et al. 2019, doi 10.1109/FG.2019.8756611",
    fps=200,
    members=CROPS,
    words={"0": "negative", "1": "positive", "2": "surprise"},
    parts=(
        Part(
            sheets=("combined_3_class*", "combined_3db*", "megc2019*", "cde*"),
            header="subject|file name|onset|apex|offset|label|data set",
            columns={
                "dataset": "data set | dataset",
                "subject": "subject | sub",
                "clip": "file name | filename_o | filename",
                "onset": "onset?",
                "apex": "apex?",
                "offset": "offset?",
                "emotion": "label | emotion",
            },
        ),
    ),
    example=Example(("sub01", "sub26"), "EP02_0{place}f", ("1", "2", "0")),
    published=Published(
        clips=442,
        subjects=68,
        emotions={"negative": 250, "positive": 109, "surprise": 83},
        by_set={
            "smic-hs": {"negative": 70, "positive": 51, "surprise": 43},
            "casme2": {"negative": 88, "positive": 32, "surprise": 25},
            "samm": {"negative": 92, "positive": 26, "surprise": 15},
        },
        subjects_of={"smic-hs": 16, "casme2": 24, "samm": 28},
        recounted=("clips", "subjects", "emotions", "by_set", "subjects_of"),
    ),
    traps=(
        "two forms of the sheet go round: with onset and offset, and with the apex only, where the first and last "
        "picture of the crop are the times",
        "variants with 147, 150 or 254 clips of CASME II are not this composite",
    ),
)
