"""Members of `forest` and `boosting` as arrays and back: nodes of scikit-learn, checked before its C code walks them.

scikit-learn follows a node to its children, and looks up its feature, without asking whether they exist: a node that
points outside its tree would read foreign memory. So every link is checked before a tree is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64, Shaped
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree import ExtraTreeClassifier
from sklearn.tree._tree import NODE_DTYPE, Tree

from .arrays import Arrays, Wanted

_NO_CHILD = -1

_PACKED_NODE = np.dtype([(name, NODE_DTYPE[name]) for name in NODE_DTYPE.names])
"""scikit-learn's own nodes have gaps, which hold nothing."""
_BITSETS = 8
"""Words that scikit-learn keeps a categorical split; there are no such splits here."""


def pack_forest(forest: ExtraTreesClassifier) -> Arrays:
    """The numbers of a forest's trees, one after another."""
    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    return {
        "classes": forest.classes_.astype(np.int64),
        "sizes": np.array([state["node_count"] for state in states], np.int64),
        "depths": np.array([state["max_depth"] for state in states], np.int64),
        "nodes": np.concatenate([state["nodes"].astype(_PACKED_NODE) for state in states]),
        "values": np.concatenate([state["values"][:, 0] for state in states]),
    }


def wanted_of_forest(arrays: Mapping[str, Shaped[np.ndarray, "..."]], n_trees: int) -> dict[str, Wanted]:
    """What `pack_forest` gives, where the forest has so many trees."""
    n_classes, n_nodes = (arrays[name].size if name in arrays else 0 for name in ("classes", "nodes"))
    return {
        "classes": Wanted("<i8", (n_classes,)),
        "sizes": Wanted("<i8", (n_trees,)),
        "depths": Wanted("<i8", (n_trees,)),
        "nodes": Wanted(_PACKED_NODE, (n_nodes,)),
        "values": Wanted("<f8", (n_nodes, n_classes), least=0.0),
    }


def unpack_forest(arrays: Arrays, n_features: int, n_classes: int) -> ExtraTreesClassifier:
    """Build the forest again.

    Raises
    ------
    ValueError
        A node leads out of its tree or asks for a feature that is not there, or the classes are not.
    """
    nodes, classes, values = arrays["nodes"], _check_classes(arrays["classes"], n_classes), arrays["values"]
    is_leaf = nodes["left_child"] == _NO_CHILD
    if not np.array_equal(is_leaf, nodes["right_child"] == _NO_CHILD):
        raise ValueError("a tree has a node with one child")
    starts = _check_trees(nodes["left_child"], nodes["right_child"], is_leaf, arrays["sizes"])
    _check_splits(nodes["feature"], nodes["threshold"], nodes["missing_go_to_left"], is_leaf, n_features)
    if (arrays["depths"] < 0).any() or (arrays["depths"] >= arrays["sizes"]).any():
        raise ValueError("a tree is deeper than it has nodes")
    forest = ExtraTreesClassifier(len(arrays["sizes"]), n_jobs=1)
    forest.classes_, forest.n_classes_, forest.n_outputs_ = classes, len(classes), 1
    forest.n_features_in_, forest.estimators_ = n_features, []
    spaced = nodes.astype(NODE_DTYPE)
    for start, size, depth in zip(starts, arrays["sizes"], arrays["depths"], strict=True):
        mine = slice(start, start + size)
        tree = Tree(n_features, np.array([len(classes)], np.intp), 1)
        state = {"max_depth": int(depth), "node_count": int(size), "nodes": spaced[mine], "values": values[mine, None]}
        tree.__setstate__(state)
        grown = ExtraTreeClassifier()
        grown.tree_, grown.n_features_in_, grown.n_outputs_ = tree, n_features, 1
        grown.classes_, grown.n_classes_ = np.arange(len(classes), dtype=np.float64), len(classes)
        forest.estimators_.append(grown)
    return forest


def pack_boosting(boosting: HistGradientBoostingClassifier) -> Arrays:
    """The numbers of a boosting's trees, one after another, round by round."""
    trees = [tree for of_round in boosting._predictors for tree in of_round]
    return {
        "classes": boosting.classes_.astype(np.int64),
        "start": boosting._baseline_prediction[0],
        "sizes": np.array([len(tree.nodes) for tree in trees], np.int64),
        "nodes": np.concatenate([tree.nodes for tree in trees]),
    }


def wanted_of_boosting(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Wanted]:
    """What `pack_boosting` gives, of whatever number of rounds."""
    n_classes, n_trees, n_nodes = (arrays[name].size if name in arrays else 0 for name in ("classes", "sizes", "nodes"))
    return {
        "classes": Wanted("<i8", (n_classes,)),
        "start": Wanted("<f8", (_outputs(n_classes),)),
        "sizes": Wanted("<i8", (n_trees,)),
        "nodes": Wanted(PREDICTOR_RECORD_DTYPE, (n_nodes,)),
    }


def unpack_boosting(arrays: Arrays, n_features: int, n_classes: int) -> HistGradientBoostingClassifier:
    """Build the boosting again.

    Raises
    ------
    ValueError
        A node leads out of its tree, asks for a feature that is not there, or tells categories apart, or the
        classes are not there.
    """
    nodes, sizes, classes = arrays["nodes"], arrays["sizes"], _check_classes(arrays["classes"], n_classes)
    outputs = _outputs(len(classes))
    if len(sizes) == 0 or len(sizes) % outputs:
        raise ValueError(f"{len(sizes)} trees make no rounds of {outputs}")
    if nodes["is_leaf"].max(initial=0) > 1 or nodes["is_categorical"].any():
        raise ValueError("a tree has a node that is neither a split at a number nor a leaf")
    is_leaf = nodes["is_leaf"] == 1
    starts = _check_trees(nodes["left"], nodes["right"], is_leaf, sizes)
    # A split of missing values from all others is at infinity.
    thresholds = np.where(np.isinf(nodes["num_threshold"]), 0, nodes["num_threshold"])
    _check_splits(nodes["feature_idx"], thresholds, nodes["missing_go_to_left"], is_leaf, n_features)
    if not np.isfinite(nodes["value"]).all():
        raise ValueError("a tree has a value that is not finite")
    nobody = np.zeros((0, _BITSETS), np.uint32)
    trees = [
        TreePredictor(nodes[start : start + size].copy(), nobody, nobody)
        for start, size in zip(starts, sizes, strict=True)
    ]
    boosting = HistGradientBoostingClassifier(max_iter=len(trees) // outputs)
    boosting.classes_, boosting.n_features_in_, boosting.n_trees_per_iteration_ = classes, n_features, outputs
    boosting._preprocessor = boosting.is_categorical_ = boosting._is_categorical_remapped = None
    boosting._bin_mapper = _BinMapper()  # of which prediction asks only which features are categories
    boosting._bin_mapper.is_categorical_ = np.zeros(n_features, np.uint8)
    boosting._bin_mapper.bin_thresholds_ = []
    boosting._baseline_prediction = arrays["start"][None]
    boosting._loss = boosting._get_loss(sample_weight=None)
    boosting._predictors = [trees[at : at + outputs] for at in range(0, len(trees), outputs)]
    return boosting


def _outputs(n_classes: int) -> int:
    return n_classes if n_classes > 2 else 1


def _check_classes(classes: Int64[np.ndarray, " class_"], n_classes: int) -> Int64[np.ndarray, " class_"]:
    """The classes that a member's rows held, among all of them."""
    if not len(classes) or classes[0] < 0 or classes[-1] >= n_classes or (np.diff(classes) <= 0).any():
        raise ValueError("a member knows classes that are not there")
    return classes


def _check_trees(
    left: Int[np.ndarray, " node"],
    right: Int[np.ndarray, " node"],
    is_leaf: Bool[np.ndarray, " node"],
    sizes: Int64[np.ndarray, " tree"],
) -> Sequence[int]:
    """Where each tree begins, if every node but a tree's first is the child of one node of the same tree before it."""
    n_nodes = len(is_leaf)
    if (sizes < 1).any() or (sizes > n_nodes).any() or sizes.sum() != n_nodes:
        raise ValueError("the trees have other numbers of nodes than they say")
    starts = np.cumsum(sizes) - sizes
    tree = np.repeat(np.arange(len(sizes)), sizes)[~is_leaf]
    place = np.flatnonzero(~is_leaf) - starts[tree]
    children = np.stack([left[~is_leaf], right[~is_leaf]]).astype(np.int64)
    if (children <= place).any() or (children >= sizes[tree]).any():
        raise ValueError("a tree has a node that leads out of it, or back")
    n_parents = np.bincount((children + starts[tree]).ravel(), minlength=n_nodes)
    n_parents[starts] += 1
    if (n_parents != 1).any():
        raise ValueError("a tree has a node with no parent, or with two")
    return [int(start) for start in starts]


def _check_splits(
    feature: Int[np.ndarray, " node"],
    threshold: Any,
    missing: Any,
    is_leaf: Bool[np.ndarray, " node"],
    n_features: int,
) -> None:
    asked = feature[~is_leaf]
    if (asked < 0).any() or (asked >= n_features).any():
        raise ValueError(f"a tree asks for a feature beyond the {n_features} there are")
    if not np.isfinite(threshold[~is_leaf]).all() or missing.max(initial=0) > 1:
        raise ValueError("a tree has a split that is not at a number")
