"""From `--engine` to an engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec

from medladder.errors import OptionError, unknown_name
from medladder.machine import n_processors

from .contract import Engine
from .local import LocalEngine

NAMES = ("local", "dask", "slurm", "dask://HOST:PORT")

USUAL = "local"


def open_engine(name: str, jobs: int | None, say: Callable[[str], None]) -> AbstractContextManager[Engine]:
    """The engine of a name: `local`, `dask`, `slurm` or `dask://HOST:PORT`; `say` is told what a person must know.

    Raises
    ------
    OptionError
        There is no such engine, what it needs is not installed, or it cannot be reached.
    """
    is_address = name.startswith("dask://")
    if not is_address and name not in NAMES[:-1]:
        raise unknown_name("engine", name, NAMES)
    if name == USUAL:
        return LocalEngine(jobs)
    if is_address and jobs is not None:
        raise OptionError(
            found=f"--jobs {jobs} with --engine {name}.",
            needed="As many workers as that cluster has.",
            do="Drop --jobs; start more workers, or fewer.",
        )
    needed = ["distributed", *(["dask_jobqueue"] if name == "slurm" else [])]
    if not all(map(find_spec, needed)):
        raise OptionError(
            found=f"--engine {name}, but {' and '.join(needed)} is not installed.",
            needed="The extra for clusters.",
            do="pip install 'medladder[cluster]'.",
        )
    if name == "slurm" and jobs is None:
        raise OptionError(
            found="--engine slurm without --jobs.", needed="How many workers to ask Slurm for.", do="Add --jobs 16."
        )
    from . import cluster

    if is_address:
        return cluster.open_address(name, say)
    return cluster.open_slurm(jobs or 1, say) if name == "slurm" else cluster.open_local(jobs or n_processors())
