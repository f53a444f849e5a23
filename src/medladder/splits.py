"""Patients put apart: test folds, nested growing subsets, parts for choosing.

A **group** is a connected component of patient and exact duplicate; no test fold and no part for choosing ever parts
one. Everything drawn here is keyed by (seed, fold, round, purpose), so that more rungs, sizes or repeats move nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .errors import CohortError, OptionError

TEST_FOLDS = 5
PARTS_FOR_CHOOSING = 5
FEW_PATIENTS = 10
"""Below this many patients in a class nothing is stopped early and no threshold is searched for."""
FIRST_SIZE_PER_CLASS = 8
MOST_SIZES = 6


@dataclass(frozen=True)
class TestFolds:
    """Which fold tests each image: -1 pool only, -2 for choosing only; `how` says it in words."""

    __test__ = False  # not a test class, whatever its name

    names: tuple[str, ...]
    of_image: Int[np.ndarray, " image"]
    how: str


def groups_of(patients: Int[np.ndarray, " image"], contents: Shaped[np.ndarray, " image"]) -> Int[np.ndarray, " image"]:
    """Number the connected components of «same patient» and «same pixels»."""
    _, patient = np.unique(patients, return_inverse=True)
    _, content = np.unique(contents, return_inverse=True)
    n_patients, n_contents = patient.max() + 1, content.max() + 1
    edges = coo_array((np.ones(len(patient)), (patient, n_patients + content)), shape=(n_patients + n_contents,) * 2)
    _, component = connected_components(edges, directed=False)
    _, group = np.unique(component[patient], return_inverse=True)
    return group


def own_test_part(parts: Shaped[np.ndarray, " image"], *, keep_val: bool) -> TestFolds:
    """The cohort's own test part as the only fold; its val part joins the pool unless kept for choosing."""
    of_image = np.where(parts == "test", 0, -1)
    if keep_val:
        of_image[parts == "val"] = -2
    return TestFolds(("test",), of_image, "the cohort's own test part")


def stratified_folds(
    labels: Int[np.ndarray, " image"], groups: Int[np.ndarray, " image"], classes: Sequence[str], *, seed: int
) -> TestFolds:
    """Five folds by group, every class spread over them as evenly as its groups allow.

    Raises
    ------
    CohortError
        A class has fewer than two groups, so that no fold can both train on it and test it.
    """
    n_groups = [len(np.unique(groups[labels == class_])) for class_ in range(len(classes))]
    if min(n_groups) < 2:
        thin = classes[int(np.argmin(n_groups))]
        raise CohortError(
            found=f"Class '{thin}' has {min(n_groups)} patient (exact copies count once).",
            needed="Two patients or more in every class, to train on one and test on another.",
            do="Add patients, merge the class into another, or leave it out.",
        )
    n_folds = min(TEST_FOLDS, min(n_groups))
    fold_of_group = _dealt(labels, groups, n_folds, _rng(seed, "test folds"))
    names = tuple(f"fold {k + 1}" for k in range(n_folds))
    return TestFolds(names, fold_of_group[groups], f"patient-wise stratified {n_folds}-fold")


def folds_by_column(values: Shaped[np.ndarray, " image"], groups: Int[np.ndarray, " image"], column: str) -> TestFolds:
    """One fold a value of a column: each is tested by models that never saw it.

    Raises
    ------
    OptionError
        The column has one value, more than 50, or parts a patient or exact copies.
    """
    names, of_image = np.unique(values.astype(np.str_), return_inverse=True)
    if not 2 <= len(names) <= 50:
        raise OptionError(
            found=f"Column '{column}' has {len(names)} values.",
            needed="Between 2 and 50 (sites, makers, years), each to be left out in turn.",
            do="Name another column with --leave-out.",
        )
    n_parted = len(np.unique(np.stack([groups, of_image], axis=1), axis=0)) - len(np.unique(groups))
    if n_parted:
        raise OptionError(
            found=f"{n_parted} patients (or sets of exact copies) have images in several values of '{column}'.",
            needed="Every patient in one value.",
            do="Name another column with --leave-out, or give these patients' images one value.",
        )
    return TestFolds(tuple(names.tolist()), of_image, f"each value of the column '{column}' left out in turn")


def class_sets(labels: Int[np.ndarray, " image"], units: Int[np.ndarray, " image"]) -> Int[np.ndarray, " unit"]:
    """Number the set of classes each unit (a group, a patient) has images of; units are 0 … max."""
    table = np.zeros((units.max() + 1, labels.max() + 1), dtype=bool)
    table[units, labels] = True
    _, numbers = np.unique(table, axis=0, return_inverse=True)
    return numbers.reshape(-1)


def _dealt(
    labels: Int[np.ndarray, " image"], units: Int[np.ndarray, " image"], n_parts: int, rng: np.random.Generator
) -> Int[np.ndarray, " unit"]:
    """Deal units to parts so that each part holds as many units of every class as any other, give or take one.

    Units of several classes are dealt first, one by one to the part that has fewest of their classes; units of one
    class then fill the parts up, lowest first.
    """
    strata = class_sets(labels, units)
    part = np.empty(len(strata), dtype=np.int64)
    held = np.zeros((n_parts, labels.max() + 1), dtype=np.int64)
    classes_of = [np.unique(labels[strata[units] == stratum]) for stratum in range(strata.max() + 1)]
    for stratum in sorted(range(len(classes_of)), key=lambda stratum: -len(classes_of[stratum])):
        classes, members = classes_of[stratum], rng.permutation(np.flatnonzero(strata == stratum))
        if len(classes) > 1:
            for member in members:
                part[member] = np.lexsort((held.sum(axis=1), held[:, classes].sum(axis=1)))[0]
                held[part[member], classes] += 1
        else:
            emptiest = np.argsort(held.sum(axis=1), kind="stable")
            levels = held[emptiest, classes[0]][:, None] + np.arange(len(members))
            lowest = np.argsort(levels.T.ravel(), kind="stable")[: len(members)]
            part[members] = emptiest[lowest % n_parts]
            held[:, classes[0]] += np.bincount(part[members], minlength=n_parts)
    return part


@dataclass(frozen=True)
class Pool:
    """The patients of one fold that a rung may see, and the order in which repeats take them.

    `rows` are the pool's images; `orders[k]` is the stratified order of patients of round k.
    """

    rows: Int[np.ndarray, " row"]
    patients: Int[np.ndarray, " image"]
    labels: Int[np.ndarray, " image"]
    seed: int
    fold: int
    repeats_a_round: int

    @cached_property
    def n_patients(self) -> int:
        """Patients a subset may be taken from."""
        return len(np.unique(self.patients[self.rows]))

    def subset(self, n_patients: int, repeat: int) -> Int[np.ndarray, " row"]:
        """Images of the n patients that one repeat sees: nested in n, spread over repeats."""
        taken = np.zeros(self.patients.max() + 1, dtype=bool)
        taken[self._window(n_patients, repeat)] = True
        return self.rows[taken[self.patients[self.rows]]]

    def overlap(self, n_patients: int, repeat: int) -> float:
        """Mean share of this repeat's patients that the other repeats of its round see too, 0–1.

        Two windows of n on a ring of N patients, d apart, share max(0, n - d) + max(0, n - (N - d)) of them. A round
        of one repeat has no other: what it shares with a repeat of another round is n / N on average.
        """
        n_pool, place = self.n_patients, repeat % self.repeats_a_round
        starts = np.arange(self.repeats_a_round) * n_pool // self.repeats_a_round
        apart = np.abs(np.delete(starts, place) - starts[place])
        if not len(apart):
            return n_patients / n_pool
        shared = np.maximum(0, n_patients - apart) + np.maximum(0, n_patients - (n_pool - apart))
        return float(np.mean(shared) / n_patients)

    def _window(self, n_patients: int, repeat: int) -> Int[np.ndarray, " patient"]:
        round_, place = divmod(repeat, self.repeats_a_round)
        order = self._order(round_)
        start = place * len(order) // self.repeats_a_round
        return np.take(order, np.arange(start, start + n_patients), mode="wrap")

    @cached_property
    def _orders(self) -> dict[int, Int[np.ndarray, " patient"]]:
        return {}

    def _order(self, round_: int) -> Int[np.ndarray, " patient"]:
        """Patients in random order, every class set spread evenly, so that each window is stratified."""
        if round_ not in self._orders:
            self._orders[round_] = self._ordered(round_)
        return self._orders[round_]

    def _ordered(self, round_: int) -> Int[np.ndarray, " patient"]:
        rng = _rng(self.seed, "pool order", self.fold, round_)
        numbers, unit = np.unique(self.patients[self.rows], return_inverse=True)
        strata = class_sets(self.labels[self.rows], unit)
        place = np.empty(len(numbers))
        for stratum in np.unique(strata):
            members = rng.permutation(np.flatnonzero(strata == stratum))
            place[members] = (np.arange(len(members)) + rng.uniform()) / len(members)
        return numbers[np.argsort(place, kind="stable")]


def draw_seed(seed: int, fold: int, repeat: int) -> int:
    """The seed of one repeat's fits: the same for every rung and size, so that comparisons are paired."""
    return int(np.random.SeedSequence([seed, _purpose("fit"), fold, repeat]).generate_state(1)[0])


def parts_for_choosing(
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
    groups: Int[np.ndarray, " row"],
    *,
    seed: int,
    fold: int,
    repeat: int,
) -> tuple[Int[np.ndarray, " row"], bool]:
    """Deal a subset's rows to five parts by group, fewer where a class is thin, and say whether one is.

    All rows get -1, no part at all, where a class has a single group: it cannot be both trained on and held out.
    """
    _, unit = np.unique(groups, return_inverse=True)
    classes = np.unique(labels)
    fewest_groups = min(len(np.unique(unit[labels == class_])) for class_ in classes)
    is_thin = min(len(np.unique(patients[labels == class_])) for class_ in classes) < FEW_PATIENTS
    if fewest_groups < 2:
        return np.full(len(labels), -1), True
    n_parts = min(PARTS_FOR_CHOOSING, fewest_groups)
    part = _dealt(labels, unit, n_parts, _rng(seed, "parts", fold, repeat, len(np.unique(patients))))
    return part[unit], is_thin


def default_sizes(n_pool: int, thinnest_share: float) -> tuple[int, ...]:
    """Numbers of training patients in a geometric row, from about 8 a class to all, at most six.

    Example
    -------
    >>> default_sizes(5232, 0.258)
    (32, 89, 246, 681, 1888, 5232)
    >>> default_sizes(20, 0.3)
    (20,)
    """
    first = int(np.ceil(FIRST_SIZE_PER_CLASS / thinnest_share))
    if first >= n_pool:
        return (n_pool,)
    count = int(np.clip(np.ceil(np.log2(n_pool / first)) + 1, 2, MOST_SIZES))
    return tuple(round(float(size)) for size in np.geomspace(first, n_pool, count))


def parse_sizes(texts: Sequence[str | int], n_pool: int) -> tuple[int, ...]:
    """Read sizes as a person writes them; `all` is the whole pool.

    Raises
    ------
    OptionError
        Not a whole number from 2 up to the pool, or `all`.
    """
    sizes = set()
    for text in map(str, texts):
        if text == "all":
            sizes.add(n_pool)
        elif text.isdecimal() and 2 <= int(text) <= n_pool:
            sizes.add(int(text))
        else:
            raise OptionError(
                found=f"Size '{text}'.",
                needed=f"A number of training patients from 2 to the {n_pool} there are, or 'all'.",
                do=f"For example --sizes {max(2, n_pool // 4)},{max(2, n_pool // 2)},all.",
            )
    if not sizes:
        raise OptionError(found="--sizes without a size.", needed="One or more.", do="For example --sizes 50,all.")
    return tuple(sorted(sizes))


def _rng(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([seed, _purpose(purpose), *numbers])


def _purpose(name: str) -> int:
    return zlib.crc32(name.encode())
