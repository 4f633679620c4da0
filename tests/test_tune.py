"""Fine-tuning with a tiny model of the true class: it learns from what it sees and goes on where it was.

The clips are made by the packaged generator from a real face; the model's weights are random, so that whatever it says
of them afterwards it learnt from their frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vlm
from hub_client import ROOT
from hub_server import Hub
from make_workspace import make_workspace

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("peft")

from huggingface_hub import constants
from safetensors.numpy import load_file

from equime.commands.tune import tune_flags
from equime.errors import EquimeError
from equime.options import from_flags
from equime.recognise.model_repo import ModelRemote
from equime.tuning.clips import Clips
from equime.tuning.encoder import Encoder
from equime.tuning.example import Example
from equime.tuning.examples.draw import examples
from equime.tuning.training.adapter import found_base, hushed, open_base, open_run, open_tuned
from equime.tuning.training.options import Tune
from equime.tuning.training.push import push_tuned
from equime.tuning.training.tiny import make_tiny
from equime.tuning.training.train import fit, tune
from equime.tuning.view import Seen

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # the Hub's client, to its HTTP library
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:trl.*"),
]
SHORT = Tune(
    tasks=("caption",), frames=4, max_steps=6, batch_size=2, accumulate=1, lr=2e-3, device="cpu", save_every=2, lora_r=4
)

ALONE = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects of five small clips, two of them to train on."""
    folder = tmp_path_factory.mktemp("sofia-secret") / "ws"
    make_workspace(folder, subjects=3, splits=["train", "train", "test"])
    return folder


@pytest.fixture(scope="module")
def run(ws: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run of `SHORT`. Read only."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    tune(str(ws), "tiny", out, SHORT)
    return out


def adapter(out: Path) -> bytes:
    return (out / "adapter/adapter_model.safetensors").read_bytes()


# --- it learns from what it sees


@pytest.fixture(scope="module")
def eight(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Example], list[Seen]]:
    """Eight clips of the packaged generator, of two pictures of one face, asked for their units."""
    from equime.builders.generate import Generate
    from equime.plan import PlanOptions, plan
    from equime.runner import run
    from equime.screening.thresholds import Screen
    from equime.table import Table

    folder = tmp_path_factory.mktemp("eight")
    (folder / "faces").mkdir()
    for name in ("ann.png", "bob.jpg"):
        shutil.copyfile(faces / name, folder / "faces" / name)
    stage = Generate(faces=folder / "faces")
    screen = Screen(faces=folder / "faces", screen=False, adults=True)
    plan(folder / "ws", PlanOptions(screen=screen, allow_shortfall=True), stage.shows)
    assert run(stage, Table(folder / "ws")).failed == 0
    clips, view = Clips(str(folder / "ws")), dataclasses.replace(SHORT, frames=8, size=112).shown
    chosen = []
    for one in examples(str(folder / "ws"), ["caption"]):
        units = ", ".join(f"AU{unit.au}" for unit in one.truth.units)
        chosen.append(dataclasses.replace(one, question="Units?", answer=units))
    chosen = chosen[:8]
    return chosen, [view.of(clips.row(one.clip_id)) for one in chosen]


def learnt(
    eight: tuple[list[Example], list[Seen]], states: Path, *, shuffled: bool = False, blind: bool = False
) -> tuple[int, list[float]]:
    """How many of the eight clips' units are named by generation after training, and the losses."""
    chosen, seen = eight
    options = dataclasses.replace(SHORT, max_steps=240, batch_size=8, lr=6e-3, save_every=1000, lora_r=16)
    draw = random.Random(0)

    def batch_of(numbers: Sequence[int]) -> Any:
        others = [draw.choice([k for k in range(8) if k != n]) if shuffled else n for n in numbers]
        some = [chosen[n] for n in numbers]
        return encoder.inputs(some, [seen[k] for k in others], [one.answer for one in some])

    with found_base("tiny", None) as base, hushed():
        processor, model = open_base(base, "cpu")
        encoder = Encoder(processor, options.shown, blind=blind)
        trainer, history, _ = fit(processor, model, batch_of, 8, options, states)
        model = trainer.model.eval()
        asked = encoder.inputs(chosen, seen, None)
        plain = {"max_new_tokens": 30, "do_sample": False, "repetition_penalty": 1.0}
        with torch.inference_mode():
            made = model.generate(**asked, **plain, temperature=None, top_p=None, top_k=None)
    said = processor.tokenizer.batch_decode(made[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    right = sum(one.answer == answer for one, answer in zip(chosen, said, strict=True))
    return right, [entry["loss"] for entry in history]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_names_the_units_of_eight_clips_after_seeing_them(eight: Any, tmp_path: Path) -> None:
    right, losses = learnt(eight, tmp_path)
    assert right == 8
    assert losses[-1] < losses[0] / 4


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["shuffled", "blind"])
def test_without_the_clip_that_is_asked_about_it_cannot(eight: Any, tmp_path: Path, how: str) -> None:
    answers = [one.answer for one in eight[0]]
    right, _ = learnt(eight, tmp_path, **{how: True})
    assert right <= max(2, max(map(answers.count, answers)))  # the most common one, and a lucky one


@pytest.mark.parametrize("kind", ["smolvlm", "qwen3_vl"])
def test_models_of_other_kinds_train_a_step(ws: Path, tmp_path: Path, kind: str) -> None:
    if kind == "smolvlm":
        pytest.importorskip("num2words")
    with hushed():
        base = tiny_vlm.save(tmp_path / "base", kind)
    before = open_base_of(base)
    tuned = tune(str(ws), str(base), tmp_path / "run", dataclasses.replace(SHORT, max_steps=1, schedule="constant"))
    assert tuned.steps == 1 and tuned.loss > 0
    _, model, opened = open_tuned(tmp_path / "run", "cpu")
    trained = [name for name, value in model.named_parameters() if "lora_B" in name and value.abs().sum() > 0]
    assert trained and opened.base == before


def open_base_of(folder: Path) -> str:
    with found_base(str(folder), None) as base:
        return f"{base.name}@{base.revision}"


# --- it goes on where it was


class Stopped(Exception):
    pass


def test_a_run_that_was_stopped_ends_at_the_same_adapter(
    ws: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from equime.tuning.training import callbacks

    whole = callbacks.Watching.on_step_end

    def breaks(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        whole(self, args, state, control, **more)
        if state.global_step == 5:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Watching, "on_step_end", breaks)
        with pytest.raises(Stopped):
            tune(str(ws), "tiny", tmp_path / "run", SHORT)
    assert not (tmp_path / "run/adapter").exists()
    half = tmp_path / "run/states/checkpoint-5"  # what a killed process leaves half written
    shutil.copytree(tmp_path / "run/states/checkpoint-4", half)
    (half / "trainer_state.json").write_text('{"global_')
    tuned = tune(str(ws), "tiny", tmp_path / "run", SHORT)
    assert (tuned.steps, tuned.trained) == (6, 2)
    assert adapter(tmp_path / "run") == adapter(run)
    assert (tmp_path / "run/history.json").read_text() == (run / "history.json").read_text()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_was_ended_goes_on(ws: Path, run: Path, tmp_path: Path, how: signal.Signals) -> None:
    long = dataclasses.replace(SHORT, max_steps=6)
    command = [sys.executable, "-m", "equime", *words(ws, "run", long)]
    begun = subprocess.Popen(command, cwd=tmp_path, env=ALONE, stderr=subprocess.PIPE, text=True)
    while begun.poll() is None and not list(tmp_path.glob("run/states/checkpoint-*/trainer_state.json")):
        time.sleep(0.02)
    begun.send_signal(how)
    _, said = begun.communicate()
    if how is signal.SIGINT and begun.returncode:  # it may have been quicker
        assert begun.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
    tune(str(ws), "tiny", tmp_path / "run", long)
    assert adapter(tmp_path / "run") == adapter(run)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_processes_learn_what_one_learns_from_twice_as_many_batches(ws: Path, tmp_path: Path) -> None:
    """Started as accelerate starts them on GPUs; without any, `accelerate launch` starts one process alone."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "equime"]
    half = dataclasses.replace(SHORT, batch_size=1, accumulate=1)
    together = ALONE | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*launch, *words(ws, "two", half)], cwd=tmp_path, env=together, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote two") == 1
    assert json.loads((tmp_path / "two/run.json").read_text())["experiment"]["processes"] == 2
    tune(str(ws), "tiny", tmp_path / "one", dataclasses.replace(half, accumulate=2))
    one, two = (json.loads((tmp_path / name / "history.json").read_text()) for name in ("one", "two"))
    assert [step["loss"] for step in two] == pytest.approx([step["loss"] for step in one], rel=1e-5)
    shapes, weights = zip(*(tensors(tmp_path / name) for name in ("one", "two")), strict=True)
    assert shapes[0] == shapes[1]
    np.testing.assert_allclose(*weights, rtol=1e-3, atol=1e-6)


def words(ws: Path, out: str, options: Tune) -> list[str]:
    """The command that tunes so."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in vars(options).items() if is_flag(name, value)]
    return ["tune", "--data", str(ws), "--base", "tiny", "--out", out, *flags, "--tasks", *options.tasks]


def is_flag(name: str, value: Any) -> bool:
    return name != "tasks" and not isinstance(value, bool) and value is not None


def tensors(run: Path) -> tuple[list[tuple[str, tuple[int, ...]]], np.ndarray]:
    """Names and shapes of an adapter's tensors, and all their numbers."""
    held = sorted(load_file(run / "adapter/adapter_model.safetensors").items())
    return [(name, value.shape) for name, value in held], np.concatenate([value.ravel() for _, value in held])


def test_a_finished_run_is_not_trained_again_and_another_is_refused(ws: Path, run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    before = adapter(out), (out / "run.json").read_bytes()
    assert tune(str(ws), "tiny", out, SHORT).trained == 0
    assert (adapter(out), (out / "run.json").read_bytes()) == before
    with pytest.raises(EquimeError, match=r"holds another run: experiment.lr was 0.002, is 0.001"):
        tune(str(ws), "tiny", out, dataclasses.replace(SHORT, lr=1e-3))


def test_nothing_pickled_and_nobody_named_is_in_a_run(ws: Path, run: Path) -> None:
    kept = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    assert [path for path in kept if not path.startswith(".")] == [
        "README.md",
        *("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "history.json", "run.json"),
    ]
    everything = b"".join((run / path).read_bytes() for path in kept)
    subjects = set(Clips(str(ws))._table["clip_id"].to_pylist())
    for name in (*subjects, "sofia-secret", str(Path.home())):
        assert name.encode() not in everything


def test_a_run_knows_whom_it_was_trained_on(ws: Path, run: Path) -> None:
    opened = open_run(run)
    train = {one.subject_id for one in examples(str(ws), ["caption"], splits=["train"])}
    test = {one.subject_id for one in examples(str(ws), ["caption"], splits=["test"])}
    assert train and test and opened.saw(train | test) == train
    assert (opened.view, opened.tasks) == (SHORT.shown, ("caption",))


def test_what_is_opened_answers_as_what_was_trained(ws: Path, run: Path) -> None:
    """The adapter changes what the base says, and by as much whenever it is opened."""
    one = examples(str(ws), ["caption"])[0]
    logits = []
    for opened in (open_tuned(run, "cpu")[:2], open_tuned(run, "cpu")[:2], bare()):
        processor, model = opened
        clips, view = Clips(str(ws)), SHORT.shown
        batch = Encoder(processor, view).inputs([one], [view.of(clips.row(one.clip_id))], None)
        with torch.inference_mode():
            logits.append(model(**batch).logits)
    assert torch.equal(logits[0], logits[1]) and not torch.allclose(logits[0], logits[2], atol=0.05)


def bare() -> tuple[Any, Any]:
    with found_base("tiny", None) as base:
        return open_base(base, "cpu")


def test_the_loss_is_the_mean_negative_log_likelihood_of_the_answer(ws: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(SHORT, max_steps=1, batch_size=3)
    some, clips, view = examples(str(ws), ["caption"])[:3], Clips(str(ws)), options.shown
    processor, model = bare()
    batch = Encoder(processor, view).inputs(
        some, [view.of(clips.row(e.clip_id)) for e in some], [e.answer for e in some]
    )
    with torch.inference_mode():
        scores = model(**{k: v for k, v in batch.items() if k != "labels"}).logits.log_softmax(-1)
    wanted = [
        scores[r, t - 1, label].item()
        for r, row in enumerate(batch["labels"])
        for t, label in enumerate(row)
        if label >= 0
    ]
    with hushed():
        _, history, _ = fit(processor, model, lambda numbers: batch, 3, options, tmp_path)
    assert history[0]["loss"] == pytest.approx(-sum(wanted) / len(wanted), rel=1e-4)


# --- it goes to the Hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """As HF_HUB_DISABLE_XET=1, which clients in this process read on import."""
    with Hub() as server:
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        server.users = {"hf_owner": "you"}
        yield server


def test_a_run_goes_out_private_and_gated_and_nobody_is_named(hub: Hub, ws: Path, run: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    told = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(told | {"base": told["base"] | {"folder": str(tmp_path)}}))
    remote = ModelRemote("you/v", "hf_owner", endpoint=hub.endpoint, wait=lambda seconds: None)
    pushed = push_tuned(out, remote, progress=False)
    repo = hub.repos["you/v"]
    assert (repo.kind, repo.private, repo.gated) == ("model", True, "manual")
    files = repo.commits[repo.resolve("main")]
    assert set(files) - {".gitattributes"} == {
        *("README.md", "run.json", "weights.json", "adapter_config.json", "adapter_model.safetensors")
    }
    everything = [*repo.objects.values(), *(data for commit in repo.commits.values() for data in commit.values())]
    for name in (*Clips(str(ws))._table["clip_id"].to_pylist(), str(tmp_path), "sofia-secret", str(Path.home())):
        assert not [data for data in everything if name.encode() in data], name
    card = files["README.md"].decode()
    for word in ("extra_gated_prompt", "intended", "perceived", "at work or in education", 'open_tuned("you/v")'):
        assert word in card
    assert push_tuned(out, remote, progress=False).commit == pushed.commit
    hub.create("you/open", {"README.md": b"# mine"}, kind="model")
    with pytest.raises(EquimeError, match="public and has no gate"):
        push_tuned(out, ModelRemote("you/open", "hf_owner", endpoint=hub.endpoint), progress=False)


# --- what is refused, before anything long


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"tasks": ("preference",)}, "expected --tasks of caption, json, question, got preference"),
        ({"lr": 0.0}, "--lr"),
        ({"batch_size": 0}, "--batch-size of 1 or more, got 0"),
        ({"epochs": 0.0, "max_steps": 0}, "--epochs above 0"),
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES=1"),
        ({"frames": 1}, "2 frames or more"),
    ],
)
def test_options_without_a_meaning_are_one_line(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(EquimeError, match=why):
        dataclasses.replace(SHORT, **wrong)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"frames": 16}, "has 8 frames, --frames 16 are to be shown"),
        ({"quantise": "4bit"}, "wants a GPU"),
        ({"dtype": "float16"}, "no --dtype float16 on the CPU"),
        ({"lora_targets": "nothing_of_this_name"}, "nothing_of_this_name"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_is(ws: Path, tmp_path: Path, wrong: Any, why: str) -> None:
    with pytest.raises(EquimeError, match=why) as raised:
        tune(str(ws), "tiny", tmp_path / "run", dataclasses.replace(SHORT, **wrong))
    assert "\n" not in str(raised.value)


def without_template(folder: Path) -> str:
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return "has no chat template"


def two_videos(folder: Path) -> str:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|video_pad|>", "<|video_pad|><|video_pad|>"))
    return "makes 2 places for a video where 1 are shown"


def no_video(folder: Path) -> str:
    for name in ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    return "--base"


@pytest.mark.parametrize("broken", [without_template, two_videos, no_video])
def test_a_base_that_cannot_be_shown_a_clip_is_one_line(
    ws: Path, tmp_path: Path, broken: Callable[[Path], str]
) -> None:
    base = Path(shutil.copytree(tiny_vlm.models() / "qwen2_5_vl", tmp_path / "base"))
    why = broken(base)
    with pytest.raises(EquimeError, match=why) as raised:
        tune(str(ws), str(base), tmp_path / "run", SHORT)
    assert "\n" not in str(raised.value) and "--model" not in str(raised.value)
    assert not (tmp_path / "run/adapter").exists()


def test_nothing_to_train_on_is_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path / "ws", subjects=2, splits=["test"])
    with pytest.raises(EquimeError, match="in the split train"):
        tune(str(tmp_path / "ws"), "tiny", tmp_path / "run", SHORT)


def test_a_base_that_was_changed_since_is_refused(ws: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_vlm.models() / "qwen2_5_vl", tmp_path / "base"))
    tune(str(ws), str(base), tmp_path / "run", dataclasses.replace(SHORT, max_steps=1))
    with (base / "generation_config.json").open("a") as file:
        file.write("\n")
    with pytest.raises(EquimeError, match="give --base the one it was trained on"):
        open_tuned(tmp_path / "run", "cpu")


def test_flags_are_the_options(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    tune_flags(parser)
    words = ["--data", "ws", "--base", "tiny", "--out", "runs/v", "--tasks", "caption,json", "--lora-r", "8"]
    assert from_flags(Tune, parser.parse_args(words)) == Tune(tasks=("caption", "json"), lora_r=8)


def test_no_folder_but_a_run_s_own_is_written_to(ws: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("mine")
    for out, why in ((other, "holds something else"), (other / "README.md", "is a file"), (ws / "run", "outside")):
        with pytest.raises(EquimeError, match=why):
            tune(str(ws), "tiny", out, SHORT)
    assert (other / "README.md").read_text() == "mine" and not (ws / "run").exists()


def test_a_start_that_failed_leaves_the_folder_free(ws: Path, tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match="nope"):
        tune(str(ws), "tiny", tmp_path / "run", dataclasses.replace(SHORT, lora_targets="nope"))
    assert tune(str(ws), "tiny", tmp_path / "run", dataclasses.replace(SHORT, max_steps=1)).steps == 1


def test_a_base_s_own_code_is_never_run(ws: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    make_tiny(base)
    (base / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config = json.loads((base / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "theirs.Config", "AutoModelForImageTextToText": "theirs.Model"}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(EquimeError, match="code of its own"):
        tune(str(ws), str(base), tmp_path / "run", SHORT)
    assert not (tmp_path / "ran").exists()
