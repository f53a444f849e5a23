"""The plan: everything that is decided before the first rung is fitted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from medladder.errors import OptionError
from medladder.language import join, phrase

PROTOCOL = 1

TRAINING = 2
"""Raised whenever a rung of the same name is trained otherwise: no study mixes both. 1 where a plan is silent."""


@dataclass(frozen=True)
class PlannedRung:
    """One rung of the plan; `layers` holds node counts, input first, for networks on the unrolled image."""

    rung: str
    kind: str
    family: str
    settings: dict[str, Any]
    layers: list[int] | None
    has_covariates: bool = False
    """It sees the plan's covariates beside the image."""
    members: int | None = None
    """Networks of one fitted rung, where it is one or several; older plans do not say."""
    convolution: dict[str, Any] | None = None
    """`width` and `depth` of a convolutional network, from which its layers follow; older plans do not say."""


@dataclass(frozen=True)
class OperatingPoints:
    """Where else than at the chosen threshold two classes are judged; all shares, 0–1, without the ends.

    Sensitivity at the threshold of the test patients' own ROC curve that has `at_specificity`, and the reverse;
    predictive values and net benefit where the positive class has the share `prevalence`, None: nowhere.

    Raises
    ------
    OptionError
        A number that is no share.
    """

    at_specificity: float = 0.9
    at_sensitivity: float = 0.9
    prevalence: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < 1:
                option = "--" + name.replace("_", "-")
                raise OptionError(
                    found=f"{option} {value:g}.", needed="A share between 0 and 1.", do=f"Change {option}, as to 0.9."
                )

    def check_classes(self, n_classes: int) -> None:
        """Raise an `OptionError` where there is no one positive class to be as common as `prevalence` says."""
        if self.prevalence is not None and n_classes != 2:
            raise OptionError(
                found=f"--prevalence with {n_classes} classes.", needed="Two classes.", do="Drop --prevalence."
            )


USUAL_POINTS = OperatingPoints()


@dataclass(frozen=True)
class FleetKey:
    """One rung at one size in one fold for repeats `first` to `last - 1`: the unit of work."""

    rung: str
    n_train: int
    fold: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """A file name that every system takes; `rung` may hold characters that some refuse."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "_", self.rung)
        return f"{slug}-n{self.n_train}-f{self.fold}-r{self.first}-{self.last - 1}"

    @property
    def repeats(self) -> range:
        """The repeats trained together."""
        return range(self.first, self.last)


@dataclass(frozen=True)
class Plan:
    """What will be run, and on what; see docs/architecture.md for each field."""

    cohort: dict[str, str]
    rungs: tuple[PlannedRung, ...]
    sizes: tuple[int, ...]
    repeats: int
    repeat_blocks: tuple[tuple[int, int], ...]
    round: int
    folds: tuple[str, ...]
    split: str
    leave_out: str | None
    tested_on: str | None
    keep_val: bool
    seed: int
    image: dict[str, Any]
    margin: float
    accept: tuple[str, ...]
    versions: dict[str, str]
    covariates: dict[str, Any] | None = None
    operating: OperatingPoints = USUAL_POINTS
    group_near: bool = False
    training: int = field(default=TRAINING)
    extensions: tuple[dict[str, Any], ...] = ()
    protocol: int = field(default=PROTOCOL)

    def fleets(self) -> Iterator[FleetKey]:
        """Every fleet of the study, small sizes first: an early stop then leaves whole curves' beginnings."""
        for n_train in self.sizes:
            for planned in self.rungs:
                for fold in range(len(self.folds)):
                    for first, last in self.repeat_blocks:
                        yield FleetKey(planned.rung, n_train, fold, first, last)

    def first_fleet(self, rung: str) -> FleetKey:
        """The fleet of a rung's first repeat at full size in the first fold, of which a study keeps what was fitted."""
        return FleetKey(rung, self.sizes[-1], 0, *self.repeat_blocks[0])

    def describe_covariates(self) -> str | None:
        """Say which covariates there are, how they are used, and which rungs see them; None where there are none."""
        if self.covariates is None:
            return None
        columns = join([_describe_column(**column) for column in self.covariates["columns"]], ", ")
        normal_class = self.covariates["normal_class"]
        seeing = ", ".join(planned.rung for planned in self.rungs if planned.has_covariates)
        without = ", ".join(planned.rung for planned in self.rungs if not planned.has_covariates)
        told = {"columns": columns, "rungs": seeing, "name": normal_class}
        if normal_class is None:
            said = phrase("{columns}: as features beside the image’s, for {rungs}.", **told)
        else:
            said = phrase(
                "{columns}: regressed out of every feature or pixel in the class “{name}” of the training subset, for "
                "{rungs}.",
                **told,
            )
        return join([said, phrase("Without covariates: {rungs}.", rungs=without)]) if without else said

    def to_json(self) -> dict[str, Any]:
        """The plan as it stands in plan.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        """Rebuild a plan from plan.json's content."""
        known = {"training": 1, **data}
        known["rungs"] = tuple(PlannedRung(**planned) for planned in data["rungs"])
        known["repeat_blocks"] = tuple((first, last) for first, last in data["repeat_blocks"])
        for name in ("sizes", "folds", "accept", "extensions"):
            known[name] = tuple(data[name])
        known["operating"] = OperatingPoints(**data.get("operating", {}))
        return cls(**known)


def _describe_column(column: str, read_as: str, columns: int) -> str:
    return column if read_as == "number" else phrase("{column} ({n} kinds)", column=column, n=columns + 1)
