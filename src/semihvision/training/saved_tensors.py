"""What autograd keeps of something that runs on the meta device.

Every storage that an operation saves for its backward pass is counted once; parameters are not,
their copies in the computing dtype are counted apart. CUDA's autocast, which the meta device does
not know, is imitated: products in the computing dtype, norms and powers in float32. Attention is
counted as the fused kernels have it: queries, keys, values, output and one float32 number per head
and position.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_LOW = frozenset({F.linear, F.conv2d, torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__})
_FLOAT32 = frozenset({F.layer_norm, F.group_norm, torch.pow, Tensor.pow, torch.rsqrt})
_SOFTMAX = frozenset({F.softmax, torch.softmax, Tensor.softmax})
_PRODUCTS = frozenset(
    {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default}
)


@dataclass(frozen=True)
class ActivationBytes:
    """What is kept.

    Attributes:
        activations: Results of operations.
        weight_copies: Copies of parameters in the computing dtype.
    """

    activations: int
    weight_copies: int


class _FusedAttention(Function):
    """Shapes and saved tensors of a fused attention kernel; never run backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        output = torch.empty_like(query)
        log_sums = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, log_sums)
        return output


class _Autocast(TorchFunctionMode):
    """Imitates CUDA's autocast on the meta device; notes the copies it makes of parameters."""

    def __init__(self, dtype: torch.dtype | None, parameters: set[int]) -> None:
        super().__init__()
        self._dtype = dtype
        self._parameters = parameters
        self.copies: dict[int, Tensor] = {}
        self.attended_bytes = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            output: Tensor = _FusedAttention.apply(*(self._cast(x, self._dtype) for x in args[:3]))
            self.attended_bytes += output.nbytes
            return output
        # The model switches autocast off around some operations; here it is on for CPUs only.
        if self._dtype is None or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        if func in _SOFTMAX:
            return func(*args, **kwargs | {"dtype": torch.float32})
        wanted = self._dtype if func in _LOW else torch.float32 if func in _FLOAT32 else None
        cast = [self._cast(x, wanted) for x in args]
        return func(*cast, **{name: self._cast(x, wanted) for name, x in kwargs.items()})

    def _cast(self, value: Any, dtype: torch.dtype | None) -> Any:
        if dtype is None or not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        made = value.to(dtype)
        if made is not value and _key(value) in self._parameters:
            self.copies[_key(made)] = made
        return made


class _ProductBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of what matrix products give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in _PRODUCTS:
            self.total += output.nbytes
        return output


class Block(NamedTuple):
    """Bytes of a block: what it takes in, what it keeps, what its products and attention give."""

    taken: int
    kept: int
    outputs: int


class Recorder:
    """Counts saved storages while its hooks are set."""

    def __init__(self, model: nn.Module, compute_dtype: torch.dtype | None) -> None:
        owned = {_key(tensor) for tensor in [*model.parameters(), *model.buffers()]}
        self._owned = owned
        self._compute_dtype = compute_dtype
        self._saved: dict[int, Tensor] = {}
        self._autocast = _Autocast(compute_dtype, owned)
        self._products = _ProductBytes()
        self.blocks: list[Block] = []
        self.held_bytes = 0

    @property
    def counted(self) -> ActivationBytes:
        """So far, with everything kept."""
        copies = sum(_bytes(t) for key, t in self._saved.items() if key in self._autocast.copies)
        return ActivationBytes(sum(map(_bytes, self._saved.values())) - copies, copies)

    def run(self, blocks: Iterable[nn.Module], forward: Callable[[], Any]) -> Any:
        """Runs something on the meta device, and notes what its blocks keep."""
        with ExitStack() as stack:
            for block in blocks:
                stack.callback(block.register_forward_pre_hook(self._enter).remove)
                stack.callback(block.register_forward_hook(self._leave).remove)
            dtype = self._compute_dtype
            stack.enter_context(torch.autocast("cpu", dtype, enabled=dtype is not None))
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack))
            stack.enter_context(self._products)
            stack.enter_context(self._autocast)
            return forward()

    def hold(self, *tensors: Tensor) -> None:
        """Counts tensors that stay whatever is recomputed, because several blocks read them."""
        self.held_bytes = sum(_bytes(t) for t in {_key(t): t for t in tensors}.values())

    def _pack(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta and _key(tensor) not in self._owned:
            self._saved.setdefault(_key(tensor), tensor)
        return tensor

    @property
    def _kept_outputs(self) -> int:
        return self._products.total + self._autocast.attended_bytes

    def _enter(self, _block: nn.Module, args: Any) -> None:
        taken = sum(x.nbytes for x in args if isinstance(x, Tensor))
        self._entered = Block(taken, self.counted.activations, self._kept_outputs)

    def _leave(self, _block: nn.Module, _args: Any, _output: Any) -> None:
        taken, kept, outputs = self._entered
        now = Block(0, self.counted.activations, self._kept_outputs)
        self.blocks.append(Block(taken, now.kept - kept, now.outputs - outputs))


def _key(tensor: Tensor) -> int:
    """Which storage a tensor is of, while somebody holds it."""
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes())


def _unpack(tensor: Tensor) -> Tensor:
    return tensor
