"""The house keeps its shape: floors, leaves, decoders, data files, docstrings, sizes. Read from the syntax trees.

A new module needs a line in FLOORS. The checker itself is tried on small planted trees at the end.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import pytest

from equime import schema

ROOT = Path(__file__).parents[1]

FLOORS = (
    "errors one_line schema options optional locks pool cluster ray_session wording receipt terminal noise action_units"
    " au_counts metrics bootstrap scores typed mesh photo skin devices checkpoints",
    "footer video face flow traces stage captioning.templates",
    "clip contact_sheet table marks splits scm.* causal prompts demographics taggers sidecar catalog"
    " detectors face_track tag_summary",
    "stages shard_worker runner checks screening.* c2pa_signing tree tree_* quality.* generators.*",
    "plan planning.* summary hub hub_layout card publishing.* sources pieces remote media decoding streams audit.*"
    " captioning.* recognise.* report.* tuning.*",
    "builders.* equime_dataset doctor",
    "demo show cli commands.* __main__ __init__",
)
"""Imports go down or sideways, never up. The first floor that matches a module is its own."""

MEASURES = ("equime.quality", "equime.recognise")
DECODERS = {"av", "torchcodec", "decord"}
LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
DATA_FILES = ("*.tflite", "NOTICE", "py.typed", "*.py", "*.pyc", "page.html", "page.css", "page.js")
PRINTS = {"equime.commands.shared", "equime.__main__"}
LONGEST = 350
LONGER = {
    "equime.au_counts": 10_000,  # counted tables
    "equime.action_units": 400,
    "equime.sidecar": 400,
    "equime.video": 570,
}
"""Modules over `LONGEST` lines, and how long each may be: these numbers only ever go down."""
UNDOCUMENTED = 0
"""Public functions and classes without a docstring: this number only ever goes down."""


@dataclass(frozen=True)
class Module:
    """One source file of the package."""

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def short(self) -> str:
        return "__init__" if self.name == "equime" else self.name.removeprefix("equime.")

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    def imported(self) -> Iterator[tuple[str, ...]]:
        """Every import anywhere in the file: (module,), or (module, name) for `from module import name`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name,) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = self.name.split(".")[: -node.level] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                yield from ((base, alias.name) for alias in node.names)

    def wants_package(self) -> bool:
        """Whether `import equime` is for more than its version: that much any import of a module loads."""
        nodes = (node for node in ast.walk(self.tree) if isinstance(node, ast.Attribute))
        used = {node.attr for node in nodes if ast.unparse(node.value) == "equime"}
        return not used <= {"__version__"}

    def asked_for(self) -> Iterator[str]:
        """Modules named in a call of `need`, `import_module` or `__import__`."""
        for node in (n for n in ast.walk(self.tree) if isinstance(n, ast.Call) and n.args):
            if _called(node) in ("need", "import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                yield str(node.args[0].value)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


class House:
    """The package of a source tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        found = [Module(_name(path.relative_to(root)), path) for path in _sources(root)]
        self.modules = {module.name: module for module in found}

    def edges(self, module: Module) -> set[str]:
        """The modules of this package that one imports."""
        named = [*module.imported(), *((name,) for name in module.asked_for())]
        kept = (name for name in named if name != ("equime",) or module.wants_package())
        found = {whole if (whole := ".".join(name)) in self.modules else name[0] for name in kept}
        return {name for name in found if name in self.modules} - {module.name}

    def floor(self, module: Module) -> int | None:
        for number, patterns in enumerate(FLOORS):
            if any(fnmatch(module.short, pattern) for pattern in patterns.split()):
                return number
        return None

    def violations(self) -> Iterator[str]:
        """One line for each thing that is not as the house should be."""
        for module in self.modules.values():
            yield from self._floors(module)
            yield from self._isolation(module)
            yield from _forbidden(module)
            yield from _shape(module)
        yield from self._cycles()
        yield from self._files()
        yield from self._docstrings()

    def _floors(self, module: Module) -> Iterator[str]:
        if module.is_package and module.name != "equime":
            return
        here = self.floor(module)
        if here is None:
            yield f"{module.name} has no floor: add it to FLOORS"
            return
        for name in sorted(self.edges(module)):
            there = self.floor(self.modules[name])
            if there is not None and there > here:
                yield f"{module.name} (floor {here}) imports {name} (floor {there})"

    def _isolation(self, module: Module) -> Iterator[str]:
        for name in sorted(self.edges(module)):
            if name.startswith("equime.builders."):
                yield f"{module.name} imports the builder {name}"
            if module.name.startswith(MEASURES) and name.startswith("equime.generators"):
                yield f"{module.name} measures and imports {name}"

    def _cycles(self) -> Iterator[str]:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
            if name in path:
                yield "cycle: " + " -> ".join((*path[path.index(name) :], name))
            elif name not in done:
                for other in sorted(self.edges(self.modules[name])):
                    yield from visit(other, (*path, name))
                done.add(name)

        for name in sorted(self.modules):
            yield from visit(name, ())

    def _files(self) -> Iterator[str]:
        for path in sorted((self.root / "equime").rglob("*")):
            if path.is_file() and not any(fnmatch(path.name, pattern) for pattern in DATA_FILES):
                yield f"{path.relative_to(self.root)} is data inside the package"

    def _docstrings(self) -> Iterator[str]:
        missing = [line for module in self.modules.values() for line in _undocumented(module)]
        if len(missing) > UNDOCUMENTED:
            yield f"{len(missing)} without a docstring, at most {UNDOCUMENTED} allowed: {missing}"


def _sources(root: Path) -> Iterator[Path]:
    yield from sorted((root / "equime").rglob("*.py"))
    yield from sorted((root / "builders").glob("*.py"))
    yield from root.glob("equime_dataset.py")


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    parts = ("equime", *parts) if parts[0] == "builders" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _forbidden(module: Module) -> Iterator[str]:
    named = [*(name[0] for name in module.imported()), *module.asked_for()]
    tops = {name.partition(".")[0] for name in named}
    if module.name != "equime.video":
        yield from (f"{module.name} names the decoder {name}" for name in sorted(tops & DECODERS))
    yield from (f"{module.name} imports {name}" for name in sorted(tops & LOADERS))
    for node in (n for n in ast.walk(module.tree) if isinstance(n, ast.Call)):
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        called = ast.unparse(node.func)
        if called == "torch.load" and keywords.get("weights_only") != "True":
            yield f"{module.name}:{node.lineno} calls torch.load without weights_only=True"
        if keywords.get("allow_pickle") == "True":
            yield f"{module.name}:{node.lineno} allows pickles"
        if called == "print" and module.name not in PRINTS:
            yield f"{module.name}:{node.lineno} prints"


def _shape(module: Module) -> Iterator[str]:
    if module.is_package and module.name != "equime" and module.text.strip():
        yield f"{module.name}: the __init__ of a package is empty"
    lines, most = len(module.text.splitlines()), LONGER.get(module.name, LONGEST)
    if lines > most:
        yield f"{module.name} has {lines} lines, at most {most}"


def _undocumented(module: Module) -> Iterator[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if module.text.strip() and ast.get_docstring(module.tree) is None:
        yield module.name
    bodies = [module.tree, *(n for n in module.tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_")]
    for body in bodies:
        for node in body.body:
            if isinstance(node, kinds) and node.name[0] != "_" and ast.get_docstring(node) is None:
                yield f"{module.name}.{node.name}"


# --- this house


def test_the_house_is_in_order() -> None:
    assert list(House(ROOT).violations()) == []


def test_the_checker_sees_this_house() -> None:
    house = House(ROOT)
    assert {"equime", "equime.schema", "equime.builders.caption", "equime_dataset"} <= set(house.modules)
    assert "equime.schema" in house.edges(house.modules["equime.table"])
    assert "equime.table" in house.edges(house.modules["equime.commands.look"])  # inside a function
    assert house.edges(house.modules["equime.errors"]) == set()


def test_each_stage_writes_exactly_its_own_group() -> None:
    seen: dict[str, str] = {}
    for path in sorted((ROOT / "builders").glob("[a-z]*.py")):
        module = importlib.import_module(f"equime.builders.{path.stem}")
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "writes"):
                assert value.name in schema.GROUPS
                for column in value.writes.names:
                    assert seen.setdefault(column, value.name) == value.name
                    assert schema.OWNER[column] == value.name
                assert f"{value.name}_error" in value.writes.names
    assert seen


# --- the checker, on planted trees


def plant(root: Path, files: dict[str, str]) -> list[str]:
    """Write modules, by path without `.py`, into a small package, and check it."""
    (root / "equime").mkdir()
    (root / "builders").mkdir()
    for name, text in files.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""A module."""\n{text}\n')
    return list(House(root).violations())


def test_a_good_tree_passes(tmp_path: Path) -> None:
    files = {
        "equime/schema": "",
        "equime/video": "import av\nfrom equime import schema",
        "equime/table": "import equime\nimport equime.schema\nVERSION = equime.__version__",
        "equime/__main__": "def main():\n    '''Go.'''\n    from equime.table import Table\n    print(Table)",
        "builders/caption": "from equime import table",
        "equime/hub": "import torch\ntorch.load('x', weights_only=True)",
    }
    assert plant(tmp_path, files) == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"equime/mood": ""}, "equime.mood has no floor"),
        ({"equime/schema": "import equime.table", "equime/table": ""}, "equime.schema (floor 0) imports"),
        (
            {"equime/schema": "def f():\n  '''F.'''\n  from equime import table", "equime/table": ""},
            "equime.schema (floor 0) imports equime.table (floor 2)",
        ),
        (
            {"equime/schema": "from importlib import import_module\nimport_module('equime.cli')", "equime/cli": ""},
            "equime.schema (floor 0) imports equime.cli (floor 6)",
        ),
        ({"equime/table": "from . import plan", "equime/plan": ""}, "equime.table (floor 2) imports equime.plan"),
        (
            {"equime/table": "import equime.clip", "equime/clip": "import equime.table"},
            "cycle: equime.clip -> equime.table -> equime.clip",
        ),
        (
            {"equime/quality/sharp": "from equime.generators import warp", "equime/generators/warp": ""},
            "equime.quality.sharp measures and imports equime.generators.warp",
        ),
        (
            {"builders/tag": "from equime.builders.score import S", "builders/score": ""},
            "equime.builders.tag imports the builder equime.builders.score",
        ),
        (
            {"equime/cli": "from equime.builders import tag", "builders/tag": ""},
            "equime.cli imports the builder equime.builders.tag",
        ),
        (
            {"equime/schema": "from equime import load", "equime/__init__": "def load():\n  '''L.'''"},
            "equime.schema (floor 0) imports equime (floor 6)",
        ),
        (
            {"equime/schema": "import equime\nequime.load()", "equime/__init__": ""},
            "equime.schema (floor 0) imports equime (floor 6)",
        ),
        ({"equime/clip": "import av.container"}, "equime.clip names the decoder av"),
        ({"equime/clip": "need('torchcodec', extra='x')"}, "equime.clip names the decoder torchcodec"),
        ({"equime/hub": "def f():\n  '''F.'''\n  import pickle"}, "equime.hub imports pickle"),
        ({"equime/hub": "import torch\ntorch.load('x')"}, "equime.hub:3 calls torch.load"),
        ({"equime/hub": "import numpy\nnumpy.load('x', allow_pickle=True)"}, "equime.hub:3 allows pickles"),
        ({"equime/hub": "print(1)"}, "equime.hub:2 prints"),
        ({"equime/audit/__init__": "X = 1"}, "equime.audit: the __init__ of a package is empty"),
        ({"equime/hub": "\n" * 400}, "equime.hub has 402 lines, at most 350"),
        ({"equime/hub": "def push(): ..."}, "1 without a docstring, at most 0 allowed: ['equime.hub.push']"),
        (
            {"equime/hub": "class Push:\n  '''P.'''\n  def go(self): ..."},
            "1 without a docstring, at most 0 allowed: ['equime.hub.go']",
        ),
    ],
)
def test_each_planted_fault_is_the_one_that_is_found(tmp_path: Path, files: dict[str, str], said: str) -> None:
    found = plant(tmp_path, files)
    assert any(line.startswith(said) for line in found), found
    assert len(found) <= 2


def test_planted_data_is_found(tmp_path: Path) -> None:
    (tmp_path / "equime" / "models").mkdir(parents=True)
    for name in ("face.tflite", "NOTICE", "weights.onnx", "table.json"):
        (tmp_path / "equime" / "models" / name).touch()
    assert list(House(tmp_path).violations()) == [
        "equime/models/table.json is data inside the package",
        "equime/models/weights.onnx is data inside the package",
    ]
