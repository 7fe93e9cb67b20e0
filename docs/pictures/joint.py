"""Draws of whole functions beside the pointwise band."""

import matplotlib.pyplot as plt
import numpy as np

from skcmanp import CMANPRegressor

rng = np.random.default_rng(3)
X = np.concatenate([rng.uniform(0, 3, 60), rng.uniform(7, 10, 60)])[:, None]
y = np.sin(1.5 * X[:, 0]) + 0.05 * rng.normal(size=len(X))
grid = np.linspace(0, 10, 200)[:, None]

reg = CMANPRegressor().fit(X, y)
mean, std = reg.predict(grid, return_std=True)
paths = reg.sample_y(grid, n_samples=6, random_state=1)

figure, ax = plt.subplots(figsize=(7, 2.8))
ax.fill_between(grid[:, 0], mean - 1.645 * std, mean + 1.645 * std, color="#8fb8de", alpha=0.5, lw=0)
ax.plot(grid[:, 0], paths, color="#1f5a96", lw=1)
ax.plot(X[:, 0], y, ".", color="#e8862e", ms=5)
ax.set(xlabel="x", ylabel="y")
