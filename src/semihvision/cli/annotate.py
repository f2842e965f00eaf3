"""`semihvision annotate plan|run|status|export`: parse, call `semihvision.annotation`, print."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser

from semihvision import tracking
from semihvision.annotation.context import Retriever
from semihvision.annotation.draft import Producer
from semihvision.annotation.export import export_generated
from semihvision.annotation.log import log_summary
from semihvision.annotation.runner import annotate
from semihvision.annotation.settings import AnnotationSettings
from semihvision.annotation.store import store_path, stored_drafts
from semihvision.annotation.summary import Summary
from semihvision.annotation.template import TemplateProducer
from semihvision.cli.endpoint import add_endpoint_arguments, make_client
from semihvision.cli.output import counts_in_text, print_json, print_table, progress, stderr
from semihvision.cli.parsing import JSON_HELP, config_parser, dispatch, parser, plain, source_roots
from semihvision.core.errors import EXIT_DONE, EXIT_REFUSED_ITEMS, RefusalLog
from semihvision.core.hashing import hash_path
from semihvision.core.writable import require_writable_file

if TYPE_CHECKING:
    from semihvision.annotation.plan import Plan

MAX_TOKENS = 2000
"""The authors' limit for most sources (paper.md 1.3)."""


def run(argv: list[str]) -> int:
    """Runs one verb."""
    verbs: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "plan": (_plan, "paths, requests, cost and the policy's verdicts; nothing is sent"),
        "run": (_run, "write captions and questions; resumable"),
        "status": (_status, "how far a run is, from its store"),
        "export": (_export, "the generated conversations as LLaVA JSONL"),
    }
    return dispatch("annotate", verbs, argv)


def _settings_parser(verb: str, description: str) -> ArgumentParser:
    made = config_parser(f"annotate {verb}", description)
    made.add_argument("--records", required=True, type=str, help="Parquet file of records")
    made.add_argument(
        "--root", action="append", type=str, default=[], metavar="SOURCE=DIR",
        help="image folder of a source; once for each source",
    )  # fmt: skip
    made.add_argument(
        "--index",
        type=str,
        default="",
        help="folder of `index build`; images without text or labels need one",
    )
    made.add_argument(
        "--run_name", type=str, default="", help="name of the MLflow run; else that of the records"
    )
    made.add_argument(
        "--annotation", type=AnnotationSettings, default=AnnotationSettings(), help="rules, limits"
    )
    add_endpoint_arguments(made, max_tokens=MAX_TOKENS)
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    return made


def _plan(argv: list[str]) -> int:
    from semihvision.annotation.plan import plan  # loads the client of hosted models

    made = _settings_parser(
        "plan", "Shows what a run would send and cost. Sends nothing and opens no image."
    )
    made.add_argument(
        "--out",
        type=str,
        default="",
        help="output of an earlier run, whose finished work is not counted again",
    )
    arguments = made.instantiate(made.parse_args(argv))
    source_roots(arguments.root)
    index = _index_sha256(arguments.index)
    found = plan(
        Path(arguments.records),
        settings=arguments.annotation,
        client=make_client(arguments) if arguments.llm else None,
        permissions=arguments.permissions,
        out=Path(arguments.out) if arguments.out else None,
        index_sha256=index,
    )
    if arguments.json:
        print_json({**vars(found), "verdicts": [one._asdict() for one in found.verdicts]})
    else:
        _print_plan(found)
    return EXIT_DONE


def _print_plan(found: "Plan") -> None:
    print_table("Paths", ("path", "records"), found.by_path.most_common())
    columns = ("source", "records", "may be sent", "why")
    rows = [(v.source, v.records, "yes" if v.allowed else "no", v.reason) for v in found.verdicts]
    print_table(f"Policy for {found.endpoint or 'the template producer'}", columns, rows)
    cost = "no price set" if found.cost_usd_at_most is None else f"{found.cost_usd_at_most:.2f}"
    shown = ("finished", "to send", "prompt tokens (estimate)", "reply tokens (at most)")
    print_table(
        "Requests",
        (*shown, "USD (at most)"),
        [(found.finished, found.requests, found.tokens_in, found.tokens_out_at_most, cost)],
    )


def _run(argv: list[str]) -> int:
    made = _settings_parser(
        "run",
        "Annotates records: with --llm by a language model, else by the offline templates. "
        "A stopped run goes on where it was when it is started again.",
    )
    made.add_argument("--out", required=True, type=str, help="Parquet file to write")
    parsed = made.parse_args(argv)
    config, arguments = plain(parsed), made.instantiate(parsed)
    as_json = config.pop("json")
    records, out = Path(arguments.records), Path(arguments.out)
    require_writable_file(out)
    producer = _producer(arguments)
    with progress() as display:
        task = display.add_task("records", total=None)
        summary = annotate(
            records,
            out=out,
            producer=producer,
            roots=source_roots(arguments.root),
            retriever=_retriever(arguments.index),
            settings=arguments.annotation,
            on_progress=lambda done, total: display.update(task, completed=done, total=total),
        )
    name = arguments.run_name or f"annotate {records.stem}"
    tags = {"data_hash": hash_path(records), "producer": f"{producer.kind} {producer.model}"}
    with tracking.open_run(tracking.ANNOTATE, name, config=config, tags=tags) as tracked:
        log_summary(tracked, summary)
    if as_json:
        print_json(summary.as_dict())
    else:
        _print_summary(summary)
    stderr.print(f"written: {summary.files['out']}", markup=False, soft_wrap=True)
    link = tracking.runs_link(tracked.experiment_id)
    stderr.print(f"MLflow:  {tracking.ui_command()}", markup=False, soft_wrap=True)
    stderr.print(f"runs:    {link}", markup=False, soft_wrap=True)
    if not summary.refused:
        return EXIT_DONE
    refused, file = counts_in_text(summary.refused), summary.files["refused"]
    stderr.print(f"refused: {refused}; see {file}", markup=False, soft_wrap=True)
    return EXIT_REFUSED_ITEMS


def _producer(arguments: Any) -> Producer:
    if not arguments.llm:
        return TemplateProducer(arguments.annotation)
    from semihvision.annotation.model import ModelProducer

    return ModelProducer(make_client(arguments), arguments.annotation)


def _retriever(folder: str) -> Retriever | None:
    if not folder:
        return None
    from semihvision.retrieval import Retriever as Index

    return Index.open(Path(folder))


def _index_sha256(folder: str) -> str:
    if not folder:
        return ""
    from semihvision.retrieval.folder import read_meta

    return read_meta(Path(folder)).sha256


def _print_summary(summary: Summary) -> None:
    print_table("Paths", ("path", "records"), summary.by_path.most_common())
    gates = [(name, n["passed"], n["failed"]) for name, n in summary.gates.items()]
    print_table("Gates", ("gate", "passed", "failed"), gates)
    cost = "not known" if summary.cost_usd is None else f"{summary.cost_usd:.4f}"
    rows = [
        ("records", summary.records),
        ("annotated", summary.annotated),
        ("asked in this run", summary.requested - summary.failures["policy"]),
        *((f"not asked or failed: {kind}", n) for kind, n in summary.failures.items()),
        ("finished earlier", summary.resumed),
        *((f"{name} added", count) for name, count in summary.parts.items()),
        ("prompt tokens", summary.tokens_in),
        ("reply tokens", summary.tokens_out),
        ("cost in USD", cost),
        *((f"words by {name}", f"{share:.1f} %") for name, share in summary.share().items()),
    ]
    print_table("Annotation", ("what", "n"), rows)


def _status(argv: list[str]) -> int:
    made = parser("annotate status", "Counts finished and failed work, also while a run goes on.")
    made.add_argument("path", type=str, help="a run's output (Parquet) or its store (SQLite)")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    given = Path(arguments.path)
    store = given if given.suffix == ".sqlite" else store_path(given)
    summary = Summary()
    finished: Counter[str] = Counter()
    for draft in stored_drafts(store):
        summary.count_draft(draft)
        finished[draft.path] += not draft.failure
    document = {
        "store": str(store),
        "output_written": given.suffix != ".sqlite" and given.is_file(),
        "finished": dict(finished),
        "failed": dict(summary.failures),
        "tokens_in": summary.tokens_in,
        "tokens_out": summary.tokens_out,
        "cost_usd": summary.cost_usd,
    }
    if arguments.json:
        print_json(document)
    else:
        rows = [(name.replace("_", " "), value) for name, value in document.items()]
        print_table(f"Store {store}", ("what", "value"), rows)
    return EXIT_DONE


def _export(argv: list[str]) -> int:
    made = parser("annotate export", "Writes the generated conversations, one JSON object a line.")
    made.add_argument("records", type=str, help="annotated records (Parquet)")
    made.add_argument("--out", required=True, type=str, help="LLaVA JSONL to write")
    made.add_argument("--json", action="store_true", help=JSON_HELP)
    arguments = made.parse_args(argv)
    require_writable_file(Path(arguments.out))
    refused = RefusalLog()
    exported = export_generated(Path(arguments.records), Path(arguments.out), refused)
    path = Path(arguments.out).with_suffix(".refused.jsonl")
    refused.write(path)
    document = {"out": arguments.out, **exported._asdict()}
    if arguments.json:
        print_json(document)
    else:
        rows = [(name.replace("_", " "), value) for name, value in document.items()]
        print_table("LLaVA JSONL", ("what", "value"), rows)
    if refused.items:
        stderr.print(f"{len(refused.items)} records were withheld; reasons in {path}", markup=False)
        return EXIT_REFUSED_ITEMS
    return EXIT_DONE
