"""Between host and device without waiting for either."""

from torch import Tensor, device


def sent(tensor: Tensor, to: device) -> Tensor:
    """A tensor on a device; work queued there goes on meanwhile.

    Args:
        tensor: From pageable memory a copy would wait for all work before it; so it is pinned.
        to: Where it is needed.
    """
    if tensor.device.type == "cpu" and to.type == "cuda":
        return tensor.pin_memory().to(to, non_blocking=True)
    return tensor.to(to)


def on_host(tensor: Tensor | None) -> Tensor | None:
    """A tensor in host memory; waits for a GPU if it is there."""
    return None if tensor is None else tensor.cpu()
