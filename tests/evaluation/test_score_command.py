"""`semihvision score`: output, exit codes, and that it stays light."""

import json
import subprocess
import sys

import pytest

from semihvision.cli.main import main

GOLD = [
    {
        "qid": number,
        "image_name": f"{number % 2}.jpg",
        "answer": answer,
        "answer_type": kind,
        "question_type": "PRES",
        "question": "Is it?",
    }
    for number, answer, kind in [(1, "Yes", "CLOSED"), (2, "No", "CLOSED"), (3, "Liver", "OPEN")]
]
COMPLETE = [{"qid": 1, "answer": "yes"}, {"qid": 3, "answer": "the liver"}, {"qid": 2, "answer": 0}]


@pytest.fixture
def score(tmp_path, capsys):
    """Runs the command on written files; returns exit code, standard output, standard error."""

    def run(predictions, *flags: str, gold=GOLD):
        (tmp_path / "gold.json").write_text(json.dumps(gold))
        text = predictions if isinstance(predictions, str) else json.dumps(predictions)
        (tmp_path / "predictions.json").write_text(text)
        code = main(
            [
                "score",
                "--benchmark=vqa_rad",
                f"--predictions={tmp_path / 'predictions.json'}",
                f"--references={tmp_path / 'gold.json'}",
                *flags,
            ]
        )
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_json_document(score) -> None:
    code, out, err = score(COMPLETE, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert document["benchmark"] == "vqa_rad"
    assert (document["n"], document["missing"], document["refused"]) == (3, 0, [])
    assert set(document["conventions"]) == {
        "exact",
        "exact_vqa",
        "llava_med",
        "llava_med_gated",
        "medevalkit_rad",
    }
    scores = document["conventions"]["exact_vqa"]
    assert (scores["closed_accuracy"], scores["open_accuracy"]) == (50, 100)
    assert scores["overall_accuracy"] == pytest.approx(200 / 3)
    assert document["conventions"]["exact"]["open_accuracy"] == 0


def test_table_is_the_result(score) -> None:
    code, out, err = score(COMPLETE)
    assert (code, err) == (0, "")
    assert "3 questions, 0 without a prediction" in " ".join(out.split())
    (row,) = (line for line in out.splitlines() if "overall" in line and "exact_vqa" in line)
    assert "66.67" in row


def test_missing_and_refused_end_with_3_and_are_listed(score) -> None:
    lines = '{"qid": 1, "answer": "yes"}\n{"qid": 2, "answer": null}\nSECRET {\n'
    code, out, err = score(lines, "--json")
    document = json.loads(out)
    assert code == 3
    assert (document["n"], document["missing"], document["missing_ids"]) == (3, 2, ["2", "3"])
    assert [item["kind"] for item in document["refused"]] == ["no_answer", "broken_json"]
    assert document["conventions"]["exact_vqa"]["closed_accuracy"] == 50
    assert "line 3" in " ".join(err.split())
    assert "2 questions without a prediction: 2, 3" in " ".join(err.split())
    assert "SECRET" not in out + err


def test_long_lists_are_cut_on_the_screen_only(score) -> None:
    gold = [{**GOLD[0], "qid": number} for number in range(40)]
    rows = [{"qid": number, "answer": None} for number in range(20)]
    code, out, err = score(rows, "--json", gold=gold)
    document = json.loads(out)
    assert code == 3
    assert (len(document["missing_ids"]), len(document["refused"])) == (40, 20)
    assert "and 10 more refused" in err
    assert "40 questions without a prediction: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..." in err


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([{"qid": 9, "answer": "yes"}], "unknown ids: 9"),
        ("[", "not JSON"),
    ],
)
def test_unusable_input_ends_with_2(score, predictions, message) -> None:
    code, out, err = score(predictions, "--json")
    assert (code, out) == (2, "")
    assert message in err


def test_repeated_and_unknown_ids_are_counted_listed_and_end_with_3(score) -> None:
    rows = [*COMPLETE, {"qid": 1, "answer": "no"}, {"qid": 9, "answer": "yes"}]
    code, out, err = score(rows, "--json")
    document = json.loads(out)
    assert code == 3
    assert document["missing_ids"] == ["1"]
    assert [(one["item"], one["kind"]) for one in document["refused"]] == [
        ("1", "repeated_id"),
        ("9", "unknown_id"),
    ]
    assert "do not hold" in " ".join(err.split())


@pytest.mark.parametrize(
    "argv", [["score"], ["score", "--benchmark", "nosuch", "--predictions=a", "--references=b"]]
)
def test_wrong_usage_ends_with_2(argv, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert capsys.readouterr().out == ""


def test_needs_no_heavy_library(tmp_path) -> None:
    """A fresh process, because the other tests of this run may have loaded torch."""
    (tmp_path / "gold.json").write_text(json.dumps(GOLD))
    (tmp_path / "predictions.json").write_text(json.dumps(COMPLETE))
    program = (
        "import sys; from semihvision.cli.main import main; import evaluation\n"
        "code = main(['score', '--benchmark=vqa_rad', '--predictions=predictions.json',"
        " '--references=gold.json', '--json'])\n"
        "heavy = {'torch', 'torchmetrics', 'lightning', 'transformers', 'sklearn', 'mlflow'}\n"
        "sys.exit(f'loaded: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["n"] == 3
