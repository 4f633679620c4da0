"""One Parquet file of a release: small row groups, pages cut by content, the marks of its rows in the footer.

    file = LayoutFile(path, hub.CLIPS, hub.ROW_GROUP)
    file.add(rows, marks)
    file.close()

Pages are cut where the content says (content-defined chunking), so that a row more or less moves no page behind it,
and storage that shares equal pieces stores them once. That needs chunks smaller than a clip, which then has pages of
its own, and no dictionaries, which change with every row: `bench/publish.py` measures it. The same rows give the same
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from equime import schema
from equime.footer import FOOTER_KEY
from equime.table import leaves

CLIP_CHUNKS = {"min_chunk_size": 1 << 14, "max_chunk_size": 1 << 16}
"""Bytes of a page's values where clips are: far below a clip's."""
ROW_CHUNKS = {"min_chunk_size": 1 << 11, "max_chunk_size": 1 << 13}
"""The same where only numbers and text are."""

_PIECES = 16
"""Tables of a few rows that may wait: each has hundreds of buffers, which weigh more than what stands in them."""


class LayoutFile:
    """A Parquet file being filled: whole row groups as they come.

    Args:
        path: Where; its folder is made.
        columns: The file's schema; with a `video` column, whose bytes are stored as they are.
        row_group: Rows of a row group.
        chunked: Cut pages by content.
    """

    def __init__(self, path: Path, columns: pa.Schema, row_group: int, *, chunked: bool = True) -> None:
        self.path = path
        self.columns = columns
        self.row_group = row_group
        self._pending: list[pa.Table] = []
        self._rows = 0
        self._marks: dict[str, str] = {}
        chunks = CLIP_CHUNKS if "video" in columns.names else ROW_CHUNKS
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            path,
            columns,
            compression={n: "NONE" if n.startswith("video") else "ZSTD" for n in leaves(columns)},
            use_dictionary=False,
            write_page_index=True,
            use_content_defined_chunking=chunks if chunked else False,
        )

    def add(self, rows: pa.Table, marks: Mapping[str, str]) -> None:
        """Append rows, which hold (at least) the file's columns, and the marks ("<group>/<shard>") they come with."""
        self._marks |= marks
        self._pending.append(rows.select(self.columns.names))
        self._rows += len(rows)
        if len(self._pending) >= _PIECES:
            self._pending = [pa.concat_tables(self._pending).combine_chunks()]
        while self._rows >= self.row_group:
            self._flush()

    def _flush(self) -> None:
        rows = pa.concat_tables(self._pending)
        self._writer.write_table(rows.slice(0, self.row_group), row_group_size=self.row_group)
        # `take` copies: a slice would hold on to the clips already written.
        rest = range(self.row_group, len(rows))
        self._pending = [rows.take(pa.array(rest, pa.int64()))] if rest else []
        self._rows = len(rest)

    def close(self) -> None:
        """Write what is left, and the footer."""
        if self._pending:
            self._flush()
        footer = {"schema_version": schema.VERSION, "marks": dict(sorted(self._marks.items()))}
        self._writer.add_key_value_metadata({FOOTER_KEY.decode(): json.dumps(footer)})
        self._writer.close()
