"""The typology angle against scikit-image's CIELAB, on real faces under changed light, and where it says nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from skimage.color import lab2rgb, rgb2lab

from equime.face import FaceFinder, crop
from equime.mesh import Face, region_mask
from equime.skin import BANDS, EDGES, lab, skin_band, skin_ita


@pytest.fixture(scope="module")
def face(portrait: np.ndarray) -> Face:
    return FaceFinder(tiles=(1, 2))(portrait)[0]


def flat(lightness: float, a: float, b: float) -> np.ndarray:
    """A picture of one colour."""
    colour = np.rint(lab2rgb(np.array([[[lightness, a, b]]], float)) * 255).astype(np.uint8)
    return np.tile(colour, (512, 512, 1))


def angle(picture: np.ndarray) -> float:
    """By scikit-image, of a picture's first pixel."""
    lightness, _, b = rgb2lab(picture[:1, :1])[0, 0]
    return float(np.degrees(np.arctan((lightness - 50) / b)))


@given(hnp.arrays(np.uint8, (7, 3)))
@settings(derandomize=True, deadline=None)
def test_lab_is_scikit_images(pixels):
    np.testing.assert_allclose(lab(pixels), rgb2lab(pixels), atol=5e-3)  # its matrix has rounded digits


@pytest.mark.parametrize("colour", [(75, 10, 15), (62, 14, 19), (50, 12, 18), (30, 11, 12)])
def test_the_angle_of_a_flat_colour(face, colour):
    assert skin_ita(flat(*colour), face) == pytest.approx(angle(flat(*colour)), abs=0.05)


def test_shine_and_shadow_do_not_count(face):
    plain = flat(62, 14, 19)
    spotted, rng = plain.copy(), np.random.default_rng(0)
    dots = rng.random(plain.shape[:2])
    spotted[dots < 0.15] = 254
    spotted[dots > 0.85] = (30, 22, 20)
    assert skin_ita(spotted, face) == pytest.approx(skin_ita(plain, face), abs=0.05)


def test_only_the_cheeks_count(face):
    picture = flat(62, 14, 19)
    cheeks = region_mask(face, "cheek", "B", picture.shape)
    picture[~cheeks] = (10, 200, 40)
    assert skin_ita(picture, face) == pytest.approx(angle(flat(62, 14, 19)), abs=0.05)


def test_a_real_face_keeps_its_angle_in_its_crop_and_darkens_with_the_light(portrait, face):
    square, aligned = crop(portrait, face)
    whole = skin_ita(portrait, face)
    assert skin_ita(square, aligned) == pytest.approx(whole, abs=2)
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    other = face.points * np.float32([-1, 1, 1]) + np.float32([511, 0, 0])
    assert skin_ita(mirrored, Face(other, 1, 1)) == pytest.approx(whole, abs=2)
    dimmed = [skin_ita((portrait * share).astype(np.uint8), face) for share in (1.0, 0.8, 0.6, 0.4)]
    assert dimmed == sorted(dimmed, reverse=True) and dimmed[0] - dimmed[-1] > 20


def test_it_says_nothing_of_grey_or_hidden_skin(portrait, face):
    grey = cv2.cvtColor(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert skin_ita(grey, face) is None
    assert skin_ita(np.ascontiguousarray(portrait[..., ::-1]), face) is None, "blue"
    away = Face(face.points + np.float32([2000, 0, 0]), 1, 1)
    assert skin_ita(portrait, away) is None
    for level in (0, 255):
        assert skin_ita(np.full_like(portrait, level), face) is None


def test_bands_begin_above_their_edge():
    assert [skin_band(edge + 0.01) for edge in EDGES] == list(BANDS[:-1])
    assert [skin_band(edge) for edge in EDGES] == list(BANDS[1:])
    assert (skin_band(89.0), skin_band(-89.0), skin_band(None)) == ("very light", "dark", None)
