"""No patient and no exact copy on both sides, ever; nested subsets; parts for choosing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medladder.errors import CohortError, OptionError
from medladder.splits import (
    Pool,
    class_sets,
    default_sizes,
    folds_by_column,
    groups_of,
    own_test_part,
    parse_sizes,
    parts_for_choosing,
    stratified_folds,
)


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, patients and contents: patients of one to three images, some with copies of each other's."""
    n_patients = draw(st.integers(12, 60))
    n_classes = draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    is_mixed = draw(st.booleans())
    class_of_patient = rng.permutation(np.arange(n_patients) % n_classes)
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
    contents = np.arange(len(patients)).astype(str)
    for _ in range(draw(st.integers(0, 4))):
        one, other = rng.integers(0, len(patients), 2)
        contents[one] = contents[other]
    labels = class_of_patient[patients]
    if is_mixed:  # some patients have images of another class too
        labels = np.where(rng.random(len(labels)) < 0.1, rng.integers(0, n_classes, len(labels)), labels)
    return labels, patients, contents


def test_groups_are_chains_of_patient_and_copy() -> None:
    # Patient 0 shares an image with patient 1, who shares another with patient 3; patient 2 stands alone.
    patients = np.array([0, 0, 1, 1, 2, 3])
    contents = np.array(["a", "b", "b", "c", "d", "c"])
    assert groups_of(patients, contents).tolist() == [0, 0, 0, 0, 1, 0]


@given(cohorts(), st.integers(0, 1000))
def test_no_patient_and_no_copy_on_both_sides_of_any_fold(cohort: tuple[np.ndarray, ...], seed: int) -> None:
    labels, patients, contents = cohort
    groups = groups_of(patients, contents)
    classes = [str(i) for i in range(labels.max() + 1)]
    if min(len(np.unique(groups[labels == c])) for c in range(len(classes))) < 2:
        with pytest.raises(CohortError, match="Two patients or more"):
            stratified_folds(labels, groups, classes, seed=seed)
        return
    folds = stratified_folds(labels, groups, classes, seed=seed)
    assert set(folds.of_image.tolist()) == set(range(len(folds.names)))
    for fold in range(len(folds.names)):
        tested = folds.of_image == fold
        assert not np.intersect1d(patients[tested], patients[~tested]).size
        assert not np.intersect1d(contents[tested], contents[~tested]).size


@given(cohorts(), st.integers(0, 1000), st.integers(0, 12))
def test_parts_for_choosing_part_no_group_and_hold_every_class(
    cohort: tuple[np.ndarray, ...], seed: int, repeat: int
) -> None:
    labels, patients, contents = cohort
    groups = groups_of(patients, contents)
    fold, is_thin = parts_for_choosing(labels, patients, groups, seed=seed, fold=0, repeat=repeat)
    fewest = min(len(np.unique(groups[labels == c])) for c in np.unique(labels))
    if fewest < 2:
        assert (fold == -1).all()
        assert is_thin
        return
    assert fold.max() + 1 == min(5, fewest)
    for part in range(fold.max() + 1):
        assert not np.intersect1d(groups[fold == part], groups[fold != part]).size
        assert set(labels[fold != part]) == set(labels), "what is trained on has every class"
    fewest_patients = min(len(np.unique(patients[labels == c])) for c in np.unique(labels))
    assert is_thin == (fewest_patients < 10)


def pool_of(cohort: tuple[np.ndarray, ...], seed: int, repeats: int = 10) -> Pool:
    labels, patients, _ = cohort
    return Pool(np.arange(len(labels)), patients, labels, seed, 0, repeats)


@given(cohorts(), st.integers(0, 1000), st.integers(0, 25))
def test_subsets_hold_n_patients_and_are_nested(cohort: tuple[np.ndarray, ...], seed: int, repeat: int) -> None:
    pool = pool_of(cohort, seed)
    smaller: set[int] = set()
    for n in range(2, pool.n_patients + 1):
        rows = pool.subset(n, repeat)
        assert len(np.unique(pool.patients[rows])) == n
        assert smaller <= set(rows.tolist()), "a smaller subset lies inside the next"
        smaller = set(rows.tolist())
    assert smaller == set(range(len(pool.labels))), "all means all, every image of every patient"


@given(cohorts(), st.integers(0, 1000), st.data())
def test_subsets_are_stratified(cohort: tuple[np.ndarray, ...], seed: int, data: st.DataObject) -> None:
    pool = pool_of(cohort, seed)
    n = data.draw(st.integers(4, pool.n_patients))
    rows = pool.subset(n, data.draw(st.integers(0, 19)))
    stratum_of_patient = class_sets(pool.labels, pool.patients)
    for stratum, in_pool in enumerate(np.bincount(stratum_of_patient)):
        seen = (stratum_of_patient[np.unique(pool.patients[rows])] == stratum).sum()
        # A window over evenly spread members is off by less than one at each of its two ends, twice where it wraps.
        assert abs(seen - n * in_pool / pool.n_patients) <= 2


def test_overlap_is_what_is_shared() -> None:
    labels = np.arange(53) % 2
    pool = Pool(np.arange(53), np.arange(53), labels, seed=3, fold=0, repeats_a_round=7)
    for n in (5, 20, 40, 53):
        for repeat in (0, 3, 9):
            mine = set(pool.subset(n, repeat).tolist())
            first = repeat - repeat % 7
            others = [set(pool.subset(n, other).tolist()) for other in range(first, first + 7) if other != repeat]
            by_counting = np.mean([len(mine & other) / n for other in others])
            assert pool.overlap(n, repeat) == pytest.approx(by_counting)
    assert pool.overlap(53, 0) == 1.0
    assert pool.overlap(7, 0) == 0.0, "seven windows of seven fit side by side into 53"


def test_a_round_of_one_repeat_overlaps_others_by_chance() -> None:
    pool = Pool(np.arange(40), np.arange(40), np.arange(40) % 2, seed=3, fold=0, repeats_a_round=1)
    assert pool.overlap(10, 0) == pool.overlap(10, 5) == 0.25


def test_repeats_added_later_move_nothing() -> None:
    labels = np.arange(40) % 2
    pool = Pool(np.arange(40), np.arange(40), labels, seed=3, fold=0, repeats_a_round=5)
    assert set(pool.subset(8, 0)) != set(pool.subset(8, 5)), "the next round has an order of its own"
    assert not set(pool.subset(8, 0)) & set(pool.subset(8, 1))


def test_own_test_part() -> None:
    parts = np.array(["train", "val", "test", "train"])
    assert own_test_part(parts, keep_val=False).of_image.tolist() == [-1, -1, 0, -1]
    assert own_test_part(parts, keep_val=True).of_image.tolist() == [-1, -2, 0, -1]


def test_folds_by_column() -> None:
    groups = np.array([0, 0, 1, 2])
    folds = folds_by_column(np.array(["Seoul", "Seoul", "Bern", "Lima"]), groups, "site")
    assert folds.names == ("Bern", "Lima", "Seoul")
    assert folds.of_image.tolist() == [2, 2, 0, 1]
    with pytest.raises(OptionError, match=r"1 patients .* in several values of 'site'"):
        folds_by_column(np.array(["Seoul", "Bern", "Bern", "Lima"]), groups, "site")
    with pytest.raises(OptionError, match="has 1 values"):
        folds_by_column(np.array(["Bern"] * 4), groups, "site")


@given(st.integers(2, 100_000), st.floats(0.01, 0.5))
def test_default_sizes_grow_to_all(n_pool: int, share: float) -> None:
    sizes = default_sizes(n_pool, share)
    assert sizes[-1] == n_pool
    assert list(sizes) == sorted(set(sizes))
    assert len(sizes) <= 6
    assert len(sizes) == 1 or sizes[0] * share >= 7.99


def test_sizes_are_literal() -> None:
    assert parse_sizes(["all", "50", "7"], 80) == (7, 50, 80)
    for wrong in ("81", "1", "half", "-3"):
        with pytest.raises(OptionError, match=f"Size '{wrong}'"):
            parse_sizes([wrong], 80)
