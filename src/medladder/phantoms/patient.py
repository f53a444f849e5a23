"""What one drawn patient brings: pictures, what was drawn in each, and columns about the patient."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class DrawnPatient:
    """Pictures of one patient, floats whose 0 to 1 becomes 0 to 255, and the truth about each."""

    pictures: list[Float[np.ndarray, "row column *channel"]]
    truth: list[dict[str, float]]
    covariates: dict[str, object] = field(default_factory=dict)
