"""Drawn cohorts: the same patients always, the truth where it says, and no way to the class but the drawn one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from medladder.errors import OptionError
from medladder.phantoms import DrawnCohort, draw, draw_batches, known
from medladder.phantoms import cells as cells_module
from medladder.phantoms import nodule as nodule_module
from medladder.phantoms.canvas import cloud, ellipse_depth, grain, grid, scatter, soft, turn

NAMES = [phantom.name for phantom in known()]


@pytest.fixture(scope="module", params=NAMES)
def cohort(request: pytest.FixtureRequest) -> DrawnCohort:
    return draw(request.param, n_patients=400, size=32, seed=3)


@pytest.fixture(scope="module")
def nodules() -> DrawnCohort:
    return draw("nodule", n_patients=400, size=64)


def join(pieces: list[DrawnCohort]) -> dict[str, np.ndarray]:
    columns = {
        "images": [piece.images for piece in pieces],
        "labels": [piece.labels for piece in pieces],
        "patients": [piece.patients for piece in pieces],
        "parts": [np.array(piece.parts) for piece in pieces],
    }
    for piece in pieces:
        for name, values in piece.truth.items():
            columns.setdefault(f"truth {name}", []).append(values)
        for name, cells in piece.covariates.items():
            columns.setdefault(f"covariate {name}", []).append(np.array(cells))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


# What a cohort is


def test_one_row_an_image_in_every_column(cohort: DrawnCohort) -> None:
    count = len(cohort.images)
    assert cohort.images.dtype == np.uint8
    assert cohort.images.shape[1:] == ((32, 32, 3) if cohort.name == "cells" else (32, 32))
    assert len(cohort.labels) == len(cohort.patients) == len(cohort.parts) == count
    assert all(len(values) == count for values in [*cohort.truth.values(), *cohort.covariates.values()])
    assert set(cohort.labels) == set(range(len(cohort.classes)))
    assert set(cohort.patients) == set(range(400))


@pytest.mark.parametrize("phantom", known(), ids=lambda phantom: phantom.name)
def test_defaults_are_those_of_the_table(phantom) -> None:
    piece = next(iter(draw_batches(phantom.name, batch=2)))
    assert piece.images.shape[1:3] == (phantom.size, phantom.size)
    assert piece.classes == phantom.classes
    assert sum(phantom.frequencies) == pytest.approx(1)
    assert sum(len(set(each.patients)) for each in draw_batches(phantom.name, size=16)) == phantom.n_patients


def test_one_class_and_one_part_a_patient(cohort: DrawnCohort) -> None:
    for column in (cohort.labels, np.array(cohort.parts)):
        assert len(set(zip(cohort.patients.tolist(), column.tolist(), strict=True))) == 400


def test_a_third_of_the_patients_is_for_testing(cohort: DrawnCohort) -> None:
    # 400 patients numbered from 0, every third one for testing: 2, 5, …, 398.
    assert len(set(cohort.patients[np.array(cohort.parts) == "test"])) == 133


def test_classes_are_as_frequent_as_the_table_says(cohort: DrawnCohort) -> None:
    (phantom,) = (each for each in known() if each.name == cohort.name)
    label_of_patient = dict(zip(cohort.patients.tolist(), cohort.labels.tolist(), strict=True))
    seen = np.bincount(list(label_of_patient.values())) / 400
    # Four standard errors of a share of 400: at .5 that is .1.
    error = np.sqrt(np.multiply(phantom.frequencies, np.subtract(1, phantom.frequencies)) / 400)
    assert (np.abs(seen - phantom.frequencies) < 4 * error).all()


def test_several_images_a_patient_only_of_the_chest(cohort: DrawnCohort) -> None:
    counts = np.bincount(np.bincount(cohort.patients), minlength=4)
    if cohort.name == "nodule":
        np.testing.assert_allclose(counts / 400, [0, *nodule_module.IMAGES_OF_PATIENT], atol=0.1)
    else:
        assert counts.tolist() == [0, 400, 0, 0]


def test_pictures_are_neither_blank_nor_burnt_out(cohort: DrawnCohort) -> None:
    assert cohort.images.reshape(len(cohort.images), -1).std(axis=1).min() > 10
    assert (cohort.images == 255).mean() < 0.05
    assert len(np.unique(cohort.images.reshape(len(cohort.images), -1), axis=0)) == len(cohort.images)


# The same patients always


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    n=st.integers(1, 9),
    more=st.integers(0, 5),
    batch=st.integers(1, 6),
    seed=st.integers(0, 2**63),
)
def test_patients_stay_the_same_however_many_and_however_cut(name, n, more, batch, seed) -> None:
    short = join([draw(name, n_patients=n, seed=seed, size=16)])
    pieces = list(draw_batches(name, n_patients=n + more, seed=seed, size=16, batch=batch))
    assert [len(set(piece.patients)) for piece in pieces[:-1]] == [batch] * (len(pieces) - 1)
    long = join(pieces)
    first = long["patients"] < n
    assert_same(short, {column: values[first] for column, values in long.items()})


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_patients(name: str) -> None:
    one, other = (draw(name, n_patients=30, seed=seed, size=16) for seed in (0, 1))
    assert one.labels.tolist() != other.labels.tolist()
    assert not np.array_equal(one.images[0], other.images[0])


@pytest.mark.parametrize("name", NAMES)
def test_size_changes_the_pixels_not_the_patients(name: str) -> None:
    small, large = (draw(name, n_patients=12, size=size) for size in (32, 96))
    np.testing.assert_array_equal(small.labels, large.labels)
    assert small.covariates == large.covariates
    shape = (len(large.images), 32, 3, 32, 3, -1)
    shrunk = large.images.reshape(shape).mean(axis=(2, 4))
    for picture, twin in zip(small.images, shrunk, strict=True):
        assert np.corrcoef(picture.ravel(), twin.ravel())[0, 1] > 0.9
    for row, twin_row in ((small.truth[key], large.truth[key]) for key in ("row", "column") if key in small.truth):
        # Pixel centres: position p of 32 is (p + 1/2) / 32 of the side.
        np.testing.assert_allclose((row + 0.5) * 3, twin_row + 0.5)


# The truth is where it says


def test_the_nodule_is_brighter_than_the_ring_around_it(nodules: DrawnCohort) -> None:
    rows, columns = np.mgrid[:64, :64]
    contrasts, at_random = [], []
    rng = np.random.default_rng(0)
    has_nodule = np.flatnonzero(nodules.labels == 1)
    for image in has_nodule:
        other = rng.choice(has_nodule)
        for place, found in ((image, contrasts), (other, at_random)):
            row, column, radius = (nodules.truth[key][place] for key in ("row", "column", "radius"))
            distance = np.hypot(rows - row, columns - column) / radius
            picture = nodules.images[image].astype(float)
            found.append(picture[distance < 0.6].mean() - picture[(distance > 1.3) & (distance < 1.8)].mean())
    assert np.mean(contrasts) > 25
    assert np.mean(np.array(contrasts) > 0) > 0.95
    assert abs(np.mean(at_random)) < 15


def test_clear_chests_have_no_truth_and_nodules_all_of_it(nodules: DrawnCohort) -> None:
    for values in nodules.truth.values():
        np.testing.assert_array_equal(np.isnan(values), nodules.labels == 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), quadrant=st.sampled_from([None, 0, 1, 2, 3]))
def test_a_clear_twin_differs_by_the_nodule_alone(seed: int, quadrant: int | None) -> None:
    clear, sick = (
        nodule_module.draw_patient(np.random.default_rng(seed), label, 64, quadrant=quadrant) for label in (0, 1)
    )
    assert len(clear.pictures) == len(sick.pictures)
    rows, columns = np.mgrid[:64, :64]
    for without, with_nodule, truth in zip(clear.pictures, sick.pictures, sick.truth, strict=True):
        added = with_nodule - without
        distance = np.hypot(rows - truth["row"], columns - truth["column"]) / truth["radius"]
        # Lobes reach out to 1 + the sum of four normal coefficients of at most .06.
        np.testing.assert_allclose(added[distance > 1.7], 0, atol=1e-6)
        assert added.min() > -1e-6
        # A ball's thickness within .3 of its centre is at least √(1 − (.3 / .6)²) = .87 of the peak.
        assert added[distance < 0.3].min() > 0.85 * truth["contrast"]
        assert added.max() < truth["contrast"] + 1e-6


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), quadrant=st.integers(0, 3))
def test_a_confined_nodule_stays_in_its_quadrant(seed: int, quadrant: int) -> None:
    cohort = draw("nodule", n_patients=12, seed=seed, size=16, quadrant=quadrant)
    sick = cohort.labels == 1
    row, column, radius = (cohort.truth[key][sick] for key in ("row", "column", "radius"))
    # The middle of 16 pixels lies at 7.5; one tenth of a pixel for the rare chest too narrow for the nodule.
    below, right = row - 7.5, column - 7.5
    assert ((below if quadrant >= 2 else -below) > radius - 0.1).all()
    assert ((right if quadrant % 2 else -right) > radius - 0.1).all()


def test_confining_the_nodule_moves_nothing_else() -> None:
    free, confined = draw("nodule", n_patients=40, size=16), draw("nodule", n_patients=40, size=16, quadrant=2)
    np.testing.assert_array_equal(free.images[free.labels == 0], confined.images[confined.labels == 0])
    np.testing.assert_array_equal(free.truth["contrast"], confined.truth["contrast"])


def test_ventricles_widen_with_age_and_with_atrophy() -> None:
    cohort = draw("atrophy", n_patients=600, size=32)
    age = np.array(cohort.covariates["age"], float)
    design = np.stack([np.ones(600), age, cohort.labels], axis=1)
    (_, a_year, disease), *_ = np.linalg.lstsq(design, np.log(cohort.truth["ventricle_width"]), rcond=None)
    # As drawn: .02 a year and .28 for the disease, each within four standard errors (.11 / √600 / spread).
    assert a_year == pytest.approx(0.02, abs=4 * 0.11 / np.sqrt(600) / age.std())
    assert disease == pytest.approx(0.28, abs=4 * 0.11 / np.sqrt(600) / 0.45)
    assert np.corrcoef(cohort.truth["ventricle_width"], cohort.truth["ventricle_area"])[0, 1] > 0.9
    order = np.argsort(cohort.truth["ventricle_area"])
    narrow, wide = (cohort.images[rows].mean(axis=0) for rows in (order[:150], order[-150:]))
    row, column = np.unravel_index((narrow - wide).argmax(), (32, 32))
    assert (narrow - wide).max() > 40
    assert 6 <= row < 26
    assert 10 <= column < 22


def test_ages_of_both_classes_overlap_and_are_shifted() -> None:
    cohort = draw("atrophy", n_patients=600, size=16)
    age = np.array(cohort.covariates["age"])
    assert age.dtype.kind == "i"
    assert age.min() >= 45
    assert age.max() <= 95
    assert set(cohort.covariates["sex"]) == {"F", "M"}
    # Normal ages four years apart with a spread of eight: Φ(4 / (8 √2)) = .638.
    assert roc_auc_score(cohort.labels, age) == pytest.approx(0.638, abs=0.09)
    assert abs(np.mean(np.array(cohort.covariates["sex"])[cohort.labels == 1] == "F") - 0.5) < 0.13


def test_the_cell_is_darker_than_the_smear_and_has_its_lobes() -> None:
    cohort = draw("cells", n_patients=200, size=48)
    rows, columns = np.mgrid[:48, :48]
    grey = cohort.images.mean(axis=3)
    for image in range(200):
        row, column, radius = (cohort.truth[key][image] for key in ("row", "column", "radius"))
        inside = np.hypot(rows - row, columns - column) < 0.7 * radius
        assert grey[image][inside].mean() < grey[image][~inside].mean()
        lobes = cells_module.KINDS[cohort.labels[image]].lobes
        assert cohort.truth["lobes"][image] in lobes
        assert 0 < cohort.truth["nucleus_area"][image] < 1.2 * np.pi * radius**2


# No way to the class but the drawn one


@pytest.mark.parametrize("name", NAMES)
def test_no_shortcut_separates_the_classes(name: str) -> None:
    cohort = draw(name, n_patients=1200, size=16, seed=11)
    first = np.unique(cohort.patients, return_index=True)[1]
    pictures, labels = cohort.images[first].astype(float), cohort.labels[first]
    border = np.ones((16, 16), bool)
    border[1:-1, 1:-1] = False
    shortcuts = {
        "border": pictures[:, border].reshape(1200, -1).mean(axis=1),
        "border noise": pictures[:, border].reshape(1200, -1).std(axis=1),
        "images": np.bincount(cohort.patients),
        "order": np.arange(1200),
        "part": np.array(cohort.parts)[first] == "test",
    }
    for class_ in range(len(cohort.classes)):
        is_class = labels == class_
        # Four standard errors of the AUROC under chance (Mann-Whitney).
        n, m = is_class.sum(), (~is_class).sum()
        chance = 4 * np.sqrt((n + m + 1) / (12 * n * m))
        for what, values in shortcuts.items():
            assert abs(roc_auc_score(is_class, values) - 0.5) < chance, what


# Drawing by hand


def test_a_soft_shape_is_half_at_its_edge() -> None:
    np.testing.assert_allclose(soft(np.array([-1e6, 0.0, 1e6]), 0.01), [0, 0.5, 1], atol=1e-12)


def test_depth_in_an_ellipse_by_hand() -> None:
    # Half axes .4 and .2: the centre is .2 deep, the tips lie on the edge.
    depth = ellipse_depth(np.array([0.0, 0.4, 0.0]), np.array([0.0, 0.0, 0.2]), 0.4, 0.2)
    np.testing.assert_allclose(depth, [0.2, 0, 0], atol=1e-12)


def test_a_quarter_turn_by_hand() -> None:
    np.testing.assert_allclose(turn(np.array([1.0]), np.array([0.0]), np.pi / 2), [[0], [-1]], atol=1e-12)


def test_specks_keep_their_mass_and_fall_where_they_should() -> None:
    # At a quarter across and half down: column 8 and row 16 of 32; the picture's mean is the mass.
    specks = scatter(np.array([[-0.24, 0.01], [3.0, 0.0]]), np.array([2.0, 5.0]), 32, 0.02)
    assert specks.mean() == pytest.approx(2.0, rel=1e-3)
    assert np.unravel_index(specks.argmax(), specks.shape) == (16, 8)


def test_the_grid_counts_pixel_centres_from_the_middle() -> None:
    across, down = grid(4)
    np.testing.assert_allclose(across[0], [-0.375, -0.125, 0.125, 0.375])
    np.testing.assert_allclose(down, across.T)


def test_clouds_are_centred_with_unit_deviation_at_every_size() -> None:
    fields = np.stack([cloud(np.random.default_rng(seed), 24, 6) for seed in range(400)])
    assert fields.mean() == pytest.approx(0, abs=0.05)
    assert fields.std() == pytest.approx(1, abs=0.05)
    fine = cloud(np.random.default_rng(5), 72, 6).reshape(24, 3, 24, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(fine, fields[5], atol=0.05)


def test_noise_of_the_same_area_is_the_same_at_every_size() -> None:
    # Averaged back to 16 pixels, the noise of 16 and of 64 pixels is equally strong; unblurred, to see it plain.
    coarse = grain(np.random.default_rng(0), 64, 0.1, blur=0.0)
    fine = grain(np.random.default_rng(1), 256, 0.1, blur=0.0).reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert coarse.std() == pytest.approx(0.1, rel=0.05)
    assert fine.std() == pytest.approx(0.1, rel=0.05)


# What is refused


def test_a_mistyped_name_gets_the_nearest_one() -> None:
    with pytest.raises(OptionError, match=r"Unknown drawn cohort 'nodul'.*Did you mean 'nodule'\?"):
        draw("nodul")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nodule", {"n_patients": 0}, "patients is 0"),
        ("nodule", {"size": 8}, "size is 8"),
        ("nodule", {"seed": -1}, "seed is -1"),
        ("nodule", {"quadrant": 4}, "quadrant is 4"),
        ("cells", {"quadrant": 1}, "Only these have one: nodule"),
    ],
)
def test_options_out_of_range_are_refused(name, options, message) -> None:
    with pytest.raises(OptionError, match=message):
        draw(name, **options)


def test_batches_refuse_on_the_call_itself() -> None:
    with pytest.raises(OptionError, match="batch is 0"):
        draw_batches("nodule", batch=0)
