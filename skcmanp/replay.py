"""Functions of tensors, replayed: the operations alone, without the modules that called them.

Where tensors are small, finding attributes, calling modules and choosing
branches takes longer than the operations do. These are the same at every call
with tensors of the same shapes, so they are noted at the first one, as CUDA
graphs note kernels, and written down as a function of straight lines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Arguments = tuple[Tensor | None, ...]
Function = Callable[..., tuple[Tensor, ...]]

# Functions that are kept for different shapes; for further ones nothing is noted.
_MOST = 32


class Replayed:
    """A function without side effects whose operations depend on its arguments' shapes alone, for inference.

    All else that it uses must stay what it is, as the weights of a network do.
    It is called as it is while gradients are enabled, or a program is compiled.

    Parameters
    ----------
    function : callable
        Of tensors, some of which may be None; returns a tuple of tensors.
    n_rows : int, optional
        Replay if the first tensor is (B, n_rows, ...), and call the function otherwise.
    keeps : bool, default=False
        Keep what was found last, for the case that the same tensors come again.

    Examples
    --------
    >>> import torch
    >>> from skcmanp.replay import Replayed
    >>> layer = torch.nn.Linear(3, 2).requires_grad_(False)
    >>> replayed, x = Replayed(lambda x: (layer(x).relu(),)), torch.randn(1, 3)
    >>> first, second = replayed(x)[0], replayed(x)[0]
    >>> torch.equal(first, second)
    True
    """

    def __init__(self, function: Function, n_rows: int | None = None, keeps: bool = False) -> None:
        self._function, self._n_rows, self._keeps = function, n_rows, keeps
        self._known: dict[tuple, Function] = {}
        self._last: tuple[tuple, Arguments, tuple[Tensor, ...]] | None = None

    def __call__(self, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        first = tensors[0]
        assert first is not None
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return self._function(*tensors)
        if self._n_rows is not None and first.shape[1] != self._n_rows:
            return self._function(*tensors)
        key = tuple(None if tensor is None else (tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        last = self._last
        if last is not None and last[0] == key and all(map(_is_same, last[1], tensors)):
            return last[2]
        known = self._known.get(key)
        if known is None:
            if len(self._known) == _MOST:
                return self._function(*tensors)
            known = self._known[key] = _written_down(self._function, tensors)
        found = known(*tensors)
        if self._keeps:
            # Copies, so that what becomes of the caller's tensors does not matter.
            self._last = key, tuple(None if tensor is None else tensor.clone() for tensor in tensors), found
        return found


def _is_same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _written_down(function: Function, tensors: Arguments) -> Function:
    function(*tensors)  # what it keeps from one call to the next is there then
    with _Notes(tensors) as notes:
        found = function(*tensors)
    parameters = ", ".join(f"v{i}" for i in range(len(tensors)))
    lines = [f"def replay({parameters}):", *notes.lines, f"return {notes.expression(tuple(found))}"]
    exec("\n    ".join(lines), notes.constants)
    return notes.constants["replay"]


class _Notes(TorchFunctionMode):
    """Every operation on tensors as a line of Python."""

    def __init__(self, tensors: Arguments) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._names = {id(tensor): f"v{i}" for i, tensor in enumerate(tensors) if tensor is not None}
        self._n_values = len(tensors)
        self._kept: list[Any] = []  # so that no two objects have the same identity

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        made = found if isinstance(found, tuple | list) else (found,)
        if not (found is None or any(isinstance(value, Tensor) for value in made)):
            return found  # a shape, a dtype or the like
        call = ", ".join([self.expression(value) for value in args])
        call += "".join(f", {name}={self.expression(value)}" for name, value in kwargs.items())
        call = f"{self._name(func)}({call.removeprefix(', ')})"
        if found is None:
            self.lines.append(call)
        else:
            targets = "".join(f"{self._made(value)}, " for value in made)
            self.lines.append(f"{targets if found is made else self._made(found)} = {call}")
        return found

    def expression(self, value: Any) -> str:
        """What stands for a value."""
        if isinstance(value, tuple | list) and any(isinstance(one, Tensor) for one in value):
            inner = "".join(f"{self.expression(one)}, " for one in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner})"
        return self._name(value)

    def _made(self, value: Any) -> str:
        """A new name for what an operation returns; it may be an argument that it changed in place."""
        name = f"v{self._n_values}"
        self._n_values += 1
        self._names[id(value)] = name
        self._kept.append(value)
        return name

    def _name(self, value: Any) -> str:
        if id(value) not in self._names:
            name = f"c{len(self.constants)}"
            self.constants[name] = value
            self._names[id(value)] = name
            self._kept.append(value)
        return self._names[id(value)]
