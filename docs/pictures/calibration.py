"""Whether predictions of the diabetes table are calibrated."""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.utils import shuffle

from skcmanp import CMANPRegressor
from skcmanp.inspection import CalibrationDisplay

X, y = shuffle(*load_diabetes(return_X_y=True), random_state=0)
reg = CMANPRegressor().fit(X[:242], y[:242])
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
CalibrationDisplay.from_estimator(reg, X[242:], y[242:], ax=axes)
