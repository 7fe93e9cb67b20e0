"""Other neural processes, and the exact Gaussian processes that bound them all.

Every peer is built from the same `CMANPConfig` and out of the same attention,
feed-forward, embedding and head modules as `CMANP`, so a comparison is one of
architectures. They share its interface: ``forward(x, y, x_target)`` for
training, and `condition`, `update` and `query` for streams.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from peers.latent import LBANP
from peers.pooling import CANP, CNP
from peers.transformer import TNP
from skcmanp import CMANPConfig

PEERS: dict[str, Callable[[CMANPConfig], nn.Module]] = {
    "cnp": CNP,
    "canp": CANP,
    "tnp-d": TNP,
    "tnp-nd": lambda config: TNP(config, joint=True),
    "cached-tnp": lambda config: TNP(config, causal=True),
    "lbanp": LBANP,
    "lbanp-nd": lambda config: LBANP(config, joint=True),
}
