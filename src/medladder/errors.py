"""Every error as one tree: what was found, what is needed, what to do.

```text
MedladderError
├── InputError        the caller can mend it             exit 2, HTTP 422
│   ├── CohortError       images, labels, a manifest
│   │   └── ImageError        one image: it is named, skipped and counted
│   ├── StudyError        the folder of a study
│   ├── ModelError        the folder of a model
│   └── OptionError       an option or a setting
└── FitError          one trial: the study records it and goes on
```

Anything else that reaches the door is a fault of medladder's own: exit 1, HTTP 500.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedladderError(Exception):
    """The root of the tree; catch it to catch everything medladder says on purpose."""

    exit_code = 1
    http_status = 500


class InputError(MedladderError, ValueError):
    """Something the caller can mend, said in three parts.

    Example
    -------
    >>> print(InputError(
    ...     found="Class 'effusion' has 3 patients.",
    ...     needed="This split needs 5.",
    ...     do="Add patients or merge the class.",
    ... ))
    Class 'effusion' has 3 patients. This split needs 5. Add patients or merge the class.
    """

    exit_code = 2
    http_status = 422

    def __init__(self, *, found: str, needed: str, do: str) -> None:
        super().__init__(f"{found} {needed} {do}")
        self.found = found
        self.needed = needed
        self.do = do

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the three parts when the error crosses a process border."""
        return _rebuild, (type(self), self.found, self.needed, self.do)


def _rebuild(kind: type[InputError], found: str, needed: str, do: str) -> InputError:
    return kind(found=found, needed=needed, do=do)


class CohortError(InputError):
    """Images, labels or a manifest that cannot make a cohort."""


class ImageError(CohortError):
    """One image that cannot be read; the cohort goes on without it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            found=f"{name} cannot be read: {reason}.",
            needed="A whole file of a format that is read.",
            do="Export it again, or leave it out.",
        )
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Keep name and reason when the error crosses a process border."""
        return type(self), (self.name, self.reason)


class StudyError(InputError):
    """The folder of a study: foreign, damaged, in use, or the disk beneath it full."""


class ModelError(InputError):
    """The folder of a model: foreign, damaged, altered, of a newer version, or in the way."""


class OptionError(InputError):
    """An option or a setting that is unknown, out of range, or without effect."""


class FitError(MedladderError):
    """One trial could not be fitted; the reason goes into the record and the study goes on.

    It `is_certain` where the subset is the reason, so that another try would fail alike.
    """

    def __init__(self, reason: str, *, is_certain: bool = True) -> None:
        super().__init__(reason)
        self.is_certain = is_certain

    def __reduce__(self) -> tuple[object, ...]:
        """Keep what is certain when the error crosses a process border."""
        return _again, (str(self), self.is_certain)


def _again(reason: str, is_certain: bool) -> FitError:
    return FitError(reason, is_certain=is_certain)


def unknown_name(what: str, given: str, known: Iterable[str]) -> OptionError:
    """Refuse a mistyped name with the nearest right one.

    Example
    -------
    >>> print(unknown_name("rung", "ddn", ["logistic", "nn", "dnn"]))
    Unknown rung 'ddn'. Known: logistic, nn, dnn. Did you mean 'dnn'?
    """
    names = list(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    return OptionError(
        found=f"Unknown {what} '{given}'.",
        needed=f"Known: {', '.join(names)}.",
        do=f"Did you mean '{close[0]}'?" if close else "Choose one of these.",
    )
