"""Photos: any picture file as uint8 (H, W, 3) RGB, or one line that says what is wrong with it.

>>> image = read_image("portrait.jpg")
"""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from equime.errors import EquimeError
from equime.one_line import one_line

Array = npt.NDArray[Any]

MAX_PIXELS: Final = 100_000_000
MIN_SIDE: Final = 64
BACKDROP: Final = (128, 128, 128)
"""What shows through a transparent image: mid grey, so that a cut-out gets no bright rim."""


def read_image(path: str | os.PathLike[str]) -> Array:
    """Read a photo as uint8 (H, W, 3) RGB.

    EXIF orientation is applied; grey, palette, CMYK and 16-bit images are converted; transparency
    is composited on mid grey (`BACKDROP`); of an animation the first frame is read. The size is
    judged from the header, before any pixel is decoded.

    Raises:
        EquimeError: Missing, a folder, a pipe, not an image, truncated, or of a size that cannot hold a
            face (under `MIN_SIDE` px a side) or would fill the memory (over `MAX_PIXELS`).
    """
    path, named = Path(path), one_line(path)
    # Pillow warns of large images, which are judged below, and of odd EXIF data, which is harmless.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _decoded(path)
        except FileNotFoundError:
            raise EquimeError(f"no such image: {named}") from None
        except UnidentifiedImageError:
            raise EquimeError(f"expected an image such as JPEG, got something else: {named}") from None
        except Image.DecompressionBombError:
            raise EquimeError(f"expected at most {MAX_PIXELS:,} px, got far more: {named}") from None
        except EquimeError:
            raise
        except Exception as error:  # Pillow's decoders meet damage with nearly any exception.
            if isinstance(error, OSError) and error.errno:
                raise EquimeError(f"cannot read {named}: {error.strerror}") from None
            raise EquimeError(f"the image is damaged or cut short ({one_line(error)}): {named}") from None


def _decoded(path: Path) -> Array:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise EquimeError(f"expected an image file, got {what}: {one_line(path)}")
    with Image.open(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise EquimeError(f"expected at most {MAX_PIXELS:,} px, got {width}x{height}: {one_line(path)}")
        if min(width, height) < MIN_SIDE:
            raise EquimeError(f"expected {MIN_SIDE} px a side or more, got {width}x{height}: {one_line(path)}")
        image.load()
        return np.array(_rgb(ImageOps.exif_transpose(image)))


def _rgb(image: Image.Image) -> Image.Image:
    """Any Pillow mode as RGB."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip instead of scaling.
        grey = np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*BACKDROP, 255))
        image = Image.alpha_composite(backdrop, image)
    return image.convert("RGB")
