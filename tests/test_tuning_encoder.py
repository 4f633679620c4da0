"""Batches for vision-language models: loss on the answer and nothing else, the clip among the inputs."""

from __future__ import annotations

import copy
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vlm
from make_clips import index_of
from make_workspace import make_workspace
from travelling import travelled

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from equime import schema
from equime.errors import EquimeError
from equime.table import Table
from equime.tuning.clips import Clips
from equime.tuning.encoder import IGNORED, Encoder
from equime.tuning.example import Example, Truth
from equime.tuning.training import tiny
from equime.tuning.training.adapter import hushed
from equime.tuning.view import COLUMNS, Seen, View

KINDS = ("qwen2_5_vl", "qwen3_vl", "smolvlm")
ANSWERS = ["AU4, AU17", "AU12: the lip corners are pulled up, slightly, on the left"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Two clips of 24 frames."""
    folder = tmp_path_factory.mktemp("clips") / "ws"
    make_workspace(folder, subjects=1, emotions=schema.EMOTIONS[:2], frames=24, size=64)
    return Clips(str(folder))


@pytest.fixture(scope="module")
def two(clips: Clips) -> list[Example]:
    ids = clips._table["clip_id"].to_pylist()
    parts = zip(ids, ANSWERS, strict=True)
    return [Example(f"{i}#q", i, "s", "train", "question", "Which units?", said, Truth(None, ())) for i, said in parts]


@pytest.fixture(params=KINDS)
def processor(request: pytest.FixtureRequest) -> Any:
    if request.param == "smolvlm":
        pytest.importorskip("num2words")
    return tiny_vlm.processor(request.param)


def seen(clips: Clips, view: View, examples: list[Example]) -> list[Seen]:
    return [view.of(clips.row(one.clip_id)) for one in examples]


def made(encoder: Encoder, clips: Clips, examples: list[Example], answers: list[str] | None) -> Any:
    with hushed():
        return encoder.inputs(examples, seen(clips, encoder.view, examples), answers)


class TestLabels:
    def test_they_are_the_answers_and_their_end(self, processor: Any, clips: Clips, two: list[Example]) -> None:
        batch = made(Encoder(processor, View(frames=4)), clips, two, ANSWERS)
        for row, said in zip(range(2), ANSWERS, strict=True):
            kept = batch["labels"][row] != IGNORED
            assert torch.equal(batch["labels"][row][kept], batch["input_ids"][row][kept])
            words = processor.tokenizer.decode(batch["labels"][row][kept])
            assert words.strip().startswith(said) and words.endswith(processor.tokenizer.eos_token)
            assert set(processor.tokenizer.decode(batch["labels"][row][kept], skip_special_tokens=True).strip()) <= set(
                said
            )
            places = kept.nonzero().flatten().tolist()
            assert places == list(range(places[0], places[-1] + 1))  # in one piece
        assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()

    def test_what_stands_before_an_answer_is_what_it_is_generated_after(
        self, processor: Any, clips: Clips, two: list[Example]
    ) -> None:
        encoder = Encoder(processor, View(frames=4))
        taught, asked = (made(encoder, clips, two, answers) for answers in (ANSWERS, None))
        for row in range(2):
            first = int((taught["labels"][row] != IGNORED).nonzero()[0])
            question = asked["input_ids"][row][asked["attention_mask"][row] == 1]
            assert torch.equal(taught["input_ids"][row, :first], question)

    def test_a_batch_is_its_rows_alone(self, processor: Any, clips: Clips, two: list[Example]) -> None:
        encoder = Encoder(processor, View(frames=4))
        whole = made(encoder, clips, two, ANSWERS)
        for row in range(2):
            alone = made(encoder, clips, two[row : row + 1], ANSWERS[row : row + 1])
            length = int(whole["attention_mask"][row].sum())
            for name in ("input_ids", "labels"):
                assert torch.equal(whole[name][row, :length], alone[name][0])


class TestShown:
    def test_the_frames_of_the_view_are_in_the_tensor(self, clips: Clips, two: list[Example]) -> None:
        batch = made(Encoder(tiny.processor(), View(frames=4)), clips, two, ANSWERS)
        shown = seen(clips, View(frames=4), two)
        for row in range(2):
            levels = shown[row].frames.mean(axis=(1, 2)) / 255  # (4, 3)
            pixels = batch["pixel_values_videos"].reshape(2, 2, -1, 3, 2, 14 * 14)[row]
            kind = tiny.processor().video_processor
            mean, std = np.array(kind.image_mean)[:, None], np.array(kind.image_std)[:, None]
            for step in range(2):
                found = pixels[step].mean(dim=(0, 3)).numpy() * std + mean  # (3, 2)
                assert np.abs(found.T - levels[2 * step : 2 * step + 2]).max() < 0.01

    @pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
    def test_keyframes_go_in_as_four_pictures(self, clips: Clips, two: list[Example], kind: str) -> None:
        batch = made(Encoder(tiny_vlm.processor(kind), View("keyframes")), clips, two, ANSWERS)
        assert len(batch["image_grid_thw"]) == 8 and "pixel_values_videos" not in batch

    @pytest.mark.parametrize("view", [View("apex"), View("keyframes")])
    def test_where_a_clip_at_rest_is_cut_does_not_tell_that_it_is_at_rest(self, view: View) -> None:
        """The question says which part is shown: were it always the middle, nobody would have to look."""
        row = {"num_frames": 144, "fps": 24.0, "emotion": None, "control": "neutral", "sha256": None}
        cuts = [view.indices(row | {"clip_id": f"neutral/f_{number}_00"}) for number in range(200)]
        assert cuts == [view.indices(row | {"clip_id": f"neutral/f_{number}_00"}) for number in range(200)]
        middles = [cut[1] if view.name == "keyframes" else cut[7] for cut in cuts]
        assert len(set(middles)) > 40 and min(middles) >= 36 and max(middles) <= 108  # as apexes are planned
        assert all(first < last for cut in cuts for first, last in pairwise(cut))

    def test_the_blind_are_shown_nothing(self, processor: Any, clips: Clips, two: list[Example]) -> None:
        with hushed():
            batch = Encoder(processor, View(frames=4), blind=True).inputs(two, [], ANSWERS)
        assert not [name for name in batch if "pixel" in name]
        assert "Which units?" in processor.tokenizer.decode(batch["input_ids"][0])


def with_template(template: str) -> Any:
    made = copy.deepcopy(tiny.processor())
    made.chat_template = made.tokenizer.chat_template = template
    return made


class TestRefused:
    @pytest.mark.parametrize(
        ("template", "why"),
        [
            (tiny.TEMPLATE.replace("<|video_pad|>", ""), "makes 0 places for a video where 1 are shown"),
            (tiny.TEMPLATE.replace("'video'", "'video' or 'text' in part"), "makes 2 places for a video"),
            (tiny.TEMPLATE.replace("assistant\n{% endif", "assistant\nAnswer: {% endif"), "words a question otherwise"),
            ("{{ messages[0]['nothing'].here }}", "the chat template of the base model fails"),
            (None, "has no chat template"),
        ],
    )
    def test_templates_that_lose_the_clip_or_the_answer(
        self, clips: Clips, two: list[Example], template: Any, why: str
    ) -> None:
        with pytest.raises(EquimeError, match=why) as raised:
            made(Encoder(with_template(template), View(frames=4)), clips, two, ANSWERS)
        assert "\n" not in str(raised.value)

    def test_tokens_of_the_model_in_an_answer(self, processor: Any, clips: Clips, two: list[Example]) -> None:
        token = processor.video_token
        with pytest.raises(EquimeError, match="a token of the base model: expected plain words"):
            made(Encoder(processor, View(frames=4)), clips, two, [f"AU4 {token}", "AU12"])

    def test_fewer_tokens_than_pixels(self, clips: Clips, two: list[Example]) -> None:
        encoder = Encoder(tiny.processor(), View(frames=4))
        batch = made(encoder, clips, two, ANSWERS)
        batch["input_ids"][0, (batch["input_ids"][0] == encoder.processor.video_token_id).nonzero()[0]] = 0
        with pytest.raises(EquimeError, match="15 tokens of 16 video patches"):
            encoder._require_shown(batch)


class TestClips:
    def test_a_row_is_the_workspaces(self, clips: Clips) -> None:
        rows = list(Table(Path(clips.where)).rows([*COLUMNS, "video"]))
        assert len(clips) == len(rows) and "happiness/nobody" not in clips
        for row in reversed(rows):
            found = clips.row(row["clip_id"])
            assert found["video"]["bytes"] == row["video"]["bytes"]
            assert {name: found[name] for name in COLUMNS} == {name: row[name] for name in COLUMNS}
        with pytest.raises(EquimeError, match="no clip 'happiness/nobody'"):
            clips.row("happiness/nobody")

    def test_it_is_opened_by_each_process_for_itself(self, clips: Clips, two: list[Example]) -> None:
        expected = clips.row(two[0].clip_id)
        with get_context("fork").Pool(1) as pool:
            assert pool.apply(clips.row, (two[0].clip_id,)) == expected
        assert travelled(clips).row(two[0].clip_id) == expected

    def test_a_view_takes_its_frames_around_the_apex(self, clips: Clips, two: list[Example]) -> None:
        [shown] = seen(clips, View(frames=4), two[:1])
        assert [index_of(picture) for picture in shown.frames] == list(shown.indices)
        assert clips.facts(two[0].clip_id)["apex"] in shown.indices


def test_the_tiny_model_is_the_same_each_time(tmp_path: Path) -> None:
    with hushed():
        first, second = (tiny.make_tiny(tmp_path / name) for name in ("a", "b"))
    names = sorted(path.name for path in first.iterdir())
    assert "model.safetensors" in names and names == sorted(path.name for path in second.iterdir())
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)
    assert type(transformers.AutoConfig.from_pretrained(first)) is transformers.Qwen2_5_VLConfig
