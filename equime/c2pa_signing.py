"""C2PA manifests: who made a clip and how, signed with the user's certificate, so that a changed byte shows.

A manifest says that the clip was created, from what kind of source, with which version of EquiME, and repeats the
provenance of the clip's `comment`. Signed bytes are never the same twice (a random manifest id, the time, the
signature's own nonce); `Signer.made` therefore tells whether a file is this signer's work from a given clip.

    equime export WORKSPACE TREE --sign-cert chain.pem --sign-key key.pem --sign-alg es256
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np

from equime import video
from equime.errors import EquimeError
from equime.optional import need

ALGORITHMS: Final = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
PROVENANCE: Final = "equime.provenance"
"""The label of our assertion."""
SOURCE_TYPES: Final = MappingProxyType({"warp": "composite", "ltx": "trainedAlgorithmicMedia"})
"""Generator -> the term of IPTC's vocabulary of digital source types (2024) whose definition its clips meet.

LTX-Video's are "created algorithmically using an Artificial Intelligence model trained on captured content". The
warp moves a picture's pixels by rules: not `algorithmicMedia` ("created purely by an algorithm": the picture is not),
not `algorithmicallyEnhanced` ("without changing the main content": it shows an expression nobody made), and not
`compositeSynthetic` ("at least one of which is Generative AI": none is). `composite`, "any of which may or may not be
generative AI", leaves open what the picture is, as EquiME must.
"""

_IPTC: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_MP4: Final = "video/mp4"
_BOX: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"""The extended type of the `uuid` box that holds a manifest (C2PA 2.1, A.5.1)."""
_MEANINGS: Final = (
    ("does not match", "the private key does not belong to the certificate"),
    ("not valid at time", "the certificate is expired or not valid yet"),
    ("certificate is invalid", "C2PA refuses the certificate: it should be an X.509 v3 certificate for "
     "digitalSignature, with emailProtection or documentSigning as extended key usage, followed by its issuers"),
    ("private key", "the private key is none, or not one for this algorithm"),
    ("http", "the time stamp authority does not answer"),
)  # fmt: skip


class SigningError(EquimeError):
    """The certificate, the key or the time stamp authority fails: it would for any clip."""


class Signer:
    """Signs clips with one certificate. Made only when a trial signature holds, before anything is written."""

    def __init__(
        self,
        certificates: str | os.PathLike[str],
        key: str | os.PathLike[str],
        algorithm: str = "es256",
        timestamp_url: str | None = None,
    ) -> None:
        """Read certificate and key, and sign a trial clip.

        Args:
            certificates: PEM file: the certificate, then those of its issuers up to the root, which may be left out.
            key: PEM file with its private key, PKCS#8, not encrypted. It is kept in memory and written nowhere.
            algorithm: One of `ALGORITHMS`; the key must be of its kind.
            timestamp_url: RFC 3161 authority that confirms the time, asked once a clip: signatures then outlive
                the certificate.

        Raises:
            EquimeError: A file cannot be read, is not what it should be or does not fit the other; the
                certificate is expired or not one for C2PA; the time stamp authority does not answer.
            MissingPackageError: c2pa-python is not installed.
        """
        self._c2pa = need("c2pa", extra="c2pa")
        if algorithm not in ALGORITHMS:
            raise EquimeError(f"expected --sign-alg to be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
        if timestamp_url is not None and not timestamp_url.startswith(("http://", "https://")):
            raise EquimeError(f"expected a time stamp authority as http://... or https://..., got {timestamp_url!r}")
        chain = _pem(certificates, "CERTIFICATE", "a certificate chain")
        secret = _pem(key, "PRIVATE KEY", "an unencrypted PKCS#8 private key")
        self._where = f"cannot sign with {certificates} by {algorithm}"
        url = timestamp_url.encode() if timestamp_url else None
        try:
            info = self._c2pa.C2paSignerInfo(algorithm.encode(), chain, secret, url)
            self._signer = self._c2pa.Signer.from_info(info)
        except (self._c2pa.C2paError, ValueError) as error:
            raise self._refused(error) from None
        trial = self.sign(video.encode([np.zeros((16, 16, 3), np.uint8)]), generator="warp", title="trial")
        self._identity = _identity(read_manifest(trial))

    def sign(self, data: bytes, *, generator: str, title: str) -> bytes:
        """The clip with its manifest, some 3.5-5 kB longer; frames and tags are the same.

        Args:
            data: The bytes of an MP4 without a manifest.
            generator: What made it, of `SOURCE_TYPES`.
            title: What the manifest calls it.

        Raises:
            EquimeError: It is not known how such a clip was made, or it is no video, or carries a manifest already.
            SigningError: The signature fails.
        """
        if generator not in SOURCE_TYPES:
            known = " or ".join(SOURCE_TYPES)
            raise EquimeError(f"made by {generator!r}, not by {known}: a signature cannot attest how")
        if is_signed(data):
            raise EquimeError("carries a C2PA manifest already: it is signed once")
        signed = io.BytesIO()
        try:
            builder = self._c2pa.Builder(json.dumps(_manifest(data, generator, title)))
            builder.sign(self._signer, _MP4, io.BytesIO(data), signed)
        except self._c2pa.C2paError as error:
            raise self._refused(error) from None
        return signed.getvalue()

    def made(self, data: bytes, sha256: str) -> bool:
        """Whether `data` is intact, signed with this certificate, and made from the clip with that digest."""
        try:
            manifest = read_manifest(data)
        except EquimeError:
            return False
        told = [each["data"] for each in manifest["assertions"] if each["label"] == PROVENANCE]
        return _identity(manifest) == self._identity and [each.get("sha256") for each in told] == [sha256]

    def _refused(self, error: Exception) -> SigningError:
        """The library's words in ours. Of the key nothing is said but that it does not do."""
        said = str(error)
        meaning = next((ours for theirs, ours in _MEANINGS if theirs in said), said.splitlines()[0] if said else "")
        return SigningError(f"{self._where}: {meaning}")


def read_manifest(data: bytes) -> dict[str, Any]:
    """The active manifest of a signed clip, as C2PA's own reader gives it.

    Whether the certificate leads to somebody trusted is for the reader's list of trust, and not asked here.

    Raises:
        EquimeError: No manifest, or one that does not verify: the file was changed after it was signed.
        MissingPackageError: c2pa-python is not installed.
    """
    c2pa = need("c2pa", extra="c2pa")
    try:
        with c2pa.Reader(_MP4, io.BytesIO(data)) as reader:
            found = json.loads(reader.json())
    except c2pa.C2paError as error:
        raise EquimeError(f"expected a C2PA manifest: {str(error).splitlines()[0]}") from None
    if found["validation_state"] == "Invalid":
        failed = found["validation_results"]["activeManifest"]["failure"]
        codes = sorted({each["code"] for each in failed} - {"signingCredential.untrusted"})
        raise EquimeError(f"its C2PA manifest does not verify ({', '.join(codes)}): changed after it was signed")
    manifest: dict[str, Any] = found["manifests"][found["active_manifest"]]
    return manifest


def is_signed(source: bytes | Path) -> bool:
    """Whether a file carries a C2PA manifest, valid or not, by the headers of its boxes alone."""
    if isinstance(source, bytes):
        return _has_box(io.BytesIO(source), len(source))
    with source.open("rb") as handle:
        return _has_box(handle, os.fstat(handle.fileno()).st_size)


def _has_box(handle: BinaryIO, size: int) -> bool:
    at = 0
    while at + 8 <= size:
        handle.seek(at)
        header = handle.read(32)
        length, kind = struct.unpack(">I4s", header[:8])
        start = 8
        if length == 1 and len(header) >= 16:  # the length did not fit
            (length,), start = struct.unpack(">Q", header[8:16]), 16
        if kind == b"uuid" and header[start : start + 16] == _BOX:
            return True
        if length < start:  # 0: to the end; else no box
            return False
        at += length
    return False


def _manifest(data: bytes, generator: str, title: str) -> dict[str, Any]:
    """What is signed.

    The comment stands in it as it is: its length is the same for every clip, and a manifest's must not tell either
    how many action units a clip shows.
    """
    action = {"action": "c2pa.created", "digitalSourceType": _IPTC + SOURCE_TYPES[generator]}
    told = {"synthetic": True, "generator": generator, "sha256": video.sha256(data)}
    told["comment"] = video.probe(data).comment
    maker = {"name": "EquiME"}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # a checkout that nobody installed
        maker["version"] = importlib.metadata.version("equime")
    return {
        "claim_generator_info": [maker],
        "title": title,
        "format": _MP4,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
            {"label": PROVENANCE, "data": told},
        ],
    }


def _identity(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    told = manifest["signature_info"]
    return tuple(told.get(name) for name in ("alg", "issuer", "common_name", "cert_serial_number"))


def _pem(path: str | os.PathLike[str], label: str, what: str) -> bytes:
    """A file with a PEM block of that label."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EquimeError(f"cannot read {what} {path}: {error.strerror}") from None
    if f"-----BEGIN {label}-----".encode() not in data:
        mend = f": run `openssl pkcs8 -topk8 -nocrypt -in {path} -out key.pem`" if label == "PRIVATE KEY" else ""
        raise EquimeError(f"expected {what} in PEM format (BEGIN {label}), {path} has none{mend}")
    return data
