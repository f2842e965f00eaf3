"""The identity of a network: a hash of its weights, whatever file they came from."""

import hashlib
from typing import Any


def weight_hash(model: Any) -> str:
    """SHA-256 over names, types, shapes and values of a torch module's state, in name order."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
