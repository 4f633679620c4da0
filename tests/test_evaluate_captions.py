"""A tiny model that has really learnt some clips, asked again: with the clip, without it, with another one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_server import Hub
from make_workspace import Row, add_rows, make_row, make_workspace
from model_folders import said_by

from equime.action_units import ActionUnit
from equime.captioning import templates
from equime.commands.evaluate_captions import evaluate_captions_flags
from equime.errors import EquimeError
from equime.locks import hold
from equime.table import Table
from equime.tuning.clips import Clips
from equime.tuning.encoder import Encoder
from equime.tuning.evaluation.answer import Opened, answer
from equime.tuning.evaluation.baselines import Ask, asked
from equime.tuning.evaluation.evaluate import Evaluate, captions, evaluate, is_run
from equime.tuning.evaluation.retrieval import likelihoods
from equime.tuning.evaluation.scores import scores
from equime.tuning.example import Example
from equime.tuning.examples.draw import examples
from equime.tuning.view import View

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("peft")
pytest.importorskip("trl")
pytestmark = pytest.mark.usefixtures("one_thread")
VIEW = View("clip", frames=8)
SHOWN: dict[str, Any] = {"view": "clip", "frames": 8, "max_new_tokens": 60, "device": "cpu", "batch_size": 8}
EMOTIONS = ("happiness", "surprise", "fear", "anger")


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Sixteen clips of four subjects, two of them in the split train."""
    folder = tmp_path_factory.mktemp("data") / "ws"
    splits = ("train", "test")
    made = ("generate", "caption")
    make_workspace(folder, subjects=4, emotions=EMOTIONS, groups=made, splits=splits, frames=16, size=56)
    return str(folder)


def of_units(ws: str) -> list[Example]:
    return [example for example in examples(ws, ["question"], splits=["test"]) if example.kind == "units"]


@pytest.fixture(scope="module")
def taught(ws: str, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A tiny Qwen2.5-VL, trained in full on the units of the eight clips of the split test."""
    from equime.tuning.training.adapter import found_base, open_base

    asking, clips = of_units(ws), Clips(ws)
    with found_base("tiny", None) as base:
        processor, model = open_base(base, "cpu")
    seen = [VIEW.of(clips.row(example.clip_id)) for example in asking]
    batch = Encoder(processor, VIEW).inputs(asking, seen, [example.answer for example in asking])
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(250):
        optimiser.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimiser.step()
        if loss.item() < 0.01:
            break
    folder = tmp_path_factory.mktemp("taught") / "model"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Opened(str(folder), processor, model.eval(), VIEW)


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestTaught:
    def test_it_names_the_units_of_what_it_sees_and_of_nothing_else(
        self, ws: str, taught: Opened, tmp_path: Path
    ) -> None:
        asks = asked(of_units(ws), ["seen", "blind", "shuffled"])
        found = scores(answer(taught, Clips(ws), asks, tmp_path, batch_size=8, max_new_tokens=60))
        by = {
            name: found.one("unit F1", scope=f"units question, {name}").value for name in ("seen", "blind", "shuffled")
        }
        assert by["seen"] == 1
        assert by["blind"] is not None and by["blind"] < 0.6
        assert by["shuffled"] is not None and by["shuffled"] < 0.7
        apart = found.one("unit F1", scope="units question, seen - shuffled")
        assert apart.low is None or apart.low > 0

    def test_what_was_interrupted_goes_on_and_ends_as_an_unbroken_run(
        self, ws: str, taught: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asks = asked(of_units(ws), ["seen", "blind"])
        whole = answer(taught, Clips(ws), asks, tmp_path / "whole", batch_size=3, max_new_tokens=60)

        class Stopped(Clips):
            """Ctrl-C at the fifth clip."""

            left = 4

            def row(self, clip_id: str) -> dict[str, Any]:
                if not self.left:
                    raise KeyboardInterrupt
                self.left -= 1
                return super().row(clip_id)

        with pytest.raises(KeyboardInterrupt):
            answer(taught, Stopped(ws), asks, tmp_path / "broken", batch_size=3, max_new_tokens=60)
        kept = [row for path in (tmp_path / "broken" / ".answers").iterdir() for row in pq.read_table(path).to_pylist()]
        assert len(kept) == 3
        again = answer(taught, Clips(ws), asks, tmp_path / "broken", batch_size=3, max_new_tokens=60)
        assert again == whole
        assert not (tmp_path / "broken" / ".answers").exists()
        left = Stopped(ws)
        left.left = 0  # nothing is looked at any more
        assert answer(taught, left, asks, tmp_path / "broken", max_new_tokens=60) == whole
        with pytest.raises(EquimeError, match="another model"):
            answer(taught, Clips(ws), asks, tmp_path / "broken", max_new_tokens=61)

    def test_likelihoods_are_those_of_the_answers_tokens(self, ws: str, taught: Opened) -> None:
        """Held against a sum written out over the tokens of one answer alone, without padding."""
        asking, clips = of_units(ws)[:3], Clips(ws)
        seen = [VIEW.of(clips.row(example.clip_id)) for example in asking]
        asks = [Ask(example, "seen", example.clip_id) for example in asking]
        found = likelihoods(taught, asks, seen)
        for example, shown, value in zip(asking, seen, found, strict=True):
            batch = Encoder(taught.processor, VIEW).inputs([example], [shown], [example.answer])
            with torch.inference_mode():
                logits = taught.model(**{k: v for k, v in batch.items() if k != "labels"}).logits[0].double()
            tokens = taught.processor.tokenizer(example.answer)["input_ids"] + [taught.processor.tokenizer.eos_token_id]
            first = batch["input_ids"].shape[1] - len(tokens)
            while batch["input_ids"][0, first : first + len(tokens)].tolist() != tokens:  # what ends the line
                first -= 1
            logs = [float(logits[first + k - 1].log_softmax(-1)[token]) for k, token in enumerate(tokens)]
            assert value == pytest.approx(np.mean(logs), abs=1e-4)
            assert value > -0.1  # learnt by heart
        wrong = [Ask(example, "seen", None) for example in asking]
        assert np.mean(likelihoods(taught, wrong, [])) < np.mean(found) - 0.1

    def test_from_the_command_line_to_scores_in_files(
        self, ws: str, taught: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        flags = ["--data", ws, "--tasks", "question", "--out", str(out), "--retrieval", "4", "--by", "gender"]
        flags += ["--view", "clip", "--frames", "8", "--max-new-tokens", "60", "--device", "cpu", "--batch-size", "8"]
        assert command(taught.name, *flags) == 0
        told = capsys.readouterr().out
        assert "seen - shuffled" in told and "retrieval" in told and "scores.json" in told
        found = json.loads((out / "scores.json").read_text())
        kept = {"answers.parquet", "retrieval.parquet", "scores.csv", "scores.json"}
        assert {path.name for path in out.iterdir()} == kept | {".lock"}
        by = {(f["measure"], f["of"], f["scope"], f["by"], f["group"]): f for f in found["findings"]}
        assert by["unit F1", "", "units question, seen", "", ""]["value"] == 1
        constant = by["unit F1", "", "units question, constant", "", ""]
        assert constant["value"] < 0.6 and constant["clips"] == 8 and constant["subjects"] == 2
        chance = by["R@1", "", "retrieval, seen", "", ""]["reference"]
        assert chance == pytest.approx(1 / 4)
        assert len(pq.read_table(out / "retrieval.parquet")) == 8 * 4 * 3
        assert not any("too far apart" in note for note in found["notes"])
        before = (out / "scores.json").read_bytes()
        assert command(taught.name, *flags) == 0
        assert (out / "scores.json").read_bytes() == before


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate_captions_flags(parser)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    return int(options.command(options))


# --- a run


@pytest.fixture(scope="module")
def run(ws: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    from equime.tuning.training.options import Tune
    from equime.tuning.training.train import tune

    out = tmp_path_factory.mktemp("runs") / "v"
    options = Tune(tasks=("json",), view="apex", frames=4, max_steps=1, batch_size=1, accumulate=1, device="cpu")
    tune(ws, "tiny", out, options)
    return str(out)


@pytest.mark.slow
@pytest.mark.timeout(240)
class TestRun:
    def test_it_is_asked_for_what_it_learnt_of_whom_it_has_not_seen(self, run: str, ws: str, tmp_path: Path) -> None:
        assert is_run(run)
        found = evaluate(run, ws, tmp_path, Evaluate(max_new_tokens=4, device="cpu", limit=3))
        assert {finding.scope.split(",")[0] for finding in found.findings} == {"json"}
        assert found.one("JSON", scope="json, seen").value == 0
        assert any("apex, 4 frames; an oracle" in note for note in found.notes)
        told = pq.read_table(tmp_path / "answers.parquet").to_pylist()
        assert len(told) == 9
        assert {row["condition"] for row in told} == {"seen", "blind", "shuffled"}
        whose = {example.clip_id: example.subject_id for example in examples(ws, ["json"])}
        assert all(whose[row["shown"]] != row["subject_id"] for row in told if row["condition"] == "shuffled")

    def test_subjects_that_it_was_trained_on_are_refused_unless_that_is_wanted(
        self, run: str, ws: str, tmp_path: Path
    ) -> None:
        with pytest.raises(EquimeError, match=r"trained on 2 of the 2 subjects.*--seen"):
            evaluate(run, ws, tmp_path, Evaluate(split="train", device="cpu"))
        options = Evaluate(split="train", seen=True, conditions=("seen",), max_new_tokens=2, device="cpu", limit=1)
        found = evaluate(run, ws, tmp_path, options)
        assert any("trained on 1 of these 1 subjects" in note for note in found.notes)
        shuffled = Evaluate(seen=True, split="train", max_new_tokens=2, device="cpu", limit=1)
        notes = evaluate(run, ws, tmp_path, shuffled).notes
        assert any("one clip alone" in note for note in notes)

    def test_without_its_adapter(self, run: str, ws: str, tmp_path: Path) -> None:
        import shutil

        folder = tmp_path / "run"
        shutil.copytree(run, folder)
        (folder / "adapter" / "adapter_model.safetensors").unlink()
        with pytest.raises(EquimeError, match="adapter"):
            evaluate(str(folder), ws, tmp_path / "out", Evaluate(device="cpu"))


def test_a_run_on_the_hub_is_told_from_a_base(tmp_path: Path) -> None:
    script = """
        from equime.tuning.evaluation.evaluate import is_run
        print("\\n" + " ".join(str(is_run(name)) for name in ("org/run", "org/base", "org/none")))
    """
    with Hub() as hub:
        hub.create("org/run", {"run.json": b"{}"}, kind="model")
        hub.create("org/base", {"config.json": b"{}"}, kind="model")
        assert said_by(script, hub, tmp_path, "", None) == "True False False"
        assert said_by(script, hub, tmp_path, "", None, HF_HUB_OFFLINE="1") == "True False False"


# --- captions that are there


def captioned(folder: Path, words: Any, captioner: str) -> str:
    """A workspace of 21 clips of seven subjects with captions of somebody's."""
    rows: list[Row] = []
    for number in range(21):
        row = make_row(
            number, number % 7, number, ("happiness", "anger", "neutral")[number % 3], splits=("train", "test")
        )
        units = [ActionUnit.from_dict(unit) for unit in row.get("action_units") or ()]
        times = [row.get(f"{name}_ms") for name in ("onset", "apex", "offset")]
        told = templates.caption_json(row["emotion"], units, *times, row["seed"], row.get("control"))
        rows.append(row | words(number, told) | {"captioner": captioner, "caption_error": None})
    table = Table.create(folder, shard_rows=8)
    add_rows(table, rows, ("generate", "caption"))
    return str(folder)


def test_captions_of_our_own_templates_say_all_that_was_planned(tmp_path: Path) -> None:
    where = captioned(
        tmp_path / "ws", lambda n, told: {"caption": told["caption"], "caption_json": json.dumps(told)}, "template"
    )
    found = captions(where)
    for task in ("caption", "json"):
        for measure in ("unit F1", "unit F1 with side", "emotion UF1", "read"):
            assert found.one(measure, scope=f"{task}, captions").value == pytest.approx(1), (task, measure)
        assert found.one("hallucination", by="", scope=f"{task}, captions").value == 0
    assert found.one("BLEU", scope="caption, captions").value == pytest.approx(100)
    constant = found.one("unit F1", scope="caption, captions - constant")
    assert constant.value is not None and constant.value > 0
    assert any("template" in note for note in found.notes)


def test_captions_of_a_model_are_held_against_the_plan(tmp_path: Path) -> None:
    """Planted: happiness right, anger as happiness, neutral clips with a unit; every fifth caption missing."""

    def words(number: int, told: dict[str, Any]) -> dict[str, Any]:
        if number % 5 == 0:
            return {"caption": None, "caption_json": None}
        smile = {"action_units": [{"au": 6}, {"au": 12}], "emotion": "happiness", "caption": "AU6 and AU12 move."}
        return {"caption": smile["caption"], "caption_json": json.dumps(smile)}

    where = captioned(tmp_path / "ws", words, "org/model@abc")
    found = captions(where, Evaluate(conditions=("seen",)))
    kept = [n for n in range(21) if (n % 7) % 2 and n % 5]
    happy, neutral = (sum(n % 3 == k for n in kept) for k in (0, 2))
    one = found.one("unit F1", scope="json, captions")
    angry = len(kept) - happy - neutral
    assert one.value == pytest.approx(2 * 2 * happy / (2 * len(kept) + 2 * (happy + angry)))
    assert one.clips == len(kept)
    assert found.one("hallucination", by="", scope="caption, captions").value == 1
    assert found.one("units on neutral clips", scope="caption, captions").value == 2
    assert any("captions are missing" in note for note in found.notes)
    bleu = found.one("BLEU", scope="caption, captions").value
    assert bleu is not None and bleu < 50


def test_captions_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = captioned(
        tmp_path / "ws", lambda n, told: {"caption": told["caption"], "caption_json": json.dumps(told)}, "template"
    )
    assert command("--captions", where, "--csv", str(tmp_path / "all.csv"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "answers"
    assert (tmp_path / "all.csv").read_text().startswith("measure,of,by,")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--captions", "{ws}", "tiny"], "got both"),
        (["tiny"], "--data WHERE"),
        (["tiny", "--data", "{ws}"], "--out DIR"),
        (["tiny", "--data", "{ws}", "--out", "{tmp}/o", "--split", "validation"], "it has train, test alone"),
        (
            ["tiny", "--data", "{ws}", "--out", "{tmp}/o", "--tasks", "preference"],
            "--tasks among caption, json, question",
        ),
        (["tiny", "--data", "{ws}", "--out", "{tmp}/o", "--conditions", "blind"], "expected 'seen'"),
        (["tiny", "--data", "{ws}", "--out", "{tmp}/o", "--retrieval", "1"], "2 captions or more"),
        (["tiny", "--data", "{ws}", "--out", "{tmp}/o", "--frames", "17"], "has 16 frames, --frames 17 are to be"),
        (["tiny", "--data", "{tmp}/none", "--out", "{tmp}/o"], "expected a folder"),
        (["{tmp}/none", "--data", "{ws}", "--out", "{tmp}/o"], "no run and no model"),
        (["{tmp}", "--data", "{ws}", "--out", "{tmp}/o"], "config.json"),
        (["--captions", "{ws}", "--split", "validation"], "it has train, test alone"),
    ],
)
def test_bad_input_costs_one_line(words: list[str], said: str, ws: str, tmp_path: Path) -> None:
    with pytest.raises(EquimeError, match=said) as error:
        command(*(word.format(ws=ws, tmp=tmp_path) for word in words))
    assert "\n" not in str(error.value)


def test_one_evaluation_writes_to_a_folder_at_a_time(ws: str, tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(EquimeError, match="being written by process"):
        evaluate("tiny", ws, tmp_path, Evaluate(**SHOWN, limit=1))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_data_set_without_captions(tmp_path: Path) -> None:
    where = captioned(tmp_path / "ws", lambda n, told: {"caption": None, "caption_json": None}, "template")
    with pytest.raises(EquimeError, match="equime caption"):
        captions(where)
