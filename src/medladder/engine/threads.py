"""How many threads linear algebra and torch take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """So many threads for linear algebra and torch while this holds.

    Measured: two one-thread processes scale 1.98 times, while two threads a process fight over the cores
    (docs/LOG.md).
    """
    import scipy.linalg  # noqa: F401 - its own BLAS is limited only if it is loaded by now
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
