"""Drawn studies whose truth is known: populations, fast rungs in plain numpy, and the layout of a study.

A population draws patients; a rung is fitted on many subsets at once, given as 0/1 weights; a study lays subsets out by
the cyclic rule of docs/architecture.md, tests on patients of its own or in folds, and picks its thresholds out of part
in five parts (at the training prevalence where a class has fewer than 10 patients).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from medladder.evidence.scores import FoldScores

PARTS = 5
FEW_PATIENTS = 10
METRICS = ("auroc", "balanced_accuracy", "sensitivity")


@dataclass(frozen=True)
class Population:
    """Where patients come from. `distance` is between class means, in standard deviations of the noise.

    Positives of `subtypes` kinds lie in different directions. With several images a patient, half of the noise is the
    patient's.
    """

    prevalence: float = 0.5
    features: int = 10
    informative: int = 1
    distance: float = 1.5
    noise: str = "normal"
    subtypes: int = 1
    images: int = 1


@dataclass(frozen=True)
class Design:
    """One kind of study. The pool is as large as the largest size; with folds all patients are tested in turn."""

    population: Population
    rung: str
    sizes: tuple[int, ...]
    n_test: int
    folds: int = 1
    repeats: int = 10


Array = np.ndarray
Predict = Callable[[Array], Array]


def draw_labels(n: int, prevalence: float) -> Array:
    """0s and 1s in fixed numbers."""
    return (np.arange(n) < round(n * prevalence)).astype(int)


def draw_patients(labels: Array, population: Population, rng: np.random.Generator) -> Array:
    """Features `(patient, image, feature)`."""
    kinds, informative = population.subtypes, population.informative
    shift = np.zeros((kinds, population.features))
    for kind in range(kinds):
        shift[kind, kind * informative : (kind + 1) * informative] = population.distance / np.sqrt(informative)
    centre = labels[:, None] * shift[rng.integers(kinds, size=len(labels))]
    person = _noise(population.noise, (len(labels), 1, population.features), rng)
    if population.images == 1:
        return centre[:, None] + person
    image = _noise(population.noise, (len(labels), population.images, population.features), rng)
    return centre[:, None] + np.sqrt(0.5) * (person + image)


def _noise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if kind == "normal":
        return rng.standard_normal(shape)
    if kind == "skewed":
        return rng.standard_exponential(shape) - 1
    if kind == "heavy":
        return rng.standard_t(4, shape) / np.sqrt(2)
    raise ValueError(kind)


# Rungs: `fit(weights, x, y, rng)`, weights `(draw, patient)` 1 for those a draw trains on; predicts `(draw, patient)`.


def fit_lda(weights: Array, x: Array, y: Array, _rng: np.random.Generator) -> Predict:
    """Linear discriminant analysis in closed form."""
    mean, size = x.mean(axis=1), x.shape[2]
    images = x.reshape(-1, size)
    squares = (images[:, :, None] * images[:, None, :]).reshape(len(x), x.shape[1], -1).mean(axis=1)
    (m1, n1), (m0, n0) = _centres(weights, mean, y)
    total = (weights @ squares).reshape(-1, size, size)
    between = n1[:, None, None] * m1[:, :, None] * m1[:, None, :] + n0[:, None, None] * m0[:, :, None] * m0[:, None, :]
    within = (total - between) / (n1 + n0)[:, None, None] + 1e-3 * np.eye(size)
    slope = np.linalg.solve(within, (m1 - m0)[:, :, None])[:, :, 0]
    return _linear(slope, np.log(n1 / n0) - ((m1 + m0) * slope).sum(axis=1) / 2)


def fit_centroid(weights: Array, x: Array, y: Array, _rng: np.random.Generator) -> Predict:
    """The nearer class mean."""
    (m1, n1), (m0, n0) = _centres(weights, x.mean(axis=1), y)
    return _linear(m1 - m0, np.log(n1 / n0) - (m1**2 - m0**2).sum(axis=1) / 2)


def fit_logistic(weights: Array, x: Array, y: Array, _rng: np.random.Generator) -> Predict:
    """Logistic regression with a ridge, by six Newton steps."""
    mean = np.concatenate([x.mean(axis=1), np.ones((len(x), 1))], axis=1)
    squares = (mean[:, :, None] * mean[:, None, :]).reshape(len(x), -1)
    size = mean.shape[1]
    ridge = 2.0 * np.eye(size)
    ridge[-1, -1] = 1e-3
    found = np.zeros((len(weights), size))
    for _ in range(6):
        p = expit(found @ mean.T)
        gradient = (weights * (y - p)) @ mean - found @ ridge
        hessian = ((weights * p * (1 - p)) @ squares).reshape(-1, size, size) + ridge
        found = found + np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return _linear(found[:, :-1], found[:, -1])


def fit_bayes(weights: Array, x: Array, y: Array, _rng: np.random.Generator) -> Predict:
    """Gaussian naive Bayes: each class has its own variances."""
    mean = x.mean(axis=1)
    (m1, n1), (m0, n0) = _centres(weights, mean, y)
    square, linear, offset = 0.0, 0.0, np.log(n1 / n0)
    for sign, centre, n, mine in ((1, m1, n1, y), (-1, m0, n0, 1 - y)):
        spread = np.maximum((weights * mine) @ mean**2 / n[:, None] - centre**2, 0.0) + 0.05
        square = square - sign / (2 * spread)
        linear = linear + sign * centre / spread
        offset = offset - sign * (centre**2 / (2 * spread) + np.log(spread) / 2).sum(axis=1)

    def predict(x: Array) -> Array:
        images = x.reshape(-1, x.shape[2])
        scores = images**2 @ square.T + images @ linear.T + offset
        return expit(scores).reshape(len(x), x.shape[1], -1).mean(axis=1).T

    return predict


def fit_neighbours(weights: Array, x: Array, y: Array, _rng: np.random.Generator) -> Predict:
    """Shares of positives among neighbours, near ones counting more."""
    mean = x.mean(axis=1)
    width = x.shape[2] / 3

    def predict(x: Array) -> Array:
        here = x.mean(axis=1)
        apart = (here**2).sum(axis=1)[:, None] + (mean**2).sum(axis=1) - 2 * here @ mean.T
        near = np.exp(-np.maximum(apart, 0) / (2 * width))
        return ((weights * y) @ near.T + 1e-9) / (weights @ near.T + 2e-9)

    return predict


def fit_layer(weights: Array, x: Array, y: Array, rng: np.random.Generator, width: int = 25) -> Predict:
    """A hidden layer of chance weights, other ones in each draw, and a ridge regression on it."""
    size = x.shape[2]
    hidden = rng.standard_normal((len(weights), size + 1, width)) / np.sqrt(size)

    def layer(x: Array, k: slice) -> Array:
        mean = np.concatenate([x.mean(axis=1), np.ones((len(x), 1))], axis=1)
        return np.concatenate([np.maximum(mean @ hidden[k], 0), np.ones((len(hidden[k]), len(x), 1))], axis=2)

    h = layer(x, slice(None))
    weighed = np.swapaxes(h * weights[:, :, None], 1, 2)
    slope = np.linalg.solve(weighed @ h + np.eye(width + 1), weighed @ (2.0 * y - 1)[:, None])

    def predict(x: Array) -> Array:
        rows = [layer(x, slice(k, k + 1))[0] @ slope[k, :, 0] for k in range(len(slope))]
        return expit(2 * np.array(rows))

    return predict


RUNGS = {
    "lda": fit_lda,
    "centroid": fit_centroid,
    "logistic": fit_logistic,
    "bayes": fit_bayes,
    "neighbours": fit_neighbours,
    "layer": fit_layer,
}


def _centres(weights: Array, mean: Array, y: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    n1, n0 = weights @ y, weights @ (1 - y)
    return ((weights * y) @ mean / n1[:, None], n1), ((weights * (1 - y)) @ mean / n0[:, None], n0)


def _linear(slope: Array, offset: Array) -> Predict:
    def predict(x: Array) -> Array:
        scores = x.reshape(-1, x.shape[2]) @ slope.T + offset
        return expit(scores).reshape(len(x), x.shape[1], -1).mean(axis=1).T

    return predict


def train(rung: str, subsets: Array, x: Array, y: Array, rng: np.random.Generator) -> tuple[Predict, Array]:
    """Models of subsets given as 0/1 `(repeat, patient)`, and their thresholds."""
    fit = RUNGS[rung]
    predict = fit(subsets, x, y, rng)
    n1, n = subsets @ y, subsets.sum(axis=1)
    cuts = n1 / n
    searched = np.flatnonzero(np.minimum(n1, n - n1) >= FEW_PATIENTS)
    if len(searched):
        inside = subsets[searched] > 0
        part = np.empty(inside.shape, dtype=int)
        for row, taken in zip(part, inside, strict=True):
            for k in (0, 1):
                here = np.flatnonzero(y == k)
                here = here[np.argsort(~taken[here], kind="stable")]
                count = int(taken[here].sum())
                row[here] = np.concatenate([rng.permutation(count), np.arange(count, len(here))]) % PARTS
        others = inside[:, None] & (part[:, None] != np.arange(PARTS)[:, None])
        out = fit(others.reshape(-1, len(y)).astype(float), x, y, rng)(x).reshape(len(searched), PARTS, -1)
        p = np.take_along_axis(out, part[:, None], axis=1)[:, 0]
        cuts[searched] = _best_cuts(np.where(inside, p, np.inf), inside, y)
    return predict, cuts


def _best_cuts(p: Array, inside: Array, y: Array) -> Array:
    """For each row the cut with the best balanced accuracy; those outside have p = inf."""
    n1 = (inside & (y == 1)).sum(axis=1, keepdims=True)
    n0 = (inside & (y == 0)).sum(axis=1, keepdims=True)
    gain = np.where(inside, np.where(y == 0, 1 / n0, -1 / n1), 0.0)
    order = np.argsort(p, axis=1)
    best = np.argmax(np.cumsum(np.take_along_axis(gain, order, axis=1), axis=1), axis=1)
    last = inside.sum(axis=1) - 1
    sorted_p = np.take_along_axis(p, order, axis=1)
    rows = np.arange(len(p))
    return (sorted_p[rows, np.minimum(best, last)] + sorted_p[rows, np.minimum(best + 1, last)]) / 2


# The layout of a study.


def _nested(n_all: int, pool: Array, n: int, order: Array, repeats: int) -> tuple[Array, float]:
    starts = np.arange(repeats) * len(pool) // repeats
    chosen = order[(starts[:, None] + np.arange(n)) % len(pool)]
    subsets = np.zeros((repeats, n_all))
    np.put_along_axis(subsets, chosen, 1.0, axis=1)
    common = subsets @ subsets.T / n
    return subsets, float((common.sum() - repeats) / (repeats * (repeats - 1)))


def _stratified_order(y: Array, pool: Array, rng: np.random.Generator) -> Array:
    place = np.empty(len(pool))
    for k in (0, 1):
        here = np.flatnonzero(y[pool] == k)
        place[rng.permutation(here)] = (np.arange(len(here)) + rng.random()) / len(here)
    return pool[np.argsort(place)]


@dataclass(frozen=True)
class Drawn:
    """A study's predictions by size, folds in order; `true[n]` is `(fold, repeat, metric)` on fresh patients."""

    by_size: dict[int, list[FoldScores]]
    shared: dict[int, Array]
    true: dict[int, Array]


def draw_study(design: Design, rng: np.random.Generator, *, fresh: int = 0) -> Drawn:
    """One study; with `fresh`, its models are scored on so many fresh patients too, half of them positive.

    These are the same in all studies of a population, so that a model's score there holds no chance of patients.
    """
    n_pool = max(design.sizes) if design.folds == 1 else 0
    prevalence = design.population.prevalence
    y = np.concatenate([draw_labels(n_pool, prevalence), draw_labels(design.n_test, prevalence)])
    x = draw_patients(y, design.population, rng)
    fold_of = np.full(len(y), -1)
    for k in (0, 1):
        here = n_pool + np.flatnonzero(y[n_pool:] == k)
        fold_of[here] = rng.permutation(len(here)) % design.folds
    y_fresh = draw_labels(fresh, 0.5)
    x_fresh = draw_patients(y_fresh, design.population, np.random.default_rng(fresh)) if fresh else None
    by_size: dict[int, list[FoldScores]] = {n: [] for n in design.sizes}
    true: dict[int, list[Array]] = {n: [] for n in design.sizes}
    for fold in range(design.folds):
        pool, test = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        order = _stratified_order(y, pool, rng)
        for n in design.sizes:
            subsets, overlap = _nested(len(y), pool, n, order, design.repeats)
            predict, cuts = train(design.rung, subsets[:, pool], x[pool], y[pool], rng)
            p = predict(x[test])
            both, decided = np.stack([1 - p, p], axis=2), (p >= cuts[:, None]).astype(int)
            numbers = np.arange(design.repeats)
            by_size[n].append(FoldScores(fold, numbers, overlap, both, decided, y[test], test))
            if x_fresh is not None:
                true[n].append(score(predict(x_fresh), cuts, y_fresh))
    shared = {n: _shared(fold_of, design.folds, n) for n in design.sizes}
    return Drawn(by_size, shared, {n: np.array(found) for n, found in true.items()})


def _shared(fold_of: Array, folds: int, n: int) -> Array:
    pools = np.array([fold_of != fold for fold in range(folds)], dtype=float)
    sizes = pools.sum(axis=1)
    return n * (pools @ pools.T) / np.outer(sizes, sizes)


def score(p: Array, cuts: Array, y: Array) -> Array:
    """AUROC, balanced accuracy and sensitivity of each row of `p`."""
    hit, is_positive = p >= cuts[:, None], y == 1
    sensitivity, specificity = hit[:, is_positive].mean(axis=1), 1 - hit[:, ~is_positive].mean(axis=1)
    n1, n0 = is_positive.sum(), (~is_positive).sum()
    area = (rankdata(p, axis=1)[:, is_positive].sum(axis=1) - n1 * (n1 + 1) / 2) / (n1 * n0)
    return np.stack([area, (sensitivity + specificity) / 2, sensitivity], axis=1)


def expect(
    population: Population, rung: str, n: int, rng: np.random.Generator, *, error: float, fresh: int = 20_000
) -> dict[str, list[float]]:
    """E(n) of every metric with its standard error: models on fresh patients, each scored on `fresh` fresh ones.

    At least 200 models; more, up to 20,000, until every standard error is at most `error`.
    """
    y_test, y = draw_labels(fresh, 0.5), draw_labels(n, population.prevalence)
    found: list[Array] = []
    while len(found) < 1000:
        x_test = draw_patients(y_test, population, rng)
        models = []
        for _ in range(20):
            predict, cuts = train(rung, np.ones((1, n)), draw_patients(y, population, rng), y, rng)
            models.append(score(predict(x_test), cuts, y_test)[0])
        found.append(np.mean(models, axis=0))
        # Models of a batch share their test patients, so a batch counts as one.
        if len(found) >= 10 and (np.std(found, axis=0, ddof=1) / np.sqrt(len(found)) <= error).all():
            break
    errors = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    return {metric: [float(np.mean(found, axis=0)[k]), float(errors[k])] for k, metric in enumerate(METRICS)}
