"""Safetensors files read and written one tensor at a time, so that no file stands in memory.

The library's own writer takes all tensors of a file at once, and its reader's memory map keeps
every page that was touched; here a file is opened anew for each tensor.

Source: the safetensors format: 8 bytes with the header's length, a JSON header of names, dtypes,
shapes and offsets, the tensors' bytes in that order.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json
from semihvision.core.reasons import in_words

from .loading import not_finite

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
LINEAGE_FILE = "lineage.json"
"""Beside the weights: the stages a model went through, first to last."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""In which model folders may be written, by the names that configurations have."""
_CODES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
_NAMES = {dtype: code for code, dtype in _CODES.items()}

OnProgress = Callable[[str, int, int], None]
"""Called with what is counted, how many are done, and how many there are."""


class StoredTensor(NamedTuple):
    """What a header says of a tensor; ``dtype`` is the format's code, e.g. ``BF16``."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


class PlannedTensor(NamedTuple):
    """A floating-point tensor that is to be written."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size in the file."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def dtype_name(dtype: torch.dtype) -> str:
    """Name of a dtype as configurations have it, e.g. ``bfloat16``."""
    return str(dtype).removeprefix("torch.")


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Names, dtypes and shapes of a file in its own order.

    Raises:
        InputError: No such file, no safetensors file, or a truncated one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = {}
            for name in file.offset_keys():
                view = file.get_slice(name)
                found[name] = StoredTensor(path, view.get_dtype(), tuple(view.get_shape()))
            return found
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: cannot be read as safetensors ({in_words(error)}: {error}); expected a "
            "whole file: fetch it again"
        ) from None


def float_dtype(code: str) -> torch.dtype | None:
    """Torch's dtype of a floating-point code; ``None`` for any other code."""
    return _CODES.get(code)


def read_tensor(path: Path, name: str) -> Tensor:
    """One tensor; its memory map ends with it."""
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
        return tensor


class FolderTensors:
    """Weights of a model folder, read one at a time through a memory map.

    Args:
        folder: As `Stage.save_model_folder` or ``save_pretrained`` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / INDEX_FILE
        self._files: dict[str, str] = read_json(index)["weight_map"] if index.is_file() else {}

    def read(self, name: str) -> Tensor:
        """One tensor.

        Raises:
            InputError: The folder does not hold it, or it holds NaN or infinity.
        """
        # Only the name counts: a path in the index must not lead out of the folder.
        file = self.folder / Path(self._files.get(name, SINGLE_FILE)).name
        try:
            tensor = read_tensor(file, name)
        except Exception as error:
            raise InputError(
                f"{file}: weight {name!r} cannot be read ({in_words(error)}); expected a "
                "complete model folder as `semihvision fit` writes it"
            ) from None
        problems = not_finite(name, tensor)
        if problems:
            raise InputError(f"{file}: {problems[0]}; fetch or make the folder again")
        return tensor


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that `write_tensors` was given beside the tensors."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def write_shard(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes tensors that are all in memory, with the mode of any new file.

    The library (0.8) moves a temporary file into place, which only its owner may read.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(mode)


def write_tensors(
    path: Path,
    planned: Iterable[PlannedTensor],
    value: Callable[[str], Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Writes a file, which appears under its name when it is complete.

    Args:
        path: The file.
        planned: What goes into it, in order.
        value: Gives each tensor when its turn comes, in the planned dtype and shape.
        metadata: Texts for the header.
    """
    planned = list(planned)
    header: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for tensor in planned:
        offsets = [end, end + tensor.num_bytes]
        header[tensor.name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        end = offsets[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in planned:
            made = value(tensor.name)
            if made.dtype != tensor.dtype or tuple(made.shape) != tensor.shape:
                raise ValueError(f"{tensor.name}: {made.dtype} {tuple(made.shape)}, not as planned")
            stream.write(made.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    unfinished.replace(path)
