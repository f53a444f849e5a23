"""A model from Python: fitted, asked, scored on patients kept apart, and cut to serve another classifier."""

import tempfile
from pathlib import Path

from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import medladder as ml

if __name__ == "__main__":  # workers are started by importing this file anew
    out = Path(tempfile.mkdtemp()) / "model"
    cohort = ml.read_cohort("demo:nodule", image_size=(16,))
    model = ml.fit_model(cohort, out, rung="dnn:widths=32-16,epochs=10", keep_test=True)
    print(model)
    images = cohort.images[:4]
    print(model.predict_proba(images).round(3), model.predict(images), model.is_unlike(images))
    print(model.evaluate(cohort, part="test")["auroc"])

    front = ml.extractor(model, "hidden2")  # 5 networks of 16 nodes each
    train = cohort.parts == "train"
    classifier = make_pipeline(front, SVC()).fit(cohort.images[train], cohort.labels[train])
    print(classifier[:-1].transform(images).shape)
    print(ml.read_model(out).record.identity == model.record.identity)
