"""`semihvision records browse`: one static HTML page to look at records; nothing can be edited."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from semihvision.cli.browse_page import Shown, notes, page
from semihvision.cli.output import print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, parser, source_roots
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError
from semihvision.core.files import open_atomically
from semihvision.core.images import read_image
from semihvision.core.parquet import count_records, read_records
from semihvision.core.record import ImageRef, Record
from semihvision.core.writable import require_writable_file

_JPEG_QUALITY = 80


def browse(argv: list[str]) -> int:
    """Writes the page."""
    made = parser(
        "records browse",
        "Writes one static HTML page: thumbnails with boxes, texts, filters by source and "
        "modality. It needs no network and loads nothing.",
    )
    made.add_argument("file", type=Path, help="Parquet file of records")
    made.add_argument(
        "--root",
        type=str,
        nargs="+",
        action="extend",
        metavar="SOURCE=DIR",
        help="image folders of sources",
    )
    made.add_argument("--out", type=Path, required=True, help="HTML file to write")
    made.add_argument("--limit", type=int, default=200, help="most records on the page")
    made.add_argument("--size", type=int, default=224, help="longer side of a thumbnail, pixels")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    if arguments.limit < 1 or arguments.size < 16:
        raise InputError("expected --limit of 1 or more and --size of 16 or more")
    require_writable_file(arguments.out)
    roots, total = source_roots(arguments.root or []), count_records(arguments.file)
    not_shown: list[dict[str, str]] = []

    def records() -> Iterator[Record]:
        return islice(read_records(arguments.file), arguments.limit)

    said = notes(records(), total)
    with progress() as display, open_atomically(arguments.out) as stream:
        tracked = display.track(records(), min(total, arguments.limit), description="records")
        shown = (_shown(record, roots, arguments.size, not_shown) for record in tracked)
        stream.writelines(page(arguments.file.name, said, shown, arguments.size))
    document = {
        "out": str(arguments.out),
        "records": min(total, arguments.limit),
        "of": total,
        "bytes": arguments.out.stat().st_size,
        "images_not_shown": not_shown,
    }
    _say(document, as_json=arguments.json)
    return EXIT_REFUSED_ITEMS if not_shown else EXIT_DONE


def _say(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    rows = [(name, document[name]) for name in ("out", "records", "bytes")]
    rows.insert(2, ("records in the file", document["of"]))
    missing = document["images_not_shown"]
    print_table("Page of records", ("what", "value"), [*rows, ("images not shown", len(missing))])
    for one in missing[:5]:
        stderr.print(f"{one['record_id']}, {one['image_id']}: {one['reason']}", markup=False)


def _shown(
    record: Record, roots: dict[str, Path], size: int, not_shown: list[dict[str, str]]
) -> Shown:
    """A record with its thumbnails; an image that cannot be shown is noted and leaves a gap."""
    thumbnails: dict[str, bytes] = {}
    for image in record.images:
        try:
            thumbnails[image.image_id] = _thumbnail(record.source, image, roots, size)
        except InputError as error:
            reason = {"record_id": record.record_id, "image_id": image.image_id}
            not_shown.append(reason | {"reason": str(error)})
    return Shown(record, thumbnails)


def _thumbnail(source: str, image: ImageRef, roots: dict[str, Path], size: int) -> bytes:
    """JPEG of at most `size` x `size` pixels."""
    import io

    from PIL import Image

    if source not in roots:
        raise InputError(f"no folder is given for {source}: --root {source}=DIR")
    small = read_image(roots[source], image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    small.save(made, "JPEG", quality=_JPEG_QUALITY)
    return made.getvalue()
