"""Questions as the ME-VQA challenge wants them back: the lines that were read, with the answers that are now in them.

    write_questions(answered(table, {"samm_006_1_2_1": "negative"}), Path("me_vqa_samm_test_pred.jsonl"))

A line that nobody changed is written as it was read, to the byte: same keys, order, numbers and white space. A line
with another answer keeps its other values, keys and order. Rows that came from no file have the challenge's fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from equime.errors import EquimeError
from equime.one_line import one_line
from equime.tuning.mevqa.read import FIELDS, FRAMES, SCHEMA, said, subject_id


def write_questions(table: pa.Table, path: Path) -> None:
    """Write a table as `read_questions` gives it, one JSON object a line.

    Raises:
        EquimeError: The file cannot be written.
    """
    text = "".join(f"{_line(row)}\n" for row in table.to_pylist())
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise EquimeError(f"cannot write {one_line(path)} ({error.strerror}); give another path") from error


def answered(table: pa.Table, answers: Mapping[str, str]) -> pa.Table:
    """The same questions with other answers, and what these say.

    Args:
        table: From `read_questions`.
        answers: Question's id -> answer; questions that are not among them keep theirs.

    Raises:
        EquimeError: An answer to a question that is not in the table.
    """
    rows = table.to_pylist()
    if unknown := sorted(set(answers) - {row["id"] for row in rows}):
        raise EquimeError(f"expected answers to the {len(rows)} questions of the file, got {unknown[0]!r} as well")
    for row in rows:
        if row["id"] in answers:
            row["answer"] = answers[row["id"]]
            row |= said(row["kind"], row["question"], row["answer"])
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _line(row: Mapping[str, Any]) -> str:
    if row["line"] is None:
        return json.dumps(_record(row), ensure_ascii=False)
    record = json.loads(row["line"])
    if record["answer"] == row["answer"]:
        return str(row["line"])
    return json.dumps(record | {"answer": row["answer"]}, ensure_ascii=row["line"].isascii())


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in the order of the challenge's test files, which have frames, or of its others."""
    subject = row["subject_id"].removeprefix(subject_id(row["dataset"], ""))
    values = {name: row.get(name) for name in FIELDS} | {"subject": subject}
    frames = {name: row[name] for name in FRAMES if row.get(name) is not None}
    *head, question, answer = FIELDS
    return {name: values[name] for name in head} | frames | {name: values[name] for name in (question, answer)}
