"""
Weights, and rows that should not have been read
================================================

Sixty rows turn out to be wrong. A patient asks for her record to be removed. One
survey counts for two. Most models must be trained again. Here what was read is a
set of weighted sums, so a weight is a number of repetitions, ``forget`` subtracts, and
``decay`` multiplies, each as exactly as floating-point numbers allow.
"""

# %%
# A table with 60 wrong rows
# --------------------------
# Body-mass index and progression of the disease, of 442 patients. One clinic of
# 60 patients has sent the progression upside down, as 350 less the value.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.utils import shuffle

from skcmanp import CMANPRegressor

data = load_diabetes(scaled=False)
X, y = shuffle(data.data[:, [2]], data.target, random_state=0)
X_good, y_good = X[:382], y[:382]
X_bad, y_bad = X[382:], 350 - y[382:]

# %%
# Forget
# ------
# The first 200 rows settle the units. Then the others are read, the wrong ones among
# them, and these are forgotten again. The bystander never read them.
reg = CMANPRegressor().fit(X_good[:200], y_good[:200])
reg.partial_fit(X_bad, y_bad).partial_fit(X_good[200:], y_good[200:])
grid = np.linspace(X.min(), X.max(), 200)[:, None]
misled = reg.predict(grid, return_std=True)
reg.forget(X_bad, y_bad)
mended = reg.predict(grid, return_std=True)

bystander = CMANPRegressor().fit(X_good[:200], y_good[:200]).partial_fit(X_good[200:], y_good[200:])
print(f"{reg.n_samples_seen_} rows are left of {len(X)}")


def difference(one, other):
    """How far predictions are apart, in predictive standard deviations at most."""
    one, other = (reg.predict(grid, return_std=True) for reg in (one, other))
    return max(np.max(np.abs(a - b) / other[1]) for a, b in zip(one, other, strict=True))


differences = {"forgotten = never read": difference(reg, bystander)}

# %%
# What was settled stays settled
# ------------------------------
# ``forget`` takes rows out of the sums. It does not undo what the first fit drew from
# them: centre, scale and length-scales, how the noise varies, and the memory's inducing
# points, which begin at the features of some of those rows and move from there. If rows are few, or the
# noise varies, such features also stay in the state as they were. If rows may have to be
# removed without trace, declare ``x_bounds`` and ``y_bounds``, so that nothing is settled by data.
private = CMANPRegressor(x_bounds=(15, 45), y_bounds=(0, 350)).fit(X_good, y_good)
without = CMANPRegressor(x_bounds=(15, 45), y_bounds=(0, 350)).fit(X_good[1:], y_good[1:])
differences["one patient of a first fit, bounds"] = difference(private.forget(X_good[:1], y_good[:1]), without)

# %%
# Weights
# -------
# A weight of 3 is reading a row three times, and a weight of 0 not at all. Here that holds
# even for a first fit, whose units are weighted moments.
weight = np.random.default_rng(0).integers(0, 4, len(X_good))
weighted = CMANPRegressor().fit(X_good, y_good, sample_weight=weight)
repeated = CMANPRegressor().fit(np.repeat(X_good, weight, axis=0), np.repeat(y_good, weight))
differences["weights = repetitions"] = difference(weighted, repeated)

# %%
# ``decay(0.5)`` halves the weight of all that was read so far. Weights need not be
# whole.
start = CMANPRegressor().fit(X_good[:200], y_good[:200])
blank = CMANPRegressor().fit(X_good[:200], y_good[:200]).decay(0)
halved = blank.partial_fit(X_good[:200], y_good[:200], sample_weight=np.full(200, 0.5))
differences["decay(0.5) = weights of 0.5"] = difference(start.decay(0.5), halved)
for name, value in differences.items():
    assert value < 1e-9
    print(f"{name:36} {value:.0e}")

# %%
# The picture
# -----------
# The wrong rows tilt the curve and widen the band. Forgetting them restores what the
# bystander predicts. The more is forgotten of all that was ever read, the more rounding is
# left; if what remained would not be accurate, ``forget`` says so and changes nothing.
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), width_ratios=(1.5, 1), layout="constrained")
left.plot(X_good, y_good, "o", color="0.6", ms=3)
left.plot(X_bad, y_bad, "x", color="C3", ms=5, label="wrong rows")
for (mean, std), colour, label in ((misled, "C3", "with wrong rows"), (mended, "C0", "wrong rows forgotten")):
    left.fill_between(grid[:, 0], mean - 1.645 * std, mean + 1.645 * std, color=colour, alpha=0.15)
    left.plot(grid, mean, color=colour, lw=2, label=label)
left.plot(grid, bystander.predict(grid), "k--", lw=1.2, label="wrong rows never read")
left.set(title="Sixty wrong rows", xlabel="body-mass index, kg/m²", ylabel="progression", ylim=(-20, 520))
left.legend(loc="upper left", ncols=2)

right.barh(list(differences), list(differences.values()), color="C0", height=0.5)
right.axvline(1e-9, color="k", ls="--", lw=1, label="a billionth")
right.legend(loc="lower right")
right.set(title="How far equals are apart", xlabel="predictive standard deviations", xscale="log", xlim=(1e-16, 1e-7))
right.invert_yaxis()
plt.show()
