"""What a study's network has learned from: its draw planned again, its training images, and what these look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Num

from medladder.cohort import Cohort
from medladder.errors import InputError, StudyError
from medladder.planning import Wishes, plan_study
from medladder.progress import QUIET, Progress
from medladder.record.folder import StudyFolder
from medladder.record.plan import FleetKey, Plan
from medladder.rungs.draws import Draw, may_learn

from .fitting import images_of, likeness_to
from .likeness import Likeness

if TYPE_CHECKING:  # what imports torch is imported where it is used
    from medladder.inspection.explaining import Near
    from medladder.inspection.neighbours import Neighbours

    from .looking import Opened


@dataclass(frozen=True, eq=False)
class Known:
    """The images that a study's network has learned from, and where they lie in what it passes on."""

    cohort: Cohort
    neighbours: Neighbours

    def nearest(self, pixels: Num[np.ndarray, "..."]) -> tuple[Near, ...]:
        """Those it takes for most alike, nearest first."""
        from medladder.inspection.explaining import Near, as_picture

        images, labels, classes = self.cohort.images, self.cohort.labels, self.cohort.classes
        network = self.neighbours.networks[0]
        return tuple(
            Near(int(row), classes[labels[row]], float(distance), as_picture(images[row], network))
            for row, distance in zip(*self.neighbours.nearest(pixels), strict=True)
        )


def known_images(
    opened: Opened, cohort: Cohort | None = None, *, cache: Path | None = None, progress: Progress = QUIET
) -> Known | None:
    """The images that a study's network has learned from, for `explain_file`; of a model there are none.

    None too where they are not found on this machine any more, which is then said.

    Raises
    ------
    StudyError
        The cohort that is given is not that of the study.
    """
    from medladder.inspection.neighbours import Neighbours

    if opened.plan is None:
        return None
    if cohort is not None and cohort.fingerprint != opened.plan.cohort["fingerprint"]:
        raise StudyError(
            found=f"{cohort.name} is not the cohort of the study, or it has changed.",
            needed="With --image the cohort of the study itself: the nearest training images are looked for in it.",
            do="Give it as it was, or drop --on.",
        )
    try:
        found = images_of(StudyFolder(opened.path), opened.plan, cohort, cache, progress)
    except InputError as error:  # moved, changed, or read on another machine
        progress.say(f"No training image is shown: {error.found} Give --on COHORT.")
        return None
    draw = study_draw(opened.plan, found, opened.name)
    return Known(found, Neighbours.of(opened.networks, found.images, draw.rows[may_learn(draw.fold)]))


def likeness_of_study(plan: Plan, cohort: Cohort, rung: str) -> Likeness:
    """What the images look like that the first repeat at full size of a study learned from."""
    return likeness_to(cohort, study_draw(plan, cohort, rung), plan.seed)


def study_draw(plan: Plan, cohort: Cohort, rung: str) -> Draw:
    """What the first repeat at full size of a study saw, planned again from its cohort."""
    wishes = Wishes.of(
        rungs=(rung,),
        sizes=plan.sizes,
        repeats=plan.round,
        seed=plan.seed,
        leave_out=plan.leave_out,
        keep_val=plan.keep_val,
        accept=plan.accept,
        group_near=plan.group_near,
    )
    [draw] = plan_study(cohort, wishes).draws(FleetKey(rung, plan.sizes[-1], 0, 0, 1))
    return draw
