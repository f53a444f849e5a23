"""Which classifier can your medical images support, how sure is that, and what would more images buy?

```python
import medladder as ml

if __name__ == "__main__":  # in a script: each worker imports the file that started it
    cohort = ml.read_cohort("chest/labels.csv")
    study = ml.run_study(cohort, out="runs/chest", rungs=["logistic", "svm", "dnn"])
    evidence = ml.weigh(study)
    ml.write_report(study)
    model = ml.fit_model(study, out="models/chest")
    model.predict_files("new/")
```

The names below are loaded when they are first used, so that reading a finished study needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .cohort import read_cohort
    from .errors import InputError, MedladderError
    from .evidence.weighing import weigh
    from .models.extractor import extractor
    from .models.fitting import fit_model
    from .models.folder import read_model
    from .report.page import write_report
    from .rungs.convolution import ConvolutionalNetworkClassifier
    from .rungs.logistic import LogisticClassifier
    from .rungs.networks import DeepNetworkClassifier, NeuralNetworkClassifier
    from .rungs.pretrained import PretrainedClassifier
    from .rungs.prior import PriorClassifier
    from .rungs.support_vectors import SupportVectorClassifier
    from .rungs.trees import BoostingClassifier, ForestClassifier
    from .study import run_study

_HOMES = {
    "BoostingClassifier": "rungs.trees",
    "ConvolutionalNetworkClassifier": "rungs.convolution",
    "DeepNetworkClassifier": "rungs.networks",
    "ForestClassifier": "rungs.trees",
    "InputError": "errors",
    "LogisticClassifier": "rungs.logistic",
    "MedladderError": "errors",
    "NeuralNetworkClassifier": "rungs.networks",
    "PretrainedClassifier": "rungs.pretrained",
    "PriorClassifier": "rungs.prior",
    "SupportVectorClassifier": "rungs.support_vectors",
    "extractor": "models.extractor",
    "fit_model": "models.fitting",
    "read_cohort": "cohort",
    "read_model": "models.folder",
    "run_study": "study",
    "weigh": "evidence.weighing",
    "write_report": "report.page",
}

__all__ = [
    "BoostingClassifier",
    "ConvolutionalNetworkClassifier",
    "DeepNetworkClassifier",
    "ForestClassifier",
    "InputError",
    "LogisticClassifier",
    "MedladderError",
    "NeuralNetworkClassifier",
    "PretrainedClassifier",
    "PriorClassifier",
    "SupportVectorClassifier",
    "__version__",
    "extractor",
    "fit_model",
    "read_cohort",
    "read_model",
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
