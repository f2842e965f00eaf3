from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semihvision.core.errors import InputError
from semihvision.core.paths import inside

steps = st.sampled_from(["a", "b c", "..", ".", "C+A", "ä", "x.png", "..."])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(steps, min_size=1, max_size=6))
def test_a_path_stays_inside_or_is_refused(parts: list[str], tmp_path: Path) -> None:
    root = tmp_path / "root"
    relative = "/".join(parts)
    depth = 0
    leaves = False
    for part in parts:
        depth += {"..": -1, ".": 0}.get(part, 1)
        leaves |= depth < 0
    try:
        joined = inside(root, relative)
    except InputError as error:
        assert (leaves, error.kind) == (True, "path_outside_root")  # noqa: PT017 -- either is right
    else:
        assert joined.is_relative_to(root.resolve())


@pytest.mark.parametrize(
    "relative",
    ["", "/etc/passwd", "../x.png", "a/../../x.png", "..\\x.png", "C:\\x.png", "//host/x"],
)
def test_absolute_and_leaving_paths_are_refused(relative: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="path"):
        inside(tmp_path, relative)


@pytest.mark.parametrize("relative", ["Jane\0Doe", "Jane Doe " * 60, "Jane", "Jane\ud800"])
def test_what_is_no_path_is_refused_and_not_quoted(relative: str, tmp_path: Path) -> None:
    (tmp_path / "Jane").symlink_to("Jane")

    with pytest.raises(InputError, match="cannot be looked up") as caught:
        inside(tmp_path, relative)

    assert "Jane" not in str(caught.value)
    assert caught.value.kind == "unusable_path"


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "here.png").symlink_to(root / "real.png")

    with pytest.raises(InputError, match="leaves its root folder"):
        inside(root, "link.png")
    assert inside(root, "here.png") == (root / "real.png").resolve()
