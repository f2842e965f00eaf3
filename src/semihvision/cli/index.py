"""`semihvision index build|search|audit`: parse, call `semihvision.retrieval`, print."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from semihvision.cli.output import counts_in_text, print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, dispatch, parser, source_roots
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, InputError
from semihvision.core.images import probe_image, read_image
from semihvision.core.parquet import count_records, read_records
from semihvision.core.record import Record
from semihvision.core.writable import require_writable_folder
from semihvision.retrieval import (
    AuditReport,
    Hit,
    HnswSettings,
    Retriever,
    audit,
    build_index,
    demo_guidelines,
)
from semihvision.retrieval.cases import Group

_EXCERPT_CHARS = 120


def run(argv: list[str]) -> int:
    """Runs one verb."""
    verbs: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "build": (_build, "records and guidelines -> an index folder"),
        "search": (_search, "similar cases and guidelines for a text, an image, or both"),
        "audit": (_audit, "recall against exact search, neighbours' agreement against chance"),
    }
    return dispatch("index", verbs, argv)


def _build(argv: list[str]) -> int:
    default = HnswSettings()
    made = parser("index build", "Embeds cases and guidelines and builds an hnswlib index of them.")
    made.add_argument("--records", nargs="+", type=str, default=[], help="Parquet files of records")
    made.add_argument(
        "--root", action="append", type=str, default=[], metavar="SOURCE=DIR",
        help="image folder of a source; once for each source",
    )  # fmt: skip
    made.add_argument(
        "--guidelines", nargs="+", type=str, default=[], metavar="FILE|demo",
        help="JSONL files in meditron's format, or demo for the bundled texts",
    )  # fmt: skip
    made.add_argument("--out", type=str, required=True, help="folder to write")
    made.add_argument("--text-embedder", type=str, default="lsa", help="embedder of texts, or none")
    made.add_argument(
        "--image-embedder", type=str, default="classical", help="embedder of images, or none"
    )
    made.add_argument("--M", type=int, default=default.M, help="links of a vector in the graph")
    made.add_argument(
        "--ef-construction", type=int, default=default.ef_construction,
        help="candidates kept while inserting",
    )  # fmt: skip
    made.add_argument("--ef", type=int, default=default.ef, help="candidates kept while searching")
    made.add_argument("--seed", type=int, default=default.seed, help="seed of the graph's levels")
    made.add_argument(
        "--include-test", action="store_true",
        help="index records of the test split too; never annotate training data with such an index",
    )  # fmt: skip
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    require_writable_folder(Path(arguments.out))
    paths = [Path(path) for path in arguments.records]
    total = sum(count_records(path) for path in paths)
    with progress() as display:
        task = display.add_task("cases", total=total)
        report = build_index(
            Path(arguments.out),
            records=_all_records(paths),
            roots=source_roots(arguments.root),
            guidelines=[
                demo_guidelines() if g == "demo" else Path(g) for g in arguments.guidelines
            ],
            text_embedder=_named(arguments.text_embedder),
            image_embedder=_named(arguments.image_embedder),
            settings=HnswSettings(
                M=arguments.M,
                ef_construction=arguments.ef_construction,
                ef=arguments.ef,
                seed=arguments.seed,
            ),
            include_test=arguments.include_test,
            on_record=lambda: display.advance(task),
        )
    if arguments.json:
        print_json({**report._asdict(), "folder": str(report.folder)})
    else:
        rows = [*report.items.items(), *report.vectors.items()]
        print_table(f"Index {report.folder}", ("what", "n"), rows)
    if report.left_out:
        taken = "; --include-test takes those of the test split"
        hint = taken if "test_split" in report.left_out else ""
        stderr.print(f"left out: {counts_in_text(report.left_out)}{hint}", markup=False)
    if not report.refused:
        return EXIT_DONE
    refused, file = counts_in_text(report.refused), report.folder / "refused.jsonl"
    stderr.print(f"refused: {refused}; see {file}", markup=False, soft_wrap=True)
    return EXIT_REFUSED_ITEMS


def _search(argv: list[str]) -> int:
    made = parser("index search", "Finds similar cases and guidelines.")
    made.add_argument("folder", type=str, help="an index folder")
    made.add_argument("--text", type=str, default=None, help="query text")
    made.add_argument("--image", type=str, default=None, help="query image file")
    made.add_argument("-k", type=int, default=5, help="number of hits")
    made.add_argument(
        "--kinds",
        nargs="+",
        type=str,
        default=["case", "guideline"],
        help="what to look for: case, guideline",
    )
    made.add_argument(
        "--exclude-groups", nargs="+", type=str, default=[], metavar="SOURCE/GROUP",
        help="patients, cases, articles that are not to be found",
    )  # fmt: skip
    made.add_argument("--backend", type=str, default="hnswlib", help="hnswlib or exact")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    image = None
    if arguments.image is not None:
        path = Path(arguments.image)
        image = read_image(path.parent, probe_image(path.parent, path.name, image_id="query"))
    retriever = Retriever.open(Path(arguments.folder), backend=arguments.backend)
    hits = retriever.search(
        text=arguments.text,
        image=image,
        k=arguments.k,
        kinds=arguments.kinds,
        exclude_groups=[_group(named) for named in arguments.exclude_groups],
    )
    if arguments.json:
        print_json([hit._asdict() for hit in hits])
    else:
        columns = ("cosine", "via", "kind", "ref", "title", "text")
        print_table(f"{len(hits)} found", columns, (_hit_row(hit) for hit in hits))
    return EXIT_DONE


def _audit(argv: list[str]) -> int:
    made = parser(
        "index audit",
        "Measures an index on itself: recall against exact search, and how often neighbours share "
        "a label.",
    )
    made.add_argument("folder", type=str, help="an index folder")
    made.add_argument("-k", type=int, default=10, help="neighbours looked at")
    made.add_argument(
        "--max-queries", type=int, default=1000, help="most queries; of larger tables a sample"
    )
    made.add_argument("--seed", type=int, default=0, help="seed of the sample")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    report = audit(
        Path(arguments.folder),
        k=arguments.k,
        max_queries=arguments.max_queries,
        seed=arguments.seed,
    )
    if arguments.json:
        print_json(_audit_document(report))
    else:
        _print_audit(report)
    return EXIT_DONE


def _all_records(paths: list[Path]) -> Iterator[Record]:
    for path in paths:
        yield from read_records(path)


def _group(named: str) -> Group:
    source, slash, group_id = named.partition("/")
    if not (source and slash and group_id):
        raise InputError(f"--exclude-groups {named!r}: expected SOURCE/GROUP")
    return (source, group_id)


def _named(embedder: str) -> str | None:
    return None if embedder == "none" else embedder


def _hit_row(hit: Hit) -> tuple[str, ...]:
    text = " ".join(hit.text.split())
    shown = text if len(text) <= _EXCERPT_CHARS else text[: _EXCERPT_CHARS - 1] + "…"
    return (f"{hit.score:.3f}", hit.via, hit.kind, hit.ref, hit.title, shown)


def _audit_document(report: AuditReport) -> dict[str, object]:
    return {
        **asdict(report),
        "recall": [row._asdict() for row in report.recall],
        "agreement": [row._asdict() for row in report.agreement],
    }


def _print_audit(report: AuditReport) -> None:
    columns: tuple[str, ...] = ("table", "vectors", "queries (n)", "k", "recall@k")
    rows = [(r.table, r.vectors, r.queries, r.k, f"{r.recall:.4f}") for r in report.recall]
    print_table("hnswlib against exact search", columns, rows)
    if not report.agreement:
        stderr.print("no two groups of cases share a label, so agreement was not measured")
        return
    columns = ("neighbours of", "same", "queries (n)", "pairs", "agreement", "chance")
    shares = [
        (a.table, a.attribute, a.queries, a.pairs, f"{a.agreement:.3f}", f"{a.chance:.3f}")
        for a in report.agreement
    ]
    title = f"{report.k} neighbours from other groups (case_texts hold the labels themselves)"
    print_table(title, columns, shares)
