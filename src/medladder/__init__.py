"""Which classifier can your medical images support, how sure is that, and what would more images buy?

```python
import medladder as ml

if __name__ == "__main__":  # in a script: each worker imports the file that started it
    cohort = ml.read_cohort("chest/labels.csv")
    study = ml.run_study(cohort, out="runs/chest", rungs=["logistic", "svm", "dnn"])
    evidence = ml.weigh(study)
    ml.write_report(study)
```

The names below are loaded when they are first used, so that reading a finished study needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .cohort import Cohort, read_cohort
    from .errors import CohortError, FitError, InputError, MedladderError, OptionError, StudyError
    from .evidence.weighing import Evidence, weigh
    from .record.folder import StudyFolder
    from .report.page import write_report
    from .rungs.classical import LogisticClassifier, PriorClassifier, SupportVectorClassifier
    from .rungs.networks import DeepNetworkClassifier, NeuralNetworkClassifier
    from .study import run_study

_HOMES = {
    "Cohort": "cohort",
    "CohortError": "errors",
    "DeepNetworkClassifier": "rungs.networks",
    "Evidence": "evidence.weighing",
    "FitError": "errors",
    "InputError": "errors",
    "LogisticClassifier": "rungs.classical",
    "MedladderError": "errors",
    "NeuralNetworkClassifier": "rungs.networks",
    "OptionError": "errors",
    "PriorClassifier": "rungs.classical",
    "StudyError": "errors",
    "StudyFolder": "record.folder",
    "SupportVectorClassifier": "rungs.classical",
    "read_cohort": "cohort",
    "run_study": "study",
    "weigh": "evidence.weighing",
    "write_report": "report.page",
}

__all__ = [
    "Cohort",
    "CohortError",
    "DeepNetworkClassifier",
    "Evidence",
    "FitError",
    "InputError",
    "LogisticClassifier",
    "MedladderError",
    "NeuralNetworkClassifier",
    "OptionError",
    "PriorClassifier",
    "StudyError",
    "StudyFolder",
    "SupportVectorClassifier",
    "__version__",
    "read_cohort",
    "run_study",
    "weigh",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medladder' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
