"""The networks: sizes as published, their inputs, the same weights for a seed, learning, and time really being time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from equime.errors import EquimeError
from equime.recognise.models.build import KINDS, build, kind
from equime.recognise.models.htnet import Aggregate, htnet
from equime.recognise.models.transformers_video import transformers_video
from equime.recognise.models.weights import trained_here
from equime.recognise.training.recipe import Recipe

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TINY_MAE = TINY | {"decoder_num_hidden_layers": 1}
QUICK = {  # name -> a shape small enough to train on
    "logistic": (9,),
    "perceptron": (9,),
    "ststnet": (3, 28, 28),
    "off_apexnet": (3, 28, 28),
    "off_apexnet_meb": (2, 28, 28),
    "sssnet": (3, 40, 40),
    "rcn_a": (3, 28, 28),
    "micro_exp_stcnn": (1, 18, 20, 20),
    "original_as_run": (1, 6, 16, 16),
    "original": (1, 6, 16, 16),
    "simple3dcnn_as_run": (1, 6, 16, 16),
    "simple3dcnn": (1, 6, 16, 16),
    "resnet3d_as_run": (1, 6, 24, 24),
    "resnet3d": (1, 8, 24, 24),
    "timm/resnet10t": (3, 32, 32),
}
OTHER = {  # name -> a small shape to run once
    "mmnet": (3, 2, 32, 32),
    "mobilenet_as_run": (3, 3, 32, 32),
    "mobilenet": (3, 3, 32, 32),
    "mobilenet_gru": (3, 3, 32, 32),
    "r3d_18": (3, 4, 32, 32),
    "mc3_18": (3, 4, 32, 32),
    "r2plus1d_18": (3, 4, 32, 32),
    "swin3d_t": (3, 4, 32, 32),
    "timm/resnet18": (3, 28, 28),
    "timm/vit_small_patch16_224": (3, 32, 32),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on_meta(name: str, classes: int, shape: tuple[int, ...]) -> Any:
    with torch.device("meta"):
        return build(name, classes, shape)


def size(network: Any, buffers: bool = False) -> int:
    tensors = [*network.parameters(), *(network.buffers() if buffers else ())]
    return sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def noise(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def settled(network: Any, clips: Any) -> Any:
    """In evaluation mode, after batch normalisation has seen clips: random weights alone fade to nothing."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 1.0
    with torch.no_grad():
        for _ in range(2):
            network.train()(clips)
    return network.eval()


# sizes


@pytest.mark.parametrize("name", KINDS)
def test_every_network_takes_its_own_shape_and_has_the_stated_size(name: str) -> None:
    one = KINDS[name]
    network = on_meta(name, 3, one.shape)
    assert network.eval()(torch.zeros(2, *one.shape, device="meta")).shape == (2, 3)
    assert size(network) == one.parameters


@pytest.mark.parametrize(
    ("name", "shape", "published"),
    [
        ("ststnet", (3, 28, 28), 1_683),
        ("off_apexnet", (2, 28, 28), 2_664_475),
        ("off_apexnet_meb", (2, 28, 28), 807_909),
        ("sssnet", (3, 64, 64), 1_349_251),
        ("htnet", (3, 28, 28), 139_582_982),
        ("micro_exp_stcnn", (1, 96, 64, 64), 44_241_667),
        ("micro_exp_stcnn", (1, 18, 64, 64), 1_643_267),
        ("original_as_run", (1, 96, 64, 64), 4_277_795),
    ],
)
def test_sizes_of_three_classes_are_the_published_ones(name: str, shape: tuple[int, ...], published: int) -> None:
    assert size(on_meta(name, 3, shape)) == published


def test_mobilenet_has_the_size_that_keras_counts() -> None:
    """Keras counts running means and variances too."""
    assert size(on_meta("mobilenet_as_run", 3, (3, 16, 224, 224)), buffers=True) == 2_422_339


def test_rcn_a_has_about_the_published_size() -> None:
    assert abs(size(on_meta("rcn_a", 3, (3, 60, 60))) - 15_300) < 50


@pytest.mark.parametrize("name", [name for name, one in KINDS.items() if one.made_by.startswith("torchvision")])
def test_torchvision_states_the_same_size_for_its_own_weights(name: str) -> None:
    stated = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    assert size(on_meta(name, 400, KINDS[name].shape)) == stated


def test_transformers_have_about_the_published_sizes() -> None:
    assert (KINDS["videomae"].parameters or 0) / 1e6 == pytest.approx(86, abs=1)
    assert (KINDS["timesformer"].parameters or 0) / 1e6 == pytest.approx(121, abs=1)


def test_a_resnet_of_timm_is_as_large_as_torchvision_s() -> None:
    with torch.device("meta"):
        assert size(torchvision.models.resnet18(num_classes=3)) == size(build("timm/resnet18", 3, (3, 64, 64)))


# building


@pytest.mark.parametrize(
    ("name", "shape"), (QUICK | {name: OTHER[name] for name in ("mmnet", "mobilenet_gru", "mc3_18")}).items()
)
def test_a_seed_decides_the_weights_and_leaves_the_caller_s_random_state_alone(
    name: str, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (build(name, 4, shape, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "shape"), OTHER.items())
def test_larger_networks_answer_clips_one_by_one(name: str, shape: tuple[int, ...]) -> None:
    network, clips = build(name, 5, shape).eval(), noise(2, *shape)
    with torch.no_grad():
        answers = network(clips)
        assert answers.shape == (2, 5) and answers.dtype == torch.float32
        torch.testing.assert_close(network(clips[1:]), answers[1:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "shape"), QUICK.items())
def test_a_step_lowers_the_loss_and_a_few_fit_a_small_batch(name: str, shape: tuple[int, ...]) -> None:
    network, clips, answers = build(name, 3, shape), noise(6, *shape), torch.tensor([0, 1, 2] * 2)
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2 if len(shape) == 1 else 3e-4)
    losses = []
    for _ in range(80):
        given = network(clips)
        loss = functional.cross_entropy(given, answers)
        losses.append(loss.item())
        if losses[-1] < 0.5 * losses[0] and torch.equal(given.argmax(1), answers):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]
    assert losses[-1] < 0.5 * losses[0]


def test_a_network_of_a_kind_is_trained_by_its_recipe() -> None:
    assert kind("ststnet").recipe == Recipe("adam", lr=5e-5, batch_size=256, epochs=800)
    assert kind("timm/convnext_tiny").options == {"name": "convnext_tiny"}
    for one in KINDS.values():
        assert one.citation and replace(one.recipe)


def test_names_and_recipes_are_known_without_torch() -> None:
    code = "import sys, equime.recognise.models.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# bad input


@pytest.mark.parametrize(("name", "shape"), QUICK.items())
def test_another_shape_than_it_was_built_for_is_one_line(name: str, shape: tuple[int, ...]) -> None:
    network = build(name, 3, shape)
    for wrong in ((2, *shape[:-1], shape[-1] + 1), (2, *shape, 1), (2, shape[0] + 1, *shape[1:])):
        with pytest.raises(EquimeError, match=f"this {name}, got torch.float32") as caught:
            network(torch.zeros(wrong))
        assert "\n" not in str(caught.value)
    with pytest.raises(EquimeError, match=r"got torch\.uint8"):
        network(torch.zeros(2, *shape, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("ststnet", (28, 28), r"ststnet takes \(C, H, W\)"),
        ("ststnet", (3, 1, 1), r"cannot take shape = \(3, 1, 1\)"),
        ("ststnet", (3, 0, 28), r"ststnet takes"),
        ("sssnet", (3, 8, 8), "cannot take"),
        ("micro_exp_stcnn", (1, 16, 64, 64), "cannot take"),
        ("off_apexnet", (1, 28, 28), "channels u and v"),
        ("off_apexnet_meb", (1, 28, 28), "channels u and v"),
        ("htnet", (3, 28, 56), "square flow images"),
        ("htnet", (3, 32, 32), "square flow images"),
        ("original_as_run", (3, 16, 64, 64), "grey frames"),
        ("mobilenet", (1, 16, 64, 64), "in colour"),
        ("mmnet", (3, 3, 32, 32), "onset and apex"),
        ("mmnet", (3, 2, 40, 40), "onset and apex"),
        ("r3d_18", (1, 16, 64, 64), "in colour"),
        ("s3d", (3, 8, 224, 224), r"at least \(14, 224, 224\)"),
        ("mvit_v2_s", (3, 8, 224, 224), r"exactly \(16, 224, 224\)"),
        ("videomae", (1, 16, 224, 224), "in colour"),
        ("timesformer", (3, 8, 224, 112), "square frames"),
        ("timm/vit_small_patch16_224", (3, 8, 8), "timm/vit_small_patch16_224 cannot take"),
        ("timm/nosuchmodel", (3, 28, 28), "timm has no model 'nosuchmodel'"),
        ("nosuch", (3, 28, 28), "unknown model 'nosuch'"),
    ],
)
def test_what_cannot_be_built_is_one_line(name: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(EquimeError, match=said) as caught:
        build(name, 3, shape)
    assert "\n" not in str(caught.value)


def test_one_class_is_nothing_to_learn() -> None:
    with pytest.raises(EquimeError, match="at least 2 classes"):
        build("ststnet", 1, (3, 28, 28))


# time


@pytest.mark.parametrize("name", ["original", "simple3dcnn", "resnet3d"])
def test_as_they_ran_the_order_of_frames_was_a_matter_of_names(name: str) -> None:
    """Frames that change places give the same answer once the first layer's channels do: nothing knows of time."""
    shape, order = (1, 6, 16, 16), [3, 0, 5, 1, 4, 2]
    network, clips = build(f"{name}_as_run", 3, shape).eval(), noise(2, *shape)
    first = next(part for part in network.modules() if isinstance(part, nn.Conv3d))
    assert first.in_channels == 6
    with torch.no_grad():
        answers = network(clips)
        first.weight.copy_(first.weight[:, order])
        torch.testing.assert_close(network(clips[:, :, order]), answers)


@pytest.mark.parametrize("name", ["original", "simple3dcnn"])
def test_as_they_should_have_filters_move_through_time(name: str) -> None:
    """What happens two frames later is answered two frames later by the first layer, and by the next after pooling."""
    network = build(name, 3, (1, 8, 16, 16)).eval()
    event = torch.zeros(1, 1, 8, 16, 16)
    event[:, :, 3] = noise(16, 16)
    features = network[0]
    with torch.no_grad():
        torch.testing.assert_close(features(event.roll(2, 2))[:, :, 1:], features(event)[:, :, :-1])


def test_mobilenet_as_it_ran_saw_one_frame() -> None:
    shape = (3, 5, 32, 32)
    clips = noise(2, *shape)
    network = settled(build("mobilenet_as_run", 3, shape), clips)
    with torch.no_grad():
        answer = network(clips)
        for frame in range(5):
            changed = clips.clone()
            changed[:, :, frame] *= -1
            assert torch.equal(network(changed), answer) is (frame != 2)


def test_mobilenet_over_time_sees_all_frames_and_its_gru_their_order() -> None:
    shape = (3, 4, 32, 32)
    clips = noise(2, *shape)
    for name, ordered in (("mobilenet", False), ("mobilenet_gru", True)):
        network = settled(build(name, 3, shape), clips)
        with torch.no_grad():
            answer, backwards = network(clips), network(clips.flip(2))
            assert torch.allclose(answer, backwards, atol=1e-5) is not ordered
            for frame in range(4):
                changed = clips.clone()
                changed[:, :, frame] *= -1
                assert not torch.allclose(network(changed), answer, atol=1e-5)


def test_off_apexnet_leaves_strain_unread() -> None:
    for name in ("off_apexnet", "off_apexnet_meb"):
        network, image = build(name, 3, (3, 28, 28)).eval(), noise(1, 3, 28, 28)
        with torch.no_grad():
            answer = network(image)
            assert torch.equal(network(image * torch.tensor([1, 1, 0]).view(1, 3, 1, 1)), answer)
            for channel in (0, 1):
                other = image.clone()
                other[:, channel] *= -1
                assert not torch.equal(network(other), answer)


# HTNet's attention


def attention(dense: bool, side: int = 28) -> list[Any]:
    """The weights of every attention of a small HTNet on noise, (..., tokens, tokens) each."""
    torch.manual_seed(0)
    network = htnet(3, (3, side, side), dense=dense, dims=(8, 16, 24), heads=(2, 2, 3), depths=(1, 1, 2)).eval()
    seen: list[Any] = []
    for part in network.modules():
        if isinstance(part, nn.Softmax):
            part.register_forward_hook(lambda _, __, weights: seen.append(weights.detach()))
    network(3 * noise(2, 3, side, side))
    return seen


def test_htnet_as_published_attends_to_nothing() -> None:
    weights = attention(dense=False)
    assert len(weights) == 4
    assert all(each.shape[-2:] == (1, 1) and torch.equal(each, torch.ones_like(each)) for each in weights)


@pytest.mark.parametrize("side", [28, 56])
def test_the_dense_variant_s_blocks_attend(side: int) -> None:
    weights = attention(True, side)
    assert [each.shape[:3] for each in weights] == [(2, 4, 4), (2, 2, 2), (2, 1, 1), (2, 1, 1)]
    for each in weights:
        assert each.shape[-2:] == (4, 4)
        torch.testing.assert_close(each.sum(-1), torch.ones_like(each.sum(-1)))
        assert each.std(-1).min() > 0


def test_htnet_mixes_places_by_its_joining_convolutions_alone() -> None:
    """As published a patch changes its own place only, until the first convolution; when dense, its block's."""
    for dense, touched in ((False, 1), (True, 4)):
        network = htnet(3, (3, 56, 56), dense=True, dims=(8, 16, 24), heads=(2, 2, 3), depths=(1, 1, 1))
        if not dense:
            network = htnet(3, (3, 28, 28), dims=(8, 16, 24), heads=(2, 2, 3), depths=(1, 1, 1))
        level = network[: next(place for place, part in enumerate(network) if isinstance(part, Aggregate))].eval()
        image = noise(1, 3, 56 if dense else 28, 56 if dense else 28)
        other = image.clone()
        other[:, :, :7, :7] += 1
        with torch.no_grad():
            moved = (level(image) - level(other)).abs().amax(-1)[0] > 1e-6
        assert moved.sum() == touched and moved[:2, :2].sum() == touched


# weights to start from


def kept(network: Any, folder: Path, prefix: str = "") -> Path:
    """The folder with a network's weights; behind a prefix, as they are when scaling stands before it."""
    weights = {prefix + name: value.contiguous() for name, value in network.state_dict().items()}
    if prefix:
        weights |= {"mean": torch.zeros(3), "deviation": torch.ones(3)}
    folder.mkdir()
    save_file(weights, str(folder / "model.safetensors"))
    return folder


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("ststnet", ""),
        ("ststnet", "network."),
        ("rcn_a", "network."),
        ("sssnet", ""),
        ("timm/resnet10t", ""),
        ("mobilenet", ""),
        ("mobilenet_gru", "network."),
        ("mc3_18", ""),
    ],
)
def test_weights_are_taken_over_and_other_classes_start_anew(name: str, prefix: str, tmp_path: Path) -> None:
    shape = (QUICK | OTHER)[name]
    trained = build(name, 3, shape, seed=1)
    folder = kept(trained, tmp_path / "weights", prefix)
    same, fresh = build(name, 3, shape, folder, seed=2).state_dict(), build(name, 5, shape, seed=2).state_dict()
    assert all(torch.equal(same[key], value) for key, value in trained.state_dict().items())
    five = build(name, 5, shape, str(folder), seed=2).state_dict()
    last = list(five)[-1].rpartition(".")[0]
    for key, value in trained.state_dict().items():
        assert torch.equal(five[key], fresh[key] if key.startswith(last + ".") else value)


def test_weights_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    shape = (3, 28, 28)
    other = kept(build("rcn_a", 3, shape), tmp_path / "other")
    wide = kept(build("ststnet", 3, (2, 28, 28)), tmp_path / "wide")
    empty, pickled, broken = (tmp_path / name for name in ("empty", "pickled", "broken"))
    for folder in (empty, pickled, broken):
        folder.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80")
    (broken / "model.safetensors").write_bytes(b"no safetensors")
    expected = {
        other: "of another network",
        wide: r"of another network: streams\.0\.weight",
        empty: "no weights in",
        pickled: "are pickles",
        broken: "cannot load broken",
        tmp_path / "absent": "no such folder of weights",
        Path("timm/resnet18.a1_in1k"): "no such folder of weights",
    }
    for folder, said in expected.items():
        with pytest.raises(EquimeError, match=said) as caught:
            build("ststnet", 3, shape, folder)
        assert "\n" not in str(caught.value)


def test_mobilenet_keeps_the_first_blocks_of_weights_it_starts_from(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.mobilenet_v2(num_classes=1000)
    folder = kept(theirs, tmp_path / "weights")
    network = build("mobilenet", 3, (3, 2, 32, 32), folder)
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    assert all(torch.equal(value, theirs.features.state_dict()[name]) for name, value in before.items())
    network.train()(noise(2, 3, 2, 32, 32)).sum().backward()
    torch.optim.SGD([p for p in network.parameters() if p.grad is not None], lr=0.1).step()
    for name, value in network.backbone.state_dict().items():
        changed = not torch.equal(value, before[name])
        assert changed == (int(name.split(".")[0]) >= 12), name


@pytest.mark.parametrize(("family", "sizes"), [("VideoMAE", TINY_MAE), ("Timesformer", TINY)])
def test_transformers_start_from_a_folder_made_for_such_clips(
    family: str, sizes: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, shape = {"VideoMAE": "videomae", "Timesformer": "timesformer"}[family], (3, 4, 32, 32)
    torch.manual_seed(0)
    theirs = transformers_video(7, shape, family=family, **sizes).eval()
    clips = noise(2, *shape)
    assert theirs(clips).shape == (2, 7)
    theirs.video.save_pretrained(tmp_path / "model")
    capfd.readouterr()
    network = transformers_video(7, shape, family=family, folder=tmp_path / "model").eval()
    with torch.no_grad():
        torch.testing.assert_close(network(clips), theirs(clips))
    five = build(name, 5, shape, tmp_path / "model")
    assert five(clips).shape == (2, 5)
    body = {key: value for key, value in theirs.state_dict().items() if not key.startswith("video.classifier")}
    assert body and all(torch.equal(five.state_dict()[key], value) for key, value in body.items())
    assert capfd.readouterr() == ("", "")
    assert not trained_here(tmp_path / "model") and trained_here(kept(five, tmp_path / "trained"))
    with pytest.raises(EquimeError, match="takes 4 frames of 32 pixels, got 8 of 32"):
        build(name, 5, (3, 8, 32, 32), tmp_path / "model")
    other = {"videomae": "timesformer", "timesformer": "videomae"}[name]
    with pytest.raises(EquimeError, match=f"expected a {other} model"):
        build(other, 5, shape, tmp_path / "model")


def test_a_model_pretrained_without_labels_gives_all_but_the_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(num_frames=4, image_size=32, **TINY_MAE)
    theirs = transformers.VideoMAEForPreTraining(config)
    theirs.save_pretrained(tmp_path / "model")
    ours = build("videomae", 3, (3, 4, 32, 32), tmp_path / "model", seed=5).state_dict()
    again = build("videomae", 3, (3, 4, 32, 32), tmp_path / "model", seed=5).state_dict()
    body = {name: value for name, value in theirs.state_dict().items() if name.startswith("videomae.")}
    assert body and all(torch.equal(ours[f"video.{name}"], value) for name, value in body.items())
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_a_model_folder_that_lacks_weights_is_one_line(tmp_path: Path) -> None:
    theirs = transformers_video(3, (3, 4, 32, 32), family="VideoMAE", **TINY_MAE)
    theirs.video.save_pretrained(tmp_path / "model")
    whole = load_file(tmp_path / "model" / "model.safetensors")
    lost = next(name for name in whole if "attention" in name)
    save_file({name: value for name, value in whole.items() if name != lost}, tmp_path / "model" / "model.safetensors")
    with pytest.raises(EquimeError, match="does not fit: videomae") as caught:
        build("videomae", 3, (3, 4, 32, 32), tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("family", "sizes"), [("VideoMAE", TINY_MAE), ("Timesformer", TINY)])
def test_transformers_see_the_order_of_frames(family: str, sizes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network, clips = transformers_video(3, (3, 4, 32, 32), family=family, **sizes).eval(), noise(1, 3, 4, 32, 32)
    for name, weight in network.named_parameters():
        if name.endswith("time_embeddings"):  # zeros at first
            nn.init.normal_(weight)
    with torch.no_grad():
        assert not torch.allclose(network(clips), network(clips.flip(2)), atol=1e-6)


def test_ststnets_streams_side_by_side_are_three_one_after_the_other() -> None:
    torch.manual_seed(0)
    network = build("ststnet", 3, (3, 28, 28), seed=0).train()
    conv, norm = network.streams[0], network.streams[2]
    network.streams[4] = nn.Identity()
    x = torch.randn(8, 3, 28, 28)
    found, first = [], 0
    for filters in (3, 5, 8):
        mine = slice(first, first + filters)
        z = functional.relu(functional.conv2d(x, conv.weight[mine], conv.bias[mine], padding=2))
        z = functional.batch_norm(z, None, None, norm.weight[mine], norm.bias[mine], training=True)
        found.append(functional.max_pool2d(z, 3, stride=3, padding=1))
        first += filters
    expected = network.classifier(functional.avg_pool2d(torch.cat(found, 1), 2).flatten(1))
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)
