"""Where the parts of a Record come from and what may be done with them: provenance and licence."""

from typing import Literal

from pydantic import Field

from semihvision.core.parts import Id, Part


class Retrieved(Part):
    """One retrieved item that was given to a producer as context.

    Attributes:
        ref: Record id of a case, or reference of a guideline passage.
        score: Similarity by which it was found.
        sources: Sources whose terms bind its text; a case's own stands in `ref` anyway. See
            `semihvision.core.lineage`.
    """

    ref: Id
    kind: Literal["case", "guideline"]
    score: float
    sources: tuple[str, ...] = ()


class Gate(Part):
    """Outcome of one quality gate on a generated part."""

    name: Id
    passed: bool
    detail: str = ""


class Provenance(Part):
    """Where parts of the record come from; append-only.

    Attributes:
        parent_id: Provenance entry this one was derived from; empty for an origin.
        producer: Kind of producer; ``demo`` of a record that is synthetic as a whole (its parts
            keep the producers that they imitate; see `semihvision.core.synthetic`).
        model: Dated model snapshot, template version, or reviewer pseudonym.
        prompt_hash: SHA-256 of the rendered prompt template; empty where there is none.
        tokens_in: Prompt tokens.
        tokens_out: Completion tokens.
        cost_usd: Cost in US dollars; None where no price is known.
        created_at: ISO 8601 time in UTC; empty for what the owner shipped.
        decision: A reviewer's decision on the part named by `subject_id`.
    """

    provenance_id: Id
    parent_id: str = ""
    producer: Literal["human", "template", "model", "reviewer", "demo"]
    model: str = ""
    prompt_hash: str = ""
    retrieved: tuple[Retrieved, ...] = ()
    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)
    cost_usd: float | None = None
    created_at: str = ""
    gates: tuple[Gate, ...] = ()
    decision: Literal["", "accepted", "edited", "rejected"] = ""
    subject_id: str = ""


class Licence(Part):
    """Licence of this record; per record because some owners' terms depend on date or article."""

    name: Id
    url: str = ""
    conditions: tuple[str, ...] = ()
