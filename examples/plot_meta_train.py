"""
Train your own in some seconds
==============================

The shipped checkpoints know functions of all kinds, so they are careful: five rows could
belong to anything. Who knows more can say so. Here all data sets are strings that
were plucked, and somebody listens at a few moments. A small network that has seen thousands of
such strings recognises the next one from a handful of readings.
"""

# %%
# A family of data sets
# ---------------------
# A generator of tasks draws data sets, some rows to read and some to predict. Pitch,
# loudness and how fast the sound dies away differ from string to string; the moment of
# plucking, and the noise, are the same for all. (Where inputs may be standardised, a prior over functions such as
# ``skcmanp.tasks.RandomGP`` is less work. Here the time since plucking matters.)
import matplotlib.pyplot as plt
import numpy as np
import torch

from skcmanp import CMANP, CMANPConfig, CMANPRegressor, TrainingOptions, meta_train
from skcmanp.metrics import gaussian_nll
from skcmanp.tasks import TaskBatch
from skcmanp.training import initialize


class Strings:
    """Plucked at -1.5, heard until 1.5, in hundredths of a second."""

    def sample(self, batch_size, generator):
        def draw(low, high, *shape):
            return low + (high - low) * torch.rand(batch_size, *shape, 1, generator=generator)

        n = int(torch.randint(1, 20, (1,), generator=generator))
        time = draw(-1.5, 1.5, n + 48)
        since = time + 1.5
        period, fading, loudness = draw(0.8, 2.0, 1), draw(0.7, 3.0, 1), draw(0.7, 1.8, 1)
        y = loudness * torch.exp(-since / fading) * torch.cos(2 * torch.pi * since / period)
        y = y + 0.05 * torch.randn(y.shape, generator=generator)
        return TaskBatch(time[:, :n], y[:, :n], time[:, n:], y[:, n:])


# %%
# A small network
# ---------------
# One block of attention, eight latents, and a conjugate memory of 32 features that are learned; 300 steps of 16
# strings each.
config = CMANPConfig(
    dim=32,
    n_blocks=1,
    n_block_latents=8,
    n_input_latents=8,
    dim_feedforward=64,
    embed_depth=3,
    fourier_features=16,
    fourier_scales=(0.5, 8.0),
    count_input=True,
    max_count=20.0,
    memory_features=32,
    memory_regressions=4,
    min_std=0.01,
)
strings = Strings()
networks = {}
for name in ("before", "after"):
    torch.manual_seed(0)
    networks[name] = initialize(CMANP(config), strings)
options = TrainingOptions(
    steps=300, batch_size=16, learning_rate=3e-3, warmup=30, cooldown=0.5, evaluate_every=50, n_evaluation=4
)
log = meta_train(networks["after"], strings, options, progress=False)
for line in log:
    print(f"step {line['step']:3}  log-likelihood {line['log_likelihood']:5.2f}  {line['seconds']:4.1f} s")

# %%
# Use it
# ------
# A network is a checkpoint. Rows come as they came in training, so nothing is to be
# standardised. Twenty new strings, of which each model gets the first few readings and predicts the last 28. (To keep
# a network, ``save_checkpoint`` writes it to a file. To train for longer, and from a command line, write a recipe.)
models = {
    "before training": CMANPRegressor(networks["before"], standardize=False),
    "after training": CMANPRegressor(networks["after"], standardize=False),
    "shipped gp-1d": CMANPRegressor("gp-1d"),
}

test = strings.sample(20, torch.Generator().manual_seed(2**20))
X_new, y_new = test.x_target.numpy(), test.y_target[..., 0].numpy()  # 48 readings of 20 strings

N_READ = (3, 5, 8, 12, 20)
scores = {
    name: [
        np.mean(
            [
                gaussian_nll(y[20:], *model.fit(X[:n], y[:n]).predict(X[20:], return_std=True))
                for X, y in zip(X_new, y_new, strict=True)
            ]
        )
        for n in N_READ
    ]
    for name, model in models.items()
}

# %%
# The picture
# -----------
# Two of the strings after six readings: black was read, grey is to come. The untrained network is no fool, for its
# memory is a Bayesian regression, which only has to learn on what features. The shipped ``gp-1d`` is flexible, and
# careful. The trained network knows that every string starts with a swing down from the top, and fills in waves
# between readings. With twelve readings it is nearly where the shipped one is with twenty.
#
# It has seen nothing but strings, though. For anything else, take a shipped checkpoint.
figure = plt.figure(figsize=(13, 6), layout="constrained")
layout = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.1))
grid = np.linspace(-1.5, 1.5, 200)[:, None]
for row, (X, y) in enumerate(zip(X_new[[12, 18]], y_new[[12, 18]], strict=True)):
    for column, (name, model) in enumerate(models.items()):
        mean, std = model.fit(X[:6], y[:6]).predict(grid, return_std=True)
        ax = figure.add_subplot(layout[row, column])
        ax.fill_between(grid[:, 0], mean - 1.645 * std, mean + 1.645 * std, color=f"C{column}", alpha=0.25, lw=0)
        ax.plot(grid, mean, color=f"C{column}", lw=2)
        ax.plot(X, y, ".", color="0.6", ms=4)
        ax.plot(X[:6], y[:6], "ko", ms=6)
        ax.set(ylim=(-1.6, 2), title="" if row else name, yticks=[-1, 0, 1, 2])
        ax.label_outer()
ax = figure.add_subplot(layout[:, 3])
for name, values in scores.items():
    ax.plot(N_READ, values, "o-", label=name)
ax.set(title="20 other strings", xlabel="readings", ylabel="NLL, nats per reading", xticks=N_READ)
ax.legend()
plt.show()
