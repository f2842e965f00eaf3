"""Settings of the annotation pipeline; `configs/annotate/default.yaml` fills them."""

from dataclasses import dataclass
from typing import Literal

from semihvision.core.errors import InputError
from semihvision.core.record import TEXT_KINDS

AnnotationPath = Literal["rewrite", "describe", "retrieve"]
"""How a record is annotated.

``rewrite``: from its human text. ``describe``: from its marked regions and labels. ``retrieve``:
it has neither, so similar cases and guidelines are looked up first (paper.md, section 1).
"""

Asset = Literal["human_text", "region", "label", "image"]
"""What a record may have."""


@dataclass(frozen=True, kw_only=True)
class PathRule:
    """Sends a record that has at least one of some assets down a path; the first match counts.

    Attributes:
        path: The path.
        any_of: Assets, one of which is enough.
    """

    path: AnnotationPath
    any_of: tuple[Asset, ...]


@dataclass(frozen=True, kw_only=True)
class AnnotationSettings:
    """How records are annotated.

    Attributes:
        rules: Which path a record takes; the first rule that matches.
        human_text_kinds: Kinds of human text that describe images. A history alone does not.
        background_labels: Names of labels that say nothing about a finding; they do not open the
            path ``describe`` by themselves.
        cases: Similar cases retrieved for one record.
        guidelines: Guideline passages retrieved for one record.
        context_chars: Longest piece of one retrieved text in a prompt, in characters.
        max_images: Most images of a record shown to a model; what is left out is noted.
        image_size_px: Longest side of an image that is sent, in pixels.
        copied_ngram: So many consecutive words shared with a retrieved text, and not with the
            record's own, count as copied.
    """

    rules: tuple[PathRule, ...] = (
        PathRule(path="rewrite", any_of=("human_text",)),
        PathRule(path="describe", any_of=("region", "label")),
        PathRule(path="retrieve", any_of=("image",)),
    )
    human_text_kinds: tuple[str, ...] = (
        "caption", "report", "findings", "impression", "discussion", "diagnosis",
    )  # fmt: skip
    background_labels: tuple[str, ...] = (
        "sex", "gender", "age", "age_band", "laterality", "side", "view", "modality", "body_part",
        "organ", "split", "possibly_noisy",
    )  # fmt: skip
    cases: int = 2
    guidelines: int = 1
    context_chars: int = 2000
    max_images: int = 8
    image_size_px: int = 1024
    copied_ngram: int = 8

    def __post_init__(self) -> None:
        unknown = sorted(set(self.human_text_kinds) - set(TEXT_KINDS))
        if unknown:
            raise InputError(
                f"human_text_kinds: unknown {', '.join(unknown)}; known: {', '.join(TEXT_KINDS)}"
            )
        for name in ("context_chars", "max_images", "image_size_px", "copied_ngram"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, found {getattr(self, name)}")
        for name in ("cases", "guidelines"):
            if getattr(self, name) < 0:
                raise InputError(f"{name}: expected at least 0, found {getattr(self, name)}")
