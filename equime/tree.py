"""The released layout, whole: find its clips, import from it, export to it.

    equime import TREE WORKSPACE
    equime export WORKSPACE TREE

One name for three concepts that live beside it: `tree_index` (which clips a tree holds, and their rows in place),
`tree_import` and `tree_export`.
"""

from __future__ import annotations

from equime.tree_export import export_tree
from equime.tree_import import TreeReceipt, import_tree
from equime.tree_index import Entry, Tree, index, is_tree, rows, split_of

__all__ = ["Entry", "Tree", "TreeReceipt", "export_tree", "import_tree", "index", "is_tree", "rows", "split_of"]
