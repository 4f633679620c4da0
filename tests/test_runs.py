"""Runs by the command line, on written examples of real sets: they go on after anything, and never mix."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equime.cli import main
from equime.errors import EquimeError

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("openpyxl")

from equime.recognise import predictions
from equime.recognise.data import open_data
from equime.recognise.readers.example import write_example
from equime.recognise.training import loop
from equime.recognise.training.choose import experiment
from equime.recognise.training.run import run

ROOT = Path(__file__).parents[1]
NAMES = ("casme", "casme2", "mmew", "samm")
SHORT = ("--model", "ststnet", "--target", "emotion3", "--protocol", "kfold:2", "--seeds", "1", "--epochs", "2")
ALONE = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Examples of four sets: two subjects each, three clips a subject. Features are kept beside them."""
    root = tmp_path_factory.mktemp("sets")
    for name in NAMES:
        write_example(name, root / name, side=64, traps=False)
    return root


def words(sets: Path, out: Path, *more: str, names: tuple[str, ...] = NAMES) -> list[str]:
    """A short `equime train`."""
    return ["train", *SHORT, *where(sets, *names), "--out", str(out), *more]


def where(sets: Path, *names: str) -> list[str]:
    data = [f"{name}={sets / name}" for name in names]
    return ["--data", *data, "--cache", str(sets / "features"), "--device", "cpu"]


def strict(text: str) -> Any:
    """JSON as every reader takes it: no NaN."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def train(sets: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command; what it says with `--json`."""

    def call(out: Path, *more: str, **given: Any) -> Any:
        capsys.readouterr()
        code = main([*words(sets, out, *more, **given), "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        return strict(said.out)

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Run a command that must fail; its one line, which `--json` says too."""

    def call(command: list[str]) -> str:
        capsys.readouterr()
        assert main([*command, "--json"]) == 1
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line.startswith("equime: ")]
        assert strict(said.out)["error"] in lines[-1] and said.err.count("Traceback") == 0
        return lines[-1]

    return call


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_writes_what_it_is_and_is_done_once(train: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "runs" / "x"
    said = train(out, "--seeds", "2")
    assert said["trained"] == 4 and said["scores"]["subjects"] == 8 and said["scores"]["seeds"] == 2
    told = strict((out / "run.json").read_text())
    assert told["experiment"]["recipe"]["epochs"] == 2 and told["experiment"]["feature"]["name"] == "flow"
    assert told["data"]["sets"] == {name: {"samples": 6, "subjects": 2} for name in NAMES}
    assert told["data"]["classes"] == {"negative": 8, "positive": 8, "surprise": 8}
    assert sum(fold["test"] for fold in told["folds"]) == 24 and told["seconds"] > 0
    assert told["packages"]["torch"] == torch.__version__.partition("+")[0]
    table, facts = predictions.read(out / "predictions.parquet")
    assert facts["mark"] == told["mark"] and len(table) == 48
    ids = np.array(table["sample_id"].to_pylist())
    assert sorted(ids[:24]) == sorted(ids[24:]) and len(set(ids)) == 24
    chances = np.array([list(row.values()) for row in table["probabilities"].to_pylist()])
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
    names = predictions.classes_of(table)
    assert table["prediction"].to_pylist() == [names[best] for best in chances.argmax(1)]
    jobs = sorted((out / "jobs").iterdir())
    assert [len(list(job.iterdir())) for job in jobs] == [3] * 4  # weights, epochs, predictions, and no state
    before = files(out)
    assert train(out, "--seeds", "2")["trained"] == 0
    assert files(out) == before


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.timeout(240)
def test_a_killed_run_goes_on_to_the_same_bytes(
    workers: str, sets: Path, train: Callable[..., Any], tmp_path: Path
) -> None:
    longer = ("--protocol", "loso", "--epochs", "40")
    train(tmp_path / "whole", *longer)
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "equime", *words(sets, out, *longer, "--workers", workers)]
    with subprocess.Popen(command, env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(out.glob("jobs/*/predictions.parquet")):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    done = len(list(out.glob("jobs/*/predictions.parquet")))
    assert 1 <= done < 8 and not (out / "predictions.parquet").exists()
    time.sleep(1)  # workers end with their parent, by themselves
    assert 8 - train(out, *longer, "--workers", workers)["trained"] >= done
    assert (out / "predictions.parquet").read_bytes() == (tmp_path / "whole" / "predictions.parquet").read_bytes()
    assert not list(out.rglob("*state*")) and not list(out.glob(".data")) and not list(out.glob("jobs/*/.*"))


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (["--epochs", "3"], "experiment.recipe.epochs was 2, is 3"),
        (["--seeds", "2"], "experiment.seeds was 1, is 2"),
        (["--with", "size=16"], "experiment.feature.size was 28, is 16"),
        (["--control", "shuffled-labels"], 'experiment.control was null, is "shuffled-labels"'),
    ],
)
def test_another_experiment_is_kept_out(
    other: list[str],
    difference: str,
    sets: Path,
    train: Callable[..., Any],
    refused: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    out = tmp_path_factory.getbasetemp() / "kept"
    train(out)
    before = files(out)
    assert difference in refused(words(sets, out, *other))
    assert files(out) == before


def test_other_data_packages_and_strange_manifests_are_kept_out(
    sets: Path, train: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    train(out, names=NAMES[:2])
    assert "data.sets.mmew was null" in refused(words(sets, out, names=NAMES[:3]))
    manifest = out / "run.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(told | {"packages": told["packages"] | {"torch": "1.0"}}))
    assert train(out, names=NAMES[:2])["trained"] == 0  # a finished run is read by any
    next(out.glob("jobs/*/predictions.parquet")).unlink()
    assert 'packages.torch was "1.0"' in refused(words(sets, out, names=NAMES[:2]))
    manifest.write_text("[]")
    assert "no manifest of a run" in refused(words(sets, out, names=NAMES[:2]))


def test_damaged_answers_of_a_job_are_named(
    sets: Path, train: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "x"
    whole = train(out)
    path = next(out.glob("jobs/*/predictions.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert f"{path}; remove it and run the same command again" in refused(words(sets, out))
    path.unlink()
    assert train(out) == whole | {"trained": 1}


# --- what a training sees


def test_the_order_of_rows_changes_no_digit(sets: Path, tmp_path: Path) -> None:
    samples = open_data([f"{name}={sets / name}" for name in NAMES]).samples
    plan = experiment("ststnet", protocol="kfold:2", target="emotion3", seeds=2, recipe={"epochs": 2})
    how: dict[str, Any] = {"cache": sets / "features"}
    first = run(plan, samples, tmp_path / "a", **how)
    turned = samples.take(np.random.default_rng(0).permutation(len(samples)))
    second = run(plan, turned, tmp_path / "b", **how)
    assert first.manifest["mark"] == second.manifest["mark"]
    assert (tmp_path / "a/predictions.parquet").read_bytes() == (tmp_path / "b/predictions.parquet").read_bytes()
    assert run(plan, turned, tmp_path / "a", **how).trained == 0
    assert torch.get_num_threads() == THREADS


THREADS = torch.get_num_threads()


@pytest.mark.parametrize("protocol", ["loso", "kfold:3", "lodo", "cross:casme+samm:mmew"])
def test_no_test_clip_reaches_the_training(
    protocol: str, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    fit = loop.fit

    def spy(build: Any, training: Any, *rest: Any, **named: Any) -> Any:
        seen.append(training)
        return fit(build, training, *rest, **named)

    monkeypatch.setattr(loop, "fit", spy)
    samples = open_data([f"{name}={sets / name}" for name in NAMES]).samples
    plan = experiment("ststnet", protocol=protocol, target="emotion3", seeds=1, recipe={"epochs": 1, "select": "inner"})
    outcome = run(plan, samples, tmp_path / "x", cache=sets / "features")
    by_fold: dict[str, set[str]] = {}
    for row in outcome.predictions.to_pylist():
        by_fold.setdefault(row["fold"], set()).add(row["subject_id"])
    assert len(seen) == len(by_fold) == len(outcome.manifest["folds"])
    for training, fold in zip(seen, outcome.manifest["folds"], strict=True):
        assert len(training) == fold["train"]
        assert not set(training.subjects.tolist()) & by_fold[fold["name"]]
        assert set(vars(training)) == {"x", "y", "subjects", "classes"}


# --- bad input


def test_one_subject_is_refused_before_a_feature_is_made(sets: Path, tmp_path: Path) -> None:
    samples = open_data([f"casme={sets / 'casme'}"]).samples
    plan = experiment("ststnet", protocol="loso", target="emotion3")
    with pytest.raises(EquimeError, match="at least two subjects with a label, got 1"):
        run(plan, samples.take([0, 1, 2]), tmp_path / "x", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.filterwarnings("default")
def test_a_class_that_a_fold_lacks_is_one_line(sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = words(sets, tmp_path / "x", "--target", "objective", "--protocol", "loso", names=("casme2",))
    assert main(command) == 0
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if "cannot learn a tested class" in line]
    assert len(lines) == 1 and lines[0].startswith("equime: loso: fold casme2-01")
    assert "Warning" not in said.err and "warn(" not in said.err
    table = predictions.read(tmp_path / "x/predictions.parquet")[0]
    assert len(table) == 5 and len(predictions.classes_of(table)) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--lr", "1e30", "--optimizer", "sgd"], "in epoch 2: lower --lr"),
        (["--model", "nosuch"], "unknown model 'nosuch'"),
        (["--protocol", "nosuch"], "expected a protocol of loso"),
        (["--protocol", "kfold:x"], "expected a protocol kfold[:K[:SEED]], got 'kfold:x'"),
        (["--protocol", "kfold:9"], "expected 2 to 8 folds for 8 subjects"),
        (["--feature", "nosuch"], "expected a feature of flow, frames, frame, numbers"),
        (["--feature", "numbers"], "ststnet takes (C, H, W), such as (3, 28, 28), got shape = (34,)"),
        (["--feature", "frames"], "ststnet takes (C, H, W), such as (3, 28, 28), got shape = (3, 16, 28, 28)"),
        (["--with", "size=x"], "cannot read --with: argument --size: invalid int value: 'x'"),
        (["--with", "size"], "expected OPTION=VALUE after --with"),
        (["--with", "sise=28"], "an option of method, preset"),
        (["--with", "crop=1"], "expected --with crop=true or crop=false, got '1'"),
        (["--with", "size=0"], "expected size"),
        (["--control", "nosuch"], "expected a control of shuffled-labels"),
        (["--feature", "frame", "--control", "reversed"], "expected signed flow"),
        (["--seeds", "0"], "expected --seeds of at least 1, got 0"),
        (["--epochs", "0"], "expected --epochs of at least 1, got 0"),
        (["--lr", "0"], "expected --lr above 0, got 0.0"),
        (["--patience", "5"], "--patience counts with --select inner alone"),
        (["--select", "inner", "--inner-share", "0.7"], "expected --inner-share above 0 and at most 0.5, got 0.7"),
        (["--workers", "0"], "expected at least one worker"),
        (["--device", "cuda:99"], "no cuda:99 here"),
        (["--precision", "fp16"], "no precision fp16 on cpu"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    more: list[str], message: str, sets: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    if "fp16" in more:
        pytest.importorskip("accelerate")
    assert message in refused(words(sets, tmp_path / "x", *more))
    assert not list(tmp_path.glob("x/jobs/*/predictions.parquet"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["nosuch={sets}/casme"], "expected --data NAME=PATH with a name of"),
        (["casme="], "expected --data NAME=PATH with a name of"),
        (["casme={sets}/casme", "casme={sets}/casme"], "data set casme comes twice"),
        (["casme={sets}/nowhere"], "got no folder"),
        (["{sets}/casme"], "equime"),
        (["nosuch"], "nosuch"),
    ],
)
def test_data_that_is_none_is_one_line(
    data: list[str], message: str, sets: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    given = [each.format(sets=sets) for each in data]
    assert message in refused(["train", "--data", *given, *SHORT, "--out", str(tmp_path / "x")])


FULL = """
import resource, sys
from equime.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("room", [1_000, 4_000])
def test_no_space_is_one_line(room: int, sets: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    """Files may not grow beyond some bytes: the manifest does not fit, or the networks do not."""
    train(tmp_path / "whole", names=NAMES[:1])
    command = words(sets, tmp_path / "x", names=NAMES[:1])
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(room), *command], env=ALONE, capture_output=True, text=True, check=False
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert last.startswith(f"equime: cannot write to {tmp_path / 'x'}") and "make room" in last
    train(tmp_path / "x", names=NAMES[:1])
    one, two = ((tmp_path / name / "predictions.parquet").read_bytes() for name in ("x", "whole"))
    assert one == two


# --- predict, evaluate


def predict(sets: Path, model: Path, out: Path, *names: str) -> list[str]:
    return ["predict", str(model), *where(sets, *names), "--out", str(out)]


def test_networks_answer_for_strangers_alone(
    sets: Path,
    train: Callable[..., Any],
    refused: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_, out = tmp_path / "x", tmp_path / "answers.parquet"
    train(run_, "--protocol", "cross:casme:samm")
    seen = refused(predict(sets, run_, out, "casme"))
    assert "no clip to answer for: casme/01/EP01_1: every network of seed 0 was trained on its subject" in seen
    assert not out.exists()
    for models in ([], ["--model", str(run_), str(run_)]):
        assert "expected one MODEL" in refused(["predict", *models, *where(sets, "samm"), "--out", str(out)])
    capsys.readouterr()
    by_name = ["predict", "--model", str(run_), *where(sets, "casme", "mmew", "samm"), "--out", str(out)]
    assert main([*by_name, "--json"]) == 0
    said = capsys.readouterr()
    assert strict(said.out)["clips"] == 12 and strict(said.out)["unanswered"] == 6
    assert said.err.count("was trained on its subject") == 6
    rows = {row["sample_id"]: row for row in predictions.read(out)[0].to_pylist()}
    assert {row["dataset"] for row in rows.values()} == {"mmew", "samm"}
    for row in predictions.read(run_ / "predictions.parquet")[0].to_pylist():  # the test of the run, once more
        assert rows[row["sample_id"]]["prediction"] == row["prediction"]
        assert rows[row["sample_id"]]["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)
    assert main(["evaluate", str(out), "--json"]) == 0
    assert strict(capsys.readouterr().out)["support"] == [4, 4, 4]


def test_networks_that_are_missing_or_changed_do_not_answer(
    sets: Path, train: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    bare, out = tmp_path / "bare", tmp_path / "answers.parquet"
    train(bare, "--no-weights")
    assert f"no trained network in {bare}" in refused(predict(sets, bare, out, "mmew"))
    kept = tmp_path / "kept"
    train(kept)
    weights = next(kept.glob("jobs/*/model.safetensors"))
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert f"{weights} was changed since it was trained" in refused(predict(sets, kept, out, "mmew"))
    weights.unlink()
    assert f"cannot read {weights}" in refused(predict(sets, kept, out, "mmew"))


def test_files_that_are_no_predictions_are_not_scored(
    train: Callable[..., Any], refused: Callable[..., str], tmp_path: Path
) -> None:
    run_, wrong = tmp_path / "x", tmp_path / "wrong.parquet"
    train(run_)
    ours = run_ / "predictions.parquet"
    assert f"got the folder {run_}; a run's is {ours}" in refused(["evaluate", str(run_)])
    assert "expected predictions of" in refused(["evaluate", str(tmp_path / "none.parquet")])
    assert "expected predictions of" in refused(["evaluate", str(run_ / "run.json")])
    table = pq.read_table(ours)
    for other in (
        pa.table({"a": [1]}),
        table.drop_columns(["label"]),
        table.set_column(table.schema.get_field_index("probabilities"), "probabilities", pa.nulls(len(table))),
    ):
        pq.write_table(other.replace_schema_metadata(table.schema.metadata), wrong)
        assert f"expected predictions of `equime train` or `equime predict`, got {wrong}" in refused(
            ["evaluate", str(wrong)]
        )
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(["joy"] * len(table))), wrong)
    assert "expected each label to be one of negative, positive, surprise, got 'joy'" in refused(
        ["evaluate", str(wrong)]
    )


# --- several processes that train one network


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_launched_together_one_process_writes(sets: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    chosen = ("--select", "inner", "--patience", "2", "--epochs", "8")
    # Without GPUs `accelerate launch` starts one process, whatever --num_processes says.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "equime"]
    command = [*launch, *words(sets, tmp_path / "x", *chosen)]
    together = ALONE | {"ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=together, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote ") == 1
    table = predictions.read(tmp_path / "x" / "predictions.parquet")[0]
    assert len(set(table["sample_id"].to_pylist())) == len(table) == 24
    assert train(tmp_path / "x", *chosen)["trained"] == 0  # the very run that one process would make


def test_a_run_starts_from_weights_of_other_people(
    train: Callable[..., Any], refused: Callable[[list[str]], str], sets: Path, tmp_path: Path
) -> None:
    first, second, plain = (tmp_path / name for name in ("first", "second", "plain"))
    train(first, names=("casme", "casme2"))
    start = str(next(first.glob("jobs/*/model.safetensors")).parent)
    others = ("mmew", "samm")
    train(second, "--pretrained", start, names=others)
    train(plain, names=others)
    told = [strict((out / "run.json").read_text()) for out in (second, plain)]
    assert told[0]["experiment"]["pretrained"].startswith("sha256:") and "pretrained" not in told[1]["experiment"]
    answers = [predictions.read(out / "predictions.parquet")[0]["probabilities"] for out in (second, plain)]
    assert answers[0] != answers[1]
    command = words(sets, tmp_path / "third", "--pretrained", start, names=("casme", "casme2"))
    assert "was trained on" in refused(command) and "are to be tested" in refused(command)
    assert "no such folder of weights" in refused([*command, "--pretrained", str(tmp_path / "none")])
