"""
Are the intervals right?
========================

A standard deviation is a promise: intervals of 90 % hold 90 of 100. This page checks it on a
real table and on one whose noise is small here and large there, shows how a model can be right
on average and wrong everywhere, and mends in three lines what is left to mend.
"""

# %%
# Two tables
# ----------
# The diabetes table, every patient predicted by a model of the other four folds. And a made-up table
# with one feature, whose noise swells and calms by a factor of 13. Of its
# 4,000 rows, 1,000 are read, 1,000 are kept for mending, and 2,000 are for judging.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import KFold

from skcmanp import CMANPRegressor
from skcmanp.inspection import CalibrationDisplay
from skcmanp.metrics import calibration_error, gaussian_nll, interval_coverage

X, y = load_diabetes(return_X_y=True)
diabetes = {}
for model in (CMANPRegressor(), BayesianRidge()):
    mean, std = np.empty(len(y)), np.empty(len(y))
    for learned, left in KFold(5, shuffle=True, random_state=0).split(X):
        mean[left], std[left] = model.fit(X[learned], y[learned]).predict(X[left], return_std=True)
    diabetes[type(model).__name__] = mean, std

rng = np.random.default_rng(0)
t = rng.uniform(0, 10, 4000)
noise = 0.05 + 0.6 * np.sin(0.6 * t) ** 4
level = np.sin(t) + 0.3 * t + noise * rng.normal(size=t.size)
T = t[:, None]
to_read, to_mend, to_judge = slice(0, 1000), slice(1000, 2000), slice(2000, None)

reg = CMANPRegressor().fit(T[to_read], level[to_read])
ridge = BayesianRidge().fit(T[to_read], level[to_read])
swelling = {"CMANPRegressor": reg.predict(T[to_judge], return_std=True)}
swelling["BayesianRidge"] = ridge.predict(T[to_judge], return_std=True)

# %%
# Mend it
# -------
# If errors of rows that were not read are ``z`` standard deviations, the logarithm of ``z`` squared should be
# -1.27 on average, everywhere. Where it is less, standard deviations are too large. How far off they
# are is a function of the features, so it can be learned from the rows kept aside, by a second regressor.
mean, std = reg.predict(T[to_mend], return_std=True)
excess = CMANPRegressor().fit(T[to_mend], np.log(((level[to_mend] - mean) / std) ** 2) + 1.27)

mean, std = swelling["CMANPRegressor"]
swelling["mended"] = mean, std * np.exp(excess.predict(T[to_judge]) / 2)

for title, truth, predictions in (("diabetes", y, diabetes), ("swelling noise", level[to_judge], swelling)):
    print(title)
    for name, (mean, std) in predictions.items():
        nll, error = gaussian_nll(truth, mean, std), calibration_error(truth, mean, std)
        print(f"  {name:15} NLL {nll:5.2f}  calibration error {error:.3f}")
print(f"  {'the truth':15} NLL {gaussian_nll(level, np.sin(t) + 0.3 * t, noise):5.2f}")

# %%
# The picture
# -----------
# Diabetes, above: both models are calibrated. On the left, intervals of every probability hold as many
# patients as they should, and in the middle, the predicted probabilities of less than what came are even, but for
# chance, in grey. Among quarters of the patients by prediction, those of ``BayesianRidge`` differ more: it has
# one standard deviation for nearly all, and progressions that are high vary more.
#
# Swelling noise, below: ``CMANPRegressor`` found in its first thousand rows that the noise varies, and follows it, with
# standard deviations that are a little too large where it is calm. ``BayesianRidge`` draws a straight line through a
# wave. Its curve is hardly farther from the diagonal, and it is far worse, as the NLL says: a curve near the diagonal
# is no praise by itself. On the right, no part of the table has what it promises on average. Mended, the curve of
# ``CMANPRegressor`` straightens, and its NLL comes closer to the truth's.
#
# So look at calibration in parts of the data, compare models by NLL or CRPS, and if standard deviations are off,
# first read more rows, then keep some aside to mend with. (With a hundred rows or so, a single
# factor is all that can be learned: ``np.quantile(abs(z), 0.9) / 1.645``.)
figure, axes = plt.subplots(2, 3, figsize=(13, 7.6), layout="constrained")
for row, title, truth, predictions, sort_by, n_groups in (
    (axes[0], "diabetes", y, diabetes, None, 4),
    (axes[1], "swelling noise", level[to_judge], swelling, t[to_judge], 20),
):
    for number, (name, (mean, std)) in enumerate(predictions.items()):
        CalibrationDisplay.from_predictions(truth, mean, std, name=name, ax=row[:2], color=f"C{number}")
        order = np.argsort(mean if sort_by is None else sort_by)
        groups = np.array_split(order, n_groups)
        held = [interval_coverage(truth[group], mean[group], std[group]) for group in groups]
        place = np.arange(1, n_groups + 1) if sort_by is None else [sort_by[group].mean() for group in groups]
        row[2].plot(place, held, "o-", ms=4, color=f"C{number}")
    row[0].set_title(title)
    row[2].axhline(0.9, color="k", ls="--", lw=1)
    row[2].set(ylabel="90 % intervals hold", ylim=(0.6, 1.02))
axes[0, 2].set(xlabel="quarter of the patients, by prediction", xticks=range(1, 5))
axes[1, 2].set(xlabel="feature")
plt.show()
