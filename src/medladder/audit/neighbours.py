"""The nearest of many vectors without comparing all pairs: vectors are sorted into cells, and few cells are opened."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ..progress import QUIET, Progress

OPENED = 24
"""Cells that are searched for the queries of a cell: those whose centres are nearest to its own."""
_FEW = 4000
"""With fewer, all are compared: quicker than cells, and nothing is missed."""
_SAMPLE_A_CELL = 20
_ROUNDS = 6
_QUERIES_AT_ONCE = 4096
_DISTANCES_AT_ONCE = 2**22

Vectors = Float[np.ndarray, "vector axis"]
Queries = Float[np.ndarray, "query axis"]
Centres = Float[np.ndarray, "centre axis"]


def nearest(
    vectors: Vectors, queries: Queries, k: int, *, progress: Progress = QUIET
) -> tuple[Int[np.ndarray, "query k"], Float[np.ndarray, "query k"]]:
    """The `k` vectors nearest to each query, in no order, and their squared distances; -1 and infinity where fewer.

    Work grows with `n` to the power 1.5: about √n cells, and the queries of one are compared at once, by one matrix
    product, with the vectors of the `OPENED` cells around it.

    Source
    ------
    Sivic & Zisserman 2003, doi:10.1109/ICCV.2003.1238663 (inverted files); cells by Lloyd 1982,
    doi:10.1109/TIT.1982.1056489.
    """
    centres = _centres(vectors)
    cells = _by_cell(_assigned(vectors, centres, 1)[:, 0], len(centres))
    asking = _by_cell(_assigned(queries, centres, 1)[:, 0], len(centres))
    opened = _assigned(centres, centres, min(OPENED, len(centres)))
    lengths = (vectors**2).sum(axis=1)
    found = np.full((len(queries), k), -1)
    distances = np.full((len(queries), k), np.inf, np.float32)
    with progress.follow("Searching for copies", len(queries)) as advance:
        for around, ours in zip(opened, asking, strict=True):
            members = np.concatenate([cells[cell] for cell in around])
            if not len(ours) or not len(members):
                continue
            held, at_once = vectors[members], max(1, _DISTANCES_AT_ONCE // len(members))
            for at in range(0, len(ours), at_once):
                some = ours[at : at + at_once]
                apart = lengths[members] - 2 * (queries[some] @ held.T)
                best = np.argpartition(apart, min(k, len(members)) - 1, axis=1)[:, :k]
                found[some, : best.shape[1]] = members[best]
                distances[some, : best.shape[1]] = np.take_along_axis(apart, best, axis=1)
                advance(len(some))
    return found, distances + (queries**2).sum(axis=1, keepdims=True)


def _centres(vectors: Vectors) -> Centres:
    """Means of cells, of a sample; one where there are few vectors."""
    n_cells = 1 if len(vectors) < _FEW else round(np.sqrt(len(vectors)))
    rng = np.random.default_rng(0)
    sample = vectors[rng.permutation(len(vectors))[: n_cells * _SAMPLE_A_CELL]]
    centres = sample[:n_cells].copy()
    for _ in range(_ROUNDS if n_cells > 1 else 0):
        cell = _assigned(sample, centres, 1)[:, 0]
        for at, members in enumerate(_by_cell(cell, n_cells)):
            if len(members):
                centres[at] = sample[members].mean(axis=0)
    return centres


def _assigned(vectors: Vectors, centres: Centres, n: int) -> Int[np.ndarray, "vector n"]:
    """The `n` nearest centres of each vector."""
    if n == len(centres):
        return np.tile(np.arange(n), (len(vectors), 1))
    lengths = (centres**2).sum(axis=1)
    found = [
        np.argpartition(lengths - 2 * vectors[at : at + _QUERIES_AT_ONCE] @ centres.T, n - 1, axis=1)[:, :n]
        for at in range(0, len(vectors), _QUERIES_AT_ONCE)
    ]
    return np.concatenate(found)


def _by_cell(cell: Int[np.ndarray, " vector"], n_cells: int) -> list[Int[np.ndarray, " member"]]:
    order = np.argsort(cell, kind="stable")
    return np.split(order, np.cumsum(np.bincount(cell, minlength=n_cells))[:-1])
