import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from data_modules import deeplesion, mimic_cxr
from semihvision.cli.main import main
from semihvision.cli.prepare import prepare
from semihvision.core.images import probe_image
from semihvision.core.parquet import read_records, write_records
from semihvision.core.record import (
    QA,
    Conversation,
    ConversationTurn,
    Label,
    Licence,
    Provenance,
    Record,
    Region,
    Text,
)

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"


class Seen(HTMLParser):
    """Tags with their attributes, and the text in between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both twins below one folder, and all of their records in one file."""
    folder = tmp_path_factory.mktemp("twins")
    deeplesion.write_twin(folder / "deeplesion", cases=3, seed=0)
    mimic_cxr.write_twin(folder / "mimic_cxr", cases=2, seed=0)
    records = []
    for name in ("deeplesion", "mimic_cxr"):
        prepare(name, folder / name, folder / f"{name}.parquet")
        records += list(read_records(folder / f"{name}.parquet"))
    write_records(folder / "both.parquet", records)
    return folder


def browse(file: Path, out: Path, *more: str) -> tuple[int, Seen]:
    code = main(["records", "browse", str(file), "--out", str(out), *more])
    return code, Seen(out.read_text(encoding="utf-8"))


def roots(twins: Path) -> list[str]:
    return ["--root", *(f"{name}={twins / name}" for name in ("deeplesion", "mimic_cxr"))]


def test_thumbnails_boxes_and_texts(twins: Path, tmp_path: Path) -> None:
    code, seen = browse(twins / "both.parquet", tmp_path / "page.html", *roots(twins))

    assert code == 0
    records = list(read_records(twins / "both.parquet"))
    assert len(seen.all("article")) == len(records) == 5
    assert len(seen.all("image")) == sum(len(record.images) for record in records)
    boxes = [region.box_xyxy for record in records for region in record.regions]
    drawn = [
        tuple(float(rect[name] or 0) for name in ("x", "y", "width", "height"))
        for rect in seen.all("rect")
    ]
    assert drawn == [(x0, y0, x1 - x0, y1 - y0) for x0, y0, x1, y1 in filter(None, boxes)]
    assert len(seen.all("line")) == 2 * len(boxes)
    text = "".join(seen.words)
    assert all(one.text in text for record in records for one in record.texts)
    assert {article["data-modality"] for article in seen.all("article")} == {"ct", "xray"}


def test_the_page_loads_nothing(twins: Path, tmp_path: Path) -> None:
    _, seen = browse(twins / "both.parquet", tmp_path / "page.html", *roots(twins))

    policy = next(meta["content"] for meta in seen.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    addresses = [
        value
        for _, attributes in seen.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action")
    ]
    assert addresses
    assert all(value is not None and value.startswith("data:image/jpeg") for value in addresses)


def test_restricted_data_are_named(twins: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"

    _, both = browse(twins / "both.parquet", page, *roots(twins))
    _, free = browse(twins / "deeplesion.parquet", page, *roots(twins))

    assert "restrict passing them on (mimic_cxr)" in "".join(both.words)
    assert "passing them on" not in "".join(free.words)


def test_a_limit_is_said(twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [*roots(twins), "--limit", "2", "--json"]

    code, seen = browse(twins / "both.parquet", tmp_path / "page.html", *more)

    assert code == 0
    assert len(seen.all("article")) == 2
    assert "The first 2 of 5 records are shown" in "".join(seen.words)
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["of"]) == (2, 5)


def test_images_that_cannot_be_shown_leave_a_gap(
    twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", f"deeplesion={twins / 'deeplesion'}", "--json"]

    code, seen = browse(twins / "both.parquet", tmp_path / "page.html", *root)

    assert code == 3
    missing = json.loads(capsys.readouterr().out)["images_not_shown"]
    gaps = [div for div in seen.all("div") if div.get("class") == "gap"]
    assert len(gaps) == len(missing) > 0
    assert len(seen.all("article")) == 5
    assert "--root mimic_cxr=DIR" in missing[0]["reason"]


def hostile_record(root: Path) -> Record:
    Image.new("L", (20, 10), 90).save(root / "x.png")
    image = probe_image(root, "x.png", image_id=HOSTILE, view=HOSTILE)
    turns = (
        ConversationTurn(role="human", text=HOSTILE),
        ConversationTurn(role="gpt", text=HOSTILE),
    )
    return Record(
        record_id=f"folder/{HOSTILE}",
        source="folder",
        split=HOSTILE,
        group_id=HOSTILE,
        images=(image,),
        regions=(
            Region(region_id="r", image_id=HOSTILE, box_xyxy=(1, 2, 3, 4), label=HOSTILE),
            Region(region_id=HOSTILE, image_id=HOSTILE, mask_path=HOSTILE),
        ),
        labels=(Label(label_id="l", name=HOSTILE, value=HOSTILE, system=HOSTILE),),
        texts=(Text(text_id="t", kind="report", text=HOSTILE, provenance_id="p"),),
        qa=(
            QA(qa_id="q", question=HOSTILE, answer=HOSTILE, options=(HOSTILE,), provenance_id="p"),
        ),
        conversations=(Conversation(conversation_id="c", turns=turns, provenance_id="p"),),
        provenance=(Provenance(provenance_id="p", producer="human"),),
        licence=Licence(name=HOSTILE),
    )


def test_nothing_in_a_record_becomes_script(tmp_path: Path) -> None:
    file = tmp_path / "</title><script>alert(3)<script>.parquet".replace("/", "")
    record = hostile_record(tmp_path)
    write_records(file, [record])

    code, seen = browse(file, tmp_path / "page.html", "--root", f"folder={tmp_path}")

    assert code == 0
    assert len(seen.all("script")) == 1
    assert seen.all("img") == []
    names = {name for _, attributes in seen.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    text = "".join(seen.words)
    assert text.count(HOSTILE) >= 12
    assert len(seen.all("article")) == 1
    assert not re.search(r"alert\(\d\)", (tmp_path / "page.html").read_text().split("<script>")[1])


@pytest.mark.parametrize("more", [["--limit", "0"], ["--size", "4"], ["--root", "nothing"]])
def test_wrong_usage(
    more: list[str], twins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"

    assert main(["records", "browse", str(twins / "both.parquet"), "--out", str(out), *more]) == 2
    assert "expected" in capsys.readouterr().err
    assert not out.exists()
