"""The `datasets` builder of EquiME: what `load_dataset("equime", ...)` makes once `equime` is imported.

    import equime
    from datasets import load_dataset

    load_dataset("equime", "metadata", data_dir="ws", split="train")                     # every column but the bytes
    load_dataset("equime", "video", streaming=True, num_frames=16, size=224, around="apex")
    load_dataset("equime", "emotion", split="happiness[:2]+fear[:1]", data_dir="tree")

Without `data_dir` it is the Hub repository; with it a workspace, a Hub layout or a released tree. Emotion is the
*intended* one; gender, age and race are *perceived*, by a classifier.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from packaging.version import Version

from equime import schema, sources
from equime.clip import Sampling
from equime.decoding import FRAMES, ON_ERROR, Decoding
from equime.errors import EquimeError
from equime.pieces import columns_of, is_folder, package_version, require_config, short_hash, typed
from equime.remote import HubRepo, default_repo, is_repo
from equime.streams import Rows

ALL = "all"
TYPED_STREAMS = Version(datasets.__version__).release >= (4, 7)
"""Whether `filter` of this `datasets` takes streams whose rows are typed already: older ones lose the types."""


@dataclass
class EquimeConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """What to load of a clip. None of it decides what is kept in the cache of `datasets`.

    Attributes:
        num_frames: Frames to decode, or "all"; the row then has `frames`, uint8 (T, H, W, 3), in place of `video`.
        size: (height, width) of the frames, or one number for both.
        around: "clip" spreads the frames over the clip, "apex" takes them in a row around the apex.
        apex: "planned" (an oracle: say so in what you report) or "measured" (by optical flow).
        on_error: What a clip that cannot be decoded does: "raise" names it, "null" leaves its frames None, "skip"
            (streaming only) drops it. The last two are counted and reported.
        columns: Columns to return; None is all. `frames` come with `num_frames` and need not be named.
        verify: Check every clip against its SHA-256.
        backend: "pyav", "torchcodec" or "decord".
        repo: A Hub repository "owner/name", in place of `data_dir`.
        revision: Its branch, tag or commit.
    """

    num_frames: int | str | None = None
    size: int | tuple[int, int] | None = None
    around: str = "clip"
    apex: str = "planned"
    on_error: str = "raise"
    columns: Sequence[str] | None = None
    verify: bool = False
    backend: str = "pyav"
    repo: str | None = None
    revision: str | None = None

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The cache's name for it: the config and the schema. What was read is in the builder's hash."""
        if custom_features is not None:
            raise EquimeError("features= is not taken: the columns are fixed; choose some with columns=")
        return f"{self.name}-{schema.VERSION}"

    def decoding(self) -> Decoding | None:
        """How to decode rows; None where they are returned as they are.

        Raises:
            EquimeError: An unknown or meaningless option.
        """
        if self.on_error not in ON_ERROR:
            raise EquimeError(f"expected on_error to be one of {list(ON_ERROR)}, got {self.on_error!r}")
        if self.num_frames is None and (self.size is not None or self.around != "clip"):
            raise EquimeError("size= and around= need num_frames= (a number, or 'all')")
        count = self.num_frames if isinstance(self.num_frames, int) else None
        if self.num_frames not in (count, ALL):
            raise EquimeError(f"expected num_frames to be a number or 'all', got {self.num_frames!r}")
        size = tuple(self.size) if isinstance(self.size, list) else self.size
        sampling = Sampling(count, size, self.around, self.apex, self.backend)  # type: ignore[arg-type]
        if self.name == "metadata":
            if self.num_frames is not None or self.verify:
                raise EquimeError("config 'metadata' has no video to decode or verify: use 'video' or 'emotion'")
            return None
        if self.num_frames is None and not self.verify:
            return None
        return Decoding(sampling if self.num_frames else None, self.on_error, self.verify, tuple(self.wanted()))

    def wanted(self) -> list[str]:
        """The columns to return, `frames` among them where they are decoded.

        Raises:
            EquimeError: An unknown column.
        """
        known = list(schema.METADATA.names if self.name == "metadata" else schema.CLIPS.names)
        if self.num_frames is not None:
            known[-1] = FRAMES
        if self.columns is None:
            return known
        if isinstance(self.columns, str):
            raise EquimeError(f"expected columns to be a list of names, got {self.columns!r}")
        wanted = [FRAMES if n == "video" and self.num_frames is not None else n for n in self.columns]
        if unknown := [name for name in wanted if name not in known]:
            raise EquimeError(f"unknown columns {unknown} in config {self.name!r}: expected some of {known}")
        if self.num_frames is not None and FRAMES not in wanted:
            wanted.append(FRAMES)
        return list(dict.fromkeys(wanted))


class EquiME(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Synthetic micro-expression clips, by split (`video`, `metadata`) or by emotion (`emotion`)."""

    VERSION = datasets.Version(f"{schema.VERSION}.0.0")
    BUILDER_CONFIG_CLASS = EquimeConfig
    BUILDER_CONFIGS = [  # noqa: RUF012  (as `datasets` wants it)
        EquimeConfig("video", VERSION, description="clips with every column, by split"),
        EquimeConfig("emotion", VERSION, description="the same clips, one split for each emotion"),
        EquimeConfig("metadata", VERSION, description="every column but the bytes, by split"),
    ]
    DEFAULT_CONFIG_NAME = "video"
    info: datasets.DatasetInfo

    def __init__(
        self,
        cache_dir: str | None = None,
        dataset_name: str | None = None,
        config_name: str | None = None,
        hash: str | None = None,
        data_dir: str | None = None,
        data_files: Any = None,
        token: str | bool | None = None,
        repo: str | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> None:
        """As `datasets.DatasetBuilder`; `hash` is made here, of what the source holds now."""
        if data_files is not None:
            raise EquimeError("data_files= is not taken: name the folder with data_dir=")
        self.source = _source(data_dir, repo, revision, token)
        self._labels = list(self.source.labels())
        super().__init__(
            cache_dir=cache_dir,
            config_name=config_name or self.DEFAULT_CONFIG_NAME,
            hash=short_hash(package_version(), self.source.fingerprint()),
            token=token,
            **options,
        )
        self._decoding = self.config.decoding()
        self._wanted = self.config.wanted()
        if notice := self.source.notice():
            warnings.warn(notice, UserWarning, stacklevel=2)
            self._decoding = self._decoding and dataclasses.replace(self._decoding, notice=notice)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=str(self.config.description),
            features=self._features(columns_of(self.config.name)),
        )

    def _features(self, columns: Sequence[str]) -> datasets.Features:
        features = datasets.Features.from_arrow_schema(typed([n for n in columns if n != FRAMES]))
        if "emotion" in features:
            features["emotion"] = datasets.ClassLabel(names=self._labels)
        if "video" in features:
            features["video"] = datasets.Video(decode=False)
        if FRAMES in columns:
            features[FRAMES] = _frames_feature(self.config)
        return datasets.Features({name: features[name] for name in columns})

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        columns = columns_of(self.config.name)
        if dl_manager.is_streaming:
            columns = self._decoding.read if self._decoding else self._wanted
        splits = self.source.splits(self.config.name)
        return [
            datasets.SplitGenerator(name=name, gen_kwargs={"pieces": pieces, "columns": tuple(columns)})
            for name, pieces in splits.items()
        ]

    def _generate_tables(self, pieces: list[Any], columns: tuple[str, ...]) -> Iterator[tuple[Any, pa.Table]]:
        for number, piece in enumerate(pieces):
            for batch, table in enumerate(self.source.read(piece, columns)):
                yield f"{number}_{batch}", self._labelled(table)

    def _labelled(self, table: pa.Table) -> pa.Table:
        """`emotion` as the class number."""
        position = table.schema.get_field_index("emotion")
        if position < 0:
            return table
        numbers = pc.index_in(table["emotion"], pa.array(self._labels)).cast(pa.int64())
        return table.set_column(position, "emotion", numbers)

    def _get_examples_iterable_for_split(self, split_generator: datasets.SplitGenerator) -> Any:
        examples = super()._get_examples_iterable_for_split(split_generator)
        if self._decoding is None and not TYPED_STREAMS:
            return examples
        return Rows(examples, self._decoding, self._features(self._wanted))

    def _prepare_split_single(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        try:
            yield from super()._prepare_split_single(*args, **kwargs)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, EquimeError):
                raise error.__cause__ from None  # one line that a person can act on
            raise

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """As `datasets.DatasetBuilder`.

        Raises:
            EquimeError: on_error="skip", which only a stream can do, or something wrong with the source.
        """
        if self._decoding and self._decoding.on_error == "skip":
            raise EquimeError(
                "on_error='skip' needs streaming=True: rows of a fixed number cannot be left out; use 'null'"
            )
        super().download_and_prepare(*args, **kwargs)

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """As `datasets.DatasetBuilder`; frames are decoded when a row is looked at."""
        return _each(super().as_dataset(*args, **kwargs), self._finished)

    def _finished(self, dataset: datasets.Dataset) -> datasets.Dataset:
        columns = self._decoding.read if self._decoding else self._wanted
        if list(columns) != dataset.column_names:
            dataset = dataset.select_columns(list(columns))
        return dataset.with_transform(self._decoding) if self._decoding else dataset

    def as_streaming_dataset(self, split: Any = None, **kwargs: Any) -> Any:
        """As `datasets.DatasetBuilder`; columns that are not wanted are never read."""
        if isinstance(split, str) and "+" in split and "[" not in split:
            parts = [self.as_streaming_dataset(name.strip(), **kwargs) for name in split.split("+")]
            return datasets.concatenate_datasets(parts)
        whole = self.info
        self.info = whole.copy()
        declared = TYPED_STREAMS or self._decoding is None
        self.info.features = self._features(self._wanted) if declared else None
        try:
            return super().as_streaming_dataset(split, **kwargs)
        finally:
            self.info = whole


def _source(data_dir: str | None, repo: str | None, revision: str | None, token: str | bool | None) -> Any:
    if data_dir is not None and repo is not None:
        raise EquimeError(f"expected data_dir or repo, got both: {data_dir = }, {repo = }")
    if data_dir is None:
        return HubRepo(repo or default_repo(), revision, token)
    if revision is not None:
        raise EquimeError(f"a folder has no revisions, got {revision = } with {data_dir = }")
    return sources.find(data_dir)


def _frames_feature(config: EquimeConfig) -> Any:
    size = (config.size, config.size) if isinstance(config.size, int) else config.size
    if size is not None and isinstance(config.num_frames, int):
        return datasets.Array4D(shape=(config.num_frames, *size, 3), dtype="uint8")
    pixel = datasets.Value("uint8")
    return datasets.List(datasets.List(datasets.List(datasets.List(pixel, length=3))))


def _each(loaded: Any, change: Callable[[Any], Any]) -> Any:
    """`change` applied to a data set, or to each of several."""
    if isinstance(loaded, datasets.DatasetDict):
        return datasets.DatasetDict({name: change(dataset) for name, dataset in loaded.items()})
    if isinstance(loaded, list | tuple):
        return type(loaded)(_each(dataset, change) for dataset in loaded)
    return change(loaded)


def builder_for(where: str | None, config: str, **options: Any) -> EquiME:
    """The builder of a folder, or of a Hub repository "owner/name" where no such folder is; None is the default one."""
    require_config(config)
    if where is None or (is_repo(where) and not is_folder(where)):
        return EquiME(config_name=config, repo=where, **options)
    return EquiME(config_name=config, data_dir=where, **options)
