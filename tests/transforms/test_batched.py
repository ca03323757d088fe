"""The batched executor matches albumentations: equal pixels for equal draws, draws with equal distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import ks_2samp, kstest

from hallmark.contracts.errors import InputError
from hallmark.transforms import batched, kernels, policy
from hallmark.transforms.batched import build, executor
from hallmark.transforms.draws import Draws, keys
from hallmark.transforms.presets import PRESETS, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

COUNT = 3000
SURE = 1e-4  # the p-value below which two laws are said to differ; some 60 comparisons are made


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def photos(count: int, height: int, width: int, channels: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth pictures with grain, uint8 [n, h, w, c]: noise alone would make any interpolation look wrong."""
    noise = np.random.default_rng(seed).normal(size=(count, height, width, channels))
    smooth = gaussian_filter(noise, (0, 2, 2, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min()) + 0.02 * noise
    images: NDArray[np.uint8] = np.clip(smooth * 255, 0, 255).astype(np.uint8)
    return images


def planes(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float().contiguous()


def pixels(images: torch.Tensor) -> NDArray[np.int64]:
    return images.permute(0, 2, 3, 1).numpy().astype(np.int64)


def image_keys(count: int, seed: int = 0) -> NDArray[np.uint64]:
    return keys(seed=seed, rows=np.arange(count), positions=np.arange(count))


def albumentations_of(transform: dict[str, Any], shape: tuple[int, int, int]) -> Any:
    height, width, channels = shape
    one = policy.build([transform], height=height, width=width, channels=channels)
    one(np.zeros(shape, np.uint8), 0)
    return one._steps[0]


def drawn_by_albumentations(transform: dict[str, Any], image: NDArray[np.uint8], count: int) -> list[dict[str, Any]]:
    """The parameters of ``count`` draws, each for the same image."""
    step = albumentations_of({**transform, "p": 1.0}, image.shape)
    params = []
    for _ in range(count):
        step(image=image)
        params.append(dict(step.params))
    return params


def drawn_here(
    monkeypatch: pytest.MonkeyPatch, kernel: str, transform: dict[str, Any], image: NDArray[np.uint8], count: int
) -> list[Any]:
    """The arguments that the kernel of that name is given for ``count`` images."""
    seen: list[Any] = []
    real = getattr(kernels, kernel)

    def spy(images: torch.Tensor, *arguments: Any, **named: Any) -> torch.Tensor:
        seen.append(arguments)
        result: torch.Tensor = real(images, *arguments, **named)
        return result

    monkeypatch.setattr(kernels, kernel, spy)
    height, width, channels = image.shape
    ready = build([{**transform, "p": 1.0}], height=height, width=width, channels=channels)
    assert ready.whole
    monkeypatch.setattr(batched, "CHUNK", 10**9)
    ready(torch.from_numpy(np.repeat(image[None], count, axis=0)), image_keys(count, seed=5))
    assert len(seen) == 1
    return list(seen[0])


def same_law(ours: NDArray[Any], theirs: NDArray[Any], what: str) -> None:
    if ours.std() < 1e-9 and theirs.std() < 1e-9:
        assert ours[0] == pytest.approx(theirs[0], abs=1e-6), what
        return
    rounded = (np.round(each.astype(float), 9) for each in (ours, theirs))
    assert ks_2samp(*rounded).pvalue > SURE, what


# --- the draws themselves


def test_draws_are_uniform_and_independent_of_each_other_and_of_company() -> None:
    draws = Draws(image_keys(20_000))
    first, second = draws.uniform(0), draws.uniform(1)
    assert kstest(first, "uniform").pvalue > SURE
    assert kstest(second, "uniform").pvalue > SURE
    # standard error of a correlation of 20 000 pairs: 0.007
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.035
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.035
    part = Draws(image_keys(20_000)[100:110])
    assert np.array_equal(part.uniform(1), second[100:110])
    counts = np.bincount(draws.integers(2, 3, 7), minlength=8)
    assert counts[:3].sum() == 0
    assert np.abs(counts[3:] - 4000).max() < 5 * np.sqrt(4000)


def test_every_part_of_a_key_counts() -> None:
    rows = np.array([3, 3, 4, 3])
    made_keys = keys(seed=1, rows=rows, positions=np.array([0, 1, 0, 0]))
    other = keys(seed=2, rows=rows, positions=np.array([0, 1, 0, 0]))
    assert made_keys[0] == made_keys[3]
    assert len({*made_keys[:3].tolist(), *other[:3].tolist()}) == 6


# --- the same pixels for the same parameters


@pytest.mark.parametrize("border", list(kernels.BORDERS))
@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 33, 3)], ids=str)
def test_a_warp_gives_albumentations_pixels(border: str, shape: tuple[int, int, int]) -> None:
    transform = {
        "name": "Affine",
        "p": 1.0,
        "arguments": {
            "scale": [0.7, 1.3], "rotate": [-40, 40], "shear": [-10, 10], "translate_percent": [-0.2, 0.2],
            "border_mode": border, "fill": 30,
        },
    }  # fmt: skip
    images = photos(24, *shape)
    step, params, theirs = albumentations_of(transform, shape), [], []
    for image in images:
        theirs.append(step(image=image)["image"])
        params.append(dict(step.params))
    inverse = np.linalg.inv(np.stack([each["matrix"] for each in params]))[:, :2]
    fill = 30.0 if border == "constant" else 0.0
    ours = pixels(kernels.warp(planes(images), inverse, border=border, fill=fill))
    difference = np.abs(ours - np.stack(theirs))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


def test_matrices_are_those_of_albumentations() -> None:
    from albumentations.augmentations.geometric import functional

    values = {"scale_x": 1.2, "scale_y": 0.9, "rotate": 25.0, "shear_x": 7.0, "shear_y": -4.0, "shift_x": 3.0}
    ours = kernels.affine(
        height=20, width=33, shift_y=np.array([-2.0]), **{name: np.array([each]) for name, each in values.items()}
    )
    theirs = functional.create_affine_transformation_matrix(
        {"x": 3.0, "y": -2.0}, {"x": 7.0, "y": -4.0}, {"x": 1.2, "y": 0.9}, 25.0, functional.center((20, 33))
    )
    assert np.allclose(ours[0], np.linalg.inv(theirs)[:2])


@pytest.mark.parametrize("channels", [1, 3])
def test_tone_and_blur_give_albumentations_pixels(channels: int) -> None:
    shape = (28, 25, channels)
    images = photos(32, *shape)
    step = albumentations_of({"name": "RandomBrightnessContrast", "p": 1.0, "arguments": {}}, shape)
    contrast, brightness = np.linspace(0.6, 1.5, 32), np.linspace(60, -60, 32)
    theirs = [
        step.apply(image, alpha=float(a), beta=float(b))
        for image, a, b in zip(images, contrast, brightness, strict=True)
    ]
    ours = pixels(kernels.tone(planes(images), contrast, brightness))
    assert np.abs(ours - np.stack(theirs)).max() <= 1
    assert (ours != np.stack(theirs)).mean() < 0.001

    step = albumentations_of({"name": "GaussianBlur", "p": 1.0, "arguments": {"sigma_limit": [0.3, 2.0]}}, shape)
    from albumentations.augmentations.blur.functional import create_gaussian_kernel_1d

    sigmas = np.linspace(0.2, 2.5, 32)
    blurred = [
        step.apply(image, kernel=create_gaussian_kernel_1d(float(sigma))).reshape(shape)
        for image, sigma in zip(images, sigmas, strict=True)
    ]
    difference = np.abs(pixels(kernels.blur(planes(images), sigmas)) - np.stack(blurred))
    assert difference.max() <= 3  # OpenCV blurs uint8 with weights of 8 bits
    assert difference.mean() < 0.7


def test_colour_gives_albumentations_pixels() -> None:
    from albumentations.augmentations.pixel.functional import shift_hsv

    images = photos(32, 24, 24, 3)
    images[:4] = images[:4, :, :, :1]  # grey ones stay grey
    hue, saturation, value = np.linspace(-30, 30, 32), np.linspace(45, -45, 32), np.linspace(-20, 25, 32)
    theirs = [
        shift_hsv(image.copy(), float(h), float(s), float(v))
        for image, h, s, v in zip(images, hue, saturation, value, strict=True)
    ]
    difference = np.abs(pixels(kernels.colour(planes(images), hue, saturation, value)) - np.stack(theirs))
    assert np.quantile(difference, 0.999) <= 2
    assert difference.mean() < 0.1


@pytest.mark.parametrize("name", ["RandomResizedCrop", "CoarseDropout", "Erasing", "HorizontalFlip", "VerticalFlip"])
def test_boxes_and_flips_give_albumentations_pixels(name: str) -> None:
    shape = (30, 22, 3)
    image = photos(1, *shape)[0]
    arguments_of: dict[str, dict[str, Any]] = {
        "CoarseDropout": {"num_holes_range": [1, 4], "fill": 70},
        "Erasing": {"scale": [0.05, 0.3]},
    }
    arguments = arguments_of.get(name, {})
    step = albumentations_of({"name": name, "p": 1.0, "arguments": arguments}, shape)
    for _ in range(20):
        theirs = step(image=image)["image"].astype(int)
        if name == "RandomResizedCrop":
            left, top, right, bottom = step.params["crop_coords"]
            ours = kernels.crop(planes(image[None]), np.array([[left, top, right - left, bottom - top]]))
        elif name in ("CoarseDropout", "Erasing"):
            ours = kernels.erase(planes(image[None]), step.params["holes"][None].astype(int), arguments.get("fill", 0))
        else:
            ready = build([{"name": name, "p": 1.0}], height=30, width=22, channels=3)
            ours = ready(torch.from_numpy(image[None]), image_keys(1)).permute(0, 3, 1, 2)
        difference = np.abs(pixels(ours)[0] - theirs)
        # OpenCV enlarges uint8 with weights of 11 bits
        assert difference.max() <= (2 if name == "RandomResizedCrop" else 0)
        assert difference.mean() < 0.25


# --- draws of the same law


@pytest.mark.parametrize(
    "transform",
    [
        {"name": "Affine", "arguments": {"scale": [0.8, 1.1], "rotate": [-20, 30], "shear": [-8, 4]}},
        {"name": "Affine", "arguments": {"translate_percent": [-0.3, 0.2], "scale": [0.9, 1.2], "keep_ratio": True}},
        {"name": "Affine", "arguments": {"translate_px": [-3, 5]}},
        {"name": "Rotate", "arguments": {"limit": 35}},
    ],
    ids=["turned", "moved", "pixels", "rotate"],
)
def test_warps_are_drawn_alike(monkeypatch: pytest.MonkeyPatch, transform: dict[str, Any]) -> None:
    image = photos(1, 24, 30, 1)[0]
    params = drawn_by_albumentations(transform, image, COUNT)
    theirs = np.linalg.inv(np.stack([each["matrix"] for each in params]))[:, :2]
    ours = drawn_here(monkeypatch, "warp", transform, image, COUNT)[0]
    for row in (0, 1):
        for column in (0, 1, 2):
            same_law(ours[:, row, column], theirs[:, row, column], f"entry {row}, {column}")
    same_law(ours[:, 0, 2] * ours[:, 0, 0], theirs[:, 0, 2] * theirs[:, 0, 0], "a product, which dependence changes")


def test_tone_blur_and_colour_are_drawn_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    image = photos(1, 24, 24, 3)[0]
    tone: dict[str, Any] = {
        "name": "RandomBrightnessContrast",
        "arguments": {"brightness_limit": [-0.1, 0.3], "contrast_limit": 0.2},
    }
    params = drawn_by_albumentations(tone, image, COUNT)
    for ours, name in zip(drawn_here(monkeypatch, "tone", tone, image, COUNT), ("alpha", "beta"), strict=True):
        same_law(ours, np.array([each[name] for each in params]), name)
    hsv: dict[str, Any] = {
        "name": "HueSaturationValue",
        "arguments": {"hue_shift_limit": 9, "sat_shift_limit": [-5, 30]},
    }
    params = drawn_by_albumentations(hsv, image, COUNT)
    names = ("hue_shift", "sat_shift", "val_shift")
    for ours, name in zip(drawn_here(monkeypatch, "colour", hsv, image, COUNT), names, strict=True):
        same_law(ours, np.array([each[name] for each in params]), name)
    blur: dict[str, Any] = {"name": "GaussianBlur", "arguments": {"sigma_limit": [0.3, 1.4]}}
    widths = np.array([len(each["kernel"]) for each in drawn_by_albumentations(blur, image, COUNT)])
    sigmas = drawn_here(monkeypatch, "blur", blur, image, COUNT)[0]
    same_law((sigmas * 3.5).astype(int) * 2 + 1, widths, "kernel width")


@pytest.mark.parametrize(
    ("kernel", "transform"),
    [
        ("erase", {"name": "CoarseDropout", "arguments": {"num_holes_range": [1, 1], "hole_width_range": [0.1, 0.6]}}),
        ("erase", {"name": "Erasing", "arguments": {"scale": [0.02, 0.4]}}),
        ("crop", {"name": "RandomResizedCrop", "arguments": {"scale": [0.3, 1.0]}}),
        ("crop", {"name": "RandomResizedCrop", "arguments": {"scale": [0.9, 1.0], "ratio": [1.9, 2.5]}}),
    ],
    ids=["dropout", "erasing", "crop", "centre"],
)
def test_boxes_are_drawn_alike(monkeypatch: pytest.MonkeyPatch, kernel: str, transform: dict[str, Any]) -> None:
    image = photos(1, 28, 24, 1)[0]
    params = drawn_by_albumentations(transform, image, COUNT)
    if kernel == "crop":
        theirs = np.array([each["crop_coords"] for each in params])
        ours = drawn_here(monkeypatch, kernel, transform, image, COUNT)[0]
        ours = np.concatenate([ours[:, :2], ours[:, :2] + ours[:, 2:]], 1)
    else:
        theirs = np.concatenate([each["holes"] for each in params])
        ours = drawn_here(monkeypatch, kernel, transform, image, COUNT)[0][:, 0]
    for column, name in enumerate(("left", "top", "right", "bottom")):
        same_law(ours[:, column], theirs[:, column], name)
    for box, first, last in (("width", 0, 2), ("height", 1, 3)):
        same_law(ours[:, last] - ours[:, first], theirs[:, last] - theirs[:, first], box)


@pytest.mark.parametrize("preset", ["standard", "strong", "trivial"])
def test_a_whole_policy_changes_images_alike(preset: str) -> None:
    """Per image: mean, spread, horizontal centre of mass, and distance from the original."""
    shape, count = (16, 16, 3), 1500
    image = photos(1, *shape, seed=3)[0]
    transforms = resolve(preset, field="x")
    one = policy.build(transforms, height=16, width=16, channels=3)
    ready = build(transforms, height=16, width=16, channels=3)
    theirs = np.stack([one(image, seed) for seed in range(count)]).astype(float)
    stack = torch.from_numpy(np.repeat(image[None], count, axis=0))
    ours = ready(stack, image_keys(count)).numpy().astype(float)
    assert torch.equal(stack[0], torch.from_numpy(image)), "the images given must not be changed"
    untouched = [(each == image).all(axis=(1, 2, 3)).mean() for each in (ours, theirs)]
    assert abs(untouched[0] - untouched[1]) < 0.05

    def statistics(images: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        axes, across = (1, 2, 3), np.arange(16)[None, None, :, None]
        return {
            "mean": images.mean(axis=axes),
            "spread": images.std(axis=axes),
            "place": (images * across).sum(axis=axes) / images.sum(axis=axes),
            "change": np.abs(images - image).mean(axis=axes).round(),
        }

    others = statistics(theirs)
    for name, values in statistics(ours).items():
        # 0.07 at a p-value of 1e-3 for continuous laws
        assert ks_2samp(values.round(1), others[name].round(1)).statistic < 0.08, name


# --- how it behaves


@pytest.mark.parametrize("preset", list(PRESETS))
def test_an_image_depends_on_its_key_alone(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result does not depend on the rest of the batch, the chunk size, or the number of threads."""
    for shape in ((12, 12, 1), (20, 14, 3)):
        images = torch.from_numpy(photos(37, *shape))
        ready = build(resolve(preset, field="x"), height=shape[0], width=shape[1], channels=shape[2])
        whole = ready(images, image_keys(37))
        assert whole.dtype == torch.uint8
        order = np.random.default_rng(0).permutation(37)
        shuffled = ready(images[torch.from_numpy(order)], image_keys(37)[order])
        assert torch.equal(shuffled, whole[torch.from_numpy(order)])
        monkeypatch.setattr(batched, "CHUNK", 5 * shape[0] * shape[1] * shape[2])
        torch.set_num_threads(3)
        assert torch.equal(ready(images, image_keys(37)), whole)
        monkeypatch.undo()
        torch.set_num_threads(1)


def test_probability_is_kept_and_chances_are_independent() -> None:
    flips = [{"name": "HorizontalFlip", "p": 0.3}, {"name": "VerticalFlip", "p": 0.3}]
    ready = build(flips, height=2, width=2, channels=1)
    images = torch.tensor([[[[1], [2]], [[3], [4]]]], dtype=torch.uint8).repeat(4000, 1, 1, 1)
    out = ready(images, image_keys(4000))
    horizontal, vertical = (out[:, 0, 0, 0] % 2 == 0).numpy(), (out[:, 0, 0, 0] > 2).numpy()
    for share, expected in ((horizontal.mean(), 0.3), (vertical.mean(), 0.3), ((horizontal & vertical).mean(), 0.09)):
        assert abs(share - expected) < 0.04  # 5 standard errors


def test_the_executor_follows_size_device_and_transforms() -> None:
    shape = {"height": 28, "width": 28, "channels": 1}
    standard, strong = resolve("standard", field="x"), resolve("strong", field="x")
    assert executor(standard, **shape, device="cpu") == "batched"
    assert executor(standard, **{**shape, "width": 224}, device="cpu") == "per_image"
    assert executor(standard, **{**shape, "width": 224}, device="cuda") == "batched"
    assert executor(strong, **shape, device="cpu") == "batched"
    assert executor(strong, **shape, device="cuda") == "per_image"
    assert executor([{"name": "Equalize", "p": 1.0}], **shape, device="cpu") == "per_image"
    assert executor([{"name": "Affine", "p": 1.0, "arguments": {"border_mode": "wrap"}}], **shape, device="cuda") == (
        "per_image"
    )


def test_faults_of_a_policy_are_reported_as_by_the_other_executor() -> None:
    with pytest.raises(InputError, match="Equalize rejects its arguments"):
        build([{"name": "Equalize", "p": 1.0, "arguments": {"mode": "gimp"}}], height=8, width=8, channels=1)
