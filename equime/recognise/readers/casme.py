"""CASME, CASME II, CAS(ME)2 and CAS(ME)3, as the Institute of Psychology (CAS) hands them out.

Lines of patches count from 1 with the header. They are the corrections of public loaders, used where the pictures
bear them out.
"""

from __future__ import annotations

from typing import Final

from equime.recognise.readers.layout import Example, Layout, Lookup, Part, Patch, Published

CASME: Final = Layout(
    name="casme",
    title="CASME",
    citation="Yan et al. 2013, doi 10.1109/FG.2013.6553799",
    fps=60,
    width=2,
    parts=(
        Part(
            sheets=("casme",),
            header="Subject|Filename||OnsetF|ApexF1|ApexF2|OffsetF||AU|Emotion|Notes",
            columns={
                "subject": "Subject",
                "clip": "Filename",
                "onset": "OnsetF | OnsetFrame",
                "apex": "ApexF1 | ApexFrame",
                "apex2": "ApexF2?",
                "offset": "OffsetF | OffsetFrame",
                "units": "AU | Action Units",
                "emotion": "Emotion | Estimated Emotion",
            },
            under=("Cropped", "CASME_raw*", "raw*", "."),
            folders=("sub{subject:0>2}/{clip}",),
            picture="img{number}.jpg",
        ),
    ),
    example=Example((1, 19), "EP0{place}_1", first=96),
    patches=(
        Patch(42, "onset", 100),
        Patch(42, "offset", 149),
        Patch(44, "onset", 101),
        Patch(44, "offset", 119),
        Patch(45, "onset", 57),
        Patch(45, "offset", 74),
        Patch(56, "offset", 40),
        Patch(142, "offset", 142),
    ),
    traps=("two apex columns: the second is used where the first is empty",),
)

CASME2: Final = Layout(
    name="casme2",
    title="CASME II",
    citation="Yan et al. 2014, doi 10.1371/journal.pone.0086041",
    fps=200,
    width=2,
    parts=(
        Part(
            sheets=("CASME2-coding*",),
            header="Subject|Filename||OnsetFrame|ApexFrame|OffsetFrame||Action Units|Estimated Emotion",
            columns={
                "subject": "Subject",
                "clip": "Filename",
                "onset": "OnsetFrame",
                "apex": "ApexFrame",
                "offset": "OffsetFrame",
                "units": "Action Units",
                "emotion": "Estimated Emotion",
            },
            under=("CASME2_RAW_selected", "CASME2*RAW*", "Cropped", "CASME2*Cropped*", "."),
            folders=("sub{subject:0>2}/{clip}",),
            picture="img{number}.jpg",
        ),
    ),
    example=Example((1, 26), "EP02_0{place}f", units=("6+12", "1+2", "4+7+L10")),
    patches=(Patch(62, "offset", 91),),
    published=Published(
        clips=255,
        subjects=26,
        emotions={"others": 99, "disgust": 63, "happiness": 32, "repression": 27, "surprise": 25},
        recounted=("emotions",),
    ),
    traps=(
        "subjects are numbers without their zeros",
        "the apex of 21 clips is '/'",
        "units are also '?' or have a side, as in '4+7+L10'",
        "sub09/EP02_02f and sub24/EP02_07 have pictures and no row",
    ),
)

CASME_SQUARED: Final = Layout(
    name="casme-squared",
    title="CAS(ME)2",
    citation="Qu et al. 2018, doi 10.1109/TAFFC.2017.2654440",
    fps=30,
    width=2,
    by_onset=True,
    parts=(
        Part(
            sheets=("CAS(ME)^2code_final*", "code_final*", "CASME_sq_gt*"),
            columns={
                "subject": 0,
                "clip": 1,
                "onset": 2,
                "apex": 3,
                "offset": 4,
                "units": 5,
                "emotion": 6,
                "kind": 7,
            },
            derive={"video": ("clip", r"^([^_]+)")},
            lookups={"number": Lookup("subject", 1, 2, 1), "code": Lookup("video", 2, 1, 0)},
            under=("rawpic", "selectedpic", "."),
            folders=("s{number}/*_{code:0>4}*", "{number}/*_{code:0>4}*"),
            picture="img{number:03d}.jpg",
        ),
    ),
    example=Example((1, 2), "anger1_{place}", ("happiness", "surprise", "disgust"), first=1),
    traps=(
        "the sheet has no header",
        "participants and videos have other names in the folders: sheets 2 and 3 translate them",
        "macro-expressions are in the same sheet: they are counted and left out",
        "an offset of 0 is none",
    ),
)

_CASME3_A: Final = {
    "subject": "Subject",
    "clip": "Filename",
    "onset": "Onset",
    "apex": "Apex",
    "offset": "Offset",
    "units": "AU",
    "objective": "Objective class?",
    "emotion": "emotion",
    "kind": "Expression type?",
}
CASME3_A: Final = Layout(
    name="casme3-a",
    title="CAS(ME)3 part A",
    citation="Li et al. 2022, doi 10.1109/TPAMI.2022.3174895",
    fps=30,
    by_onset=True,
    parts=(
        Part(
            sheets=("cas(me)3_part_A_ME_label_JpgIndex*", "CAS(ME)3_part_A*"),
            header="Subject|Filename|Onset|Apex|Offset|AU|Objective class|emotion",
            columns=_CASME3_A,
            under=("part_A/data/part_A", "data/part_A", "part_A", "."),
            folders=("{coded}/{clip}/color", "spNO.{subject}/{clip}/color", "{coded}/{clip}"),
        ),
    ),
    example=Example(("spNO.1", "spNO.216"), "b", first=166, units=("6\uff0c12", "1+2", "4+9")),
    patches=(
        Patch(130, "apex", 160),
        Patch(710, "offset", 34),
        Patch(751, "onset", 2647),
        Patch(752, "onset", 1),
        Patch(752, "apex", 1),
        Patch(798, "offset", 1845),
        Patch(800, "offset", 2403),
    ),
    published=Published(
        emotions={"disgust": 247, "surprise": 184, "fear": 83, "anger": 64, "sad": 55, "happy": 54},
        recounted=("emotions",),
    ),
    traps=(
        "subject and file name are not unique: the onset belongs to the key",
        "units are also parted by the Chinese comma",
        "an offset of 0 is none; pictures are missing here and there",
    ),
)

CASME3_C: Final = Layout(
    name="casme3-c",
    title="CAS(ME)3 part C",
    citation="Li et al. 2022, doi 10.1109/TPAMI.2022.3174895",
    fps=30,
    width=2,
    by_onset=True,
    parts=(
        Part(
            sheets=("CAS(ME)3_part_C_ME*",),
            header="sub|count|onset|offset|au",
            columns={"subject": "sub", "clip": "count", "onset": "onset", "offset": "offset", "units": "au"},
            under=("part_C/data/part_C", "data/part_C", "part_C", "."),
            folders=("{subject:0>2}/{clip}/color", "{coded}/{clip}/color", "{coded}/{clip}"),
        ),
    ),
    example=Example((1, 31), "{place}", (), first=10, units=("6,12", "1,2", "4\uff0c7")),
    published=Published(subjects=31),
    assumed=("where the pictures lie is taken from a public loader",),
    traps=("no emotion and no apex are coded; units are parted by commas",),
)
