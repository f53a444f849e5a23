"""A classifier of your own as a rung: any scikit-learn classifier is fitted draw by draw, as the ladder's are.

It is given the images of one draw, so patients and splits cannot reach it. Prints the out-of-part AUROC of both.
"""

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

import medladder as ml
from medladder.rungs.draws import draw_by_row, fit_many

cohort = ml.read_cohort("demo:nodule", image_size=(16,))
train = np.flatnonzero(cohort.parts == "train")[:200]
images, labels = cohort.images[train], cohort.labels[train]
draw = draw_by_row(labels, seed=0)
for rung in (ml.SupportVectorClassifier(), KNeighborsClassifier(15)):
    (fitted,) = fit_many(rung, images, labels, [draw])
    print(f"{type(rung).__name__:>24}  {roc_auc_score(labels, fitted.out_of_part_proba_[:, 1]):.3f}")
