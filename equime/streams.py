"""The stream behind an `IterableDataset` of clips: typed rows, decoded when they are looked at.

It stands on `datasets`' own base class of streams, which is not public: tested against 4.0 and the newest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import datasets
from datasets.iterable_dataset import _BaseExamplesIterable

from equime.decoding import Decoding, Row, lost
from equime.errors import EquimeError, MissingPackageError


class Rows(_BaseExamplesIterable):  # type: ignore[misc]
    """A stream of rows, decoded (if at all) when the consumer is at them.

    It shards, shuffles and resumes as its source does. Its rows are typed already, so that `datasets` neither turns
    arrays into lists nor asks torchcodec about videos that nobody decodes.
    """

    def __init__(self, source: Any, decoding: Decoding | None, features: datasets.Features) -> None:
        super().__init__()
        self.ex_iterable = source
        self.decoding = decoding
        self._features = features

    @property
    def is_typed(self) -> bool:
        """Rows are as `features` says."""
        return True

    @property
    def features(self) -> datasets.Features:
        """What the rows hold."""
        return self._features

    @property
    def iter_arrow(self) -> Callable[[], Iterator[Any]] | None:
        """The source's Arrow tables, where nothing is decoded."""
        return None if self.decoding else self._iter_arrow

    def _iter_arrow(self) -> Iterator[Any]:
        return iter(self.ex_iterable.iter_arrow())

    @property
    def num_shards(self) -> int:
        """As its source."""
        return int(self.ex_iterable.num_shards)

    def _with(self, source: Any) -> Rows:
        return Rows(source, self.decoding, self._features)

    def shuffle_data_sources(self, *args: Any, **kwargs: Any) -> Rows:
        """As its source."""
        return self._with(self.ex_iterable.shuffle_data_sources(*args, **kwargs))

    def shard_data_sources(self, *args: Any, **kwargs: Any) -> Rows:
        """As its source."""
        return self._with(self.ex_iterable.shard_data_sources(*args, **kwargs))

    def reshard_data_sources(self) -> Rows:
        """As its source."""
        return self._with(self.ex_iterable.reshard_data_sources())

    def _init_state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = self.ex_iterable._init_state_dict()
        self._state_dict = state
        return state

    def __iter__(self) -> Iterator[tuple[Any, Row]]:
        """Rows in order. A clip that cannot be decoded raises, is left out, or has None for its frames."""
        return iter(self.ex_iterable) if self.decoding is None else self._decoded(self.decoding)

    def _decoded(self, decoding: Decoding) -> Iterator[tuple[Any, Row]]:
        bad: list[str] = []
        try:
            for key, row in self.ex_iterable:
                try:
                    decoded = decoding.row(row)
                except MissingPackageError:
                    raise
                except EquimeError:
                    if decoding.on_error == "raise":
                        raise
                    bad.append(row["clip_id"])
                    if decoding.on_error == "skip":
                        continue
                    decoded = decoding.failed(row)
                yield key, decoded
        finally:
            if bad:
                warnings.warn(lost(bad, decoding.on_error), UserWarning, stacklevel=2)
