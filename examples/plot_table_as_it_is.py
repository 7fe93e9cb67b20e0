"""
A table as it is
================

Flats for rent, made up: text, dates, truth values, values that are missing, and a target that is
skewed. All of it goes to ``fit`` as it is. How well do the intervals do, what does a value that is
missing cost, and what does the estimator make of a town that it has never heard of?
"""

# %%
# The table
# ---------
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skcmanp import CMANPRegressor
from skcmanp.metrics import gaussian_crps

rng = np.random.default_rng(0)
n = 2000
towns = [f"town {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
size = 1 / np.arange(1, len(towns) + 1)  # some have many flats, some have few
flats = pd.DataFrame(
    {
        "town": rng.choice(towns, n, p=size / size.sum()),
        "area": rng.gamma(8, 10, n).round(),
        "rooms": pd.array(rng.integers(1, 6, n), dtype="Int64"),
        "balcony": rng.random(n) < 0.4,
        "heating": pd.Categorical(rng.choice(["gas", "oil", "heat pump"], n, p=[0.6, 0.3, 0.1])),
        "offered": pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 1800, n), unit="D"),
    }
)
of_town = dict(zip(towns, rng.normal(0, 0.3, len(towns)), strict=True))
log_rent = (
    6.2
    + flats["town"].map(of_town)
    + 0.008 * flats["area"]
    + 0.05 * flats["balcony"] * (flats["area"] > 60)
    - 0.1 * (flats["heating"] == "oil")
    + 1e-4 * (flats["offered"] - pd.Timestamp("2021-01-01")).dt.days
)
rent = np.exp(log_rent + 0.1 * rng.normal(size=n)).to_numpy()
flats.loc[rng.random(n) < 0.1, "area"] = np.nan  # some do not say
flats.loc[rng.random(n) < 0.2, "heating"] = None
print(flats.head().to_string())

# %%
# Fitting and predicting
# ----------------------
# A quarter of the flats is left out. Targets are bent, as rents are, so that intervals are as skewed as these.
known, new = slice(1500), slice(1500, None)
reg = CMANPRegressor().fit(flats[known], rent[known])
mean, std = reg.predict(flats[new], return_std=True)
low, high = reg.predict(flats[new], interval=0.9).T
inside = (low < rent[new]) & (rent[new] < high)
print(
    f"CRPS {gaussian_crps(rent[new], mean, std):.0f}, 90 % intervals cover {inside.mean():.2f} of {len(inside)} flats."
)

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
order = np.argsort(mean)
left.fill_between(range(len(order)), low[order], high[order], color="C0", alpha=0.25, label="90 % interval")
left.plot(mean[order], color="C0", label="mean")
left.plot(rent[new][order], ".", color="0.3", markersize=3, label="rent")
left.set(xlabel="flats, by predicted rent", ylabel="rent", title=f"New flats: {inside.mean():.0%} inside")
left.legend()

# %%
# What is not known
# -----------------
# The same flat four times: as it is, without its area, in a town that was not in the table, and both. Whatever is
# missing widens the interval by what it would have told.
flat = pd.concat([flats[flats["area"].between(80, 90)].iloc[[0]]] * 4, ignore_index=True)
flat.loc[[1, 3], "area"] = np.nan
flat.loc[[2, 3], "town"] = "somewhere else"
low, high = reg.predict(flat, interval=0.9).T
middle = reg.predict(flat, quantiles=0.5)
labels = ["as it is", "no area", "unknown town", "neither"]
right.errorbar(middle, range(4), xerr=[middle - low, high - middle], fmt="o", capsize=4, color="C1")
right.set(yticks=range(4), yticklabels=labels, xlabel="rent", title="One flat, 90 % intervals", ylim=(3.5, -0.5))
plt.show()

for label, width in zip(labels, high - low, strict=True):
    print(f"{label:>14}: {width:5.0f} wide")

# %%
# Rows that come later may have new towns, too: ``partial_fit`` reads them, and what is known of all
# others stays. How columns are read, the guide's page on tables says.
