"""Checkpoints: weights on disk, which ones ship, and one network per process."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from skcmanp.adaptation import Adaptation
from skcmanp.files import replacing
from skcmanp.frames import Kind
from skcmanp.inference import Network
from skcmanp.layout import metadata_of
from skcmanp.nn.config import CMANPConfig
from skcmanp.nn.model import CMANP
from skcmanp.seal import check_seal, seal, unsealed

WEIGHTS = Path(__file__).parent / "weights"
_FORMAT, _FORMAT_WITH_CRC = "skcmanp.checkpoint.3", "skcmanp.checkpoint.2"
_WITHOUT_CHECKSUM = "skcmanp.checkpoint.1"


def shipped_checkpoints() -> dict[str, Path]:
    """Names and files of the checkpoints that come with the package.

    Examples
    --------
    >>> from skcmanp import shipped_checkpoints
    >>> sorted(shipped_checkpoints())
    ['field-2d', 'gp-1d', 'image-gray', 'tabular']
    """
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def checkpoint_bytes(model: CMANP, card: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32) -> bytes:
    """A checkpoint as `save_checkpoint` writes it."""
    header = json.dumps({"config": model.config.to_dict(), "card": card or {}})
    weights = {name: w.detach().to("cpu", dtype).contiguous() for name, w in model.state_dict().items()}
    return seal(safetensors.torch.save(weights, metadata={_FORMAT: unsealed(header)}), _FORMAT)


def save_checkpoint(
    model: CMANP, path: str | Path, card: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> None:
    """Write a model as a safetensors file with its configuration and card, and a checksum of everything.

    The file is whole at any moment: it replaces one that was there before once
    it is written.

    Parameters
    ----------
    model : CMANP
    path : path
        Ending in ``.safetensors``.
    card : dict, optional
        How it was made; must be JSON. `load_checkpoint` returns it.
    dtype : torch.dtype, default=torch.float32
        Of the stored weights.

    Raises
    ------
    ValueError
        If the path does not end in ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path={str(path)!r} must end in '.safetensors'.")
    data = checkpoint_bytes(model, card, dtype)
    with replacing(path) as partial:
        partial.write_bytes(data)


def load_checkpoint(source: str | Path | bytes) -> tuple[CMANP, dict[str, Any]]:
    """Read a model and its card.

    No code runs from the file, and it is checked before anything of the size
    that it says is allocated.

    Parameters
    ----------
    source : path or bytes
        A file, or the content of one.

    Returns
    -------
    model : CMANP
        In float32 on the CPU.
    card : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, or not a checkpoint of this package.

    Examples
    --------
    >>> from skcmanp import load_checkpoint, shipped_checkpoints
    >>> model, card = load_checkpoint(shipped_checkpoints()["tabular"])
    >>> model.config.dim_x
    32
    """
    what = "The checkpoint" if isinstance(source, bytes) else f"The checkpoint {str(source)!r}"
    data = source if isinstance(source, bytes) else _read(Path(source))
    try:
        header, weights = _content(data)
        config, card = CMANPConfig.from_dict(header["config"]), header["card"]
    except (AttributeError, KeyError, NotImplementedError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{what} is damaged, or was not written by skcmanp.save_checkpoint: {error}") from error
    if not isinstance(card, dict):
        raise ValueError(f"{what} is damaged: its card is not a table.")
    try:
        return _model(config, weights), card
    except (NotImplementedError, ValueError) as error:
        raise ValueError(f"{what} does not match its own configuration: {error}") from error


def _read(path: Path) -> bytes:
    """The content of a file; that of a shipped checkpoint is known."""
    data = path.read_bytes()
    if path.parent == WEIGHTS and path.name in (known := _shipped_digests()) and _sha256(data) != known[path.name]:
        raise ValueError(f"The shipped checkpoint {path.stem!r} is not as it was shipped; install skcmanp anew.")
    return data


@functools.lru_cache
def _shipped_digests() -> dict[str, str]:
    """SHA-256 of the shipped files, which are older than checksums within."""
    lines = (WEIGHTS / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def _content(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and weights."""
    if set(metadata := metadata_of(data)) == {_WITHOUT_CHECKSUM}:
        header = metadata[_WITHOUT_CHECKSUM]
    else:
        header = check_seal(data, _FORMAT, _FORMAT_WITH_CRC, before_has_crc=True)
    try:
        return json.loads(header), safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def _model(config: CMANPConfig, weights: dict[str, Tensor]) -> CMANP:
    """A network of this configuration with these weights, if they fit; nothing much larger is allocated to tell."""
    n_weights = sum(weight.numel() for weight in weights.values())
    n_blocks = len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
    if config.n_blocks != n_blocks or config.embed_depth > len(weights) or config.fewest_parameters > n_weights:
        raise ValueError(f"{n_weights:,} weights in {n_blocks} blocks are not those of {config}")
    for name, weight in weights.items():
        if not weight.is_floating_point() or not weight.isfinite().all():
            raise ValueError(f"{name} is not finite, or not of numbers with a point")
    model = CMANP(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return model


@dataclass(frozen=True, repr=False)
class Checkpoint:
    """Which weights an estimator uses.

    Shipped ones are known by name and SHA-256; any other is carried along as
    `payload`, so that a pickled estimator works where the file is not.
    `memory_features` is the size of the conjugate memory where it is not the
    checkpoint's own.
    """

    name: str
    fingerprint: str
    payload: bytes | None = field(default=None, compare=False)
    memory_features: int | None = None

    def __repr__(self) -> str:
        # The name comes last: scikit-learn's notebook tables abridge the middle.
        return f"Checkpoint(fingerprint='{self.fingerprint[:12]}...', name={self.name!r})"

    @property
    def identity(self) -> str:
        """What contexts must have in common to be merged."""
        return self.fingerprint if self.memory_features is None else f"{self.fingerprint}-{self.memory_features}"

    def with_memory(self, n_features: int) -> Checkpoint:
        """With a conjugate memory of this size; see `CMANP.with_memory`."""
        return replace(self, memory_features=None if n_features == _own_memory_features(self) else n_features)

    def sized_for(self, adaptation: Adaptation) -> Checkpoint:
        """With the larger memory, if an adaptation found that it wants one."""
        own = _own_memory_features(self)
        size = adaptation.size_of_memory(own)
        return self if size == own else replace(self, memory_features=size)

    def load(self) -> CMANP:
        """Read the model.

        Raises
        ------
        ValueError
            If this installation does not ship these weights, or their memory
            cannot have another size.
        """
        data = self.payload
        if data is None:
            path = shipped_checkpoints().get(self.name)
            data = b"" if path is None else path.read_bytes()
            if _sha256(data) != self.fingerprint:
                raise ValueError(
                    f"This version of skcmanp does not ship checkpoint {self.name!r} with SHA-256 "
                    f"{self.fingerprint[:12]}..., which the estimator was fitted with; install the version that "
                    f"it was fitted with, or fit it anew."
                )
        model = load_checkpoint(data)[0]
        return model if self.memory_features is None else model.with_memory(self.memory_features)


def resolve_checkpoint(
    checkpoint: str | Path | CMANP, kinds: Sequence[Kind], memory_features: int | None = None
) -> Checkpoint:
    """Find the checkpoint that a `checkpoint` parameter means.

    Parameters
    ----------
    checkpoint : str, path or CMANP
        "auto" picks ``gp-1d`` for one column of numbers, else ``tabular``.
    kinds : sequence of Kind
        Of the columns.
    memory_features : int, optional
        Size of the conjugate memory; by default the checkpoint's own.

    Raises
    ------
    ValueError
        If it is neither a shipped name nor a file.
    """
    found = _find_checkpoint(checkpoint, kinds)
    return found if memory_features is None else found.with_memory(memory_features)


def _find_checkpoint(checkpoint: str | Path | CMANP, kinds: Sequence[Kind]) -> Checkpoint:
    if isinstance(checkpoint, CMANP):
        data = checkpoint_bytes(checkpoint)
        return Checkpoint("custom", _sha256(data), data)
    if checkpoint == "auto":
        checkpoint = "gp-1d" if tuple(kinds) in ((Kind.NUMBER,), (Kind.UNKNOWN,)) else "tabular"
    if str(checkpoint) in (shipped := shipped_checkpoints()):
        return Checkpoint(str(checkpoint), _shipped_fingerprint(shipped[str(checkpoint)]))
    path = Path(checkpoint)
    if not path.is_file():
        raise ValueError(
            f"checkpoint={str(checkpoint)!r} is neither a shipped checkpoint nor a file. Shipped are "
            f"{sorted(shipped)}; 'auto' picks one of them by the number of features."
        )
    data = path.read_bytes()
    return Checkpoint(path.stem, _sha256(data), data)


def check_table(checkpoint: Checkpoint, config: CMANPConfig, n_features: int, n_outputs: int) -> None:
    """Raise ValueError unless a checkpoint's network takes tables of this shape."""
    if n_features > config.dim_x and not config.relevance:
        raise ValueError(
            f"X has {n_features} features, but checkpoint {checkpoint.name!r} knows at most {config.dim_x}; select or "
            f"project features first, for example with sklearn.decomposition.PCA in a Pipeline, or choose another "
            f"checkpoint."
        )
    if n_outputs % config.dim_y:
        raise ValueError(
            f"y has {n_outputs} targets, but checkpoint {checkpoint.name!r} predicts {config.dim_y} jointly; give a "
            f"multiple of {config.dim_y}."
        )


# The networks of a process, by weights, device and dtype. A grid search that
# fits thousands of estimators loads each once.
@functools.lru_cache(maxsize=8)
def _cached_network(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Network:
    return Network(checkpoint.load(), device, dtype)


def get_network(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, adaptation: Adaptation | None = None
) -> Network:
    """The process's network for these weights, device and dtype, and for an adaptation, loaded at first use."""
    return _cached_network(checkpoint if adaptation is None else checkpoint.sized_for(adaptation), device, dtype)


def loaded_networks() -> int:
    """How many networks this process has loaded so far."""
    return _cached_network.cache_info().misses


# Every fit with a memory of another size asks.
@functools.lru_cache(maxsize=8)
def _own_memory_features(checkpoint: Checkpoint) -> int:
    return checkpoint.load().config.memory_features


@functools.lru_cache
def _shipped_fingerprint(path: Path) -> str:
    return _sha256(_read(path))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
