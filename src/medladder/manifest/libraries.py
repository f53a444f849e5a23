"""Libraries that only some kinds of tables need, loaded when one is read."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import InputError


def load_library(module: str, name: str) -> ModuleType:
    """Import the library that reads the table `name`.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise InputError(
            found=f"{name} is read with {library}, which is not installed.",
            needed=f"The package {library}.",
            do="pip install 'medladder[tables]', or save the table as CSV.",
        ) from error
