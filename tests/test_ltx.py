"""LTX-Video against the pipelines of `diffusers` themselves, with tiny random weights."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_ltx
from PIL import Image

from equime.action_units import parse
from equime.errors import EquimeError
from equime.generators.ltx import LTX
from equime.generators.ltx_draw import Job, generator
from equime.generators.ltx_keys import FIRST, keys
from equime.generators.ltx_prompts import MAX_TOKENS, Prompts
from equime.generators.scene import Scene, Still
from equime.generators.slowdown import slowest, window
from equime.generators.warp import Warp
from equime.options import result_fields

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

# The schedulers of diffusers hand their own timesteps to numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TIMES = (2000.0, 2160.0, 2320.0)
UNITS = parse("1B+2B").units


def scene(seed: int, size: int = 64, **changes: Any) -> Scene:
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    still = Still(image, None)  # no face is looked at when a prompt drives
    made = Scene(f"fear/u_{seed}", still, UNITS, *TIMES, seed, f"A person blinking {seed}.", "a bad head")
    return replace(made, **changes)


def ltx(folder: Path, **settings: Any) -> LTX:
    pipeline = "image" if folder.name == "image" else "condition"
    return LTX(**{"model": str(folder), "pipeline": pipeline, "steps": 2, "device": "cpu", **settings})


def drawn(maker: LTX, *scenes: Scene) -> list[np.ndarray]:
    return [frames for frames, _ in maker.clips(scenes)]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


@pytest.fixture
def tiny_models() -> Path:
    return tiny_ltx.models()


@pytest.fixture(params=["image", "condition", "timed"])
def model(request: pytest.FixtureRequest, tiny_models: Path) -> Path:
    return tiny_models / str(request.param)


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def oracle(folder: Path, shot: Scene, monkeypatch: pytest.MonkeyPatch, **more: Any) -> np.ndarray:
    """All 145 frames as the pipeline itself makes them of pictures and words, its VAE's posterior taken at its mean."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    cls = diffusers.LTXImageToVideoPipeline if folder.name == "image" else diffusers.LTXConditionPipeline
    pipe = cls.from_pretrained(folder)
    settled(pipe.transformer, pipe.vae, pipe.text_encoder)
    pipe.set_progress_bar_config(disable=True)
    call: dict[str, Any] = {"image": Image.fromarray(shot.still.image)}
    if folder.name != "image":
        call |= {"image_cond_noise_scale": 0.025, "max_sequence_length": MAX_TOKENS}
    height, width = shot.still.image.shape[:2]
    call |= {"height": height, "width": width, "num_frames": 145, "frame_rate": 24, "num_inference_steps": 2}
    call |= {"prompt": shot.prompt, "negative_prompt": shot.negative_prompt, "output_type": "np"} | more
    with monkeypatch.context() as patch:
        patch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
        made = pipe(**call, generator=generator(shot.seed, "latents")).frames[0]
    if call["output_type"] == "np":
        return np.asarray((made * 255).round().astype(np.uint8))
    return np.asarray(_decoded(pipe, made, shot.seed))


def settled(*parts: Any) -> None:
    """Move weights out of a mapped file, where a CPU's sums depend on their addresses."""
    for part in parts:
        for tensor in (*part.parameters(), *part.buffers()):
            tensor.data = tensor.data.clone()


def _decoded(pipe: Any, latents: Any, seed: int) -> np.ndarray:
    """What a decoder that takes noise makes of one clip's latents, at timestep and noise 0.05."""
    vae = pipe.vae
    mean, std = (x.view(1, -1, 1, 1, 1) for x in (vae.latents_mean, vae.latents_std))
    latents = latents[None] * std / vae.config.scaling_factor + mean
    noisy = 0.95 * latents + 0.05 * torch.randn(latents.shape, generator=generator(seed, "decode"))
    with torch.no_grad():
        video = vae.decode(noisy, torch.tensor([0.05]), return_dict=False)[0][0]
    return np.asarray(((video / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0))


@pytest.mark.usefixtures("one_thread")
class TestPipelines:
    @pytest.mark.parametrize("kind", ["image", "condition"])
    def test_a_clip_is_the_first_144_frames_of_the_pipeline_itself(
        self,
        kind: str,
        tiny_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shot = scene(3)
        [frames] = drawn(ltx(tiny_models / kind), shot)
        expected = oracle(tiny_models / kind, shot, monkeypatch)
        assert frames.shape == (144, 64, 64, 3) and frames.dtype == np.uint8
        assert np.array_equal(frames, expected[:144])

    def test_a_decoder_with_noise_gets_the_clips_own(
        self,
        tiny_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shot = scene(3)
        [frames] = drawn(ltx(tiny_models / "timed"), shot)
        expected = oracle(tiny_models / "timed", shot, monkeypatch, output_type="latent")[:144]
        assert np.abs(frames.astype(int) - expected).max() <= 1  # the oracle mixes the noise with another rounding
        [other] = drawn(ltx(tiny_models / "timed", decode_noise_scale=0.5), shot)
        assert np.abs(other.astype(int) - expected).max() > 5

    def test_slowed_frames_are_the_pipelines_resampled(
        self,
        tiny_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        shot = scene(4)
        [frames] = drawn(ltx(tiny_models / "image", slowdown=4), shot)
        whole = oracle(tiny_models / "image", shot, monkeypatch)
        assert np.array_equal(frames, whole[window(*TIMES, 4).frame_map()])

    def test_fields_reach_the_pipeline(
        self,
        tiny_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folder, shot = tiny_models / "condition", scene(5)
        for ours, theirs in (
            ({"guidance": 1.0}, {"guidance_scale": 1.0}),
            ({"guidance": 5.0, "steps": 3}, {"guidance_scale": 5.0, "num_inference_steps": 3}),
            ({"timesteps": (1000.0, 700.0, 0.03)}, {"timesteps": [1000.0, 700.0, 0.03]}),
            ({"strength": 0.5, "image_cond_noise_scale": 0.1}, {"strength": 0.5, "image_cond_noise_scale": 0.1}),
        ):
            [frames] = drawn(ltx(folder, **ours), shot)
            assert np.array_equal(frames, oracle(folder, shot, monkeypatch, **theirs)[:144]), ours

    def test_key_frames_are_the_pipelines_conditions(
        self,
        tiny_models: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        folder, shot, apex = tiny_models / "condition", scene(6), scene(7).still.image
        stretch = window(*TIMES, 4)
        places = keys(stretch, TIMES[1])
        job = Job(shot.seed, shot.prompt or "", shot.negative_prompt or "", shot.still.image, apex, places, stretch)
        draw = ltx(folder)._draw
        [(frames, _)] = draw.clips([job], draw.embed(draw.texts(job)))
        pictures = {"neutral": Image.fromarray(shot.still.image), "apex": Image.fromarray(apex)}
        conditions = [LTXVideoCondition(image=pictures[face], frame_index=frame) for frame, face in places]
        whole = oracle(folder, shot, monkeypatch, image=None, conditions=conditions)
        assert np.array_equal(frames, whole[stretch.frame_map()])


class TestBytes:
    def test_depend_on_the_scene_alone(self, model: Path) -> None:
        scenes = [scene(seed) for seed in range(4)]
        maker = ltx(model)
        together = drawn(maker, *scenes)
        assert same(drawn(maker, *scenes[::-1])[::-1], together)
        assert same([drawn(ltx(model), shot)[0] for shot in scenes], together)
        assert len({frames.tobytes() for frames in together}) == 4

    def test_are_equal_in_another_process(self, tiny_models: Path) -> None:
        code = """
            import hashlib, sys
            from pathlib import Path
            from test_ltx import drawn, ltx, scene
            for folder in map(Path, sys.argv[1:]):
                print(hashlib.sha256(drawn(ltx(folder), scene(2))[0].tobytes()).hexdigest())
        """
        folders = [tiny_models / name for name in ("image", "condition", "timed")]
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, folders)]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
        here = [hashlib.sha256(drawn(ltx(folder), scene(2))[0].tobytes()).hexdigest() for folder in folders]
        assert done.stdout.split() == here

    def test_of_a_batch_do_not_depend_on_the_others(self, model: Path) -> None:
        scenes = [scene(seed) for seed in range(4)]
        maker = ltx(model, batch_size=3)
        together = drawn(maker, *scenes)
        assert same(drawn(maker, *scenes[::-1])[::-1], together)
        assert same([drawn(maker, shot)[0] for shot in scenes], together)

    def test_sizes_and_stretches_mix(self, tiny_models: Path) -> None:
        scenes = [scene(0), scene(1, size=96), scene(2, offset_ms=3400.0), scene(3)]
        maker = ltx(tiny_models / "image", batch_size=2, slowdown=4)
        assert [frames.shape[1] for frames in drawn(maker, *scenes)] == [64, 96, 64, 64]
        assert [note for _, note in maker.clips(scenes)] == [
            "",
            "",
            f"slowed {slowest(2000.0, 2160.0, 3400.0)} times, not 4: a longer expression",
            "",
        ]

    @pytest.mark.parametrize("offload", ["model", "group"])
    def test_do_not_depend_on_where_weights_wait(self, model: Path, offload: str) -> None:
        scenes = [scene(0), scene(1)]
        assert same(drawn(ltx(model, offload=offload), *scenes), drawn(ltx(model), *scenes))
        assert result_fields(ltx(model, offload=offload)) == result_fields(ltx(model))

    def test_do_not_depend_on_where_tensors_lie_in_a_file(self, tiny_models: Path, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        moved = copied(tiny_models / "timed", tmp_path)
        for path in moved.rglob("*.safetensors"):
            save_file(load_file(path), path, metadata={"format": "pt", "pad": "x" * 20})
        assert same(drawn(ltx(moved), scene(1)), drawn(ltx(tiny_models / "timed"), scene(1)))

    def test_do_not_depend_on_what_another_backend_left_behind(self, tiny_models: Path) -> None:
        folder = tiny_models / "timed"
        before = drawn(ltx(folder), scene(1))
        ltx(folder, attention="_native_math").load()
        assert same(drawn(ltx(folder), scene(1)), before)

    def test_come_from_one_thread_and_batches_of_one_shape(self, model: Path) -> None:
        maker = ltx(model, batch_size=3)
        seen: set[tuple[int, int]] = set()

        def forward(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            seen.add((len(named.get("hidden_states", given[0] if given else None)), torch.get_num_threads()))

        maker._draw.pipe.transformer.register_forward_pre_hook(forward, with_kwargs=True)
        maker._draw.pipe.vae.decoder.register_forward_pre_hook(forward, with_kwargs=True)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        for _ in maker.clips([scene(seed) for seed in range(4)]):
            assert torch.get_num_threads() == 2
        torch.set_num_threads(before)
        assert seen == {(6, 1), (1, 1)}  # words and negative words of three clips at once; decoded one by one

    def test_follow_every_bit_of_the_seed(self) -> None:
        words = [torch.randn(8, generator=generator(seed, "latents")) for seed in (5, 5 + (1 << 32), 5)]
        assert torch.equal(words[0], words[2]) and not torch.equal(words[0], words[1])
        assert not torch.equal(words[0], torch.randn(8, generator=generator(5, "decode")))

    def test_noise_is_a_mersenne_twister_of_the_named_words(self) -> None:
        from equime.causal import noise

        reference = np.random.RandomState()
        reference.set_state(("MT19937", noise(9, "latents").integers(0, 1 << 32, 624, dtype=np.int64), 624))
        raw = reference._bit_generator.random_raw(2000) % (1 << 24)
        ours = torch.empty(2000, dtype=torch.int64).random_(0, 1 << 24, generator=generator(9, "latents"))
        assert np.array_equal(ours.numpy(), raw)


class TestPrompts:
    @pytest.mark.usefixtures("one_thread")
    def test_embeddings_are_the_pipelines_and_made_once(self, model: Path) -> None:
        draw = ltx(model)._draw
        opened: list[Any] = []

        def open_text() -> Any:
            full = type(draw.pipe).from_pretrained(model, transformer=None, vae=None)
            settled(full.text_encoder)
            opened.append(weakref.ref(full.text_encoder))
            return full

        prompts = Prompts(draw.pipe.tokenizer, open_text, keep=False)
        first = prompts(["a face", "a head", "a face"])
        again = prompts(["a head", "the brow"])
        assert len(opened) == 2 and prompts(["the brow", "a face"]) and len(opened) == 2
        assert all(encoder() is None for encoder in opened)
        assert again["a head"][0] is first["a head"][0]
        direct = open_text()
        for text, (embedded, mask) in (first | again).items():
            with torch.no_grad():
                expected = direct.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS)
            assert torch.equal(embedded, expected[0]) and torch.equal(mask, expected[1])

    def test_a_kept_encoder_is_opened_once_and_changes_nothing(self, model: Path) -> None:
        maker = ltx(model, keep_text_encoder=True)
        clips = [drawn(maker, scene(seed))[0] for seed in (0, 1)]
        assert same(clips, drawn(ltx(model), scene(0), scene(1)))

    @pytest.mark.parametrize("side", ["prompt", "negative_prompt"])
    def test_of_more_than_128_tokens_are_refused(self, model: Path, side: str) -> None:
        maker = ltx(model)
        drawn(maker, scene(0, **{side: "a face" + "." * (MAX_TOKENS - 3)}))
        with pytest.raises(EquimeError, match=r"at most 128 tokens, got tokens = 129"):
            next(maker.clips([scene(0), scene(1, **{side: "a face" + "." * (MAX_TOKENS - 2)})]))

    def test_without_guidance_the_negative_is_not_read(self, model: Path) -> None:
        shots = [scene(0, negative_prompt=text) for text in ("a head", "." * 200)]
        first, second = drawn(ltx(model, guidance=1.0), *shots)
        assert np.array_equal(first, second)

    def test_a_scene_without_one_is_refused(self, model: Path) -> None:
        with pytest.raises(EquimeError, match=r"expected a prompt, got scene.prompt = None"):
            drawn(ltx(model), scene(0, prompt=None))


class TestMemory:
    @staticmethod
    def fails(maker: LTX, above: int) -> Callable[[], None]:
        """Let the transformer run out of memory for more than some rows at once (two rows to a guided clip)."""

        def forward(_: Any, __: Any, named: dict[str, Any]) -> None:
            if named["hidden_states"].shape[0] > above:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        handle = maker._draw.pipe.transformer.register_forward_pre_hook(forward, with_kwargs=True)
        return handle.remove

    def test_a_batch_too_large_is_drawn_alone_and_says_so(self, model: Path) -> None:
        scenes = [scene(seed) for seed in range(3)]
        maker = ltx(model, batch_size=3)
        self.fails(maker, above=2)
        made = list(maker.clips(scenes))
        assert [note for _, note in made] == ["too little memory for 3 clips at once: drawn alone"] * 3
        assert same([frames for frames, _ in made], drawn(ltx(model), *scenes))

    @pytest.mark.parametrize("size", [1, 3])
    def test_one_clip_too_large_names_the_levers_and_the_next_call_works(self, model: Path, size: int) -> None:
        maker = ltx(model, batch_size=size)
        maker.load()
        mend = self.fails(maker, above=0)
        with pytest.raises(EquimeError, match=r"^too little GPU memory for one clip: try .*--offload.*$"):
            drawn(maker, scene(0))
        mend()
        assert same(drawn(maker, scene(0)), drawn(ltx(model, batch_size=size), scene(0)))


class TestKeys:
    def test_stand_at_rest_apex_and_rest(self) -> None:
        stretch = window(*TIMES, 4)
        places = keys(stretch, TIMES[1])
        assert [face for _, face in places] == ["neutral", "neutral", "apex", "neutral", "neutral"]
        assert places[0] == FIRST[0] and places[-1][0] == 144
        frames = [frame for frame, _ in places]
        assert frames == sorted(set(frames))
        shown = [1000 * stretch.first / 24 + 1000 * frame / 24 / 4 for frame in frames]
        assert shown[1] <= TIMES[0] and shown[3] >= TIMES[2]
        assert shown[2] == pytest.approx(TIMES[1], abs=1000 / 24 / 4 / 2)

    def test_without_an_expression_there_is_no_apex(self) -> None:
        assert {face for _, face in keys(window(*TIMES, 2), None)} == {"neutral"}

    def test_a_vae_step_is_eight_frames_and_follows_its_past(self, tiny_models: Path) -> None:
        vae = ltx(tiny_models / "image")._draw.pipe.vae
        still = torch.zeros(1, 3, 145, 64, 64)
        with torch.no_grad():
            rest = vae.encode(still).latents
            for frame in (40, 41, 48):
                moved = still.clone()
                moved[:, :, frame] = 1
                changed = (vae.encode(moved).latents != rest).any(dim=(0, 1, 3, 4)).nonzero().flatten()
                assert rest.shape[2] == 19 and int(changed[0]) == -(-frame // 8)

    @pytest.mark.slow
    @pytest.mark.timeout(180)
    def test_drive_a_real_face(self, tiny_models: Path, portrait: np.ndarray) -> None:
        still = Still.of(portrait)
        shot = replace(scene(1), still=still)
        maker = ltx(tiny_models / "condition", drive="keyframes", slowdown=4)
        job = maker._job(shot)
        assert job.apex is not None and np.array_equal(job.apex, Warp().apex(still, shot.units, shot.seed))
        assert not np.array_equal(job.apex, still.image)
        [frames] = drawn(maker, shot)
        calm = replace(shot, units=(), onset_ms=None, apex_ms=None, offset_ms=None, control="neutral")
        assert maker._job(calm).apex is None
        assert frames.shape == (144, 512, 512, 3)
        assert not np.array_equal(frames, drawn(replace(maker, drive="prompt"), shot)[0])


def spoilt(folder: Path, part: str, spoil: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    from safetensors.torch import load_file, save_file

    [path] = (folder / part).glob("*.safetensors")
    save_file({name: spoil(name, t) for name, t in load_file(path).items()}, path, metadata={"format": "pt"})
    return folder


class TestNoPicture:
    @pytest.mark.parametrize(("part", "among"), [("transformer", ""), ("vae", "decoder.")])
    def test_is_an_error_and_not_a_black_clip(self, tiny_models: Path, tmp_path: Path, part: str, among: str) -> None:
        def spoil(name: str, tensor: torch.Tensor) -> torch.Tensor:
            return tensor * (float("nan") if name.startswith(among) else 1)

        folder = spoilt(copied(tiny_models / "image", tmp_path), part, spoil)
        with pytest.raises(EquimeError, match=r"no picture \(NaN\): use --dtype bfloat16 or float32, or other weights"):
            drawn(ltx(folder), scene(0))

    def test_of_sums_beyond_float16_is_an_error(self, tiny_models: Path, tmp_path: Path) -> None:
        folder = spoilt(
            copied(tiny_models / "image", tmp_path),
            "vae",
            lambda name, tensor: tensor * (3e5 if name == "decoder.conv_out.conv.weight" else 1),
        )
        drawn(ltx(folder), scene(0))
        with pytest.raises(EquimeError, match=r"no picture \(NaN\)"):
            drawn(ltx(folder, dtype="float16"), scene(0))

    @pytest.mark.parametrize("size", [1, 2])
    def test_of_one_clip_leaves_the_one_beside_it(self, tiny_models: Path, tmp_path: Path, size: int) -> None:
        brow = [piece for piece, _ in tiny_ltx.vocabulary()].index("▁brow")

        def spoil(name: str, tensor: torch.Tensor) -> torch.Tensor:
            if name == "shared.weight":
                tensor[brow] = float("nan")
            return tensor

        maker = ltx(spoilt(copied(tiny_models / "image", tmp_path), "text_encoder", spoil), batch_size=size)
        made = maker.clips([scene(0), scene(1, prompt="A brow."), scene(2)])
        frames, _ = next(made)
        assert same([frames], drawn(ltx(tiny_models / "image", batch_size=size), scene(0)))
        with pytest.raises(EquimeError, match="no picture"):
            next(made)


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"timesteps": (1000.0, 500.0)}, r"--timesteps is of the condition pipeline alone; add --pipeline"),
            ({"strength": 0.5}, r"--strength is of the condition pipeline alone"),
            ({"image_cond_noise_scale": 0.0}, r"--image-cond-noise-scale is of the condition pipeline alone"),
            ({"drive": "keyframes"}, r"--drive keyframes needs the condition pipeline; add --pipeline condition"),
            ({"steps": 0}, r"--steps should be 1 to 1000, got 0"),
            ({"slowdown": 0}, r"--slowdown should be 1 to 144, got 0"),
            ({"batch_size": 0}, r"--batch-size should be 1 to 1024, got 0"),
            ({"decode_noise_scale": -1.0}, r"--decode-noise-scale should be 0 to 1, got -1.0"),
            ({"guidance": float("nan")}, r"--guidance should be 0 to 100, got nan"),
            ({"pipeline": "condition", "timesteps": (500.0, 1000.0)}, r"--timesteps should fall"),
            ({"attention": "xformers"}, r"cannot use --attention xformers here: "),
            ({"device": "tpu9"}, r"expected --device auto, cpu, cuda or cuda:N, got 'tpu9'"),
            ({"device": "meta"}, r"expected --device auto, cpu, cuda or cuda:N, got 'meta'"),
            pytest.param(
                {"device": "cuda"},
                r"no cuda here: torch \S+ sees 0 GPUs; use --device auto or cpu",
                marks=pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here"),
            ),
        ],
    )
    def test_fields_that_cannot_work(self, settings: dict[str, Any], said: str, tiny_models: Path) -> None:
        with pytest.raises(EquimeError, match=said) as caught:
            ltx(tiny_models / "image", **settings).load()
        assert "\n" not in str(caught.value)

    def test_what_a_library_says_is_cut_to_a_sentence(self, tiny_models: Path) -> None:
        with pytest.raises(EquimeError) as caught:
            ltx(tiny_models / "image", attention="_native_cudnn").load()
        assert str(caught.value).startswith("cannot use --attention _native_cudnn here: ")
        assert str(caught.value).count(". ") == 0 and "likely" not in str(caught.value)

    def test_flex_attention_loads_without_advice(self, tiny_models: Path) -> None:
        ltx(tiny_models / "image", attention="flex").load()  # a warning is an error here

    def test_sides_that_are_not_multiples_of_32(self, model: Path) -> None:
        with pytest.raises(EquimeError, match=r"expected sides that are multiples of 32, got height = 80, width = 80"):
            drawn(ltx(model), scene(0), scene(1, size=80))


def copied(folder: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, to / folder.name))
