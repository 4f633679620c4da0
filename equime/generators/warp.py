"""The packaged generator: a neutral photo, moved by action units. Runs on one CPU core, needs no licence and no GPU.

What: `Still.of(photo)` finds and aligns the face; `Warp().frames(still, units, onset, apex, offset, seed)` draws the
clip, `Warp().clips(scenes)` those of a plan. Why: its onset, apex, offset, sides and units are known exactly, which
makes it the ground truth for every measure of validity, and a data set anyone can make.

    equime generate ws                          # over a whole plan
    frames = Warp().frames(still, parse("1B+2B").units, 2000, 2160, 2320, seed=7)

What it cannot show, because it only moves the photo's own pixels: new creases, furrows, bulges and crow's feet;
shading that changes with the skin's form; teeth, tongue or the dark of an opening mouth; a closing lid's own skin and
lashes (the eye is squeezed to a slit); a gaze; anything coming out from behind something else; a turning head. So
units 25, 26 and 43 are shown at intensities A to C only, and those made of such changes alone (8, 13, 21, 22, 28, 31,
38, 39) not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from equime.action_units import ActionUnit
from equime.causal import noise
from equime.errors import EquimeError
from equime.generators import motion
from equime.generators.anchors import Kernel
from equime.generators.fields import Inverse, displacement, frame
from equime.generators.patterns import PATTERNS
from equime.generators.scene import Scene, Still
from equime.generators.slits import lids
from equime.mesh import Face
from equime.options import option
from equime.schema import FPS, NUM_FRAMES

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Warp:
    """The generator; its fields change what is drawn.

    Attributes:
        sensor_noise: Standard deviation of the grain in grey levels of 255; each clip draws 0.8 to 1.2 of it.
        sway: Largest shift of the head from idle motion, in pixels each way; each clip draws 0.5 to 1 of it.
        blinks: Share of clips that hold one blink, 0-1.
        num_frames: Length of the clip.
        fps: Frames a second.
    """

    SHOWS: ClassVar[Mapping[int, str]] = MappingProxyType({au: "C" if au in (25, 26, 43) else "E" for au in PATTERNS})
    """The highest intensity at which each unit can be shown."""

    sensor_noise: float = option(1.5, help="standard deviation of the grain, in grey levels of 255")
    sway: float = option(1.2, help="largest shift of the head from idle motion, in pixels")
    blinks: float = option(0.5, help="share of clips with a blink")
    num_frames: int = option(NUM_FRAMES, help="frames in a clip")
    fps: int = option(FPS, help="frames a second")

    @property
    def models(self) -> Mapping[str, str]:
        """None: nothing is downloaded."""
        return {}

    @property
    def shows(self) -> Mapping[int, str]:
        """Unit -> strongest intensity: `SHOWS`."""
        return self.SHOWS

    def load(self) -> None:
        """Nothing to load."""

    def clips(self, scenes: Sequence[Scene]) -> Iterator[tuple[Array, str]]:
        """For each scene, in order: uint8 (`num_frames`, 512, 512, 3) RGB, and an empty note.

        Raises:
            EquimeError: See `frames` and `Scene.times`.
        """
        for scene in scenes:
            yield np.stack(list(self._scene(scene))), ""

    def _scene(self, scene: Scene) -> Iterator[Array]:
        times = scene.times
        if scene.control == "blink":
            return self._draw(scene.still, (), None, motion.one_blink(scene.seed, self._length_ms), scene.seed)
        return self.frames(scene.still, scene.units, *times, scene.seed)

    def apex(self, still: Still, units: Sequence[ActionUnit], seed: int) -> Array:
        """The face at its apex, uint8 (512, 512, 3) RGB, without sway, blink or grain: a key frame for others.

        Raises:
            EquimeError: A unit or intensity that a warp cannot show, or a side unsaid.
        """
        self._check(units)
        field = _expression(still, tuple(units), seed)
        y, x = np.mgrid[: field.shape[0], : field.shape[1]].astype(np.float32)
        place = Inverse(field)(1.0, np.stack([x, y], -1))
        return np.asarray(cv2.remap(still.image, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101))

    def peak_px(self, still: Still, units: Sequence[ActionUnit], seed: int) -> float:
        """The largest displacement of any pixel at the apex, in pixels of the clip; 0 without units.

        In eye distances it is this over `still.face.eye_distance`.
        """
        return float(np.hypot(*np.moveaxis(_expression(still, tuple(units), seed), 2, 0)).max())

    def frames(
        self,
        still: Still,
        units: Sequence[ActionUnit],
        onset_ms: float | None,
        apex_ms: float | None,
        offset_ms: float | None,
        seed: int,
    ) -> Iterator[Array]:
        """Draw a clip, one frame at a time.

        The same arguments give the same bytes, whatever was drawn before and however many threads OpenCV has. The
        seed and the times alone decide the kernel, the course, the sway, the blink and the grain: the same with
        other units, or with none, they are the same.

        Args:
            still: The neutral photo.
            units: What the face does; empty for a control that only sways and blinks.
            onset_ms: When the displacement crosses 10 % of its peak on the way up; None only without units.
            apex_ms: When it peaks.
            offset_ms: When it crosses 10 % on the way down.
            seed: The clip's.

        Returns:
            An iterator over `num_frames` frames, uint8 (512, 512, 3) RGB; frame i is at i / fps seconds.

        Raises:
            EquimeError: A unit or intensity that a warp cannot show, a side unsaid, times out of order, or no room
                for the face to leave and reach rest within the clip.
        """
        self._check(units)
        course = self._course(units, onset_ms, apex_ms, offset_ms, seed)
        blink = motion.blink(seed, self.blinks, self._length_ms, onset_ms, offset_ms)
        return self._draw(still, tuple(units), course, blink, seed)

    @property
    def _length_ms(self) -> float:
        return (self.num_frames - 1) * 1000 / self.fps

    def _check(self, units: Sequence[ActionUnit]) -> None:
        for unit in units:
            most = self.SHOWS.get(unit.au, "")
            if unit.intensity is None or unit.intensity > most or unit.side == "U":
                can = f"up to {most} with side L, R or B" if most else "not"
                raise EquimeError(
                    f"expected units that a warp can show, got {str(unit)!r} with {unit.side = }: "
                    f"unit {unit.au} {can}; plan without it"
                )
        sides = [(u.au, s) for u in units for s in ("LR" if u.side == "B" else u.side)]
        if len(set(sides)) < len(sides):
            raise EquimeError(f"expected each unit once a side, got {[str(u) for u in units]}; plan it once")

    def _course(
        self,
        units: Sequence[ActionUnit],
        onset_ms: float | None,
        apex_ms: float | None,
        offset_ms: float | None,
        seed: int,
    ) -> motion.Course | None:
        if onset_ms is None or apex_ms is None or offset_ms is None:
            if units:
                raise EquimeError(
                    f"expected onset, apex and offset for {len(units)} units, got {onset_ms = }, {apex_ms = }, "
                    f"{offset_ms = }; plan the clip again"
                )
            return None
        course = motion.course(seed, onset_ms, apex_ms, offset_ms)
        if course.start_ms < 0 or course.end_ms > self._length_ms:
            raise EquimeError(
                f"expected rest at both ends of a clip of {self._length_ms:.0f} ms, got {onset_ms = }, "
                f"{offset_ms = }; plan half a rise and half a fall more room"
            )
        return course

    def _draw(
        self,
        still: Still,
        units: Sequence[ActionUnit],
        course: motion.Course | None,
        blink: motion.Blink | None,
        seed: int,
    ) -> Iterator[Array]:
        size = still.image.shape[0]
        kernel = draw_kernel(seed)
        face = still.face
        expression = Inverse(_expression(still, tuple(units), seed)) if units else None
        shut = Inverse(_shut(face, kernel, size)) if blink else None
        stage = _Stage(face, size)
        sway, sensor = motion.sway(seed, self.sway), motion.Sensor(seed, size, self.sensor_noise)
        for index in range(self.num_frames):
            ms = index * 1000 / self.fps
            place = stage(*sway(ms))
            # The blink keeps clear of the expression, so at most one of the two moves at a time.
            for inverse, share in ((expression, course), (shut, blink)):
                if inverse is not None and share is not None and share(ms) > 0:
                    place = inverse(share(ms), place)
            drawn = cv2.remap(still.image, place, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            yield sensor(drawn, index)


def draw_kernel(seed: int) -> Kernel:
    """The clip's spatial kernel: one of two families, 0.85 to 1.15 of the standard width. Of the seed alone."""
    rng = noise(seed, "kernel")
    return Kernel("wendland" if rng.random() < 0.5 else "gaussian", float(rng.uniform(0.85, 1.15)))


@lru_cache(maxsize=4)
def _expression(still: Still, units: tuple[ActionUnit, ...], seed: int) -> Array:
    """The clip's displacement at the apex, float32 (512, 512, 2). Kept: its size is asked for beside its frames."""
    return displacement(still.face, units, draw_kernel(seed), still.image.shape[0])


def _shut(face: Face, kernel: Kernel, size: int) -> Array:
    """float32 (size, size, 2): both eyes at a blink's turning point, as far shut as a warp can show."""
    far = 0.5 * face.eye_distance  # More than any eye opens: `lids` stops at its limit.
    return sum(lids(face, side, -far, 0.1 * far, kernel, size) for side in "RL") * frame(size)


class _Stage:
    """The head before its background: the sway moves the face as one and fades out around it."""

    def __init__(self, face: Face, size: int) -> None:
        y, x = np.mgrid[:size, :size].astype(np.float32)
        self._grid = np.stack([x, y], -1)
        hull = cv2.convexHull(np.rint(face.points[:, :2]).astype(np.int32))
        outside = cv2.fillConvexPoly(np.full((size, size), 1, np.uint8), hull, 0)
        away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        near = np.clip(1 - away / (0.7 * face.eye_distance), 0, 1)
        near = near * near * (3 - 2 * near)
        self._near = near * frame(size)[..., 0]
        middle = np.float32((size - 1) / 2)
        self._across, self._down = self._near * (x - middle), self._near * (y - middle)

    def __call__(self, right: float, down: float, turn: float, growth: float) -> Array:
        """float32 (size, size, 2): where each pixel of the frame lies in the still head."""
        x, y, near = self._across, self._down, self._near
        s, t, u, v = (np.float32(k) for k in (growth, turn, right, down))
        return np.asarray(self._grid - np.stack([s * x - t * y + u * near, t * x + s * y + v * near], -1))
