"""Verbs that move whole data sets: import, export."""

from __future__ import annotations

import argparse
from typing import Any

from equime.commands.shared import add_workspace, say, warn
from equime.errors import EquimeError
from equime.options import path_argument


def import_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime import`."""
    parser.add_argument("tree", type=path_argument, help="folder with <emotion>/<gender>_<subject>_<sequence>.mp4")
    add_workspace(parser)
    parser.add_argument("--shard-rows", type=int, default=64, metavar="N", help="rows a shard")
    parser.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> int:
    from equime.tree import import_tree

    receipt = import_tree(options.tree, options.workspace, shard_rows=options.shard_rows)
    return _report_tree(receipt, options)


def export_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of `equime export`."""
    add_workspace(parser)
    parser.add_argument("out", type=path_argument, help="folder to write")
    parser.add_argument("--layout", default="tree", choices=["tree", "hub"], help="loose files, or Parquet")
    parser.add_argument("--replace", action="store_true", help="overwrite files that differ")
    parser.add_argument("--sign-cert", type=path_argument, metavar="PEM", help="sign clips (C2PA): certificate chain")
    parser.add_argument("--sign-key", type=path_argument, metavar="PEM", help="its private key, PKCS#8, unencrypted")
    parser.add_argument("--sign-alg", default="es256", metavar="ALG", help="es256, es384, es512, ps256, ..., ed25519")
    parser.add_argument("--timestamp-url", metavar="URL", help="RFC 3161 authority, asked once a clip")
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace) -> int:
    from equime.table import Table

    table, signer = Table(options.workspace), _signer(options)
    if options.layout == "hub":
        from equime.hub import write_layout

        return _report_tree(write_layout(table, options.out), options)
    from equime.tree import export_tree

    return _report_tree(export_tree(table, options.out, replace=options.replace, signer=signer), options)


def _signer(options: argparse.Namespace) -> Any:
    if options.sign_cert is None and options.sign_key is None and options.timestamp_url is None:
        return None
    if options.sign_cert is None or options.sign_key is None:
        raise EquimeError("--sign-cert and --sign-key go together: give both")
    if options.layout == "hub":
        raise EquimeError("only loose files are signed: use --layout tree, then import and publish that")
    from equime.c2pa_signing import Signer

    return Signer(options.sign_cert, options.sign_key, options.sign_alg, options.timestamp_url)


def _report_tree(receipt: Any, options: argparse.Namespace) -> int:
    for clip_id, why in receipt.errors.items():
        warn(f"{clip_id}: {why}")
    say(options, receipt, receipt.to_dict())
    return 1 if receipt.failed else 0
