"""`semihvision convert to-hf`: a trained model as a Hugging Face folder."""

import re
from pathlib import Path

from semihvision.cli.model_folder import require_model_folder
from semihvision.cli.output import Bars, print_json, print_table, progress
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.errors import InputError
from semihvision.core.writable import require_writable_folder

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def to_hf(argv: list[str]) -> int:
    """Writes the folder and says what is in it."""
    made = parser(
        "convert to-hf",
        "Writes a model folder that transformers' auto classes load (trust_remote_code=True) where "
        "this project is not installed.",
    )
    made.add_argument("--model", type=Path, required=True, help="model folder, as `fit` writes it")
    made.add_argument("--out", type=Path, required=True, help="folder to make")
    made.add_argument("--max-shard-size", type=str, default="5GB", help="largest file of weights")
    made.add_argument(
        "--dtype", type=str, default="", help="float32, bfloat16 or float16; empty: as stored"
    )
    made.add_argument(
        "--system-prompt",
        type=str,
        default="",
        help="file with another system text; empty: its own",
    )
    made.add_argument(
        "--other-prompt",
        action="store_true",
        help="hand out an official checkpoint with another prompt than it was trained with",
    )
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    require_model_folder(arguments.model)
    require_writable_folder(arguments.out)
    max_shard_bytes = num_bytes(arguments.max_shard_size)

    from models.export.folder import write_hf_folder
    from models.official_prompt import read_system_prompt

    file = arguments.system_prompt
    with progress() as display:
        written = write_hf_folder(
            arguments.model,
            arguments.out,
            max_shard_bytes=max_shard_bytes,
            dtype=arguments.dtype or None,
            system_prompt=read_system_prompt(file) if file else None,
            other_prompt=arguments.other_prompt,
            on_progress=Bars(display),
        )
    weights = written.weights
    if arguments.json:
        print_json(
            {
                "folder": str(written.folder),
                "weights": weights._asdict(),
                "code_files": list(written.code_files),
            }
        )
        return 0
    rows = [
        ("folder", written.folder),
        ("parameters", f"{weights.num_parameters:,}"),
        ("weights", f"{weights.num_bytes / 1e9:.3f} GB in {weights.num_files} files"),
        ("dtype", ", ".join(weights.dtypes)),
        ("code", f"{len(written.code_files)} files; they run where the folder is trusted"),
    ]
    print_table("Hugging Face folder", ("", ""), rows)
    return 0


def num_bytes(size: str) -> int:
    """Bytes of a size such as ``5GB`` (units of 1000).

    Raises:
        InputError: It is no such size.
    """
    found = re.fullmatch(r"([1-9]\d*)(KB|MB|GB)", size)
    if found is None:
        raise InputError(f"size {size!r}; expected a whole number and KB, MB or GB, e.g. 5GB")
    return int(found[1]) * _UNITS[found[2]]
