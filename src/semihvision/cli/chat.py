"""`semihvision chat`: ask a model folder about images, once or in a dialogue.

Questions, answers and images go to the terminal and nowhere else: no log, no tracker, no file.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from semihvision.cli.model_folder import require_model_folder
from semihvision.cli.output import print_json
from semihvision.cli.parsing import JSON_HELP, parser
from semihvision.core.errors import InputError

if TYPE_CHECKING:
    from models.dialogue import Dialogue

NOTICE = (
    "Research software, not a medical device: answers may be wrong and are no basis for care.\n"
)
HELP = "Commands: /image PATH adds an image to the next question, /reset starts anew, /quit ends.\n"

_OUT_OF_MEMORY = (
    "the device's memory does not hold model and dialogue: give --dtype bfloat16, which takes half "
    "of what the float32 folders of `fit` take, fewer images, or --device cpu"
)
_DEVICES = ("auto", "cpu", "cuda")
_DTYPES = ("auto", "float32", "bfloat16", "float16")


def run(argv: list[str]) -> int:
    """Asks once with ``--ask``, otherwise reads questions and commands from standard input."""
    arguments = _parser().parse_args(argv)
    if arguments.json and arguments.ask is None:
        raise InputError("--json goes with --ask; a dialogue is for reading")
    _check_choice("--device", arguments.device, _DEVICES)
    _check_choice("--dtype", arguments.dtype, _DTYPES)
    require_model_folder(arguments.model)
    from torch import OutOfMemoryError

    try:
        return _chat(arguments)
    except OutOfMemoryError as error:
        raise InputError(f"{_OUT_OF_MEMORY} ({str(error).partition('.')[0]})") from None


def _chat(arguments: Namespace) -> int:
    dialogue = _load(arguments)
    for path in arguments.image:
        attach(dialogue, Path(path))
    if arguments.ask is None:
        converse(dialogue)
        return 0
    sys.stderr.write(NOTICE)
    if arguments.json:
        answer = dialogue.ask(arguments.ask)
        print_json(
            {"model": str(arguments.model), "images": len(arguments.image), **asdict(answer)}
        )
    else:
        _tell(dialogue, arguments.ask)
    return 0


def _parser() -> Any:
    made = parser("chat", "Asks a model about images, in the terminal.")
    made.add_argument("--model", type=Path, required=True, help="model folder, as `fit` writes it")
    made.add_argument(
        "--image",
        type=str,
        action="append",
        default=[],
        help="image file, for the first question; may be given several times",
    )
    made.add_argument("--ask", type=str, help="one question; without it a dialogue begins")
    made.add_argument("--system-prompt", type=Path, help="file with another system text")
    made.add_argument(
        "--other-prompt",
        action="store_true",
        help="use an official checkpoint with another prompt than it was trained with",
    )
    made.add_argument(
        "--max-length",
        type=int,
        help="longest dialogue in tokens, images expanded, up to the positions that the model "
        "knows; default: the folder's, as it was trained",
    )
    made.add_argument("--max-new-tokens", type=int, default=512, help="longest answer, tokens")
    made.add_argument(
        "--temperature", type=float, default=0.0, help="randomness; 0: always the likeliest token"
    )
    made.add_argument(
        "--top-p",
        type=float,
        default=1.0,
        help="draw from the likeliest tokens of this share, 0 to 1; with a temperature",
    )
    made.add_argument("--seed", type=int, default=0, help="seed of the draws; with a temperature")
    made.add_argument("--device", type=str, default="auto", help=f"one of {', '.join(_DEVICES)}")
    made.add_argument(
        "--dtype",
        type=str,
        default="auto",
        help=f"one of {', '.join(_DTYPES)}; auto: as stored; `fit` stores float32",
    )
    made.add_argument("--json", action="store_true", help=f"{JSON_HELP}; with --ask")
    return made


def _check_choice(name: str, found: str, choices: tuple[str, ...]) -> None:
    if found not in choices:
        raise InputError(f"{name} {found!r}: expected one of {', '.join(choices)}")


def _load(arguments: Namespace) -> "Dialogue":
    """Model, processor and decoding from the command line; settings are checked before loading."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from models.dialogue import Decoding, Dialogue
    from models.modeling import PMCCambrian
    from models.official_prompt import read_system_prompt
    from models.processing import PMCCambrianProcessor

    decoding = Decoding(
        max_new_tokens=arguments.max_new_tokens,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=arguments.seed,
    )
    device = arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no GPU here; use cpu or auto")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    file = arguments.system_prompt
    processor = PMCCambrianProcessor.from_pretrained(
        arguments.model,
        system_prompt=None if file is None else read_system_prompt(file),
        other_prompt=arguments.other_prompt,
        max_length=arguments.max_length,
    )
    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = PMCCambrian.from_pretrained(arguments.model, dtype=arguments.dtype)
    return Dialogue(model.to(device), processor, decoding)


def attach(dialogue: "Dialogue", path: Path) -> None:
    """Adds an image file to the next question.

    Args:
        dialogue: The dialogue.
        path: Image in a format that Records can have.

    Raises:
        InputError: No such file, or no usable image.
    """
    from semihvision.core.images import probe_image, read_image

    # A link named by the user is followed; below a source's root it could leave the root.
    real = path.expanduser().resolve()
    image = probe_image(real.parent, real.name, image_id="image")
    dialogue.attach(read_image(real.parent, image))


def converse(dialogue: "Dialogue") -> None:
    """Reads questions and commands until the input ends; errors are told and change nothing."""
    sys.stderr.write(NOTICE + HELP)
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line or line.strip() == "/quit":
            return
        try:
            _obey(dialogue, line.strip())
        except InputError as error:
            sys.stderr.write(f"{error}\n")


def _obey(dialogue: "Dialogue", line: str) -> None:
    """Carries out one line; an empty one does nothing."""
    command, _, rest = line.partition(" ")
    if not line:
        return
    if not line.startswith("/"):
        _tell(dialogue, line)
    elif command == "/image" and rest.strip():
        attach(dialogue, Path(rest.strip()))
        sys.stderr.write("added to the next question\n")
    elif line == "/reset":
        dialogue.reset()
        sys.stderr.write("started anew\n")
    else:
        raise InputError(f"{command} is no command, or lacks its argument. {HELP.strip()}")


def _tell(dialogue: "Dialogue", question: str) -> None:
    answer = dialogue.ask(question, on_text=printer(sys.stdout.write))
    sys.stdout.write("\n")
    sys.stdout.flush()
    if not answer.complete:
        sys.stderr.write(f"(stopped after {answer.num_tokens} tokens: --max-new-tokens)\n")


def printer(write: Callable[[str], Any]) -> Callable[[str], None]:
    """Writes text as it comes, without the control characters that steer a terminal.

    Args:
        write: Where to.
    """

    def show(text: str) -> None:
        write("".join(c for c in text if c.isprintable() or c in "\n\t"))
        sys.stdout.flush()

    return show
