"""The front page: one state of fixed size, after more and more rows."""

import matplotlib.pyplot as plt
import numpy as np

from skcmanp import CMANPRegressor

rng = np.random.default_rng(1)


def truth(x):
    return np.sin(1.7 * x) * np.exp(-(x**2) / 18) + 0.25 * x


x = rng.uniform(-5, 5, 2000)
y = truth(x) + (0.08 + 0.25 * (x > 1)) * rng.normal(size=len(x))
grid = np.linspace(-5.5, 5.5, 300)

reg = CMANPRegressor(checkpoint="gp-1d").fit(x[:1000, None], y[:1000]).decay(0)  # scaled, and empty
figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), sharey=True)
seen = 0
for ax, n in zip(axes, (8, 60, 2000), strict=True):
    reg.partial_fit(x[seen:n, None], y[seen:n])
    seen = n
    mean, std = reg.predict(grid[:, None], return_std=True)
    ax.scatter(x[:n], y[:n], s=14 if n < 100 else 2, color="#e8862e", alpha=1 if n < 100 else 0.5, lw=0, zorder=3)
    ax.fill_between(grid, mean - 1.645 * std, mean + 1.645 * std, color="#8fb8de", alpha=0.6, lw=0)
    ax.plot(grid, mean, color="#1f5a96", lw=2, zorder=4)
    ax.plot(grid, truth(grid), color="k", ls=":", lw=1, zorder=5)
    ax.set_title(f"{n:,} rows read, {reg.context_.nbytes / 1e3:.0f} kB kept")
    ax.set(ylim=(-2.6, 2.6), xlim=(-5.5, 5.5), xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.7")
