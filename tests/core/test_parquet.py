from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_written_records import ALL, OWNER, image, vqa_rad_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semihvision.core.errors import InputError
from semihvision.core.parquet import (
    SCHEMA,
    count_records,
    read_records,
    write_records,
)
from semihvision.core.record import QA, TEXT_KINDS, Attribute, Label, Licence, Record, Region, Text

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
numbers = st.floats(-1e6, 1e6)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record with images, regions, labels, texts and questions."""
    images = tuple(
        image(
            f"i{n}",
            f"{n}.png",
            index=draw(st.none() | st.integers(0, 500)),
            window_width=draw(st.none() | st.floats(0.1, 1e5)),
            spacing_mm=tuple(draw(st.lists(numbers, max_size=3))),
            view=draw(st.just("") | words),
            reading=tuple(
                draw(st.lists(st.builds(Attribute, name=words, value=words), max_size=2))
            ),
        )
        for n in range(draw(st.integers(0, 3)))
    )
    about = tuple(i.image_id for i in images)[: draw(st.integers(0, 3))]
    x, y = draw(numbers), draw(numbers)
    box = draw(st.none() | st.just((x, y, x + 1.5, y + 2.5)))
    return Record(
        record_id=f"s/{draw(words)}",
        source="s",
        split=draw(st.sampled_from(("", "train", "test"))),
        group_id=draw(words),
        images=images,
        regions=tuple(
            Region(
                region_id=f"r{i.image_id}",
                image_id=i.image_id,
                box_xyxy=box,
                mask_path="" if box else "m.png",
                slices=draw(st.none() | st.just((1, 4))),
                lines_xyxy=((x, y, y, x),) * draw(st.integers(0, 2)),
            )
            for i in images
        ),
        labels=tuple(
            Label(
                label_id=f"l{n}", name=draw(words), value=draw(words), system="x", image_ids=about
            )
            for n in range(draw(st.integers(0, 2)))
        ),
        texts=tuple(
            Text(
                text_id=f"t{n}",
                kind=draw(st.sampled_from(TEXT_KINDS)),
                text=draw(words),
                image_ids=about,
                provenance_id="owner",
            )
            for n in range(draw(st.integers(0, 2)))
        ),
        qa=tuple(
            QA(
                qa_id=f"q{n}",
                question=draw(words),
                answer=draw(words),
                options=tuple(draw(st.lists(words, max_size=4))),
                provenance_id="owner",
            )
            for n in range(draw(st.integers(0, 2)))
        ),
        provenance=(OWNER,),
        licence=Licence(name=draw(words), conditions=tuple(draw(st.lists(words, max_size=2)))),
    )


@pytest.mark.parametrize("make", ALL)
def test_hand_written_records_come_back_as_they_were(
    make: Callable[[], Record], tmp_path: Path
) -> None:
    write_records(tmp_path / "one.parquet", [make()])

    assert list(read_records(tmp_path / "one.parquet")) == [make()]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(records(), max_size=4))
def test_any_records_come_back_in_order(written: list[Record], tmp_path: Path) -> None:
    path = tmp_path / "any.parquet"

    assert write_records(path, written) == len(written) == count_records(path)
    assert list(read_records(path, batch_size=2)) == written


def test_the_schema_has_every_field_of_the_record() -> None:
    def fields(kind: pa.DataType) -> object:
        if pa.types.is_list(kind):
            return fields(kind.value_type)
        return {f.name: fields(f.type) for f in kind} if pa.types.is_struct(kind) else None

    def of_model(model: object) -> set[str]:
        return set(model.model_fields)  # type: ignore[attr-defined]

    assert set(SCHEMA.names) == of_model(Record)
    for name, model in (("regions", Region), ("labels", Label), ("texts", Text), ("qa", QA)):
        assert set(fields(SCHEMA.field(name).type)) == of_model(model)  # type: ignore[call-overload]


def test_an_interrupted_writer_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_records(path, [vqa_rad_image()])

    def broken() -> Iterator[Record]:
        yield from [vqa_rad_image()] * 1500
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_records(path, broken())

    assert count_records(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["r.parquet"]


def test_a_last_page_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    wide = vqa_rad_image().edited(images=(image("image", "a.png", width=2**40),))

    with pytest.raises(pa.ArrowInvalid):
        write_records(tmp_path / "r.parquet", [wide])

    assert list(tmp_path.iterdir()) == []


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    old = SCHEMA.with_metadata({b"semihvision.record.version": b"0"})
    pq.write_table(pa.Table.from_pylist([], schema=old), path)

    with pytest.raises(InputError, match="schema version 0, expected 1"):
        list(read_records(path))


def test_a_file_from_before_a_field_was_added_is_read(tmp_path: Path) -> None:
    """`ImageRef.reading` came after the first files of this version had been written."""
    path, record = tmp_path / "old.parquet", ALL[0]()
    write_records(path, [record])
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        for picture in row["images"]:
            del picture["reading"]
    pictures = SCHEMA.field("images").type.value_type
    old = pa.list_(pa.struct([field for field in pictures if field.name != "reading"]))
    schema = SCHEMA.set(SCHEMA.get_field_index("images"), pa.field("images", old))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)

    assert list(read_records(path)) == [record]


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"not parquet")

    with pytest.raises(InputError, match="not a readable Parquet file"):
        list(read_records(tmp_path / "x.parquet"))
    with pytest.raises(InputError, match="no such file"):
        count_records(tmp_path / "absent.parquet")


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_damaged_pages_are_an_error_and_never_other_values(
    compression: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.parquet"
    write_records(path, [vqa_rad_image()] * 20)
    if compression == "none":  # the checksum alone tells
        table = pq.read_table(path)
        pq.write_table(table, path, compression="none", write_page_checksum=True)
    whole = path.read_bytes()
    chunks = [pq.ParquetFile(path).metadata.row_group(0).column(n) for n in (0, 1, 3, 40)]
    for chunk in chunks:
        damaged = bytearray(whole)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        damaged[start + chunk.total_compressed_size - 1] ^= 0x55
        path.write_bytes(damaged)

        with pytest.raises(InputError, match=r"r\.parquet: damaged after row 0 \("):
            list(read_records(path))


def test_an_invalid_row_is_named_by_number_not_by_content(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    rows = [vqa_rad_image().model_dump(), vqa_rad_image().model_dump()]
    rows[1]["modality"] = "secret"
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)

    with pytest.raises(InputError, match=r"bad.parquet, row 1: not a valid record \(.*modality"):
        list(read_records(path))
