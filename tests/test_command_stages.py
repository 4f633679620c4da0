from __future__ import annotations

import argparse

import pytest

from equime.cli import main
from equime.commands.stages import share


@pytest.mark.parametrize(("text", "pair"), [("0/1", (0, 1)), ("0/4", (0, 4)), ("3/4", (3, 4))])
def test_a_share_is_two_numbers(text: str, pair: tuple[int, int]) -> None:
    assert share(text) == pair


@pytest.mark.parametrize("text", ["x", "", "3", "3/2", "4/4", "-1/4", "1/", "/4", "1/2/3", "0/0", "0.5/2"])
def test_anything_else_says_what_was_expected(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        share(text)
    with pytest.raises(SystemExit) as ended:
        main(["caption", "ws", f"--shard={text}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument --shard: expected i/n with 0 <= i < n, such as 0/4, got {text!r}")
