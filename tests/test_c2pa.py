"""Signing at export, judged by C2PA's own reader and with certificates made here."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

c2pa = pytest.importorskip("c2pa")
pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from huggingface_hub import DatasetCard
from make_clips import clip_bytes
from make_workspace import add_rows, clip, make_row, make_tree, make_workspace

from equime import hub, schema, sidecar, video
from equime.builders.generate import Generate
from equime.c2pa_signing import PROVENANCE, SOURCE_TYPES, Signer, is_signed, read_manifest
from equime.errors import EquimeError
from equime.table import Table
from equime.tree import export_tree, import_tree

DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
ISSUER_KEY = ec.generate_private_key(ec.SECP256R1())


def name(common: str) -> x509.Name:
    parts = {NameOID.COUNTRY_NAME: "CH", NameOID.ORGANIZATION_NAME: "A lab", NameOID.COMMON_NAME: common}
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts.items()])


def certificate(
    subject: str, key: Any, *, is_issuer: bool = False, begins: int = -1, ends: int = 30, purpose: Any = None
) -> bytes:
    """A certificate by `ISSUER_KEY`, with what C2PA demands of one (specification 2.1, 14.5.1)."""
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name("issuer"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + ends * DAY)
        .add_extension(x509.BasicConstraints(ca=is_issuer, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(not is_issuer, False, False, False, False, is_issuer, is_issuer, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUER_KEY.public_key()), critical=False)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(ISSUER_KEY, hashes.SHA256()).public_bytes(PEM)


def identity(
    folder: Path,
    key: Any = None,
    common: str = "signer",
    encryption: serialization.KeySerializationEncryption | None = None,
    purpose: Any = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    **dates: int,
) -> tuple[Path, Path]:
    """Files of a certificate chain and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = key or ec.generate_private_key(ec.SECP256R1())
    chain, secret = folder / "chain.pem", folder / "key.pem"
    leaf = certificate(common, key, purpose=purpose, **dates)
    chain.write_bytes(leaf + certificate("issuer", ISSUER_KEY, is_issuer=True, begins=-40, ends=400))
    encryption = encryption or serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption))
    return chain, secret


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return identity(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def signer(files: tuple[Path, Path]) -> Signer:
    return Signer(*files)


def oracle(data: bytes) -> dict[str, Any]:
    """What C2PA's reader says of a file, and the state of its validation."""
    with c2pa.Reader("video/mp4", io.BytesIO(data)) as reader:
        report: dict[str, Any] = json.loads(reader.json())
    return report


def assertions(data: bytes) -> dict[str, Any]:
    report = oracle(data)
    return {each["label"]: each["data"] for each in report["manifests"][report["active_manifest"]]["assertions"]}


def contents(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def altered(data: bytes, share: float = 0.5) -> bytes:
    """One byte of a file's coded pictures inverted, at a share of their length."""
    start = data.index(b"mdat") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    at = start + int(share * length)
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def quiet_export(table: Table | Path, out: Path, **options: Any) -> Any:
    return export_tree(table, out, progress=False, **options)


# --- one clip


@pytest.mark.parametrize(("generator", "kind"), [("ltx", "trainedAlgorithmicMedia"), ("warp", "composite")])
def test_manifest_says_how_the_clip_was_made(signer: Signer, generator: str, kind: str) -> None:
    comment = json.dumps({"synthetic": True, "seed": 7, "onset_ms": 2010.5})
    data = clip_bytes(comment=comment)
    signed = signer.sign(data, generator=generator, title="f_1_0.mp4")
    report = oracle(signed)
    manifest = report["manifests"][report["active_manifest"]]
    told = assertions(signed)
    assert report["validation_state"] == "Valid"
    assert manifest["claim_generator_info"][0]["name"] == "EquiME"
    assert manifest["title"] == "f_1_0.mp4"
    assert manifest["signature_info"]["common_name"] == "signer"
    (action,) = told["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"
    assert told[PROVENANCE] == {
        "synthetic": True,
        "generator": generator,
        "sha256": video.sha256(data),
        "comment": comment,
    }


def test_signing_leaves_frames_and_tags(signer: Signer) -> None:
    data = clip_bytes(24, 64, comment="made here")
    signed = signer.sign(data, generator="warp", title="f_1_0.mp4")
    np.testing.assert_array_equal(video.decode(signed), video.decode(data))
    np.testing.assert_array_equal(video.decode(signed, indices=[3, 20]), video.decode(data, indices=[3, 20]))
    before, after = video.probe(data), video.probe(signed)
    for fact in ("codec", "pix_fmt", "width", "height", "fps", "num_frames", "duration_s", "constant_rate", "comment"):
        assert getattr(after, fact) == getattr(before, fact), fact
    assert after.size_bytes == len(signed) > len(data)


def test_any_changed_byte_of_the_pictures_shows(signer: Signer) -> None:
    data = clip(3)
    signed = signer.sign(data, generator="warp", title="f_1_0.mp4")
    for share in (0, 0.5, 0.99):
        bad = altered(signed, share)
        assert oracle(bad)["validation_state"] == "Invalid"
        with pytest.raises(EquimeError, match=r"does not verify \(assertion.bmffHash.mismatch\)"):
            read_manifest(bad)
        assert not signer.made(bad, video.sha256(data))


def test_made_knows_its_own_work_only(signer: Signer, files: tuple[Path, Path], tmp_path: Path) -> None:
    data, other = clip(1), clip(2)
    signed = signer.sign(data, generator="warp", title="f_1_0.mp4")
    assert signer.made(signed, video.sha256(data))
    assert Signer(*files).made(signed, video.sha256(data))
    assert not signer.made(signed, video.sha256(other))
    assert not signer.made(data, video.sha256(data))
    assert not signer.made(b"", video.sha256(b""))
    assert not Signer(*identity(tmp_path)).made(signed, video.sha256(data))


def test_is_signed_by_headers_alone(signer: Signer, tmp_path: Path) -> None:
    data = clip(1)
    signed = signer.sign(data, generator="warp", title="f_1_0.mp4")
    (tmp_path / "signed.mp4").write_bytes(signed)
    (tmp_path / "plain.mp4").write_bytes(data)
    assert is_signed(signed) and is_signed(tmp_path / "signed.mp4")
    assert not is_signed(data) and not is_signed(tmp_path / "plain.mp4")
    assert not is_signed(b"") and not is_signed(b"\0" * 64) and not is_signed(signed[:20])


def test_length_of_manifest_tells_nothing_of_the_clip(signer: Signer) -> None:
    """The comment is padded to one length so that a file's size does not tell its units; a manifest keeps to that."""
    sizes = set()
    for units in ([], [{"au": 12, "side": "B"}], [{"au": au, "side": "L"} for au in (1, 2, 5)]):
        data = clip_bytes(comment=json.dumps(units).ljust(400))
        sizes.add(len(signer.sign(data, generator="ltx", title="f_1_0.mp4")) - len(data))
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("es384", ec.generate_private_key(ec.SECP384R1())),
        ("ps256", rsa.generate_private_key(65537, 2048)),
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
    ],
)
def test_other_algorithms(tmp_path: Path, algorithm: str, key: Any) -> None:
    signed = Signer(*identity(tmp_path, key), algorithm).sign(clip(0), generator="warp", title="f_1_0.mp4")
    report = oracle(signed)
    assert report["validation_state"] == "Valid"
    assert report["manifests"][report["active_manifest"]]["signature_info"]["alg"].lower() == algorithm


def test_clip_of_unknown_making_is_not_signed(signer: Signer) -> None:
    with pytest.raises(EquimeError, match="made by 'imported', not by warp or ltx"):
        signer.sign(clip(0), generator="imported", title="f_1_0.mp4")
    signed = signer.sign(clip(0), generator="warp", title="f_1_0.mp4")
    with pytest.raises(EquimeError, match="already"):
        signer.sign(signed, generator="warp", title="f_1_0.mp4")


def test_source_type_of_every_generator() -> None:
    assert set(SOURCE_TYPES) == set(get_args(get_type_hints(Generate)["generator"]))


# --- what a user can get wrong


def one_line(error: pytest.ExceptionInfo[EquimeError], *secrets: Path) -> str:
    said = str(error.value)
    assert "\n" not in said
    for secret in secrets:
        for line in secret.read_text().splitlines():
            assert line.startswith("-") or line not in said
    return said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"begins": -20, "ends": -10}, "expired or not valid yet"),
        ({"begins": 10, "ends": 20}, "expired or not valid yet"),
        ({"purpose": None}, "C2PA refuses the certificate"),
        ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "C2PA refuses the certificate"),
        ({"key": rsa.generate_private_key(65537, 2048)}, "not one for this algorithm"),
        ({"encryption": serialization.BestAvailableEncryption(b"x")}, "expected an unencrypted PKCS#8 private key"),
    ],
)
def test_wrong_certificate_or_key(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    chain, key = identity(tmp_path, **options)
    with pytest.raises(EquimeError) as error:
        Signer(chain, key)
    assert said in one_line(error, key)


def test_key_of_another_certificate(tmp_path: Path, files: tuple[Path, Path]) -> None:
    _, other = identity(tmp_path)
    with pytest.raises(EquimeError) as error:
        Signer(files[0], other)
    assert "does not belong to the certificate" in one_line(error, other)


def test_files_that_are_no_certificate_and_no_key(tmp_path: Path, files: tuple[Path, Path]) -> None:
    chain, key = files
    with pytest.raises(EquimeError, match=r"cannot read a certificate chain .*absent.pem"):
        Signer(tmp_path / "absent.pem", key)
    with pytest.raises(EquimeError, match="cannot read an unencrypted PKCS#8 private key"):
        Signer(chain, tmp_path)
    with pytest.raises(EquimeError, match="expected an unencrypted PKCS#8 private key"):
        Signer(chain, chain)
    with pytest.raises(
        EquimeError, match=r"expected a certificate chain in PEM format \(BEGIN CERTIFICATE\), .*key.pem"
    ):
        Signer(key, key)
    broken = tmp_path / "key.pem"
    broken.write_text("-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(EquimeError) as error:
        Signer(chain, broken)
    assert "private key" in one_line(error, broken)


def test_algorithm_and_time_stamp_authority(files: tuple[Path, Path]) -> None:
    with pytest.raises(EquimeError, match=r"expected --sign-alg to be one of es256, .*, got 'md5'"):
        Signer(*files, "md5")
    with pytest.raises(EquimeError, match="not one for this algorithm"):
        Signer(*files, "es384")
    with pytest.raises(EquimeError, match=r"expected a time stamp authority as http.*got 'tsa'"):
        Signer(*files, timestamp_url="tsa")
    with pytest.raises(EquimeError, match="time stamp authority does not answer"):
        Signer(*files, timestamp_url="http://127.0.0.1:9/")


def test_key_stays_in_memory(files: tuple[Path, Path], signer: Signer, tmp_path: Path) -> None:
    quiet_export(make_workspace(tmp_path / "ws", subjects=1), tmp_path / "tree", signer=signer)
    secret = "".join(files[1].read_text().splitlines()[1:-1]).encode()
    assert secret[:40] not in repr(vars(signer)).encode()
    for data in contents(tmp_path).values():
        assert secret[40:80] not in data


# --- a tree


def test_signed_tree_describes_its_files(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    receipt = quiet_export(table, tmp_path / "tree", signer=signer)
    assert receipt.failed == 0 and receipt.rows == 10
    rows = {row["clip_id"]: row for row in table.rows(["sha256", "duration_s", "caption"])}
    for clip_id, row in rows.items():
        emotion, _, stem = clip_id.partition("/")
        data = (tmp_path / "tree" / f"{clip_id}.mp4").read_bytes()
        said = json.loads((tmp_path / "tree" / emotion / "metadata" / f"{stem}_metadata.json").read_text())
        assert oracle(data)["validation_state"] == "Valid"
        assert said["sha256"] == video.sha256(data)
        assert said["file_size_bytes"] == len(data)
        assert said["bitrate_kbps"] == pytest.approx(len(data) * 8 / 1000 / row["duration_s"])
        assert said["unsigned_sha256"] == assertions(data)[PROVENANCE]["sha256"] == row["sha256"]
        assert said["synthetic"] is True and said["caption"] == row["caption"]


def test_signing_again_changes_nothing(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    quiet_export(table, tmp_path / "tree", signer=signer)
    before = contents(tmp_path / "tree")
    assert quiet_export(table, tmp_path / "tree", signer=signer).failed == 0
    assert quiet_export(table, tmp_path / "tree", signer=signer, replace=True).failed == 0
    assert contents(tmp_path / "tree") == before


def test_stopped_run_goes_on(signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    calls, sign = [], signer.sign

    def stop(data: bytes, **options: Any) -> bytes:
        calls.append(data)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return sign(data, **options)

    monkeypatch.setattr(signer, "sign", stop)
    with pytest.raises(KeyboardInterrupt):
        quiet_export(table, tmp_path / "tree", signer=signer)
    done = contents(tmp_path / "tree")
    assert len(done) == 6 and all(is_signed(data) for path, data in done.items() if path.endswith(".mp4"))
    (tmp_path / "tree" / next(path for path in done if path.endswith("metadata.json"))).unlink()
    quiet_export(table, tmp_path / "tree", signer=signer)
    after = contents(tmp_path / "tree")
    assert len(after) == 20 and len(calls) == 4 + 7
    assert {path: after[path] for path in done} == done


def test_tree_is_signed_whole_or_not_at_all(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1)
    quiet_export(table, tmp_path / "plain")
    quiet_export(table, tmp_path / "signed", signer=signer)
    add_rows(table, [make_row(50, 7, 0, "fear")])
    plain, signed = contents(tmp_path / "plain"), contents(tmp_path / "signed")
    with pytest.raises(EquimeError, match=r"5 clips in .*plain are not signed \(anger/f_0_0.mp4\)"):
        quiet_export(table, tmp_path / "plain", signer=signer)
    with pytest.raises(EquimeError, match=r"5 clips in .*signed are signed with C2PA"):
        quiet_export(table, tmp_path / "signed")
    assert contents(tmp_path / "plain") == plain and contents(tmp_path / "signed") == signed
    quiet_export(table, tmp_path / "plain", signer=signer, replace=True)
    mp4s = [data for path, data in contents(tmp_path / "plain").items() if path.endswith(".mp4")]
    assert len(mp4s) == 6 and {oracle(data)["validation_state"] for data in mp4s} == {"Valid"}


def test_damaged_and_foreign_signatures_are_replaced_when_asked(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1, emotions=["fear", "anger"])
    tree = tmp_path / "tree"
    quiet_export(table, tree, signer=signer)
    path = tree / "fear" / "f_0_0.mp4"
    kept = (tree / "anger" / "f_0_0.mp4").read_bytes()
    path.write_bytes(altered(path.read_bytes()))
    assert set(quiet_export(table, tree, signer=signer).errors) == {
        "fear/f_0_0.mp4",
        "fear/metadata/f_0_0_metadata.json",
    }
    assert quiet_export(table, tree, signer=signer, replace=True).failed == 0
    assert oracle(path.read_bytes())["validation_state"] == "Valid"
    assert (tree / "anger" / "f_0_0.mp4").read_bytes() == kept
    other = Signer(*identity(tmp_path / "other", common="another"))
    assert quiet_export(table, tree, signer=other, replace=True).failed == 0
    for data in (path.read_bytes(), (tree / "anger" / "f_0_0.mp4").read_bytes()):
        assert read_manifest(data)["signature_info"]["common_name"] == "another"


def test_signed_tree_comes_back_without_loss(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=2)
    quiet_export(table, tmp_path / "tree", signer=signer)
    receipt = import_tree(tmp_path / "tree", tmp_path / "back", 4, progress=False)
    assert receipt.failed == 0 and "unsigned_sha256" in receipt.notes[0]
    differ = {"sha256", "size_bytes", "bitrate_kbps"}
    names = [n for n in schema.METADATA.names if n not in schema.UNPUBLISHED and schema.OWNER[n] != "plan"]
    before = {row["clip_id"]: row for row in table.rows(names)}
    for row in Table(tmp_path / "back").rows(names):
        other = before[row["clip_id"]]
        assert {name for name in names if row[name] != other[name]} == differ
    assert quiet_export(tmp_path / "back", tmp_path / "again").failed == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "tree")
    assert quiet_export(tmp_path / "back", tmp_path / "signed-again", signer=signer).failed == 0
    assert contents(tmp_path / "signed-again") == contents(tmp_path / "tree")


def test_import_names_clips_that_were_signed_since(signer: Signer, tmp_path: Path) -> None:
    table = make_workspace(tmp_path / "ws", subjects=1)
    quiet_export(table, tmp_path / "tree")
    import_tree(tmp_path / "tree", tmp_path / "back", 4, progress=False)
    quiet_export(table, tmp_path / "tree", signer=signer, replace=True)
    receipt = import_tree(tmp_path / "tree", tmp_path / "back", 4, progress=False)
    assert len(receipt.errors) == 5
    assert all(why.startswith("the clip and its metadata JSON differ") for why in receipt.errors.values())


def test_imported_clip_with_a_broken_manifest_is_not_passed_on(signer: Signer, tmp_path: Path) -> None:
    quiet_export(make_workspace(tmp_path / "ws", subjects=1), tmp_path / "tree", signer=signer)
    path = tmp_path / "tree" / "fear" / "f_0_0.mp4"
    path.write_bytes(altered(path.read_bytes()))
    (tmp_path / "tree" / "fear" / "metadata" / "f_0_0_metadata.json").unlink()
    import_tree(tmp_path / "tree", tmp_path / "back", 4, progress=False)
    receipt = quiet_export(tmp_path / "back", tmp_path / "again", signer=signer)
    assert list(receipt.errors) == ["fear/f_0_0"] and "does not verify" in receipt.errors["fear/f_0_0"]
    assert not (tmp_path / "again" / "fear" / "f_0_0.mp4").exists()


def test_imported_clips_of_unknown_making_are_left_out(signer: Signer, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", subjects=1, metadata=False)
    import_tree(tmp_path / "tree", tmp_path / "ws", 4, progress=False)
    receipt = quiet_export(tmp_path / "ws", tmp_path / "signed", signer=signer)
    assert receipt.rows == 0 and len(receipt.errors) == 5
    assert not (tmp_path / "signed").exists()


# --- the disclosure


def test_every_metadata_file_discloses(signer: Signer, tmp_path: Path) -> None:
    """Made here, imported with others' words, without any, and with text that is no JSON; signed or not."""
    make_tree(tmp_path / "foreign", subjects=2)
    (tmp_path / "foreign" / "fear" / "metadata" / "f_100_00_metadata.json").write_text("{broken")
    (tmp_path / "foreign" / "anger" / "metadata" / "f_100_00_metadata.json").unlink()
    import_tree(tmp_path / "foreign", tmp_path / "imported", 4, progress=False)
    table = make_workspace(tmp_path / "ws", subjects=1, groups=["plan", "generate"])
    quiet_export(tmp_path / "imported", tmp_path / "out1")
    quiet_export(table, tmp_path / "out2")
    quiet_export(table, tmp_path / "out3", signer=signer)
    documents = [p for n in (1, 2, 3) for p in (tmp_path / f"out{n}").rglob("*.json")]
    assert len(documents) == 10 + 5 + 5
    for path in documents:
        assert json.loads(path.read_text())[sidecar.DISCLOSURE] is True


def test_hub_card_discloses(tmp_path: Path) -> None:
    hub.write_layout(make_workspace(tmp_path / "ws", subjects=3), tmp_path / "out", progress=False)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "synthetic" in DatasetCard(card).data.tags
    assert "Every clip here is synthetic" in card
