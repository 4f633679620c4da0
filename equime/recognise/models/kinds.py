"""The networks by name: what each takes, and how its authors trained it.

A recipe is what the paper or the comparison it was re-run in states; what they leave out is the default of `Recipe`.
Published figures of many of these were chosen on the test fold: expect less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from equime.errors import EquimeError
from equime.recognise.training.recipe import Recipe

Takes = Literal["flow", "frames", "frame", "numbers"]


@dataclass(frozen=True)
class Kind:
    """A network that can be built.

    Attributes:
        made_by: "module:function" beside this file; called with (classes, shape, **options).
        takes: The features it is meant for.
        shape: Of one sample as published: (C, H, W), (C, T, H, W) or (n,). Other sizes are built where layers allow.
        recipe: How it was trained.
        citation: Where it is from.
        parameters: How many it has, for 3 classes and `shape`, where the source or its layers give that.
        notes: What to know before trusting it.
        options: Of the function.
        feature: Options of that feature, beside its size, as words.
    """

    made_by: str
    takes: Takes
    shape: tuple[int, ...]
    recipe: Recipe
    citation: str
    parameters: int | None = None
    notes: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    feature: Mapping[str, str] = field(default_factory=dict)

    @property
    def said(self) -> str:
        """Its input in words."""
        names = {1: "(n,)", 3: "(C, H, W)", 4: "(C, T, H, W)"}[len(self.shape)]
        return f"{names}, such as {self.shape}"


EQUIME: Final = "EquiME as published, supplement"
MEB: Final = "Varanka et al., IEEE TAC 2024, arXiv 2211.11425"
OURS: Final = "recipe: this package's, not the authors'"
NOT_GIVEN: Final = "Epochs as in MEB; learning rate and batch are not given with them"
CHOSEN: Final = Recipe(lr=1e-4, batch_size=16, epochs=100, select="inner", patience=15)
"""Theirs chose the epoch on the test set, and lowered the learning rate where the loss stood still; here it is chosen
on subjects set aside, and the rate stays."""
CNN: Final = Recipe(lr=1e-4, batch_size=16, epochs=60)
TRANSFORMER: Final = Recipe("adamw", lr=1e-4, weight_decay=0.05, batch_size=8, epochs=40)

SMALL: Final[Mapping[str, Kind]] = {
    "logistic": Kind(
        "linear:logistic", "numbers", (34,), Recipe(lr=1e-2, weight_decay=1e-4, epochs=200), "textbook", 105, OURS
    ),
    "perceptron": Kind(
        "linear:perceptron", "numbers", (34,), Recipe(weight_decay=1e-4, epochs=200), "textbook", 2435, OURS
    ),
    "ststnet": Kind(
        "ststnet:ststnet",
        "flow",
        (3, 28, 28),
        Recipe(lr=5e-5, batch_size=256, epochs=800),
        "Liong et al., FG 2019, arXiv 1902.03634",
        1683,
    ),
    "off_apexnet": Kind(
        "off_apexnet:off_apexnet",
        "flow",
        (3, 28, 28),
        Recipe(lr=1e-4, batch_size=256, epochs=3000),
        "Gan et al., Signal Processing: Image Communication 2019, arXiv 1805.08699",
        2_664_475,
        NOT_GIVEN,
    ),
    "off_apexnet_meb": Kind(
        "off_apexnet:off_apexnet_meb",
        "flow",
        (3, 28, 28),
        Recipe(lr=1e-4, batch_size=256, epochs=3000),
        MEB,
        807_909,
        NOT_GIVEN,
    ),
    "sssnet": Kind(
        "sssnet:sssnet", "flow", (3, 64, 64), Recipe(lr=1e-4, weight_decay=1e-3, epochs=200), MEB, 1_349_251
    ),
    "rcn_a": Kind(
        "rcn_a:rcn_a",
        "flow",
        (3, 28, 28),
        Recipe(lr=1e-4, batch_size=64, epochs=200),
        "Xia et al., IEEE TIP 2020, arXiv 2006.09674",
        15_267,
        OURS,
    ),
    "htnet": Kind(
        "htnet:htnet",
        "flow",
        (3, 28, 28),
        Recipe(lr=5e-5, batch_size=256, epochs=800),
        "Wang et al., Neurocomputing 2024, arXiv 2307.14637",
        139_582_982,
        "One token a block: its attention mixes nothing. The authors kept the epoch that was best on the test. Their "
        "input is a mosaic of four patches",
    ),
    "htnet_dense": Kind(
        "htnet:htnet",
        "flow",
        (3, 28, 28),
        Recipe(lr=5e-5, batch_size=256, epochs=800),
        "after Wang et al., arXiv 2307.14637",
        139_582_991,
        "HTNet with 2x2 tokens a block",
        {"dense": True},
    ),
    "mmnet": Kind(
        "mmnet:mmnet",
        "frames",
        (3, 2, 224, 224),
        Recipe("adamw", lr=8e-4, weight_decay=0.6, batch_size=32, epochs=60),
        "Li et al., IJCAI 2022, arXiv 2201.05297",
        10_289_335,
        "Frames: onset and apex. The batch is not the authors'",
        feature={"around": "onset-apex"},
    ),
    "micro_exp_stcnn": Kind(
        "micro_exp_stcnn:micro_exp_stcnn",
        "frames",
        (1, 96, 64, 64),
        Recipe("sgd", lr=1e-2, batch_size=16, epochs=100),
        "Reddy et al., IJCNN 2019, arXiv 1904.01390",
        44_241_667,
        "Published accuracies are of random splits. The learning rate is Keras's default",
    ),
}


def _theirs(function: str, shape: tuple[int, ...], parameters: int | None, notes: str, **options: Any) -> Kind:
    return Kind(function, "frames", shape, CHOSEN, EQUIME, parameters, notes, options)


TIME: Final = "As it ran: time is read as channels, so that nothing moves through time"
CLIP: Final = (1, 16, 64, 64)
REFERENCE: Final[Mapping[str, Kind]] = {
    "original_as_run": _theirs("reference:original", (1, 96, 64, 64), 4_277_795, TIME, as_run=True),
    "original": _theirs("reference:original", CLIP, 33_555_843, ""),
    "simple3dcnn_as_run": _theirs("reference:simple3dcnn", (1, 96, 64, 64), 1_090_323, TIME, as_run=True),
    "simple3dcnn": _theirs("reference:simple3dcnn", CLIP, 8_389_315, ""),
    "resnet3d_as_run": _theirs("reference:resnet3d", (1, 96, 64, 64), 10_339_651, TIME, as_run=True),
    "resnet3d": _theirs("reference:resnet3d", CLIP, 8_254_211, ""),
    "mobilenet_as_run": _theirs(
        "mobilenet:mobilenet", (3, 16, 224, 224), 2_388_227, "As it ran: the middle frame alone", over_time="middle"
    ),
    "mobilenet": _theirs("mobilenet:mobilenet", (3, 16, 224, 224), 2_388_227, "", over_time="mean"),
    "mobilenet_gru": _theirs("mobilenet:mobilenet", (3, 16, 224, 224), 2_782_211, "", over_time="gru"),
}


def _video(name: str, side: int, citation: str, parameters: int, recipe: Recipe = CNN) -> Kind:
    options = {"name": name}
    return Kind(
        "torchvision_video:torchvision_video",
        "frames",
        (3, 16, side, side),
        recipe,
        citation,
        parameters,
        OURS,
        options,
    )


def _transformer(family: str, frames: int, citation: str, parameters: int) -> Kind:
    made_by, shape = "transformers_video:transformers_video", (3, frames, 224, 224)
    return Kind(made_by, "frames", shape, TRANSFORMER, citation, parameters, OURS, {"family": family})


def _image(name: str, parameters: int | None = None, recipe: Recipe = CNN) -> Kind:
    return Kind("timm_flow:timm_flow", "flow", (3, 224, 224), recipe, "timm", parameters, OURS, {"name": name})


TRAN: Final = "Tran et al., CVPR 2018, arXiv 1711.11248"
ADAPTED: Final[Mapping[str, Kind]] = {
    "r3d_18": _video("r3d_18", 112, TRAN, 33_167_811),
    "mc3_18": _video("mc3_18", 112, TRAN, 11_491_779),
    "r2plus1d_18": _video("r2plus1d_18", 112, TRAN, 31_301_664),
    "s3d": _video("s3d", 224, "Xie et al., ECCV 2018, arXiv 1712.04851", 7_913_123),
    "mvit_v1_b": _video("mvit_v1_b", 224, "Fan et al., ICCV 2021, arXiv 2104.11227", 36_305_379, TRANSFORMER),
    "mvit_v2_s": _video("mvit_v2_s", 224, "Li et al., CVPR 2022, arXiv 2112.01526", 34_232_451, TRANSFORMER),
    "swin3d_t": _video("swin3d_t", 224, "Liu et al., CVPR 2022, arXiv 2106.13230", 27_852_777, TRANSFORMER),
    "videomae": _transformer("VideoMAE", 16, "Tong et al., NeurIPS 2022, arXiv 2203.12602", 86_229_507),
    "timesformer": _transformer("Timesformer", 8, "Bertasius et al., ICML 2021, arXiv 2102.05095", 121_261_059),
    "timm/resnet18": _image("resnet18", 11_178_051),
    "timm/vit_small_patch16_224": _image("vit_small_patch16_224", 21_666_819, TRANSFORMER),
}

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({**SMALL, **REFERENCE, **ADAPTED})
"""Every network that has a name of its own; any other of timm's is "timm/NAME"."""


def kind(name: str) -> Kind:
    """The network of a name.

    Raises:
        EquimeError: There is none.
    """
    if name in KINDS:
        return KINDS[name]
    if name.startswith("timm/"):
        return _image(name.removeprefix("timm/"))
    raise EquimeError(f"unknown model {name!r}: expected one of {', '.join(KINDS)} or another timm/NAME")
