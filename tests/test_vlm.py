"""Captions by a vision-language model: tiny models of the true classes, real clips, broken folders."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vlm
from hub_server import Hub
from make_clips import clip_bytes
from make_workspace import make_workspace
from model_folders import changed, in_shards, said_by, without_a_tensor

from equime import video
from equime.captioning.vlm import QUESTION, VLM, Shown
from equime.checkpoints import Layout, find
from equime.cli import main
from equime.devices import device
from equime.errors import EquimeError, MissingPackageError
from equime.marks import mark
from equime.options import result_fields
from equime.runner import run
from equime.shard_worker import attempt
from equime.stages import stage_class

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
transformers = pytest.importorskip("transformers")
SHORT = "Which units? {frames} frames, {start} to {end} ms."
Caption = stage_class("caption")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def models() -> Path:
    return tiny_vlm.models()


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models / "qwen3_vl", tmp_path / "model"))


def digest(folder: Path) -> str:
    return find(str(folder), None, Layout("caption", "a/b")).revision


def vlm(folder: Path, **more: Any) -> VLM:
    return VLM(**{"model": str(folder), "frames": 6, "prompt": SHORT, "max_new_tokens": 12, "device": "cpu"} | more)


def rows(*apexes: float) -> list[dict[str, Any]]:
    """Rows of clips of 96 frames, each of its own texture, with their apex at so many ms."""
    return [
        {
            "clip_id": f"fear/f_s-{i}_0",
            "emotion": "fear",
            "apex_ms": apex,
            "seed": i,
            "video": {"bytes": clip_bytes(96, 64, seed=i), "path": None},
            "num_frames": 96,
            "fps": 24.0,
            "generate_error": None,
        }
        for i, apex in enumerate(apexes)
    ]


@pytest.fixture(scope="module")
def three() -> list[dict[str, Any]]:
    return rows(200.0, 1000.0, 3900.0)


@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
class TestShown:
    def test_frames_reach_the_model_in_order_and_are_not_sampled_again(self, models: Path, kind: str) -> None:
        [row] = rows(2000.0)
        maker = vlm(models / kind)
        shown = maker.shown(row)
        assert list(shown.indices) == [46, 47, 48, 49, 50, 51]
        processor, _ = maker._opened
        inputs = maker._inputs(processor, [shown])
        assert inputs["video_grid_thw"][0, 0] == 3
        levels = video.decode(row["video"]["bytes"], list(shown.indices)).mean(axis=(1, 2)) / 255  # (6, 3)
        pixels = inputs["pixel_values_videos"].reshape(3, -1, 3, 2, processor.video_processor.patch_size**2)
        mean, std = (np.array(getattr(processor.video_processor, f"image_{k}"))[:, None] for k in ("mean", "std"))
        for step in range(3):
            seen = pixels[step].mean(dim=(0, 3)).numpy() * std + mean  # (3, 2)
            assert np.abs(seen.T - levels[2 * step : 2 * step + 2]).max() < 0.004

    def test_the_words_for_time_are_of_the_clip(self, models: Path, kind: str) -> None:
        [row] = rows(2000.0)
        maker = vlm(models / kind)
        processor, _ = maker._opened
        inputs = maker._inputs(processor, [maker.shown(row)])
        text = processor.tokenizer.decode(inputs["input_ids"][0])
        assert "Which units? 6 frames, 1917 to 2125 ms." in text
        if kind == "qwen3_vl":  # pairs of frames, by the mean of their times
            assert [f"<{t:.1f} seconds>" in text for t in (46.5 / 24, 48.5 / 24, 50.5 / 24)] == [True] * 3
        else:
            assert inputs["second_per_grid_ts"].tolist() == pytest.approx([2 / 24])

    def test_frames_over_the_clip_are_as_far_apart_as_they_are(self, models: Path, kind: str) -> None:
        [row] = rows(2000.0)
        maker = vlm(models / kind, around="clip", frames=8)
        shown = maker.shown(row | {"apex_ms": None})
        assert list(shown.indices) == [6, 18, 30, 42, 54, 66, 78, 90]
        processor, _ = maker._opened
        inputs = maker._inputs(processor, [shown])
        if kind == "qwen3_vl":
            text = processor.tokenizer.decode(inputs["input_ids"][0])
            assert [f"<{t:.1f} seconds>" in text for t in (0.5, 1.5, 2.5, 3.5)] == [True] * 4
        else:
            assert inputs["second_per_grid_ts"].tolist() == pytest.approx([1.0])

    def test_slower_is_told_alike_in_tokens_and_words(self, models: Path, kind: str) -> None:
        [row] = rows(2000.0)
        maker = vlm(models / kind, slowdown=6)
        processor, _ = maker._opened
        inputs = maker._inputs(processor, [maker.shown(row)])
        text = processor.tokenizer.decode(inputs["input_ids"][0])
        assert "Which units? 6 frames, 11500 to 12750 ms." in text
        if kind == "qwen3_vl":
            assert [f"<{t:.1f} seconds>" in text for t in (46.5 / 4, 48.5 / 4, 50.5 / 4)] == [True] * 3
        else:
            assert inputs["second_per_grid_ts"].tolist() == pytest.approx([0.5])


@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
class TestAnswers:
    def test_a_batch_says_what_each_clip_alone_does(self, models: Path, kind: str, three: list[dict]) -> None:
        shown = [vlm(models / kind).shown(row) for row in three]
        alone = [vlm(models / kind)([clip])[0] for clip in shown]
        assert vlm(models / kind, batch_size=3)(shown) == alone
        assert vlm(models / kind, batch_size=2)(shown[::-1]) == alone[::-1]
        assert len(set(alone)) > 1  # they do depend on the clip

    def test_greedy_is_the_likeliest_token_each_time(self, models: Path, kind: str, three: list[dict]) -> None:
        maker = vlm(models / kind, max_new_tokens=6)
        clip = maker.shown(three[0])
        processor, model = maker._opened
        assert model.generation_config.do_sample and model.generation_config.repetition_penalty > 1  # as published
        inputs = dict(maker._inputs(processor, [clip]))
        start = inputs["input_ids"].shape[1]
        for _ in range(6):
            with torch.no_grad():
                token = model(**inputs, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)
            more = {"input_ids": token, "attention_mask": torch.ones_like(token)}
            more["mm_token_type_ids"] = torch.zeros_like(token)
            inputs |= {k: torch.cat([inputs[k], v], 1) for k, v in more.items() if k in inputs}
        said = processor.tokenizer.decode(inputs["input_ids"][0, start:], skip_special_tokens=True)
        assert maker([clip]) == [said]

    def test_sampled_answers_come_from_the_clips_seed(self, models: Path, kind: str, three: list[dict]) -> None:
        warm = vlm(models / kind, temperature=2.0, batch_size=2)
        shown = [warm.shown(row) for row in three]
        torch.manual_seed(5)
        before = torch.random.get_rng_state()
        first = warm(shown)
        assert torch.equal(torch.random.get_rng_state(), before)
        assert vlm(models / kind, temperature=2.0)(shown[::-1]) == first[::-1]
        assert warm([dataclasses.replace(shown[0], seed=77)]) != first[:1]


class TestSmolVLM:
    """Another family: frames are pictures with a line of words each."""

    def test_it_is_told_frames_and_times_and_answers(self, tmp_path: Path, three: list[dict]) -> None:
        pytest.importorskip("num2words")
        folder = tiny_vlm.save(tmp_path / "model", "smolvlm")
        maker = vlm(folder, batch_size=3, slowdown=24)
        shown = [maker.shown(row) for row in three]
        processor, _ = maker._opened
        text = processor.tokenizer.decode(maker._inputs(processor, shown)["input_ids"][1])
        assert "the following series of six frames from a 0:01:36" in text
        assert [f"Frame from 00:{second}:" in text for second in range(22, 28)] == [True] * 6
        assert maker(shown) == [vlm(folder, slowdown=24)([clip])[0] for clip in shown]

    def test_without_its_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from transformers.models.smolvlm import processing_smolvlm

        monkeypatch.setattr(processing_smolvlm, "num2words", str)  # only to save one
        folder = tiny_vlm.save(tmp_path / "model", "smolvlm")
        monkeypatch.setattr(processing_smolvlm, "num2words", None)
        with pytest.raises(MissingPackageError, match=r'`num2words` is required .*: run `pip install "equime\[caption'):
            vlm(folder).load()


class TestMemory:
    @staticmethod
    def fails(maker: VLM, above: int) -> list[int]:
        """Let the model run out of memory for more than some clips at once; the sizes that it was given."""
        sizes: list[int] = []

        def forward(_: Any, __: Any, named: dict[str, Any]) -> None:
            sizes.append(len(named["input_ids"]))
            if sizes[-1] > above:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        maker._opened[1].register_forward_pre_hook(forward, with_kwargs=True)
        return sizes

    def test_a_batch_too_large_is_answered_in_halves(self, models: Path, three: list[dict]) -> None:
        maker = vlm(models / "qwen3_vl", batch_size=3, max_new_tokens=3)
        shown = [maker.shown(row) for row in three]
        whole = maker(shown)
        sizes = self.fails(maker, above=1)
        assert maker(shown) == whole
        assert sizes[:2] == [3, 1]

    def test_one_clip_too_large_costs_one_line(self, models: Path, three: list[dict]) -> None:
        maker = vlm(models / "qwen3_vl", batch_size=2)
        self.fails(maker, above=0)
        with pytest.raises(EquimeError, match=r"too little GPU memory for one clip: try --batch-size 1, --frames 8"):
            maker([maker.shown(row) for row in three[:2]])


def taught(folder: Path, clips: list[dict], answers: list[str]) -> Path:
    """Train the model of a folder to give these answers to "?" and four frames, and save it there."""
    maker = vlm(folder, batch_size=len(clips), frames=4, prompt="?")
    processor, model = maker._opened
    tiny_vlm.teach(processor, model, maker._inputs(processor, [maker.shown(row) for row in clips]), answers)
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", tiny_vlm.KINDS)
def test_what_a_model_learnt_to_see_ends_as_units(models: Path, tmp_path: Path, kind: str, three: list[dict]) -> None:
    """Two clips, two answers: frames, weights, generation and reading, end to end."""
    answers = ['{"action_units": ["AU12 (left)"]}', 'I see: ```json\n{"aus": ["4+R9C"]}```']
    folder = taught(Path(shutil.copytree(models / kind, tmp_path / "model")), three[:2], answers)
    stage = Caption(captioner="vlm", vlm=vlm(folder, max_new_tokens=60, frames=4, prompt="?"))
    stage.load()
    made = stage([dict(row) for row in three[:2]])
    assert [row["caption"] for row in made] == answers
    units = [
        [(u["au"], u["side"], u["intensity"]) for u in json.loads(r["caption_json"])["action_units"]] for r in made
    ]
    assert units == [[(12, "L", None)], [(4, "B", None), (9, "R", "C")]]
    assert {row["captioner"] for row in made} == {f"model@{digest(folder)}"}


class TestStage:
    def stage(self, folder: Path, **more: Any) -> Any:
        return Caption(captioner="vlm", vlm=vlm(folder, **more))

    def test_nonsense_is_kept_as_it_came(self, models: Path, three: list[dict]) -> None:
        stage = self.stage(models / "qwen3_vl", batch_size=3)
        stage.load()
        made = attempt(stage, three)
        said = vlm(models / "qwen3_vl")([stage.vlm.shown(row) for row in three])
        assert [row["caption"] for row in made] == said
        assert [row["caption_json"] for row in made] == [None] * 3
        assert all(row["caption_error"].startswith("expected a JSON object in the model's answer") for row in made)

    def test_a_bad_clip_costs_the_others_nothing(self, models: Path, three: list[dict]) -> None:
        stage = self.stage(models / "qwen3_vl", batch_size=3)
        stage.load()
        broken = three[1] | {"video": {"bytes": three[1]["video"]["bytes"][:300], "path": None}}
        gone = three[1] | {"video": None, "generate_error": "no face"}
        nowhere = three[1] | {"apex_ms": None}
        made = attempt(stage, [three[0], broken, gone, nowhere, three[2]])
        whole = attempt(stage, [three[0], three[2]])
        assert [made[0], made[4]] == whole
        assert [row["caption"] for row in made[1:4]] == [None] * 3
        assert "clip 'fear/f_s-1_0' has no video: no face" in made[2]["caption_error"]
        assert "has no planned apex" in made[3]["caption_error"]
        assert all("\n" not in row["caption_error"] for row in made[1:4])

    def test_columns_read_do_not_tell_the_plan(self) -> None:
        seen = {"video", "sha256", "num_frames", "fps", "generate_error", "seed"}
        assert set(Caption(captioner="vlm", vlm=VLM(around="clip")).reads) == seen
        assert set(Caption(captioner="vlm").reads) == seen | {"apex_ms", "emotion"}
        assert "video" not in Caption().reads

    def test_what_makes_captions_stale(self, models: Path, tmp_path: Path) -> None:
        ws = make_workspace(tmp_path / "ws", groups=("plan", "generate"), shard_rows=8)
        one = self.stage(models / "qwen3_vl")

        def changed(**more: Any) -> bool:
            return mark(dataclasses.replace(one, vlm=dataclasses.replace(one.vlm, **more)), ws, 0) != mark(one, ws, 0)

        assert not changed(batch_size=4) and not changed(device="cuda")
        assert changed(prompt="What?") and changed(frames=7) and changed(around="clip") and changed(temperature=0.5)
        assert mark(Caption(), ws, 0) == mark(Caption(vlm=VLM(frames=9)), ws, 0)
        assert result_fields(Caption()) == {"captioner": "template", "wording": 0}

    def test_a_questions_file_counts_by_what_it_says(self, tmp_path: Path) -> None:
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).write_text("What moves?\n")
        first, second = (VLM(prompt=f"@{tmp_path / name}") for name in ("a.txt", "b.txt"))
        assert first == second and first.prompt == "What moves?"
        with pytest.raises(EquimeError, match=r"cannot read the question: --prompt @.*none\.txt"):
            VLM(prompt=f"@{tmp_path / 'none.txt'}")

    def test_the_question_asks_for_what_is_read(self) -> None:
        clip = Shown(np.zeros((2, 8, 8, 3), np.uint8), [48, 49], 24.0, 144, 0)
        asked = clip.asked(QUESTION)
        assert "These are 2 frames of one face, in order, from 2000 ms to 2042 ms" in asked
        assert all(f'"{key}"' in asked for key in ("caption", "emotion", "action_units", "onset_ms", "au", "side"))

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"frames": 0}, "--frames should be at least 1, got 0"),
            ({"batch_size": 0}, "--batch-size should be at least 1"),
            ({"max_new_tokens": -1}, "--max-new-tokens should be at least 1"),
            ({"temperature": float("nan")}, "--temperature should be at least 0, got nan"),
        ],
    )
    def test_fields_out_of_range(self, fields: dict[str, Any], said: str) -> None:
        with pytest.raises(EquimeError, match=said):
            VLM(**fields)

    def test_flags_of_the_other_captioner(self) -> None:
        with pytest.raises(EquimeError, match=r"--max-new-tokens is of models alone: add --captioner vlm"):
            Caption(vlm=VLM(max_new_tokens=9)).load()
        with pytest.raises(EquimeError, match=r"--captioner vlm needs --model"):
            Caption(captioner="vlm").load()

    def test_from_the_command_line_and_again(self, folder: Path, tmp_path: Path) -> None:
        ws = make_workspace(tmp_path / "ws", subjects=1, groups=("plan", "generate"), shard_rows=3)
        flags = ["--model", str(folder), "--frames", "4", "--max-new-tokens", "4", "--prompt", "?", "--device", "cpu"]
        assert main(["caption", str(ws.path), "--captioner", "vlm", *flags]) == 1  # a random model says nothing of use
        made = list(ws.rows(["clip_id", "caption", "captioner", "caption_error"]))
        assert {row["captioner"] for row in made} == {f"model@{digest(folder)}"}
        assert all(row["caption"] is not None and row["caption_error"] for row in made)
        footer = ws.footer("caption", 0)
        assert footer is not None and footer.models == {"model": digest(folder)}
        receipt = run(Caption(captioner="vlm", vlm=vlm(folder, frames=4, max_new_tokens=4, prompt="?")), ws)
        assert (receipt.done, receipt.fresh) == (0, 2)
        assert main(["caption", str(ws.path)]) == 0  # and back to the plan's words
        assert {row["captioner"] for row in ws.rows(["captioner"])} == {"template"}
        again = Caption(captioner="vlm", vlm=vlm(folder, frames=4, max_new_tokens=4, prompt="?"))
        receipt = run(again, ws)  # an answer that cannot be read is an answer: it is kept, and not asked for again
        assert (receipt.done, receipt.kept, receipt.failed) == (2, 0, 5)
        assert list(ws.rows(["clip_id", "caption", "captioner", "caption_error"])) == made
        assert run(again, ws).done == 0


# --- folders and the Hub


def weights(folder: Path) -> Path:
    [path] = folder.glob("*.safetensors")
    return path


def pickled(folder: Path) -> None:
    torch.save({"x": torch.ones(2)}, folder / "pytorch_model.bin")
    weights(folder).unlink()


def language_model(folder: Path) -> None:
    shutil.rmtree(folder)
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tiny_vlm.tokenizer().save_pretrained(folder)


def image_classifier(folder: Path) -> None:
    shutil.rmtree(folder)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)


def of_pictures(folder: Path) -> None:
    """A vision-language model that takes no video."""
    shutil.rmtree(folder)
    text = {"vocab_size": 300, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**vision, image_size=32, patch_size=16),
        text_config=transformers.LlamaConfig(**text, num_attention_heads=2),
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(), tiny_vlm.tokenizer(), patch_size=16, chat_template=tiny_vlm.TEMPLATE
    ).save_pretrained(folder)


BROKEN: list[tuple[str, Callable[[Path], Any], str]] = [
    ("no config", lambda f: (f / "config.json").unlink(), r"no config\.json in .*: not a model of this kind; give"),
    ("no JSON", lambda f: (f / "config.json").write_text("{"), r"cannot read .*config\.json"),
    ("no object", lambda f: (f / "config.json").write_text("[]"), r"expected a JSON object in .*config\.json"),
    ("no weights", lambda f: weights(f).unlink(), r"lacks \*\.safetensors; give --model a whole one"),
    ("pickles", pickled, r"the weights in .* are pickles, which can run any code: expected safetensors"),
    ("half a download", lambda f: in_shards(weights(f)), r"lacks model-00002-of-00002\.safetensors; "),
    ("cut short", lambda f: weights(f).write_bytes(weights(f).read_bytes()[:-9]), r"cannot load model from"),
    ("a tensor gone", lambda f: without_a_tensor(weights(f)), r"1 tensors, .* first, are not in"),
    ("no processor", lambda f: (f / "processor_config.json").unlink(), r"cannot load model from .*; give --model"),
    ("no tokenizer", lambda f: [p.unlink() for p in f.glob("tokenizer*")], r"lacks tokenizer\.json; give --model"),
    ("a language model", language_model, r"expected a vision-language model, got LlamaForCausalLM in"),
    ("a classifier", image_classifier, r"expected a vision-language model, got ViTForImageClassification in"),
    ("of pictures alone", of_pictures, r"expected a model that takes video, got model with LlavaProcessor"),
]


class TestFolder:
    @pytest.mark.parametrize(("spoil", "said"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
    def test_that_is_broken_costs_one_line(self, folder: Path, spoil: Callable[[Path], Any], said: str) -> None:
        spoil(folder)
        with pytest.raises(EquimeError, match=said) as caught:
            vlm(folder).load()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300 + len(str(folder))

    def test_of_another_shape(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["intermediate_size"] = 128
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(EquimeError, match=r"\d+ tensors, .* first, have another shape in"):
            vlm(folder).load()

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        for name in (str(tmp_path / "none"), "./none", "none"):
            with pytest.raises(EquimeError, match=r"no such model folder: .*; give --model a folder or a Hub id such"):
                _ = VLM(model=name).models
        with pytest.raises(EquimeError, match="expected a folder or Hub id, got an empty one"):
            find(" ", None, Layout("caption", "a/b"))

    def test_has_no_revisions(self, folder: Path) -> None:
        with pytest.raises(EquimeError, match="leave out --revision main"):
            _ = VLM(model=str(folder), revision="main").models

    def test_is_known_by_what_it_holds(self, folder: Path, tmp_path: Path) -> None:
        moved = Path(shutil.copytree(folder, tmp_path / "moved"))
        (moved / "README.md").write_text("said elsewhere")
        assert digest(moved) == digest(folder)
        changed(moved / "generation_config.json", top_k=3)
        assert digest(moved) != digest(folder)
        assert VLM(model=str(folder)).captioner == f"model@{digest(folder)}"

    def test_loading_is_silent(self, models: Path, caplog: pytest.LogCaptureFixture, three: list[dict]) -> None:
        logger = logging.getLogger("transformers")
        logger.addHandler(caplog.handler)
        try:
            maker = vlm(models / "qwen3_vl", max_new_tokens=2)
            maker([maker.shown(three[0])])
        finally:
            logger.removeHandler(caplog.handler)
        assert caplog.messages == []


def test_devices() -> None:
    assert device("cpu", extra="caption") == torch.device("cpu")
    assert device("auto", extra="caption").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name, said in (("gpu", "expected --device auto, cpu"), ("mps", "expected --device"), ("cuda:99", "no cuda:99")):
        with pytest.raises(EquimeError, match=said):
            device(name, extra="caption")


@pytest.mark.parametrize("package", ["torch", "torchvision", "transformers"])
def test_a_missing_package_costs_one_line(models: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf'{package} .*: run `pip install "equime\[caption\]"`'):
        vlm(models / "qwen3_vl").load()


@pytest.fixture(scope="module")
def hub(models: Path) -> Iterator[Hub]:
    with Hub() as hub:
        files = {p.name: p.read_bytes() for p in (models / "qwen3_vl").iterdir()}
        hub.create("org/whole", files | {"pytorch_model.bin": b"not these", "README.md": b"nor this"}, kind="model")
        hub.create(
            "org/half", {name: data for name, data in files.items() if not name.endswith("safetensors")}, kind="model"
        )
        hub.create("org/gated", files, gated="manual", kind="model")
        yield hub


def client(hub: Hub, home: Path, model: str, revision: str | None = None, **more: str) -> str:
    """What `VLM` says of a model, in a process that talks to the Hub: its name, commit and files, or the refusal."""
    script = """
        import sys
        from equime.captioning.vlm import VLM
        from equime.errors import EquimeError
        try:
            found = VLM(model=sys.argv[1], revision=sys.argv[2] or None)
            files = sorted(p.name for p in found._checkpoint.folder.iterdir())
            print("\\n" + " ".join([found.captioner, found._checkpoint.remedy.replace(" ", "_"), *files]))
        except EquimeError as error:
            print("\\n" + str(error))
    """
    return said_by(script, hub, home, model, revision, **more)


class TestHub:
    def test_a_model_is_downloaded_once_and_its_commit_known(self, hub: Hub, tmp_path: Path) -> None:
        commit = hub.repos["org/whole"].refs["main"]
        captioner, remedy, *files = client(hub, tmp_path, "org/whole").split()
        assert captioner == f"org/whole@{commit}"
        assert remedy == f"run_`hf_download_org/whole_--revision_{commit}_--force-download`"
        assert {"model.safetensors", "processor_config.json", "chat_template.jinja"} <= set(files)
        assert not {"pytorch_model.bin", "README.md"} & set(files)
        assert client(hub, tmp_path, "org/whole", HF_HUB_OFFLINE="1").split() == [captioner, remedy, *files]

    @pytest.mark.parametrize(
        ("model", "revision", "more", "said"),
        [
            ("org/gated", None, {}, "org/gated is gated and this account has no access: ask for access at https://hug"),
            ("org/none", None, {}, "no folder and no Hub model of this name: org/none; if private, `hf auth login`"),
            ("org/whole", "v9", {}, "org/whole has no revision v9; give --revision a commit of it"),
            ("org/half", None, {}, "lacks *.safetensors; run `hf download org/half`"),
            ("org/whole", None, {"HF_HUB_OFFLINE": "1"}, "on a machine with a connection run `hf download org/whole`"),
        ],
    )
    def test_what_cannot_be_had_costs_one_line(
        self, hub: Hub, tmp_path: Path, model: str, revision: str | None, more: dict[str, str], said: str
    ) -> None:
        assert said in client(hub, tmp_path, model, revision, **more)
