"""
A stream that drifts
====================

A model of how much power a house takes to heat learns from one reading an hour. Wind comes and
goes, so the relation moves slowly. On day 75 the walls are insulated, and it
jumps. Who remembers everything is wrong from then on. ``decay`` lets the past
fade: before every batch, all that was read so far is multiplied by ``gamma``.
"""

# %%
# The recipe
# ----------
# Made-up readings, so that the truth is known, and the whole of the recipe: begin with the history that there is,
# ten days here, then predict, let the past fade, read.
import matplotlib.pyplot as plt
import numpy as np

from skcmanp import CMANPRegressor
from skcmanp.inspection import StreamDisplay
from skcmanp.streaming import prequential, split_batches

rng = np.random.default_rng(0)
day = np.arange(150 * 24) / 24
outside = 4 - 5 * np.sin(np.pi * day / 150) + 4 * rng.normal(size=day.size)


def needed(outside, day):
    """Power in kW: losses grow with the cold, with the wind, and until the walls are insulated."""
    loss = np.where(day < 75, 0.35, 0.2) * (1 + 0.25 * np.sin(2 * np.pi * day / 60))
    return 0.5 + loss * np.clip(18 - outside, 0, None)


X, y = outside[:, None], needed(outside, day) + 0.25 * rng.normal(size=day.size)

history = X[:240], y[:240]
stream = X[240:], y[240:]
reg = CMANPRegressor(dtype="float32").fit(*history)
for X_new, y_new in split_batches(*stream, batch_size=48):
    mean, std = reg.predict(X_new, return_std=True)
    reg.decay(0.5)
    reg.partial_fit(X_new, y_new)
print(f"{reg.n_samples_seen_} rows read, of which {reg.context_.weight:.0f} count")

# %%
# With batches of ``n`` rows the state tends to the worth of ``n / (1 - gamma)`` rows: with 0.5,
# 96 of them, four days of this house.
#
# Choose gamma by history
# -----------------------
# ``prequential`` is the same loop with scores: every batch is predicted before it is read. Among
# some values of gamma the negative log-likelihood decides. The RMSE cannot be less than the
# noise, 0.25 kW.
tables = {}


def score(name, regressor, gamma=None):
    regressor.fit(*history)
    tables[name] = table = prequential(regressor, split_batches(*stream, batch_size=48), gamma=gamma)
    means = {column: table[column].mean() for column in ("nll", "rmse", "coverage")}
    print(f"{name:17} NLL {means['nll']:.2f}  RMSE {means['rmse']:.2f} kW  coverage {means['coverage']:.0%}", end="")
    print(f"  {1e3 * np.median(table['seconds']):.0f} ms per batch")


everything, fading = CMANPRegressor(dtype="float32"), CMANPRegressor(dtype="float32")
score("no decay", everything)
score("decay(0.5)", fading, gamma=0.5)
for gamma in (0.9, 0.7, 0.3):
    score(f"decay({gamma})", CMANPRegressor(dtype="float32"), gamma)


# %%
# Or fit anew to the last rows
# ----------------------------
# A window forgets all at once what is older than four days, and settles the units anew with every
# batch. It has to keep its rows, and who has many, or many features, waits for the fits.
class Window(CMANPRegressor):
    """Fitted anew to the last 96 rows."""

    def fit(self, X, y):
        self.rows_ = X, y
        return super().fit(X, y)

    def partial_fit(self, X, y):
        return self.fit(*(np.concatenate(both)[-96:] for both in zip(self.rows_, (X, y), strict=True)))


window = Window(dtype="float32")
score("the last 96 rows", window)

# %%
# The picture
# -----------
# On the left, all readings, and what the three make of the last days. Without decay, the
# model averages over walls and winds that contradict each other, and its interval spans them all. On the right,
# faint lines are of single batches, and strong ones of all rows so far. With decay the jump
# on day 75, after 1,560 rows, costs a few batches; without, it is never made up for. The window is as quick in
# the mean, and too sure of it: its intervals hold 78 %. Those of decay hold 87 % instead of 90 %. They
# fall short at the jump, and wherever the wind changes fast, for they tell of the last
# days, and the next are different. (The size of the state is without the window's rows.)
#
# Where nothing drifts, decay throws evidence away. Try 0.99 first, and let history say.
figure = plt.figure(figsize=(12, 6), layout="constrained")
left, right = figure.subfigures(1, 2)
ax = left.subplots()
points = ax.scatter(outside, y, c=day, s=4, cmap="viridis")
left.colorbar(points, ax=ax, label="day")
cold = np.linspace(-12, 16, 100)
shown = {"no decay": everything, "decay(0.5)": fading, "the last 96 rows": window}
for number, (name, regressor) in enumerate(shown.items()):
    mean, std = regressor.predict(cold[:, None], return_std=True)
    ax.fill_between(cold, mean - 1.645 * std, mean + 1.645 * std, color=f"C{number}", alpha=0.3, lw=0)
    ax.plot(cold, mean, color=f"C{number}", lw=2, label=name)
ax.plot(cold, needed(cold, day[-1]), "k--", label="truth")
ax.set(title="After 150 days", xlabel="outside, °C", ylabel="power, kW", xlim=(-12, 16))
ax.legend()

axes = right.subplots(3, 1, sharex=True)
for name in shown:
    StreamDisplay.from_table(tables[name], name=name, ax=axes)
plt.show()
