"""The Croissant file: valid by mlcroissant, the same rows through it, every column said, nothing said that stays in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from make_workspace import make_workspace

from equime import hub, schema
from equime.publishing import manifest
from equime.publishing.about import About, Policy
from equime.publishing.documents import columns, croissant, facts
from equime.publishing.documents.facts import Facts
from equime.publishing.origin import Tombstone, Way
from equime.publishing.recipes import recipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ABOUT = About("1.1.0", "some-org/equime", date="2026-11-23", note="captions reworded")
MADE = (
    Way("generate", 2, {"crf": 18}, {"Lightricks/LTX-Video": "0123abc"}, {"av": "18.0"}, 3),
    Way("tag", 1, {}, {"VGG-Face": "4dee"}, {"torch": "2.14.1"}, 3),
)
RAI = (
    *("dataCollection", "dataCollectionType", "dataCollectionMissingData", "dataCollectionRawData"),
    *("dataImputationProtocol", "dataManipulationProtocol", "dataPreprocessingProtocol", "dataAnnotationProtocol"),
    *("dataAnnotationPlatform", "dataAnnotationAnalysis", "annotationsPerItem", "annotatorDemographics"),
    *("machineAnnotationTools", "dataUseCases", "dataLimitations", "dataBiases", "dataSocialImpact"),
    *("personalSensitiveInformation", "dataReleaseMaintenancePlan"),
)
"""The specification's properties, but `dataCollectionTimeframe`."""


@dataclass(frozen=True)
class Release:
    """A folder in the Hub's layout, what was measured of it, and its Croissant file."""

    folder: Path
    facts: Facts
    text: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    def metadata(self) -> pa.Table:
        return pa.concat_tables(pq.read_table(path) for path in sorted((self.folder / "metadata").glob("*.parquet")))


def described(folder: Path, about: About = ABOUT) -> Release:
    """Write the Croissant file of a layout."""
    tables = [pq.read_table(path) for path in sorted((folder / "metadata").glob("*.parquet"))]
    gone = [Tombstone("9999", "1.0.1", "2026-11-20", 5)]
    files = manifest.listed(folder)
    sizes = {path: entry.bytes for path, entry in files.items()}
    left_out = {"rejected": 1, "failed": 1}
    found = facts.gather(tables, about, made=MADE, planned=14, left_out=left_out, withdrawn=gone, sizes=sizes)
    text = croissant.render(found, files)
    (folder / "croissant.json").write_text(text, encoding="utf-8")
    return Release(folder, found, text)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    root = tmp_path_factory.mktemp("croissant")
    labels = (*schema.EMOTIONS, schema.NEUTRAL)
    table = make_workspace(root / "ws", subjects=3, emotions=labels, failed=[4], rejected=[7])
    hub.write_layout(table, root / "out", progress=False)
    return described(root / "out")


@pytest.fixture(scope="module")
def recipe_release(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "metadata").mkdir()
    for path in (release.folder / "metadata").iterdir():
        (folder / "metadata" / path.name).write_bytes(path.read_bytes())
    ids = release.metadata()["clip_id"]
    salt = recipe.salt_of(ids.to_pylist())
    matches = pa.array([recipe.match(salt, "ab" * 32)] * len(ids))
    (folder / "recipe").mkdir()
    rows = pa.table([ids, matches, pa.nulls(len(ids), pa.int32())], schema=recipe.COLUMNS)
    pq.write_table(rows, folder / recipe.SOURCES)
    return described(folder, replace(ABOUT, mode="recipe"))


def dataset(release: Release) -> Any:
    mlcroissant = pytest.importorskip("mlcroissant")
    mapping = {croissant.REPOSITORY: release.folder}
    return mlcroissant.Dataset(str(release.folder / "croissant.json"), mapping=mapping)


def plain(value: Any) -> Any:
    """A record of mlcroissant as a row: ids without their record set, text as text, numbers as Python's."""
    if isinstance(value, Mapping):
        return {name.rpartition("/")[2]: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if hasattr(value, "item") else value


def told(value: Any) -> Any:
    """A row of Parquet as mlcroissant says it: a null structure, or list of them, is one whose parts are null."""
    if isinstance(value, Mapping):
        return {name.replace(" ", "_"): told(each) for name, each in value.items()}
    return [told(each) for each in value] if isinstance(value, list) else value


def absent(column: pa.Field) -> Any:
    kind = column.type.value_type if pa.types.is_list(column.type) else column.type
    if not pa.types.is_struct(kind):
        return None
    parts = {part.name.replace(" ", "_"): None for part in kind}
    return [parts] if pa.types.is_list(column.type) else parts


@pytest.mark.parametrize("name", ["metadata", "video", "emotion"])
def test_records_read_through_mlcroissant_are_the_rows(release: Release, name: str) -> None:
    bare = hub.METADATA.names
    wanted = {row["clip_id"]: row for row in release.metadata().to_pylist()}
    if name == "emotion":
        wanted = {clip_id: row for clip_id, row in wanted.items() if row["emotion"]}
    records = list(dataset(release).records(name))
    assert len(records) == len(wanted) >= 13
    for record in records:
        clip = record.pop(f"{name}/video", None)
        row = plain(record)
        source = wanted[row["clip_id"]]
        assert list(row) == bare
        for column in hub.METADATA:
            value = source[column.name]
            assert row[column.name] == (absent(column) if value is None else told(value)), column.name
        assert (clip is not None) == (name != "metadata")
        assert clip is None or hashlib.sha256(clip).hexdigest() == row["sha256"]


def test_the_file_is_valid_without_an_error_or_a_warning(release: Release, recipe_release: Release) -> None:
    for each in (release, recipe_release):
        found = dataset(each)
        assert not found.metadata.ctx.issues.errors
        assert not found.metadata.ctx.issues.warnings
        assert found.metadata.ctx.is_v1_1()


def test_the_splits_that_hold_rows_are_named(release: Release) -> None:
    names = [plain(record)["name"] for record in dataset(release).records("splits")]
    assert names == list(release.facts.by_split)
    assert set(names) == set(release.metadata()["split"].to_pylist())


def test_a_recipe_has_its_metadata_and_its_sources_and_no_clips(recipe_release: Release) -> None:
    sets = {each["@id"]: each for each in recipe_release.json["recordSet"]}
    assert set(sets) == {"splits", "metadata", "sources"}
    rows = [plain(record) for record in dataset(recipe_release).records("sources")]
    wanted = pq.read_table(recipe_release.folder / recipe.SOURCES).to_pylist()
    assert rows == wanted
    assert not any(path.startswith("data/") for path in ids(recipe_release))


def ids(release: Release) -> Iterator[str]:
    return (each["@id"] for each in release.json["distribution"] if each["@type"] == "cr:FileObject")


def test_every_parquet_file_stands_there_with_its_size_and_hash(release: Release) -> None:
    files = {each["@id"]: each for each in release.json["distribution"] if "contentSize" in each}
    paths = sorted(release.folder.rglob("*.parquet"))
    assert list(files) == [path.relative_to(release.folder).as_posix() for path in paths]
    for path, entry in zip(paths, files.values(), strict=True):
        data = path.read_bytes()
        assert entry["contentSize"] == f"{len(data)} B"
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["contentUrl"] == entry["@id"]
    printed = "".join(f"{entry['sha256']}  {path}\n" for path, entry in files.items())  # as sha256sum prints
    repository = release.json["distribution"][0]
    assert repository["sha256"] == hashlib.sha256(printed.encode()).hexdigest()
    assert repository["contentUrl"].endswith("some-org/equime/tree/refs%2Ftags%2F1.1.0")


def test_every_column_of_every_configuration_is_a_field_with_its_description(release: Release) -> None:
    sets = {each["@id"]: each["field"] for each in release.json["recordSet"] if each["@id"] != "splits"}
    for name, fields in sets.items():
        wanted = hub.METADATA.names if name == "metadata" else hub.CLIPS.names
        assert [field["name"] for field in fields] == wanted
        for field in fields:
            assert field["description"] == columns.DESCRIPTIONS[field["name"]]
            assert field["@id"] == f"{name}/{field['name']}"
            assert "dataType" in field or all("dataType" in part for part in field["subField"])
            assert field.get("isArray", False) == pa.types.is_list(schema.CLIPS.field(field["name"]).type)
    described = {field["name"]: field["description"] for field in sets["metadata"]}
    assert all("Perceived" in described[name] for name in schema.PERCEIVED)
    assert "intended" in described["emotion"]


def test_as_linked_data_it_conforms_to_both_and_says_every_property_of_responsible_ai(release: Release) -> None:
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(data=release.text, format="json-ld", publicID="https://example.org/croissant.json")
    (node,) = graph.subjects(rdflib.RDF.type, rdflib.URIRef("https://schema.org/Dataset"))
    conforms = {str(each) for each in graph.objects(node, rdflib.DCTERMS.conformsTo)}
    assert conforms == {"http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"}
    prefix = "http://mlcommons.org/croissant/RAI/"
    found = {str(name).removeprefix(prefix) for name in graph.predicates(node) if str(name).startswith(prefix)}
    assert found == set(RAI)
    texts = [str(each) for name in RAI for each in graph.objects(node, rdflib.URIRef(prefix + name))]
    assert all(text.strip() for text in texts)
    fields = set(graph.subjects(rdflib.RDF.type, rdflib.URIRef("http://mlcommons.org/croissant/Field")))
    assert len(fields) > 3 * len(hub.METADATA)


def test_numbers_are_those_that_were_counted(release: Release) -> None:
    found = release.json
    table = release.metadata()
    clips, subjects = len(table), len(set(table["subject_id"].to_pylist()))
    assert f"{clips} clips of {subjects} subjects" in found["description"]
    assert "rejected 1, failed 1" in found["rai:dataCollectionMissingData"]
    assert f"CC0: {clips} clips of {subjects} subjects" in found["rai:dataCollectionRawData"]
    race = next(text for text in found["rai:dataBiases"] if text.startswith("Perceived race"))
    balance = release.facts.source
    assert balance is not None
    assert f"evenness {balance.balances['race'].measures('identities')['evenness']:.3f} over subjects" in race
    assert any("Lightricks/LTX-Video 0123abc" in text for text in found["rai:dataPreprocessingProtocol"])
    assert [text for text in found["rai:machineAnnotationTools"] if "VGG-Face 4dee" in text]
    assert not any("LTX" in text for text in found["rai:machineAnnotationTools"])


def test_what_was_not_measured_is_said_to_be_not_measured(tmp_path: Path) -> None:
    hub.write_layout(make_workspace(tmp_path / "ws", groups=["plan", "generate"]), tmp_path / "out", progress=False)
    found = described(tmp_path / "out").json
    assert any("how sure they are: not measured" in text for text in found["rai:dataAnnotationAnalysis"])
    assert any("agree with the plan: not measured" in text for text in found["rai:dataLimitations"])
    assert any("tagger's labels: not measured" in text for text in found["rai:dataBiases"])


def test_no_clip_no_source_and_no_hash_of_a_source_is_in_it(release: Release) -> None:
    rows = release.metadata().to_pylist()
    hashes = [hashlib.sha256(str(subject).encode()).hexdigest() for subject in range(3)]
    said = "\n".join(texts(release.json))
    for secret in (*(row["clip_id"] for row in rows), *hashes, "faces/", "9999", "source_sha256"):
        assert secret not in said, secret
    extracted = {field["source"]["extract"]["column"] for field in leaves(release.json["recordSet"])}
    assert extracted == set(hub.CLIPS.names)


def leaves(sets: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    fields = (field for each in sets for field in each["field"])
    return (leaf for field in fields for leaf in field.get("subField", [field]) if "source" in leaf)


def texts(value: Any) -> Iterator[str]:
    """Every string of a JSON value."""
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        for each in value:
            yield from texts(each)


def test_the_same_release_gives_the_same_bytes(release: Release) -> None:
    assert croissant.render(release.facts, manifest.listed(release.folder)) == release.text


def test_odd_terms_and_permissions_arrive_as_they_are(release: Release) -> None:
    odd = 'no "quotes"\n</script><b>---\u2028`rm`\\ \U0001f9d1'
    about = replace(ABOUT, permission=odd, policy=Policy(terms=odd))
    text = croissant.render(replace(release.facts, about=about), manifest.listed(release.folder))
    found = json.loads(text)
    assert found["license"][1]["description"] == odd
    assert found["rai:dataCollectionRawData"].endswith(odd)
    (release.folder / "odd.json").write_text(text, encoding="utf-8")
    mlcroissant = pytest.importorskip("mlcroissant")
    assert not mlcroissant.Dataset(str(release.folder / "odd.json")).metadata.ctx.issues.errors
