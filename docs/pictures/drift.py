"""A function that turns slowly: with and without decay."""

import matplotlib.pyplot as plt
import numpy as np

from skcmanp import CMANPRegressor

rng = np.random.default_rng(0)
n, chunk, first = 3000, 100, 300
X = rng.uniform(-2, 2, (n, 1))
truth = np.sin(2 * X[:, 0] + np.arange(n) / 400)
y = truth + 0.1 * rng.normal(size=n)


def errors(gamma):
    reg = CMANPRegressor(dtype="float32").fit(X[:first], y[:first])
    found = []
    for at in range(first, n, chunk):
        new = slice(at, at + chunk)
        found.append(np.sqrt(np.mean((reg.predict(X[new]) - truth[new]) ** 2)))
        reg.decay(gamma).partial_fit(X[new], y[new])
    return found


figure, ax = plt.subplots(figsize=(7, 2.8))
for gamma, colour in ((1.0, "0.5"), (0.8, "#8fb8de"), (0.4, "#1f5a96")):
    label = "no decay" if gamma == 1 else f"decay({gamma})"
    ax.plot(range(first, n, chunk), errors(gamma), color=colour, lw=2, label=label)
ax.set(xlabel="rows read", ylabel="RMSE of the next 100 rows", ylim=(0, 1.3))
ax.legend(ncols=3, loc="upper left")
