"""What each published column holds, in words: with unit and range, once for every document that says it.

    DESCRIPTIONS["apex_ms"]
    LABELLED["gender"]          # where a value is one of a few labels

Why here: the card, the datasheet and the Croissant file describe the same columns. Whoever adds a column to
`equime.schema` describes it here, or a test fails. Demographic columns are *perceived*; emotions are *intended*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from equime import schema

PERCEIVED: Final = "Perceived: the impression of a classifier or an annotator, never a person's own word."
_SOURCE: Final = "as the source picture came labelled"
_EYES: Final = "in eye distances (the face's own, so that faces of any size compare)"

MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "psnr": "Peak signal-to-noise ratio of grey levels, in dB, at most 100 a pair",
        "ssim": "Structural similarity (7x7 windows) of grey levels, -1 to 1; 1 is equal",
        "ms_ssim": "Multi-scale structural similarity, 0 to 1; 1 is equal",
        "iw_ssim": "Information-weighted structural similarity, 0 to 1; 1 is equal",
        "vif_p": "Visual information fidelity (pixel domain), from 0; 1 is equal",
        "fsim": "Feature similarity, 0 to 1; 1 is equal",
        "vsi": "Visual saliency-induced similarity, 0 to 1; 1 is equal",
        "srsim": "Spectral residual similarity, 0 to 1; 1 is equal",
        "gmsd": "Gradient magnitude similarity deviation, from 0; 0 is equal",
        "ms_gmsd": "Multi-scale gradient magnitude similarity deviation, from 0; 0 is equal",
        "haarpsi": "Haar wavelet perceptual similarity, 0 to 1; 1 is equal",
        "mdsi": "Mean deviation similarity, from 0; 0 is equal",
        "dss": "DCT subband similarity, 0 to 1; 1 is equal",
        "lpips": "Learned perceptual image patch similarity (a distance), from 0; 0 is equal",
        "dists": "Deep image structure and texture similarity (a distance), from 0; 0 is equal",
        "pieapp": "Perceptual image error by pairwise preference (PieAPP), larger is worse",
    }
)
"""Measure of `schema.FULL_REFERENCE` -> what it is, its unit and its range."""

_AGAINST: Mapping[str, str] = MappingProxyType(
    {
        "source": "mean over frames against the clip's first, the still it was made from",
        "consecutive": "mean over pairs of consecutive frames",
    }
)
_REWARDS: Final = "It rewards stillness: a frozen clip is perfect"

_PLAN: Mapping[str, str] = {
    "clip_id": "Unique id, `<emotion or control>/<letter>_<subject>_<sequence>`: the released path without `.mp4`. The "
    "letter (f, m, u) is how the source was perceived when the clip was planned, and never changes with later tags.",
    "subject_id": "Whose likeness the clip is: a pseudonym, or the id under which the publisher held the pictures.",
    "source_licence": "Licence of the source picture, as recorded when the clip was planned; null where none was.",
    "source_gender": f"Gender {_SOURCE}: female, male or null. {PERCEIVED}",
    "source_age": f"Age band {_SOURCE}, in years: 18-29, 30-39, 40-49, 50-59, 60+ or null. {PERCEIVED}",
    "source_race": f"Race {_SOURCE}: one of six words of DeepFace's, or null. {PERCEIVED}",
    "cell": f"The planned group: gender, age band and race of the source together. {PERCEIVED}",
    "epoch": "Which planning made the row: 0 the first, 1 the first that added rows, and so on.",
    "design": "Why the clip was planned: balanced (the balanced whole), dose (a sweep of intensities), control, refill "
    "(in a rejected clip's place); null where imported.",
    "emotion": "The intended programme of facial action units by the emotion it stands for, not a felt emotion: "
    "happiness, sadness, surprise, fear, anger (disgust where imported); null for controls.",
    "sequence": "Number of the clip among those of its subject and emotion; null where imported without one.",
    "control": "What a control shows: neutral (no expression), macro (one too long and strong to be micro), blink; "
    "null for expressions.",
    "action_units": "The planned FACS action units: au (number), side (L, R: the subject's own left and right; B both; "
    "U one side, unsaid), intensity (A trace to E maximum, ordinal; null: not coded).",
    "onset_ms": "Planned onset, in ms from the clip's start: the displacement passes 10 % of its peak on its way up.",
    "apex_ms": "Planned apex, in ms from the clip's start: the displacement peaks.",
    "offset_ms": "Planned offset, in ms from the clip's start: the displacement falls below 10 % of its peak. Duration "
    "is offset less onset.",
    "onset": "The frame nearest to the planned onset, counted from 0.",
    "apex": "The frame nearest to the planned apex, counted from 0. It is of the plan, not measured.",
    "offset": "The frame nearest to the planned offset, counted from 0.",
    "noise_key": "Names the clip's random draws: its own id, or one shared by twins, which then differ in the face "
    "alone.",
    "seed": "63-bit seed made from the plan's seed and `noise_key`.",
    "twin_id": "Shared by the clips of two subjects with the same programme and noise: matched pairs, not "
    "individual counterfactuals; null without a twin.",
    "twin_contrast": 'In which perceived attributes a pair differs ("race", "gender+age"), or "within": its control.',
    "prompt": "Text given to a text-conditioned generator; other generators do not read it.",
    "negative_prompt": "Text that such a generator was told to keep away from.",
    "split": "train, validation or test; subjects are assigned whole.",
}
_GENERATE: Mapping[str, str] = {
    "sha256": "SHA-256 of the clip's MP4 file, in hex.",
    "num_frames": "Frames of the clip.",
    "fps": "Frames a second.",
    "width": "Width, in pixels.",
    "height": "Height, in pixels.",
    "duration_s": "Length, in seconds: frames over frame rate.",
    "size_bytes": "Size of the MP4 file, in bytes.",
    "bitrate_kbps": "Bit rate of the whole file, in kilobits (1000 bits) a second.",
    "generator": "What made the pixels: warp (the packaged image warp), ltx (LTX-Video), or what an import named.",
    "generator_model": "Model and revision of a generator that has one, `model@revision`.",
    "crop": "The square of the source picture that the clip shows: middle x and y and side in the picture's pixels, "
    "angle in degrees clockwise; null where the source was aligned already.",
    "eye_distance_px": "Distance between the eyes in the still, in pixels of the clip.",
    "peak_px": "Largest displacement of any pixel at the apex that the warp was told, in pixels of the clip; null for "
    "other generators and for controls without units.",
    "generate_note": "What is worth knowing of how the clip was made; null mostly.",
    "generate_error": "Why a clip could not be made; null in a release, which leaves such rows out.",
}
_CAPTION: Mapping[str, str] = {
    "caption": "The clip in English: intended emotion, units, sides, intensities and times from the plan "
    "(`captioner` template), or as a vision-language model saw it. Left and right are the subject's own.",
    "caption_json": "The same as JSON: `emotion` (intended; with a model, the model's word), `action_units`, "
    "`onset_ms`, `apex_ms`, `offset_ms`, `caption`.",
    "captioner": "Who worded it: template, or a vision-language model and its revision.",
    "caption_error": "Why there is no caption, or why a model's answer could not be read; null without trouble.",
}
_TAG: Mapping[str, str] = {
    "gender": f"Likeliest gender over the frames looked at: female, male or null. {PERCEIVED}",
    "gender_probs": f"Probability, 0 to 1, of female and male, averaged over the frames looked at. {PERCEIVED}",
    "age": f"Age in years, averaged over the frames looked at. {PERCEIVED}",
    "age_std": f"Standard deviation of the age over the frames looked at, in years; null for one frame. {PERCEIVED}",
    "race": f"Likeliest race over the frames looked at, one of six words of DeepFace's; null where the tagger says "
    f"none. {PERCEIVED}",
    "race_probs": f"Probability, 0 to 1, of each of six races, averaged over the frames looked at. {PERCEIVED}",
    "expression": f"Likeliest of seven expressions over the frames looked at, most of them at rest: it is not the "
    f"clip's emotion. {PERCEIVED}",
    "skin_ita": "Individual typology angle of the cheeks as pictured, in degrees, light skin above 55, dark below -30; "
    "light and exposure shift it by 10 and more. Null where the picture has no colour.",
    "face_box": "The face in the first looked-at frame that shows it: x0, y0, x1, y1 in pixels.",
    "face_count": "Mean number of faces in the frames looked at.",
    "agreement": "Share, 0 to 1, of the frames looked at whose own likeliest gender and race are the clip's.",
    "tagger": "Which classifier gave the labels.",
    "tag_note": "What is worth knowing of the labels, such as frames without a face; null mostly.",
    "tag_error": "Why a clip has no labels; null where it has.",
}
_FIDELITY: Mapping[str, str] = {
    **{
        f"{name}_{against}": f"{what}; {over}. {_REWARDS}."
        for against, over in _AGAINST.items()
        for name, what in MEASURES.items()
    },
    "total_variation": "Root-mean-square step between neighbouring pixels of grey, white being 1; mean over frames.",
    "brisque": "BRISQUE, a no-reference score of distortion, about 0 to 100; larger is worse. Mean over frames.",
    "clip_iqa": "CLIP-IQA, a no-reference score of quality, 0 to 1; larger is better. Mean over frames.",
    "sharpness": "Variance of the Laplacian of grey, in grey levels squared, from 0; mean over frames.",
    "psnr_reference": "The original table's `psnr_mean`, its arithmetic kept: consecutive frames, uint8 differences "
    "and squares that wrap modulo 256, 100 for equal frames. It is no PSNR.",
    "ssim_reference": f"The original table's `ssim_mean`: SSIM of consecutive grey frames, -1 to 1. {_REWARDS}.",
    "total_variation_reference": "The original table's `tv_mean`: the root of the summed squared steps of grey over a "
    "frame, from 0; it grows with the frame's size.",
    "brisque_reference": "The original table's `brisque_mean`: BRISQUE of grey frames; larger is worse.",
    "clip_iqa_reference": "The original table's `clip_iqa_mean`: CLIP-IQA of grey frames, 0 to 1.",
}
_VALIDITY: Mapping[str, str] = {
    "measured_onset_ms": "Onset as measured from the pixels, in ms from the clip's start; null where nothing rises "
    "above the noise.",
    "measured_apex_ms": "Apex as measured from the pixels, in ms from the clip's start; null as above.",
    "measured_offset_ms": "Offset as measured from the pixels, in ms from the clip's start; null as above.",
    "measured_units": "Action units whose FACS cues add up to what moved: au, side; intensities are not measured.",
    "measured_side": "The side that moved: L or R (the subject's own), or B.",
    "region_motion": "Displacement at the apex of the farthest part of brow, lid, nose, mouth and chin, from 0, "
    f"{_EYES}.",
    "amplitude": f"Displacement at the apex of the part that went farthest, from 0, {_EYES}.",
    "amplitude_percentile": "Place of the amplitude among real micro-expressions, 0 to 100; null where no real range "
    "was given.",
    "signal_to_noise": "Peak of the movement over its own noise, from 0; from 6 it counts as seen where a plan says "
    "which way to look.",
    "unit_fidelity": "Cosine between what moved and what FACS says of the planned units, -1 to 1; 1 is as FACS says.",
    "unit_fidelity_shuffled": "The same against other programmes that share no region with the plan: its control.",
    "unit_leakage": "Share, 0 to 1, of the squared motion in regions where no planned unit moves anything; null where "
    "all regions are planned.",
    "residual": "Displacement left after the offset, as a share of the peak, from 0; 0 is back at rest.",
    "head_motion": "Largest excursion of the head from its first pose (shift, turn and growth), from 0, in eye "
    "distances.",
    "blinks": "Closures of both lids of less than half a second, a count.",
    "flicker": "Standard deviation over time of the skin's brightness, without what is slower than half a second, in "
    "grey levels of 255.",
    "noise": "Standard deviation of a pixel of skin from frame to frame, in grey levels of 255.",
    "jump": "How far the picture becomes another one, 0 (the same) to 1.4 (unrelated): cuts and cross-fades.",
    "stillness": "Share of frames, 0 to 1, that repeat the one before.",
    "identity": "Least cosine of the face's embedding to the first frame's, -1 to 1; null where it was not asked for.",
    "accepted": "Whether the clip passed every gate of a valid micro-expression (or of its control); null where it was "
    "not scored.",
    "reject_reasons": "The gates it failed, each with the number it failed by; empty where accepted.",
    "score_note": "What was not measured, and why; null mostly.",
    "score_error": "Why a clip has no scores; null where it has.",
}

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {**_PLAN, **_GENERATE, **_CAPTION, **_TAG, **_FIDELITY, **_VALIDITY}
    | {"video": "The clip: an MP4 file as `bytes`, and the `path` it has in the released tree."}
)
"""Column -> one to three sentences, with unit and range: every column of `schema.CLIPS` that is published.

Markdown with no markup but code, and no `|`: it may stand in a table.
"""

RECIPE: Mapping[str, str] = MappingProxyType(
    {
        "clip_id": "Unique id of the clip, as in the metadata.",
        "source_match": "Keyed hash of the source picture: who holds the picture can match it, nobody else learns "
        "anything of it.",
        "making": "Which entry of the file's own list says how the clip's columns were made, counted from 0.",
    }
)
"""Column of a recipe's `recipe/sources.parquet` -> what it is."""

LABELLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: labels for name, labels in schema.LABELS.items() if name in DESCRIPTIONS}
)
"""Column -> the only words it may hold, beside null."""


def groups() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each column group and its published columns, in the order of the schema; `clip_id` under "plan" alone."""
    for group, columns in schema.GROUPS.items():
        named = (name for name in columns.names if schema.OWNER[name] == group)
        yield group, tuple(name for name in named if name not in schema.UNPUBLISHED)
