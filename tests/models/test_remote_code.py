"""The code in a model folder: what is collected, and that it runs where this project is not."""

import ast
import json
import os
import subprocess
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import load_without_project
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers.dynamic_module_utils import get_imports, get_relative_imports

from models import PMCCambrian, PMCCambrianProcessor
from models.export import remote_code
from models.export.folder import write_hf_folder
from models.export.remote_code import LIBRARIES, UnknownImportError, bundle_code
from semihvision.core.batch import Turn


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for name, text in bundle_code().items():
        (folder / name).write_text(text)
    return folder


def test_every_file_has_the_imports_that_transformers_looks_for(code: Path) -> None:
    for file in code.iterdir():
        tree = ast.parse(file.read_text())
        relative = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level == 1
        }
        assert set(get_relative_imports(file)) == relative, file.name
        assert all((code / f"{name}.py").is_file() for name in relative), file.name


def test_nothing_heavy_or_foreign_is_asked_of_the_user(code: Path) -> None:
    wanted = {name for file in code.iterdir() for name in get_imports(file)}
    ours = {"semihvision", "models", "data_modules", "evaluation"}
    assert not wanted & ours
    assert not wanted & {"pydantic", "lightning", "mlflow", "openai", "omegaconf", "jsonargparse"}
    assert {"torch", "timm", "transformers"} <= wanted & LIBRARIES


def test_files_that_nobody_imports_stay_at_home(code: Path) -> None:
    imported = {name for file in code.iterdir() for name in get_relative_imports(file)}
    assert {file.stem for file in code.iterdir()} == imported | {"pmc_cambrian"}


def test_text_stays_but_for_imports_and_names_its_licence(code: Path) -> None:
    original = Path(str(remote_code.__file__)).parents[1].joinpath("padding.py").read_text()
    text = (code / "padding.py").read_text()
    assert text.endswith(original)  # it imports nothing of ours
    for file in code.iterdir():
        assert "SPDX-License-Identifier: Apache-2.0" in file.read_text().splitlines()[0]


@pytest.fixture
def bundle_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, str]]:
    """Bundles one module of the given text, put in place of the entry points."""

    def make(text: str) -> dict[str, str]:
        file = tmp_path / "given.py"
        file.write_text(text)
        real = remote_code._path
        monkeypatch.setattr(
            remote_code, "_path", lambda name: file if name == "models.given" else real(name)
        )
        monkeypatch.setattr(remote_code, "ENTRY_POINTS", {"Given": "models.given"})
        return bundle_code()

    return make


@pytest.mark.parametrize(
    "line",
    [
        "import lightning",
        "import triton",
        "try:\n    import mlflow\nexcept ImportError:\n    pass",
        "import semihvision.core.errors",
        "from models import PMCCambrian",
        "from . import padding",
        "from semihvision.core import Record",
        "from semihvision.training import callbacks",
        "from data_modules.vqa_rad import CARD",
        "def f():\n    from omegaconf import OmegaConf",
    ],
)
def test_imports_that_cannot_travel_are_refused_by_name(
    line: str, bundle_of: Callable[[str], dict[str, str]]
) -> None:
    with pytest.raises(UnknownImportError, match=r"models\.\w+.*(expected|no such)"):
        bundle_of(line)


def test_what_a_module_may_do_without_is_tried(
    bundle_of: Callable[[str], dict[str, str]],
) -> None:
    text = "try:\n    import triton.language as tl\nexcept ImportError:\n    tl = None\n"
    assert bundle_of(text)["given.py"].endswith(text)


def test_imports_of_ours_become_flat_wherever_they_stand(
    bundle_of: Callable[[str], dict[str, str]],
) -> None:
    text = (
        "# Copyright somebody, SPDX-License-Identifier: Apache-2.0\n"
        "from typing import TYPE_CHECKING\n\n"
        "from semihvision.core.files import (\n    write_text_atomically,  # kept\n)\n\n"
        "from .padding import kept_grid\n\n"
        "if TYPE_CHECKING:\n    import pydantic\n\n\n"
        "def f() -> None:\n    from models.parts import PARTS\n"
    )
    files = bundle_of(text)
    assert set(files) == {
        "pmc_cambrian.py", "given.py", "core_files.py", "padding.py", "parts.py"
    }  # fmt: skip
    given = files["given.py"]
    assert "from .core_files import (\n    write_text_atomically,  # kept\n)" in given
    assert "\n    from .parts import PARTS\n" in given
    assert "pydantic" not in given
    assert given.count("SPDX") == 1
    ast.parse(given)


@pytest.fixture(scope="module")
def foreign_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second environment: every installed package but this project."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home, with_pip=False, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    ours = ("semihvision", "models", "data_modules", "evaluation", "__editable__")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(ours):
            (packages / entry.name).symlink_to(entry)
    return home / "bin" / "python"


def test_folder_loads_and_answers_alike_without_this_project(
    foreign_python: Path, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    model = PMCCambrian.from_preset("tiny").eval()
    processor = PMCCambrianProcessor.from_preset("tiny", system_prompt="Be brief.")
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    write_hf_folder(tmp_path / "model", tmp_path / "my.model", max_shard_bytes=2_000_000)
    noise = np.random.default_rng(0).integers(0, 255, (40, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")

    subprocess.run(
        [
            *(foreign_python, "-I", load_without_project.__file__),
            *(tmp_path / "my.model", tmp_path / "image.png", tmp_path),
        ],
        check=True,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        env={
            **{"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
            **{"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
        },
    )

    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["importable"] == facts["modules"] == []
    assert facts["model_module"].startswith("transformers_modules.")
    assert facts["same_config_class"]
    assert facts["config_is_of_model"]
    chat = [Turn("human", "Hi"), Turn("gpt", "Hello.")]
    assert facts["chat"] == processor.encode("chat", chat, [])["input_ids"].tolist()

    found = load_file(tmp_path / "out.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(found[f"weights.{name}"], value), name
    image = processor.prepare_image(Image.open(tmp_path / "image.png"))
    turns = [Turn("human", "<image>\n" + load_without_project.QUESTION)]
    batch = processor.collate([processor.encode_prompt("q", turns, [image])])
    inputs = (
        batch["input_ids"], batch["attention_mask"], batch["pixel_values"], batch["image_sizes_wh"]
    )  # fmt: skip
    assert torch.equal(found["input_ids"], batch["input_ids"])
    for i, pixels in enumerate(batch["pixel_values"]):
        assert torch.equal(found[f"pixels.{i}"], pixels)
    # The same file, since products of matrices round by how their memory is aligned: 5e-6 was seen
    # between equal weights in memory and in a mapped file.
    model = PMCCambrian.from_pretrained(tmp_path / "my.model")
    with torch.no_grad():
        assert torch.equal(found["logits"], model(*inputs).logits)
    greedy = model.generate(*inputs, max_new_tokens=8, do_sample=False)
    assert torch.equal(found["greedy"], greedy)
