"""From probabilities to a decision, chosen on patients that the deciding model had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.metrics import roc_auc_score


@dataclass(frozen=True)
class Decision:
    """Decide for the class of largest `probability / weight`; with two classes and weights (1 - t, t): p ≥ t.

    `rule` is «out-of-part» or, where a class is too thin to search, «prevalence»; «majority» where every probability is
    the same and there is nothing to weigh.
    """

    weights: tuple[float, ...]
    rule: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in a trial's line."""
        return {"weights": list(self.weights), "rule": self.rule}


def apparent_shares(
    learned: Int[np.ndarray, " learned"],
    out_of_part: Float[np.ndarray, "row class_"],
    *,
    is_weighted: bool,
) -> Float[np.ndarray, " class_"]:
    """How common each class looks to a rung: as among the labels it learned from, unless told to weigh the classes."""
    n_classes = out_of_part.shape[1]
    counts = np.bincount(learned, minlength=n_classes)
    if not is_weighted:
        return np.asarray(counts / len(learned))
    seen = ~np.isnan(out_of_part).any(axis=1)
    return np.asarray(out_of_part[seen].mean(axis=0)) if seen.any() else (counts > 0) / (counts > 0).sum()


def choose_decision(
    probabilities: Float[np.ndarray, "row class_"],
    labels: Int[np.ndarray, " row"],
    patients: Int[np.ndarray, " row"],
    *,
    prevalence: Float[np.ndarray, " class_"],
    is_thin: bool,
) -> Decision:
    """Weigh the classes so that each counts the same, however common it is in the training subset.

    Two classes: the threshold with the best balanced accuracy on out-of-part patients (a patient's score is the mean
    over their images), the middle of the best stretch where several are equal. More classes, or a thin one: the
    prevalence (of the rows that were learned from), which is the same rule if probabilities are calibrated. Rows
    that were never held out are NaN and are not used.
    """
    n_classes = probabilities.shape[1]
    seen = ~np.isnan(probabilities).any(axis=1)
    if seen.any() and bool((probabilities[seen] == probabilities[seen][:1]).all()):
        return Decision((1 / n_classes,) * n_classes, "majority")
    by_prevalence = Decision(tuple(np.maximum(prevalence, 1e-6).tolist()), "prevalence")
    if is_thin or n_classes > 2 or len(np.unique(labels[seen])) < 2:
        return by_prevalence
    scores, truth = _by_unit(probabilities[seen], labels[seen], patients[seen])
    threshold = best_threshold(scores[:, 1], truth == 1)
    return Decision((1.0 - threshold, threshold), "out-of-part")


def score_out_of_part(
    probabilities: Float[np.ndarray, "row class_"], labels: Int[np.ndarray, " row"], patients: Int[np.ndarray, " row"]
) -> dict[str, Any] | None:
    """`area`, the macro AUROC (0–1) of the patients held out for choosing, and how many there were `per_class`.

    None where a class has none. It is a little low, for what scored them had learned from the rest only.
    """
    seen = ~np.isnan(probabilities).any(axis=1)
    n_classes = probabilities.shape[1]
    if len(np.unique(labels[seen])) < n_classes:
        return None
    scores, truth = _by_unit(probabilities[seen], labels[seen], patients[seen])
    areas = [roc_auc_score(truth == k, scores[:, k]) for k in (range(n_classes) if n_classes > 2 else [1])]
    counts = np.bincount(truth, minlength=n_classes)
    return {"area": round(float(np.mean(areas)), 6), "per_class": counts.tolist()}


def _by_unit(
    probabilities: Float[np.ndarray, "row class_"], labels: Int[np.ndarray, " row"], patients: Int[np.ndarray, " row"]
) -> tuple[Float[np.ndarray, "unit class_"], Int[np.ndarray, " unit"]]:
    """Means over the images of a patient in a class, and its class."""
    units, place = np.unique(np.stack([patients, labels], axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    sums = np.stack([np.bincount(place, column) for column in probabilities.T], axis=1)
    return sums / np.bincount(place)[:, None], units[:, 1]


def best_threshold(scores: Float[np.ndarray, " unit"], is_positive: np.ndarray) -> float:
    """The threshold (score ≥ it is positive) with the best balanced accuracy, within (0, 1).

    Example
    -------
    >>> best_threshold(np.array([0.1, 0.2, 0.6, 0.9]), np.array([False, False, True, True]))
    0.4
    """
    values = np.unique(scores)
    # Between two scores that follow each other every threshold decides alike: the middle stands for all.
    candidates = np.concatenate([[values[0] / 2], (values[1:] + values[:-1]) / 2, [(values[-1] + 1) / 2]])
    candidates = np.clip(candidates, 1e-6, 1 - 1e-6)
    positives, negatives = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    sensitivity = 1 - np.searchsorted(positives, candidates) / len(positives)
    specificity = np.searchsorted(negatives, candidates) / len(negatives)
    balanced = sensitivity + specificity
    best = candidates[np.isclose(balanced, balanced.max())]
    return float(best[(len(best) - 1) // 2])
