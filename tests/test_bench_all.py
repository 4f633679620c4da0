"""The README's table of benchmarks: some of them run again, the rows of the others left as they are."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "import json, sys; assert sys.argv[1:] == ['--json']; print(json.dumps({'claims': %s}))"
HEAD = "| what | against | measured | goal |\n|---|---|---|---|\n"


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_all", ROOT / "bench" / "all.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bench/all.py over a folder of two scripts."""
    module = loaded()
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    monkeypatch.setattr(module, "PACKAGES", ("pytest",))
    keep(tmp_path, "apples", claim("apples", "one hand, 3.5 kg", 2.0), claim("pears", "-", 5.0))
    (tmp_path / "broken.py").write_text("raise SystemExit('not to be run')")
    return module


def keep(folder: Path, name: str, *claims: dict[str, Any]) -> None:
    (folder / f"{name}.py").write_text(SCRIPT % json.dumps(claims))


def claim(what: str, against: str, value: float) -> dict[str, Any]:
    return {"claim": what, "against": against, "value": value, "unit": "x", "goal": "at least 4"}


def test_only_those_named_are_run_and_only_their_rows_change(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = "| apples | one hand, 2 kg | 9× | at least 4 |\n| apples | two hands | 7× | at least 4 |\n"
    bench.README.write_text(f"Above\n<!-- bench:begin -->\n{HEAD}{before}\nMeasured.\n<!-- bench:end -->\nbelow\n")
    monkeypatch.setattr(sys, "argv", ["all.py", "--only", "apples"])
    assert bench.main() == 1  # a goal is missed
    after = (
        "| apples | one hand, 3.5 kg | 2× | at least 4 (missed) |\n"
        "| apples | two hands | 7× | at least 4 |\n"
        "| pears | - | 5× | at least 4 |\n"
    )
    text = bench.README.read_text()
    assert text.startswith(f"Above\n<!-- bench:begin -->\n{HEAD}{after}\nMeasured on ")
    assert text.endswith(".\n<!-- bench:end -->\nbelow\n") and after in capsys.readouterr().out
    assert bench.main() == 1 and bench.README.read_text() == text


def test_a_benchmark_that_is_not_there_is_refused(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["all.py", "--only", "plums"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "invalid choice: 'plums'" in capsys.readouterr().err


def test_the_real_table_is_read_whole() -> None:
    readme = (ROOT / "README.md").read_text()
    module = loaded()
    table = module.TABLE.search(readme)[0].splitlines()
    rows = [line for line in table[2:] if line.startswith("|")]
    assert tuple(table[:2]) == module.HEAD and len(rows) > 10
    assert module.merged(rows, rows) == rows and len({module._about(line) for line in rows}) == len(rows)
