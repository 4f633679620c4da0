"""SAMM and SAMM Long Videos, as Manchester Metropolitan University hands them out."""

from __future__ import annotations

from typing import Final

from equime.recognise.readers.layout import Example, Layout, Part, Patch, Published

_COLUMNS: Final = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "Onset Frame | Onset",
    "apex": "Apex Frame | Apex",
    "offset": "Offset Frame | Offset",
    "units": "Action Units",
    "kind": "Micro | Type?",
}

SAMM: Final = Layout(
    name="samm",
    title="SAMM",
    citation="Davison et al. 2018, doi 10.1109/TAFFC.2016.2573832",
    fps=200,
    width=3,
    parts=(
        Part(
            sheets=("SAMM_Micro_FACS_Codes*", "SAMM_*Micro_FACS_Codes*"),
            header="Subject|Filename|Inducement Code|Onset Frame|Apex Frame|Offset Frame|Duration|Micro|"
            "Action Units|Estimated Emotion|Objective Classes|Notes",
            preamble=13,
            columns=_COLUMNS | {"emotion": "Estimated Emotion", "objective": "Objective Classes?"},
            under=("SAMM", "SAMM_CROP*", "."),
            folders=("{subject:0>3}/{clip}", "{coded}/{clip}"),
            picture="{subject:0>3}_{number:05d}.jpg",
        ),
    ),
    example=Example(
        (6, 37), "{subject:0>3}_1_{place}", first=5562, units=("(R6 or R12)+R15", "ref(7B)+43", "A9+12"), grey=True
    ),
    patches=(Patch(71, "offset", 5739),),
    renumbered=("013_1_12", "013_1_8", "017_3_2", "026_1_1", "026_1_2", "035_7_2"),
    published=Published(
        clips=159,
        emotions={
            "anger": 57,
            "other": 26,
            "happiness": 26,
            "surprise": 15,
            "contempt": 12,
            "disgust": 9,
            "fear": 8,
            "sadness": 6,
        },
        objective={"I": 24, "II": 13, "III": 20, "IV": 8, "V": 3, "VI": 7, "VII": 84},
        recounted=("clips", "emotions", "objective"),
    ),
    traps=(
        "13 lines stand above the header",
        "Excel loses the zeros of '006'",
        "units have alternatives, sides and references: '(R6 or R12)+R15', 'ref(7B)+43', 'A9+12'",
        "the pictures of six clips have names of their own: they count from the coded onset",
        "the pictures are grey",
    ),
)

SAMM_LV: Final = Layout(
    name="samm-lv",
    title="SAMM Long Videos",
    citation="Yap, Kendrick and Yap 2020, doi 10.1109/FG47880.2020.00029",
    fps=200,
    width=3,
    by_onset=True,
    parts=(
        Part(
            sheets=("SAMM_LongVideos*", "SAMMLV_gt*"),
            header="Subject|Filename|Inducement Code|Onset|Apex|Offset|Duration|Type|Action Units|Notes",
            preamble=9,
            columns=_COLUMNS,
            derive={"video": ("clip", r"^\d+_\d+")},
            under=("SAMM_longvideos", "SAMM_LongVideos*", "."),
            folders=("{video}",),
            picture="{video}_{number:04d}.jpg",
        ),
    ),
    example=Example((6, 37), "{subject:0>3}_1_{place}", (), first=1),
    traps=(
        "ten lines before the rows, the header the last of them",
        "no emotion is coded",
        "macro-expressions are in the same sheet: they are counted and left out",
        "all expressions of a video share its folder, whose name is the file name's without the last number",
    ),
)
