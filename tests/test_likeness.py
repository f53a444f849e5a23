"""What is flagged as unlike the training images: by hand, as laws, and as shares of images drawn afresh."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import binom

from medladder import phantoms
from medladder.models import likeness
from medladder.models.likeness import FLAGGED, Likeness, learn_likeness

MOST = 0.04
"""The share that a limit learned from 200 images may reach on average of cohorts, its own chance included."""


def drawn(name: str, n: int, seed: int) -> np.ndarray:
    """One image of each of n patients."""
    cohort = phantoms.draw(name, n_patients=n, seed=seed, size=28)
    return cohort.images[np.unique(cohort.patients, return_index=True)[1]]


def volumes(n: int, seed: int) -> np.ndarray:
    """Ellipsoids of varying size and place, with a warm spot near their middle."""
    rng, side = np.random.default_rng(seed), 20
    place = np.stack(np.meshgrid(*[np.linspace(-1, 1, side)] * 3, indexing="ij"))
    made = np.empty((n, side, side, side, 1), np.uint8)
    for volume in made:
        centre, radius = rng.normal(0, 0.06, (3, 1, 1, 1)), rng.uniform(0.6, 0.8, (3, 1, 1, 1))
        body = (((place - centre) / radius) ** 2).sum(axis=0) < 1
        spot = np.exp(-((place - rng.normal(0, 0.3, (3, 1, 1, 1))) ** 2).sum(axis=0) / 0.05)
        grey = rng.uniform(90, 150) * body + 60 * spot + rng.normal(10, 6, body.shape)
        volume[..., 0] = grey.clip(0, 255)
    return made


DRAWN: dict[str, Callable[[int, int], np.ndarray]] = {
    "pictures": lambda n, seed: drawn("nodule", n, seed),
    "colour": lambda n, seed: drawn("cells", n, seed),
    "volumes": volumes,
}


@cache
def learned(kind: str, n: int = 200, seed: int = 0) -> Likeness:
    return learn_likeness(DRAWN[kind](n, seed), np.arange(n) % 5, seed=0)


@cache
def fresh(kind: str) -> np.ndarray:
    return DRAWN[kind](400, 1000)


def strangers(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Images that no cohort holds."""
    rng = np.random.default_rng(0)
    inside = 2 if len(shape) < 4 else 3
    blurred = gaussian_filter(rng.normal(size=(50, *shape)), 2.0, axes=range(1, inside + 1))
    low, high = (end(blurred.reshape(50, -1), axis=1).reshape(50, *[1] * len(shape)) for end in (np.min, np.max))
    greys = rng.integers(0, 256, (50, *[1] * len(shape)), dtype=np.uint8)
    return {
        "noise": rng.integers(0, 256, (50, *shape), dtype=np.uint8),
        "bell-shaped noise": rng.normal(128, 40, (50, *shape)).clip(0, 255).astype(np.uint8),
        "blurred noise": (255 * (blurred - low) / (high - low)).astype(np.uint8),
        "one grey": np.broadcast_to(greys, (50, *shape)).copy(),
        "black": np.zeros((1, *shape), np.uint8),
    }


@pytest.mark.parametrize("kind", DRAWN)
def test_fresh_images_are_rarely_flagged(kind: str) -> None:
    """Between a tenth of the stated share and `MOST`, over four cohorts, within what 400 images can tell."""
    shares = [learned(kind, seed=seed).is_unlike(fresh(kind)).mean() for seed in range(4)]
    assert np.mean(shares) <= binom.ppf(0.999, 400, MOST) / 400
    assert max(shares) <= 3 * MOST
    nearly = [(learned(kind, seed=seed).unlikeness(fresh(kind)) > 0.5).mean() for seed in range(4)]
    assert np.mean(nearly) > FLAGGED  # a limit far out would flag no one, and no stranger


@pytest.mark.parametrize("kind", DRAWN)
def test_strangers_are_flagged(kind: str) -> None:
    """Of noise, blank and upside-down images and those of another cohort, 98 of 100 or more."""
    found = learned(kind)
    others = strangers(fresh(kind).shape[1:]) | {"inverted": 255 - fresh(kind)}
    if kind == "pictures":
        others["cells"] = fresh("colour").mean(axis=-1).astype(np.uint8)
    if kind == "colour":
        others["radiographs"] = np.repeat(fresh("pictures")[..., None], 3, axis=-1)
    shares = {name: float(found.is_unlike(images).mean()) for name, images in others.items()}
    assert min(shares.values()) >= 0.98, shares


@pytest.mark.parametrize("kind", DRAWN)
def test_learned_images_are_rarely_flagged(kind: str) -> None:
    """Closer than any image that was judged by the others, so no more often than fresh ones are."""
    shares = [learned(kind, seed=seed).is_unlike(DRAWN[kind](200, seed)).mean() for seed in range(2)]
    assert np.mean(shares) <= 0.06


@pytest.mark.parametrize("kind", DRAWN)
def test_an_image_is_judged_by_itself(kind: str) -> None:
    """Whatever stands beside it and wherever; more images than are looked at together."""
    found, few = learned(kind), fresh(kind)[:60]
    many = np.concatenate([few, *strangers(few.shape[1:]).values(), few[::-1]])
    together = found.unlikeness(many)
    np.testing.assert_allclose(together[:60], together[-60:][::-1], atol=1e-3)
    alone = np.concatenate([found.unlikeness(image[None]) for image in many[:70]])
    np.testing.assert_allclose(together[:70], alone, atol=1e-3, rtol=1e-4)
    assert found.unlikeness(many[:0]).shape == found.is_unlike(many[:0]).shape == (0,)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learned("pictures").unlikeness(fresh("pictures"))
    monkeypatch.setattr(likeness, "_VALUES_AT_ONCE", 28 * 28 * 7)
    np.testing.assert_allclose(learned("pictures").unlikeness(fresh("pictures")), whole, rtol=1e-4)
    assert learn_likeness(fresh("pictures"), np.arange(400) % 5, seed=0).limit == pytest.approx(
        learned("pictures", 400, 1000).limit, rel=1e-4
    )


@pytest.mark.parametrize("kind", DRAWN)
def test_bit_depth_changes_nothing(kind: str) -> None:
    """Sixteen bits of the same greys, and 0–1, are the same image; learning from them too."""
    found, few = learned(kind), np.concatenate([fresh(kind)[:40], *strangers(fresh(kind).shape[1:]).values()])
    eight, sixteen = found.unlikeness(few), found.unlikeness(few.astype(np.uint16) * 257)
    np.testing.assert_allclose(sixteen, eight, rtol=2e-3)
    np.testing.assert_allclose(found.unlikeness(few.astype(np.float32) / 255), eight, rtol=2e-3)
    deep = learn_likeness(DRAWN[kind](200, 0).astype(np.uint16) * 257, np.arange(200) % 5, seed=0)
    np.testing.assert_allclose(deep.unlikeness(few), eight, rtol=1e-2)


def test_brightness_and_contrast_are_measures_of_their_own() -> None:
    """By hand: of 0, 100, 200 and 100 grey the mean is 100 and the spread √5000; steps across are 100, down 100."""
    image = np.array([[[0, 100], [200, 100]]], np.uint8)
    small, (greys,) = likeness._described(image)
    rough, contrast = 100 / 255, np.sqrt(5000) / 255
    down = np.log((np.sqrt((200**2 + 0) / 2) / 255 + 1e-3) / (contrast + 1e-2))
    across = np.log((rough + 1e-3) / (contrast + 1e-2))
    np.testing.assert_allclose(greys, [100 / 255, np.log(contrast + 1e-2), down, across], rtol=1e-5)
    np.testing.assert_allclose(small[0], np.array([-100, 0, 100, 0]) / np.sqrt(5000), atol=1e-6)
    np.testing.assert_allclose(likeness._described(image // 2 + 60)[0], small, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 70), st.sampled_from([1, 3]))
def test_large_images_are_seen_as_area_means(rows: int, columns: int, channels: int) -> None:
    """The oracle stretches each pixel to whole cells and takes their mean."""
    rng = np.random.default_rng(rows)
    pixels = rng.normal(size=(2, rows, columns, channels)).astype(np.float32)
    fine = pixels
    for axis, side in ((1, rows), (2, columns)):
        if side > 32:
            fine = np.repeat(fine, 32, axis=axis)
            shape = (*fine.shape[:axis], 32, side, *fine.shape[axis + 1 :])
            fine = fine.reshape(shape).mean(axis=axis + 1)
    seen = likeness._reduced(pixels.reshape(2, -1), (rows, columns), channels)
    np.testing.assert_allclose(seen, fine.reshape(2, -1), atol=1e-4)


def test_distances_are_those_of_the_textbook() -> None:
    """T² and Q by their definitions, and the correlation by numpy's."""
    rng = np.random.default_rng(1)
    small = rng.normal(1, 1, (50, 12)).astype(np.float32)
    small = (small - small.mean(axis=1, keepdims=True)) / small.std(axis=1, keepdims=True) + 0
    centre, axes, spread = likeness._subspace(small[:40], 0)
    found = likeness._distances(small, (centre, axes, spread))
    apart = small - small[:40].mean(axis=0)
    scores = apart @ axes
    outside = ((apart - scores @ axes.T) ** 2).mean(axis=1)
    within = (scores**2 / np.var((small[:40] - centre) @ axes, axis=0)).mean(axis=1)
    np.testing.assert_allclose(found[:, 0], np.log(within + 1e-4), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[:, 1], np.log(outside + 1e-4), rtol=1e-3, atol=1e-3)
    # the centre of vectors of mean 0 has mean 0, but its own spread is below 1: Pearson's measure does not see it
    pearson = [np.corrcoef(row, centre)[0, 1] for row in small]
    np.testing.assert_allclose(np.tanh(-found[:, 2]), pearson, atol=1e-4)


def test_learning_is_repeatable_and_keeps_parts_apart() -> None:
    """The same numbers again; twins in other parts than each other look usual, and in one part they do not."""
    images = drawn("nodule", 60, 3)
    parts = np.arange(60) % 5
    first, again = (learn_likeness(images, parts, seed=4).to_arrays() for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
    twins, odd = np.repeat(images[:30], 2, axis=0), np.repeat(np.arange(30) % 5, 2)
    judged_apart = learn_likeness(twins, odd, seed=0)
    judged_by_twin = learn_likeness(twins, np.arange(60) % 2, seed=0)
    assert judged_by_twin.usual[1].mean() < judged_apart.usual[1].mean()


@pytest.mark.parametrize("fold", [np.full(60, -1), np.zeros(60, int), np.where(np.arange(60) < 40, -1, 0)])
def test_without_parts_it_makes_its_own(fold: np.ndarray) -> None:
    images = drawn("nodule", 60, 3)
    own, given_parts = learn_likeness(images, fold, seed=0), learn_likeness(images, np.arange(60) % 5, seed=0)
    np.testing.assert_array_equal(own.usual, given_parts.usual)


@pytest.mark.parametrize("n", [1, 2, 3, 9])
@pytest.mark.parametrize("image", ["drawn", "one grey", "black"])
def test_few_and_constant_images_are_learned_from(n: int, image: str) -> None:
    """Finite numbers, and noise is unlike; of images that are all the same none is flagged."""
    images = drawn("nodule", n, 0) if image == "drawn" else np.full((n, 28, 28), 90 * (image != "black"), np.uint8)
    found = learn_likeness(images, np.arange(n) % 5, seed=0)
    assert all(np.isfinite(array).all() for array in found.to_arrays().values())
    assert image == "drawn" or not found.is_unlike(images).any()
    assert found.is_unlike(strangers((28, 28))["noise"]).all()


def test_arrays_come_back_as_they_went() -> None:
    for kind, shape in (("pictures", (28, 28)), ("colour", (28, 28, 3)), ("volumes", (20, 20, 20, 1))):
        arrays = learned(kind).to_arrays()
        assert all(array.dtype == np.float32 for array in arrays.values())
        back = Likeness.from_arrays({name: array.copy() for name, array in arrays.items()}, shape)
        np.testing.assert_array_equal(back.unlikeness(fresh(kind)), learned(kind).unlikeness(fresh(kind)))
        with pytest.raises(ValueError, match="another shape"):
            Likeness.from_arrays(arrays, (27, *shape[1:]) if kind != "volumes" else (20, 20, 20, 3))


HOSTILE: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "missing": lambda a: a.pop("axes"),
    "unknown": lambda a: a.update(more=a["limit"]),
    "no array": lambda a: a.update(limit=[1.0]),
    "no axis": lambda a: a.update(usual=np.float32(1), centre=np.float32(1)),
    "double": lambda a: a.update(centre=a["centre"].astype(np.float64)),
    "whole": lambda a: a.update(limit=a["limit"].astype(np.int32)),
    "object": lambda a: a.update(limit=np.array([None])),
    "transposed": lambda a: a.update(axes=np.ascontiguousarray(a["axes"].T)),
    "shorter": lambda a: a.update(centre=a["centre"][:-1]),
    "table": lambda a: a.update(usual=a["usual"][:, :-1], scores=a["scores"][:, :-1]),
    "not a number": lambda a: a["whitening"].__setitem__((0, 0), np.nan),
    "infinite": lambda a: a["limit"].__setitem__(0, np.inf),
    "limit 0": lambda a: a["limit"].__setitem__(0, 0),
    "spread below 0": lambda a: a["spread"].__setitem__(0, -1),
    "falling": lambda a: a.update(usual=a["usual"][:, ::-1].copy()),
    "falling scores": lambda a: a.update(scores=a["scores"][:, ::-1].copy()),
}


@pytest.mark.parametrize("way", HOSTILE)
def test_foreign_arrays_are_refused(way: str) -> None:
    arrays = {name: array.copy() for name, array in learned("pictures").to_arrays().items()}
    HOSTILE[way](arrays)
    with pytest.raises(ValueError, match="like"):
        Likeness.from_arrays(arrays)
