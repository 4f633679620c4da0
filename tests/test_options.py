from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from equime.options import add_flags, from_flags, nested, option, result_fields


@dataclass(frozen=True)
class Inner:
    depth: int = option(1, help="levels")
    device: str = option("cpu", help="where", result=False)


@dataclass(frozen=True)
class Everything:
    path: Path = option(Path("x"), help="a folder")
    count: int = option(3, help="how many")
    share: float = option(0.5, help="100 % is all")
    fast: bool = option(False, help="hurry")
    careful: bool = option(True, help="look twice")
    style: Literal["plain", "facs"] = option("plain", help="wording")
    level: Literal[1, 2] = option(1, help="level")
    limit: int | None = option(None, help="at most")
    sizes: tuple[int, ...] = option((1, 2), help="several")
    workers: int = option(1, help="processes", result=False)
    inner: Inner = field(default_factory=Inner, init=False)
    _cache: dict[str, int] = field(default_factory=dict)


def parsed(*arguments: str, cls: type = Everything) -> Any:
    parser = argparse.ArgumentParser()
    add_flags(parser, cls)
    return from_flags(cls, parser.parse_args(arguments))


def test_without_flags_the_defaults_stand() -> None:
    assert parsed() == Everything()


def test_each_flag_sets_its_field_with_its_type() -> None:
    text = (
        "--path a/b --count 7 --share 0.25 --fast --no-careful --style facs "
        "--level 2 --limit 9 --sizes 4 5 6 --workers 8"
    )
    assert parsed(*text.split()) == Everything(Path("a/b"), 7, 0.25, True, False, "facs", 2, 9, (4, 5, 6), 8)


def test_what_is_parsed_can_be_hashed() -> None:
    hash(parsed("--sizes", "4", cls=Sized))


@dataclass(frozen=True)
class Sized:
    sizes: tuple[int, ...] = option((), help="several")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--count", "many"], "invalid int value: 'many'"),
        (["--style", "odd"], "invalid choice: 'odd'"),
        (["--level", "3"], "invalid choice: 3"),
        (["--cache", "x"], "unrecognized arguments"),
        (["--inner", "x"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_argparse_s_own_error(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parsed(*arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_help_gives_each_default_once_and_survives_percent_signs() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Everything)
    text = " ".join(parser.format_help().split())
    assert "100 % is all (default: 0.5)" in text
    assert "look twice (default: True)" in text
    assert "hurry (default: False)" in text
    assert "several (default: 1 2)" in text
    assert "at most" in text
    assert text.count("(default:") == 9  # all but `limit`, which has none


def test_a_field_without_default_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(cls=Needs)
    assert "required: --name" in capsys.readouterr().err
    assert parsed("--name", "x", cls=Needs) == Needs("x")


@dataclass(frozen=True)
class Needs:
    name: str


def test_a_default_factory_is_a_default() -> None:
    assert parsed(cls=Made) == Made((1, 2))
    assert parsed("--sizes", "3", cls=Made) == Made((3,))


@dataclass(frozen=True)
class Made:
    sizes: tuple[int, ...] = field(default_factory=lambda: (1, 2), metadata={"help": "several"})


def test_other_names_in_the_namespace_are_left_alone() -> None:
    assert from_flags(Inner, {"depth": 5, "workspace": "ws"}) == Inner(depth=5)
    assert from_flags(Inner, argparse.Namespace(json=True)) == Inner()


def test_only_result_fields_are_in_the_fingerprint_and_they_are_json() -> None:
    fields = result_fields(Everything(workers=64))
    assert fields == result_fields(Everything(workers=1))
    assert fields == {
        "path": "x",
        "count": 3,
        "share": 0.5,
        "fast": False,
        "careful": True,
        "style": "plain",
        "level": 1,
        "limit": None,
        "sizes": [1, 2],
    }
    assert json.loads(json.dumps(fields)) == fields


def test_nested_values_are_made_plain_in_one_order() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Inner = Inner(depth=4)
        names: frozenset[str] = frozenset("cab")
        table: Any = field(default_factory=lambda: {12: Path("a/b")})

    assert result_fields(Outer()) == {"inner": {"depth": 4}, "names": ["a", "b", "c"], "table": {"12": "a/b"}}


@dataclass(frozen=True)
class Where:
    faces: Path | None = option(None, help="a folder")


def test_an_empty_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Where)
    assert from_flags(Where, parser.parse_args(["--faces", "x"])).faces == Path("x")
    for empty in ("", " "):
        with pytest.raises(SystemExit):
            parser.parse_args(["--faces", empty])
        assert "argument --faces: expected a path, got an empty one" in capsys.readouterr().err


@dataclass(frozen=True)
class Model:
    steps: int = option(8, help="steps")
    device: str = option("cpu", help="where", result=False)


@dataclass(frozen=True)
class Maker:
    kind: Literal["plain", "model"] = option("plain", help="what makes it")
    parts: tuple[str, ...] = option((), help="parts")
    model: Model = nested(Model, when=("kind", "model"))


def test_nested_options_are_flags_beside_their_parents() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Maker)
    made = from_flags(Maker, parser.parse_args(["--kind", "model", "--steps", "3", "--device", "cuda"]))
    assert made == Maker("model", (), Model(3, "cuda"))
    assert from_flags(Maker, parser.parse_args([])) == Maker()


def test_nested_options_count_only_where_they_are_used() -> None:
    assert result_fields(Maker("model", (), Model(3, "cuda"))) == {"kind": "model", "parts": [], "model": {"steps": 3}}
    assert result_fields(Maker("plain", (), Model(3, "cuda"))) == result_fields(Maker())
    assert "model" not in result_fields(Maker())


@pytest.mark.parametrize("given", [["--parts", "a,b", "c"], ["--parts", "a", "b", "c"], ["--parts", "a,b,c,"]])
def test_several_values_come_by_commas_or_spaces(given: list[str]) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, Maker)
    assert from_flags(Maker, parser.parse_args(given)).parts == ("a", "b", "c")
