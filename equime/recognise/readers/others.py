"""SMIC-HS, MMEW, 4DME, DFME and MiE-X."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from equime.recognise.readers.layout import Column, Example, Layout, Part, Published

_SMIC_WORDS: Final = {
    "ne": "negative",
    "po": "positive",
    "su": "surprise",
    "sur": "surprise",
    "neg": "negative",
    "pos": "positive",
}
SMIC_HS: Final = Layout(
    name="smic-hs",
    title="SMIC-HS",
    citation="Li et al. 2013, doi 10.1109/FG.2013.6553717",
    fps=100,
    width=2,
    words=_SMIC_WORDS,
    parts=(
        Part(
            sheets=("SMIC-HS-E_annotation*",),
            header="Subject|Filename|OnsetF|ApexF|OffsetF|Emotion",
            columns={
                "subject": "Subject",
                "clip": "Filename",
                "onset": "OnsetF | Onset",
                "apex": "ApexF | Apex?",
                "offset": "OffsetF | Offset",
            },
            derive={"rest": ("clip", r"^[^_]+_(.+)$"), "emotion": ("clip", r"_([a-z]+)_")},
            under=("SMIC-HS-E", "HS", "."),
            folders=("s{subject:0>2}/s{subject:0>2}_{rest}", "s{subject}/s{subject}_{rest}", "{coded}/{clip}"),
            picture="image{number:06d}.jpg",
        ),
        Part(
            listing=r"s(?P<subject>\d+)/micro/[a-z]+/(?P<clip>s\d+_(?P<emotion>ne|po|sur?)_\d+)",
            under=("SMIC_all_cropped/HS", "HS", "."),
            folders=("s{subject}/micro/{emotion}/s{subject}_{code}_0{place}",),
            picture="reg_image{number}.bmp",
        ),
    ),
    example=Example(("s1", "s20"), "s{subject:0>2}_{code}_0{place}", ("positive", "surprise", "negative"), first=123),
    published=Published(
        clips=164,
        subjects=16,
        emotions={"negative": 70, "positive": 51, "surprise": 43},
        recounted=("clips", "subjects", "emotions"),
    ),
    traps=(
        "a subject is s1, s01 or 1; only the number counts",
        "the emotion is read from the file name, where every version has it",
        "no action units and no official apex are coded",
        "the cropped pictures have no sheet: their folders' names are the coding, the first and last are the times",
    ),
)

MMEW: Final = Layout(
    name="mmew",
    title="MMEW",
    citation="Ben et al. 2022, doi 10.1109/TPAMI.2021.3067464",
    fps=90,
    width=2,
    parts=(
        Part(
            sheets=("MMEW_Micro_Exp*",),
            header="Subject|Filename|OnsetFrame|ApexFrame|OffsetFrame|Action Units|Estimated Emotion|remarks",
            columns={
                "subject": "Subject",
                "clip": "Filename",
                "onset": "OnsetFrame",
                "apex": "ApexFrame",
                "offset": "OffsetFrame",
                "units": "Action Units",
                "emotion": "Estimated Emotion",
            },
            under=("Micro_Expression", "MMEW*/Micro_Expression", "."),
            folders=("{emotion}/{clip}", "{clip}"),
        ),
    ),
    example=Example(("S01", "S30"), "S{subject:0>2}-0{place}-001", first=1),
    published=Published(clips=300),
    traps=("the apex or offset of 16 rows cannot be: null there",),
)

FOURDME: Final = Layout(
    name="4dme",
    title="4DME",
    citation="Li et al. 2022, doi 10.1109/TAFFC.2022.3182342",
    fps=60,
    width=2,
    parts=(
        Part(
            sheets=("4DME_Labelling_Micro*",),
            header="sub_ID|fold|fold_name|Onset|Apex|Offset|AUs|Emotion|Positive|Negative|Surprise|Repression|Others|"
            "eye blink|AU1|AU2|AU4|Total",
            columns={
                "subject": "sub_ID",
                "clip": "fold_name",
                "onset": "Onset",
                "apex": "Apex",
                "offset": "Offset",
                "units": "AUs",
                "emotion": "Emotion",
            },
            under=("gray_micro", "gray_micro_crop", "."),
            folders=("{coded}/{clip}", "{subject}/{clip}", "{subject:0>2}/{clip}"),
        ),
    ),
    example=Example(
        ("01", "55"),
        "{subject:0>2}_{place}",
        ("Positive", "Surprise", "Negative/Repression"),
        first=100,
        units=("AU6+AU12", "AU1+AU2", "AU4+AU7(k)"),
    ),
    swapped={"*release v1": (146, 147)},
    traps=(
        "several emotions may hold for one clip: it has a class where all of them are of one",
        "units and emotions of lines 146 and 147 of release v1 stand in each other's place: they are exchanged, as "
        "public loaders do",
    ),
)

_DFME_COLUMNS: Final[Mapping[str, Column]] = {
    "subject": 0,
    "clip": "Filename",
    "onset": 2,
    "apex": 3,
    "offset": 4,
    "emotion": "Emotion",
    "units": (6, 14),
}


def _dfme(sheets: tuple[str, ...], under: tuple[str, ...], split: str) -> Part:
    return Part(
        sheets=sheets,
        header="Subject|Filename|OnsetFrame|ApexFrame|OffsetFrame|Emotion|AU|||||||",
        columns=_DFME_COLUMNS,
        under=under,
        folders=("{clip}",),
        picture="{number:05d}.png",
        split=split,
    )


DFME: Final = Layout(
    name="dfme",
    title="DFME",
    citation="Zhao et al. 2023, arXiv 2301.00985",
    fps=200,
    width=4,
    every=True,
    parts=(
        _dfme(("training_full_with_AU*", "*train*_full_with_AU*"), ("DFME_train", "train*"), "train"),
        _dfme(("testA*_full_with_AU*", "*test_A_full_with_AU*"), ("testA", "DFME_test_A", "DFME_testA"), "testA"),
        _dfme(("testB*_full_with_AU*", "*test_B_full_with_AU*"), ("testB", "DFME_test_B", "DFME_testB"), "testB"),
    ),
    example=Example(("3", "41"), "sub{subject:0>4}_0{place}", first=1),
    published=Published(clips=7526),
    assumed=(
        "the columns were not seen: subject, onset, apex and offset are read by position (1, 3, 4, 5), units from "
        "columns 7 to 14, only Filename and Emotion by name",
        "the clips have 200 to 500 fps and the sheet does not say which: 200 is taken unless --fps is given",
    ),
    traps=("three sheets: the owners' training and test splits",),
)

MIE_X: Final = Layout(
    name="mie-x",
    title="MiE-X",
    citation="Liu et al. 2022, arXiv 2112.01730",
    fps=30,
    words={"0": "negative", "1": "positive", "2": "surprise"},
    parts=(
        Part(
            listing=r"(?P<subject>[^_/]+)_(?P<clip>[^/]+_(?P<emotion>[012]))",
            under=("MiE-X", "."),
            folders=("{subject}_mmew_{code}",),
        ),
    ),
    example=Example(("1043", "29011"), "mmew", ("positive", "surprise", "negative"), first=0),
    assumed=("the pictures have no frame rate: 30 stands in for it",),
    traps=("made clips: the label is in the folder's name, 0 negative, 1 positive, 2 surprise; no apex",),
)
