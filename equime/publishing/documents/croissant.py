"""The Croissant file of a release: what programs read of it, JSON-LD of Croissant 1.1 and its RAI vocabulary 1.0.

    Path("croissant.json").write_text(render(facts, files))

    import mlcroissant
    data = mlcroissant.Dataset("croissant.json", mapping={"repository": "."})        # in a release's folder
    next(iter(data.records("metadata")))["metadata/clip_id"]

Every Parquet file stands there with size and hash, and every configuration as a record set with each column's type and
description. Specifications: docs.mlcommons.org/croissant (1.1, and RAI 1.0), www.w3.org/TR/prov-o for provenance. Of
RAI's properties `dataCollectionTimeframe` is absent: no stage records when it ran.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from equime import hub, schema
from equime.publishing.about import About
from equime.publishing.documents import citation, statements, terms
from equime.publishing.documents.columns import DESCRIPTIONS, RECIPE
from equime.publishing.documents.facts import Facts
from equime.publishing.manifest import FileEntry
from equime.publishing.recipes import recipe

Json = dict[str, Any]
Files = Mapping[str, FileEntry]

VERSION: Final = "http://mlcommons.org/croissant/1.1"
RAI: Final = "http://mlcommons.org/croissant/RAI/1.0"
REPOSITORY: Final = "repository"
"""Id of the repository: what `mlcroissant.Dataset(mapping={REPOSITORY: folder})` reads a local copy by."""
PARQUET: Final = "application/x-parquet"

_SHORT: Final = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
    *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
CONTEXT: Final[Json] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "duo": "http://purl.obolibrary.org/obo/DUO_",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
} | {name: f"cr:{name}" for name in _SHORT}
"""The context of the specification's appendix, and of provenance and terms of use."""

_DUO: Final = {
    "0000042": "general research use",
    "0000046": "non-commercial use only",
    "0000026": "user specific restriction",
}
"""Terms of the Data Use Ontology: research, not commercial, by approved users."""
_SPLITS: Final = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}


def render(facts: Facts, files: Files) -> str:
    """The file's text.

    Args:
        facts: What was measured of the release.
        files: Path -> size and hash, of the release's files; those that are not Parquet are not listed.
    """
    about = facts.about
    listed = {path: entry for path, entry in sorted(files.items()) if path.endswith(".parquet")}
    values: Json = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, RAI],
        "name": citation.NAME,
        "alternateName": citation.ALIAS,
        "description": " ".join(
            [statements.what(facts), statements.LIKENESSES, statements.INTENDED, statements.scope(facts)]
        ),
        "version": about.version,
        "datePublished": about.date,
        "url": citation.page(about),
        "license": [terms.LICENCE_URL, _terms(about)],
        "usageInfo": [_term(code, name) for code, name in _DUO.items()],
        "citeAs": citation.bibtex(about),
        "creator": _publisher(about),
        "publisher": _publisher(about),
        "inLanguage": "en",
        "keywords": ["micro-expression", "facial action units", "synthetic video", "fairness"],
        "prov:wasGeneratedBy": [_activity(text) for text in statements.stages(facts)],
        **_responsible(facts),
        "distribution": [_repository(about, listed), *_objects(listed), *_sets(facts, listed)],
        "recordSet": [_splits(facts), *_record_sets(facts, listed)],
    }
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _terms(about: About) -> Json:
    return {
        "@type": "sc:CreativeWork",
        "name": f"{citation.NAME} access terms",
        "description": about.policy.terms,
        "url": citation.page(about),
    }


def _term(code: str, name: str) -> Json:
    return {"@type": "sc:DefinedTerm", "name": name, "termCode": f"DUO_{code}", "url": f"duo:{code}"}


def _publisher(about: About) -> Json:
    owner = citation.owner(about)
    return {"@type": "sc:Organization", "name": owner, "url": f"{citation.HUB}/{owner}"}


def _activity(text: str) -> Json:
    return {"@type": "prov:Activity", "prov:label": text}


def _responsible(facts: Facts) -> Json:
    """The properties of RAI 1.0: text, or several texts where it allows them."""
    told: dict[str, str | Sequence[str]] = {
        "dataCollection": "Made, not recorded: each clip was animated from one still picture by a plan drawn from a "
        "causal model of action units, sides, intensities and times. " + " ".join(statements.pixels(facts)),
        "dataCollectionType": ["Software Collection", "Secondary Data analysis"],
        "dataCollectionMissingData": statements.left_out(facts),
        "dataCollectionRawData": "Source pictures, by licence: " + "; ".join(statements.licences(facts)) + ". "
        f"{statements.sources(facts)} {statements.permission(facts)}",
        "dataImputationProtocol": "Nothing is imputed: what could not be made or measured is null, with the reason.",
        "dataManipulationProtocol": statements.LIKENESSES,
        "dataPreprocessingProtocol": statements.stages(facts),
        "dataAnnotationProtocol": " ".join([statements.INTENDED, statements.PERCEIVED, *statements.programme(facts)]),
        "dataAnnotationPlatform": "None is recorded: columns come from software, those that begin with source_ as the "
        "source pictures came labelled.",
        "dataAnnotationAnalysis": [*statements.labels(facts), *statements.captions(facts)],
        "annotationsPerItem": "None by people is recorded; one of each column by software.",
        "annotatorDemographics": "None is recorded: columns come from software.",
        "machineAnnotationTools": statements.stages(facts, only=("caption", "tag", "score")),
        "dataUseCases": statements.USES,
        "dataLimitations": [
            *statements.LIMITATIONS,
            *(f"Not for: {text}" for text in statements.OUT_OF_SCOPE),
            *statements.validity(facts),
        ],
        "dataBiases": [statements.PERCEIVED, *statements.composition(facts), *statements.acceptance(facts)],
        "dataSocialImpact": f"{statements.PURPOSE} {terms.LAW}",
        "personalSensitiveInformation": statements.SENSITIVE,
        "dataReleaseMaintenancePlan": f"{statements.versions(facts)} {terms.removal(facts.about)}",
    }
    return {f"rai:{name}": text if isinstance(text, str) else list(text) for name, text in told.items()}


def _repository(about: About, files: Files) -> Json:
    lines = "".join(f"{entry.sha256}  {path}\n" for path, entry in files.items())
    return {
        "@type": "cr:FileObject",
        "@id": REPOSITORY,
        "name": REPOSITORY,
        "description": f"The repository at {about.version}, gated: ask on its page. `sha256` is that of the list of "
        "Parquet files as `sha256sum` prints it, by name.",
        "contentUrl": f"{citation.page(about)}/tree/refs%2Ftags%2F{about.version}",
        "encodingFormat": "git+https",
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def _objects(files: Files) -> Iterator[Json]:
    for path, entry in files.items():
        yield {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "containedIn": {"@id": REPOSITORY},
            "contentUrl": path,
            "contentSize": f"{entry.bytes} B",
            "encodingFormat": PARQUET,
            "sha256": entry.sha256,
        }


def _patterns(facts: Facts, files: Files) -> dict[str, list[str]]:
    """Record set -> globs of its files."""
    labels = {file.emotion for file in hub.data_files(files)}
    emotions = [label for label in schema.emotions(labels) if label in labels]
    found = {
        "video": ["data/*/*.parquet"] if labels else [],
        "emotion": [f"data/*/*-{label}.parquet" for label in emotions],
        "metadata": ["metadata/*.parquet"],
        "sources": [recipe.SOURCES] if facts.about.mode == "recipe" else [],
    }
    return {name: globs for name, globs in found.items() if globs}


def _sets(facts: Facts, files: Files) -> Iterator[Json]:
    for name, globs in _patterns(facts, files).items():
        yield {
            "@type": "cr:FileSet",
            "@id": f"{name}-files",
            "name": f"{name}-files",
            "containedIn": {"@id": REPOSITORY},
            "encodingFormat": PARQUET,
            "includes": globs,
        }


def _splits(facts: Facts) -> Json:
    """The splits there are, by name and by what they mean."""
    names = [{"splits/name": split, "splits/url": _SPLITS[split]} for split in facts.by_split]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": names,
    }


_ABOUT_SETS: Final = {
    "video": "Every clip with every column and its bytes.",
    "emotion": "The clips of intended emotions: as video, without the controls.",
    "metadata": "Every clip with every column but its bytes.",
    "sources": "What matches a clip to its source picture, for those who hold the picture.",
}


def _record_sets(facts: Facts, files: Files) -> Iterator[Json]:
    for name in _patterns(facts, files):
        columns = {"sources": recipe.COLUMNS, "metadata": hub.METADATA}.get(name, hub.CLIPS)
        yield {
            "@type": "cr:RecordSet",
            "@id": name,
            "name": name,
            "description": _ABOUT_SETS[name],
            "key": {"@id": f"{name}/clip_id"},
            "field": [_field(name, column) for column in columns],
        }


_TYPES: Final = {
    pa.string(): "sc:Text",
    pa.bool_(): "sc:Boolean",
    pa.int16(): "cr:Int16",
    pa.int32(): "cr:Int32",
    pa.int64(): "cr:Int64",
    pa.float32(): "cr:Float32",
    pa.float64(): "cr:Float64",
}


def _field(record_set: str, column: pa.Field) -> Json:
    """One column; one of structures has a field for each of its parts."""
    made = _named(f"{record_set}/{column.name}", column.name)
    made["description"] = (RECIPE if record_set == "sources" else DESCRIPTIONS)[column.name]
    source = {"fileSet": {"@id": f"{record_set}-files"}, "extract": {"column": column.name}}
    kind = column.type
    if pa.types.is_list(kind):
        made |= {"isArray": True, "arrayShape": "-1"}
        kind = kind.value_type
    if column.name == "video":
        return made | {"dataType": "sc:VideoObject", "source": source | {"transform": {"jsonPath": "bytes"}}}
    if pa.types.is_struct(kind):
        return made | {"subField": [_part(made["@id"], source, part) for part in kind]}
    if column.name == "emotion":
        return made | {"dataType": ["sc:Text", "cr:Label"], "source": source}
    if column.name == "split":
        made["references"] = {"field": {"@id": "splits/name"}}
    return made | {"dataType": _TYPES[kind], "source": source}


def _part(parent: str, source: Json, part: pa.Field) -> Json:
    made = _named(f"{parent}/{part.name.replace(' ', '_')}", part.name)
    path = {"jsonPath": f"'{part.name}'" if " " in part.name else part.name}
    return made | {"dataType": _TYPES[part.type], "source": source | {"transform": path}}


def _named(where: str, name: str) -> Json:
    return {"@type": "cr:Field", "@id": where, "name": name}
