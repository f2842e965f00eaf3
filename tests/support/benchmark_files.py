"""Small benchmarks in their owners' exact layouts, made up; one writer for each."""

import base64
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from data_modules import path_vqa, pmc_vqa, slake


def png(value: int) -> bytes:
    """A small grey image."""
    stream = io.BytesIO()
    Image.new("L", (6, 4), value).save(stream, "PNG")
    return stream.getvalue()


def omni_row(number: int, **change: Any) -> dict[str, Any]:
    return {
        "dataset": "ACRIMA", "question_id": f"ACRIMA_{number:04d}",
        "question_type": "Disease Diagnosis", "question": "Which disease is shown?",
        "gt_answer": "glaucoma", "image_path": f"Images/ACRIMA/Im{number:03d}_ACRIMA.png",
        "option_A": "myopia", "option_B": "glaucoma", "option_C": "no disease",
        "modality_type": "Fundus Photography",
    } | change  # fmt: skip


def write_omnimedvqa(root: Path, rows: Sequence[Any] | None = None) -> Path:
    rows = [omni_row(1), omni_row(2, option_D="cataract")] if rows is None else rows
    access = root / "QA_information" / "Open-access"
    access.mkdir(parents=True)
    (access / "ACRIMA.json").write_text(json.dumps(rows))
    restricted = root / "QA_information" / "Restricted-access"
    restricted.mkdir()
    (restricted / "AIDA.json").write_text(json.dumps([omni_row(1)]))
    (root / "Images" / "ACRIMA").mkdir(parents=True)
    for number in (1, 2):
        (root / omni_row(number)["image_path"]).write_bytes(png(number))
    return root


def confusion_row(**change: Any) -> dict[str, Any]:
    return {
        "im_1": "train/radiology/images/ROCO_1.jpg", "im_2": "train/radiology/images/ROCO_2.jpg",
        "im_1_local": 20001, "im_2_local": 20002, "cap_1": "x", "cap_2": "y",
        "category_1": ["Cerebral", "Head and Neck"], "category_2": ["Cerebral"],
        "BiomedCLIP_sim": 0.9, "DINO_sim": 0.5, "question": "Which artery is shown?",
        "option_A": "Internal carotid artery", "option_B": "Basilar artery", "im_1_correct": "B",
        "im_2_correct": "A", "AI_question": "?", "AI_option_A": "x", "AI_option_B": "y",
    } | change  # fmt: skip


def write_mediconfusion(root: Path, pairs: dict[str, Any] | None = None) -> Path:
    pairs = {"10001": confusion_row(), "10002": confusion_row()} if pairs is None else pairs
    (root / "data" / "images").mkdir(parents=True)
    (root / "data" / "dataset.json").write_text(json.dumps(pairs))
    for number in (20001, 20002):
        Image.new("RGB", (6, 4)).save(root / "data" / "images" / f"{number}.jpg")
    return root


WORLD_COLUMNS = ("index", "image", "question", "A", "B", "C", "D", "answer", "correct_option")


def world_row(number: int, /, **change: str) -> dict[str, str]:
    return {
        "index": str(number), "image": base64.b64encode(png(number) + b"\0" * 200_000).decode(),
        "question": "Qual?\nSegunda linha", "A": "Aspergilose", "B": "Carcinoma",
        "C": "Tuberculose", "D": "Bronquiectasia", "answer": "Carcinoma", "correct_option": "B",
    } | change  # fmt: skip


def write_worldmedqa(root: Path, rows: Sequence[dict[str, str]] | None = None) -> Path:
    rows = [world_row(1), world_row(2)] if rows is None else rows
    root.mkdir(exist_ok=True)
    for language in ("english", "local"):
        with (root / f"brazil_{language}_processed.tsv").open("w", newline="") as stream:
            table = csv.DictWriter(stream, WORLD_COLUMNS, delimiter="\t", extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
    return root


def mubench_row(number: int, **change: Any) -> dict[str, Any]:
    def asked(answer: str) -> dict[str, Any]:
        options = ["light", "electron", "none of the above"]
        return {"id": "x", "question": "Which is it?", "options": options, "answer": answer}

    kinds = {kind: asked("light") for kind in ("domain", "modality", "subdomain", "submodality")}
    return {
        "image_id": f"image-{number}", "image": {"bytes": png(number), "path": None},
        "label": 1, "dataset": "kather_et_al_2016", "domain": "pathology",
        "questions": {**kinds, "stain": None, "classification": asked("electron")},
    } | change  # fmt: skip


def write_mubench(root: Path, rows: Sequence[dict[str, Any]] | None = None) -> Path:
    """Two shards in Arrow's stream form, as the owners' hub has them."""
    rows = [mubench_row(1), mubench_row(2, dataset="opencell")] if rows is None else rows
    folder = root / "perception" / "0.1.0"
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows))
    for number in range(2):
        part = table.slice(number, 1) if number == 0 else table.slice(1)
        name = folder / f"ubench-test-{number:05d}-of-00002.arrow"
        with pa.OSFile(str(name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(part, max_chunksize=1)
    return root


def write_pmc_vqa(root: Path) -> Path:
    pmc_vqa.write_twin(root, cases=10, seed=0)
    return root


def write_slake(root: Path) -> Path:
    slake.write_twin(root, cases=10, seed=0)
    return root


def write_path_vqa(root: Path) -> Path:
    path_vqa.write_twin(root, cases=10, seed=0)
    return root
