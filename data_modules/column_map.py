"""What the columns of somebody's own table mean, from a YAML file beside the data.

    table: studies.csv                    # or .jsonl; below the root
    delimiter: ";"                        # CSV only; default ","
    encoding: latin-1                     # CSV only; default UTF-8
    language: de                          # of all texts; default en
    image: Datei                          # column with the image's path below the root
    record: Studie                        # rows of one value are one record; default: one image is
    group: Patient                        # default: the first folder of the image's path
    split: Teil
    modality: Geraet
    body_part: Region
    texts: {report: Befund, history: Anamnese}     # kind of text -> column
    labels: {icd10: Diagnose}                      # name of label -> column
    question: Frage                       # question and answer: both or neither
    answer: Antwort
    values:                               # words of the table -> ours
      modality: {Roentgen: xray, CT: ct}
      split: {Pruefung: test}
    missing: ["", nan, k.A.]              # cells that say nothing

Only `table` and `image` are required; a key that is not known is an error.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from semihvision.core.errors import InputError
from semihvision.core.reasons import in_words
from semihvision.core.record import BODY_PARTS, MODALITIES, TEXT_KINDS

SPLITS = ("train", "validation", "test")
CLOSED = {"modality": MODALITIES, "body_part": BODY_PARTS, "split": SPLITS}
"""Fields whose values are ours, and the values."""


class ColumnMap(BaseModel):
    """A column map, checked; the keys are those of the module's docstring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    image: str
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    language: str = "en"
    record: str = ""
    group: str = ""
    split: str = ""
    modality: str = ""
    body_part: str = ""
    texts: dict[str, str] = {}
    labels: dict[str, str] = {}
    question: str = ""
    answer: str = ""
    values: dict[str, dict[str, str]] = {}
    missing: tuple[str, ...] = ("", "nan")

    @model_validator(mode="after")
    def _check(self) -> "ColumnMap":
        if not self.table.endswith((".csv", ".csv.gz", ".jsonl")):
            raise ValueError("table: expected a name that ends with .csv, .csv.gz or .jsonl")
        if bool(self.question) != bool(self.answer):
            raise ValueError("question and answer: expected both or neither")
        unknown = sorted(set(self.texts) - set(TEXT_KINDS))
        if unknown:
            raise ValueError(f"texts: no kind {', '.join(unknown)}; known: {', '.join(TEXT_KINDS)}")
        for name, words in self.values.items():
            if name not in CLOSED:
                raise ValueError(f"values: no field {name}; known: {', '.join(CLOSED)}")
            wrong = sorted(set(words.values()) - {"", *CLOSED[name]})
            if wrong:
                known = ", ".join(CLOSED[name])
                raise ValueError(f"values of {name}: no {', '.join(wrong)}; known: {known}")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError("encoding: no name of an encoding that Python knows") from None
        return self

    def columns(self) -> tuple[str, ...]:
        """Every column that the table must have."""
        single = (self.image, self.record, self.group, self.split, self.modality, self.body_part)
        named = [*single, *self.texts.values(), *self.labels.values(), self.question, self.answer]
        return tuple(dict.fromkeys(filter(None, named)))

    def cell(self, row: dict[str, str], column: str) -> str:
        """A cell without blanks around it; empty for no column and for what says nothing."""
        text = row.get(column, "").strip() if column else ""
        return "" if text.lower() in {word.lower() for word in self.missing} else text

    def word(self, row: dict[str, str], field: str) -> str:
        """Our word for a cell of a field in `CLOSED`.

        Raises:
            InputError: The cell's word is neither ours nor in `values`; it is not quoted.
        """
        text = self.cell(row, getattr(self, field))
        ours = self.values.get(field, {}).get(text, text)
        if ours and ours not in CLOSED[field]:
            raise InputError(
                f"{field}: a word that is neither ours nor in values.{field}; add it there",
                kind="unknown_value",
            )
        return ours


def read_column_map(path: Path) -> ColumnMap:
    """Reads and checks a column map.

    Raises:
        InputError: No YAML mapping, an unknown key, or a value that cannot be.
    """
    from omegaconf import OmegaConf  # cards and other sources do without it
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]  # has no stubs

    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(found, dict):
            raise InputError(f"{path}: expected a YAML mapping of keys to columns")
        return ColumnMap.model_validate(found)
    except ValidationError as error:
        reasons = "; ".join(
            ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"])))
            for one in error.errors(include_url=False, include_input=False)
        )
        raise InputError(f"{path}: {reasons}; see data_modules/column_map.py") from None
    except (OmegaConfBaseException, YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: no readable YAML ({in_words(error)})") from None
