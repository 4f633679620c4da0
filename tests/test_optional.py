from __future__ import annotations

import sys
from pathlib import Path

import pytest
from travelling import travelled

from equime.errors import EquimeError, MissingPackageError
from equime.optional import available, need


def package(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(folder)


def test_an_installed_module_is_returned() -> None:
    import json.decoder

    assert need("json.decoder", extra="torch") is json.decoder


def test_an_absent_package_is_one_line_with_the_command() -> None:
    with pytest.raises(MissingPackageError) as raised:
        need("surely_not_installed.inside", extra="tag")
    assert str(raised.value) == 'surely_not_installed is not installed: run `pip install "equime[tag]"`'
    assert isinstance(raised.value, EquimeError)
    assert isinstance(raised.value, ImportError)
    assert str(travelled(raised.value)) == str(raised.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import surely_not_installed", "No module named 'surely_not_installed'"),
        ("raise RuntimeError('\\n\\nlibavutil.so.58 is missing\\nand more\\n')", "libavutil.so.58 is missing"),
        ("raise OSError('libcudart.so: cannot open shared object file')", "libcudart.so: cannot open"),
        ("raise RuntimeError", "RuntimeError"),
    ],
)
def test_a_broken_package_says_why_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, why: str
) -> None:
    package(tmp_path, "broken_package", body, monkeypatch)
    with pytest.raises(MissingPackageError) as raised:
        need("broken_package", extra="score")
    assert str(raised.value).startswith("broken_package does not import (")
    assert why in str(raised.value)
    assert str(raised.value).endswith('run `pip install "equime[score]"`')
    assert "\n" not in str(raised.value)


def test_available_looks_and_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "untouched_package", "raise RuntimeError", monkeypatch)
    assert available("untouched_package")
    assert "untouched_package" not in sys.modules
    assert not available("surely_not_installed")
    assert not available("surely_not_installed.inside")
