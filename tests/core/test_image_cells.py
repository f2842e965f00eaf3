"""Images in the cells of tables, and what Pillow would say of too large ones."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_modules.twins.faults import bomb
from semihvision.core.errors import InputError
from semihvision.core.images import hash_image, probe_image, read_image
from semihvision.core.record import ImageRef


@pytest.mark.filterwarnings("always")
def test_too_many_pixels_are_refused_without_a_warning_of_the_library(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Only pytest makes an error of Pillow's warning; a user would read it with a path of ours."""
    (tmp_path / "x.png").write_bytes(bomb())
    table = pa.table({"image": [bomb()]})
    pq.write_table(table, tmp_path / "t.parquet")

    for name, known in (
        ("x.png", {}),
        ("t.parquet", {"format": "cell", "axis": "image", "index": 0}),
    ):
        with pytest.raises(InputError) as caught:
            probe_image(tmp_path, name, image_id="i", **known)
        assert caught.value.kind == "image_too_large"
    assert not recwarn.list


@pytest.mark.parametrize("place", [{}, {"axis": "image"}, {"index": 0}])
def test_a_cell_without_its_place_is_refused(place: dict[str, Any], tmp_path: Path) -> None:
    """A record that somebody else wrote may lack it."""
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "t.parquet")
    image = ImageRef(image_id="i", path="t.parquet", format="cell", width=1, height=1, **place)

    with pytest.raises(InputError, match=r"t\.parquet: a cell is named by its column .* and row"):
        read_image(tmp_path, image)
    with pytest.raises(InputError, match="a cell is named by"):
        hash_image(tmp_path / "t.parquet", image)
