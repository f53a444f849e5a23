"""A whole study from Python: read, run, weigh, report."""

import tempfile
from pathlib import Path

import medladder as ml

if __name__ == "__main__":  # workers are started by importing this file anew
    out = Path(tempfile.mkdtemp()) / "study"
    cohort = ml.read_cohort("demo:nodule", image_size=(16,))
    study = ml.run_study(cohort, out, rungs=["prior", "logistic", "svm"], sizes=["40", "all"], repeats=3)
    evidence = ml.weigh(study)
    print(evidence)
    print(ml.write_report(study))
