"""Words that every verb shares.

counted(1, "shard")       # 1 shard
counted(3, "shard")       # 3 shards
"""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the singular where it is one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
