"""Many trees: a forest of extremely randomised ones, and gradient boosting."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from medladder.rungs.choosing import Rows, calibrate_out_of_part, fit_calibration
from medladder.rungs.conventional import (
    FeatureRung,
    RandomState,
    class_shares,
    require_every_class,
    require_positive,
)
from medladder.rungs.draws import Draw, may_learn, parts_of

_FEATURES_A_SPLIT = 0.1
"""Share of the features tried at each split: .1 did as well as .3 or better, and costs less."""

_CALIBRATION_SLOPE = 1.5
"""Votes of trees are timid: out-of-part slopes were mostly between 1 and 2.5."""

_BINS = 32
_ROUNDS, _MOST_ROUNDS, _PATIENCE = 30, 300, 10
_LEAST_ROWS_A_LEAF = 10


class _Members(FeatureRung):
    """One member a part, trained on the rows outside it; they predict together, and each its own part alone."""

    members_: list[Any]

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        vectors = self._read(X)
        return np.mean([self._proba(member, vectors) for member in self.members_], axis=0)

    def _fit_members(
        self,
        vectors: Float[np.ndarray, "row value"],
        codes: Int[np.ndarray, " row"],
        draw: Draw,
    ) -> Float[np.ndarray, "row class_"]:
        """Fit the members and predict each part by the one that has not seen it; NaN where a row is in no part."""
        learn = may_learn(draw.fold)
        require_every_class(codes[learn], len(self.classes_))
        n_members = max(parts_of(draw.fold), 1)
        seeds = np.random.SeedSequence(draw.seed).generate_state(n_members)
        out_of_part = np.full((len(codes), len(self.classes_)), np.nan)
        self.members_ = []
        for part, seed in enumerate(seeds):
            held = draw.fold == part
            member = self._train(vectors, codes, learn & ~held, held, n_members, int(seed), draw.is_thin)
            if held.any():
                out_of_part[held] = self._proba(member, vectors[held])
            self.members_.append(member)
        return out_of_part

    @abstractmethod
    def _train(
        self,
        vectors: Float[np.ndarray, "row value"],
        codes: Int[np.ndarray, " row"],
        seen: Rows,
        held: Rows,
        n_members: int,
        seed: int,
        is_thin: bool,
    ) -> Any: ...

    def _proba(self, member: Any, vectors: Float[np.ndarray, "row value"]) -> Float[np.ndarray, "row class_"]:
        """A class that the member's rows lacked gets probability 0; one that was alone in them gets 1."""
        proba, known = np.zeros((len(vectors), len(self.classes_))), member.classes_
        proba[:, known] = member.predict_proba(vectors) if len(known) > 1 else 1.0
        return proba


class ForestClassifier(_Members):
    """Extremely randomised trees on hand-crafted features; on vectors, on the vectors themselves.

    Each part of the draw has a share of the trees, grown on the rows outside it: what the forest says of a
    patient held out comes from trees that saw none of their images, which bags of rows could not promise. Classes weigh
    the same while trees grow, and a `Calibration` of out-of-part votes returns them to their prevalence.

    Parameters
    ----------
    trees
        How many in all.
    depth
        Splits one below the other at most. None: until every leaf is of one class.

    Source
    ------
    Geurts et al. 2006, doi:10.1007/s10994-006-6226-1.
    """

    def __init__(self, trees: int = 250, depth: int | None = None, random_state: RandomState = None) -> None:
        self.trees = trees
        self.depth = depth
        self.random_state = random_state

    def check_settings(self) -> None:
        """Refuse a number of trees or a depth that is not above 0."""
        require_positive(trees=self.trees, depth=self.depth)

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Grow the trees of each part, and calibrate by the parts."""
        vectors, codes, draw = self._read_to_fit(X, y, draw)
        score = self._score(self._fit_members(vectors, codes, draw))
        shares = class_shares(codes[may_learn(draw.fold)], len(self.classes_))
        self.out_of_part_proba_ = calibrate_out_of_part(score, codes, draw.fold, shares, _CALIBRATION_SLOPE)
        self.calibration_ = fit_calibration(score, codes, shares, _CALIBRATION_SLOPE)
        grown = [tree.tree_ for member in self.members_ for tree in member.estimators_]
        n_leaves = sum(tree.n_leaves for tree in grown)
        # Two numbers a split (which feature, where), a share of each class a leaf; slope and biases.
        self.n_parameters_ = 2 * (n_leaves - len(grown)) + n_leaves * len(shares) + 1 + len(shares)
        self.chosen_ = {"slope": round(self.calibration_.slope, 4)}
        return self

    def predict_proba(self, X: ArrayLike) -> Float[np.ndarray, "image class_"]:
        """Probability of each class, in the order of `classes_`."""
        votes = super().predict_proba(X)
        return self.calibration_.proba(self._score(votes))

    def _score(self, votes: Float[np.ndarray, "row class_"]) -> Float[np.ndarray, "row output"]:
        """Log shares of the votes, as if half a tree more had voted for every class alike."""
        doubt = 0.5 / self.trees
        log_votes = np.log((votes + doubt / len(self.classes_)) / (1 + doubt))
        return log_votes if log_votes.shape[1] > 2 else log_votes[:, [-1]] - log_votes[:, [0]]

    def _train(
        self,
        vectors: Float[np.ndarray, "row value"],
        codes: Int[np.ndarray, " row"],
        seen: Rows,
        held: Rows,  # noqa: ARG002
        n_members: int,
        seed: int,
        is_thin: bool,  # noqa: ARG002
    ) -> ExtraTreesClassifier:
        forest = ExtraTreesClassifier(
            -(-self.trees // n_members),
            max_depth=self.depth,
            max_features=_FEATURES_A_SPLIT,
            class_weight="balanced",
            n_jobs=1,
            random_state=seed,
        )
        return forest.fit(vectors[seen], codes[seen])


class BoostingClassifier(_Members):
    """Gradient-boosted trees on hand-crafted features; on vectors, on the vectors themselves.

    Each part of the draw has a member, boosted on the rows outside it until the part's log loss no longer falls; the
    members' mean predicts. Classes are not balanced: probabilities keep the prevalence of the training rows, and
    deciding has weights of its own.

    Parameters
    ----------
    learning_rate
        Share of each tree's correction that is taken.
    depth
        Splits one below the other at most.
    rounds
        Trees one after the other (a class, with more than two). None: stopped by parts, at 300 at the latest; 30 where
        there is too little to choose by.

    Source
    ------
    Friedman 2001, doi:10.1214/aos/1013203451.
    """

    def __init__(
        self,
        learning_rate: float = 0.1,
        depth: int = 3,
        rounds: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.depth = depth
        self.rounds = rounds
        self.random_state = random_state

    def check_settings(self) -> None:
        """Refuse a learning rate, a depth or rounds that are not above 0."""
        require_positive(learning_rate=self.learning_rate, depth=self.depth, rounds=self.rounds)

    def fit(self, X: ArrayLike, y: ArrayLike, draw: Draw | None = None) -> Self:
        """Boost a member a part."""
        vectors, codes, draw = self._read_to_fit(X, y, draw)
        self.out_of_part_proba_ = self._fit_members(vectors, codes, draw)
        leaves = [tree.get_n_leaf_nodes() for member in self.members_ for trees in member._predictors for tree in trees]
        # Three numbers a split (which feature, where, and where a missing value goes), one a leaf, one start an output.
        starts = sum(member._baseline_prediction.size for member in self.members_)
        self.n_parameters_ = 4 * sum(leaves) - 3 * len(leaves) + starts
        self.chosen_ = {"rounds": [member.n_iter_ for member in self.members_]}
        return self

    def _train(
        self,
        vectors: Float[np.ndarray, "row value"],
        codes: Int[np.ndarray, " row"],
        seen: Rows,
        held: Rows,
        n_members: int,  # noqa: ARG002
        seed: int,
        is_thin: bool,
    ) -> HistGradientBoostingClassifier:
        judges = held & np.isin(codes, codes[seen])
        is_stopped = self.rounds is None and not is_thin and bool(judges.any())
        boosting = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.rounds or (_MOST_ROUNDS if is_stopped else _ROUNDS),
            max_depth=self.depth,
            max_leaf_nodes=None,
            min_samples_leaf=max(1, min(_LEAST_ROWS_A_LEAF, int(seen.sum()) // 10)),
            max_features=_FEATURES_A_SPLIT,
            max_bins=_BINS,
            early_stopping=is_stopped,
            n_iter_no_change=_PATIENCE,
            random_state=seed,
        )
        by = {"X_val": vectors[judges], "y_val": codes[judges]} if is_stopped else {}
        return boosting.fit(vectors[seen], codes[seen], **by)
