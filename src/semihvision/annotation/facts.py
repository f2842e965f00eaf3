"""What a record itself states: the only ground for templates, prompts and the support gate."""

import math
import re
from dataclasses import dataclass

from semihvision.core.record import ImageRef, Label, Record, Region

MODALITY_WORDS = {
    "xray": "X-ray", "dsa": "DSA", "ct": "CT", "mr": "MRI", "pet_spect": "PET/SPECT",
    "oct": "OCT", "pathology": "histopathology",
}  # fmt: skip
"""Words for a modality where its name in `MODALITIES` is none."""

BODY_PART_WORDS = {
    "head_neck": "head and neck", "upper": "upper body", "lower": "lower body", "other": "",
}  # fmt: skip

_ORGAN = {"organ", "anatomy", "location", "site", "body_part", "bodypart"}
_FINDING = {"finding", "lesion", "lesion_type", "category", "diagnosis"}
_LESION_SITE = {"coarse_lesion_type", "lesion_location", "lesion_site"}
"""DeepLesion's coarse type says where a lesion is (liver, bone, ...), not what it is."""
_SIDE = {"laterality", "side"}
_PRESENT, _ABSENT, _UNCERTAIN = {"1", "1.0", "present"}, {"0", "0.0", "absent"}, {"-1", "-1.0"}


@dataclass(frozen=True, kw_only=True)
class RegionFact:
    """One marked region.

    Attributes:
        label: Owner's word for what is marked; may be empty.
        image_number: Its image, counted from 1 in the record's order.
        size_mm: The first two measured diameters, else width and height of the box, in
            millimetres; None where spacing is not known.
        box_xyxy: Box in pixels; None if there is only a mask.
    """

    label: str
    image_number: int
    size_mm: tuple[float, float] | None
    box_xyxy: tuple[float, float, float, float] | None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What regions, labels and fields of a record state, in words.

    Attributes:
        modality: Words for the modality; empty if not known.
        organ: Organ by a label; empty if not known.
        body_part: Words for the record's body part; empty if not known.
        sites: Where lesions are, by a label.
        findings: Findings stated as present.
        absent: Findings stated as absent.
        uncertain: Findings stated as uncertain, or as present by one labeller and absent by
            another.
        sides: Sides by a laterality label, ``left``, ``right`` or ``bilateral``. Never from a box
            alone: a picture does not say whether it is in radiological convention.
        regions: Marked regions.
        others: Name, in lower case, and values of every further label.
    """

    modality: str = ""
    organ: str = ""
    body_part: str = ""
    sites: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    regions: tuple[RegionFact, ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    @property
    def silent(self) -> bool:
        """Whether nothing is stated about findings, neither present nor absent."""
        return not (self.findings or self.sites or self.regions or self.absent or self.uncertain)

    def lines(self) -> list[tuple[str, str]]:
        """Name and value of every fact, in a fixed order; what is not known is left out."""
        boxes = [
            f"{fact.label or 'unnamed'} in image {fact.image_number}"
            + (f", box {_box(fact)} px" if fact.box_xyxy else "")
            + (f", {size_words(fact.size_mm)}" if fact.size_mm else "")
            for fact in self.regions
        ]
        named = [
            ("modality", self.modality),
            ("organ", self.organ),
            ("body part", self.body_part),
            ("site of the lesion", ", ".join(self.sites)),
            ("finding", ", ".join(self.findings)),
            ("stated absent", ", ".join(self.absent)),
            ("stated uncertain", ", ".join(self.uncertain)),
            ("side", ", ".join(self.sides)),
            ("number of marked regions", str(len(self.regions)) if self.regions else ""),
            ("marked regions", "; ".join(boxes)),
            *self.others,
        ]
        return [(name, value) for name, value in named if value]


def facts(record: Record) -> Facts:
    """Collects what the record states outside its texts."""
    modality = MODALITY_WORDS.get(record.modality, words(record.modality))
    part = BODY_PART_WORDS.get(record.body_part, words(record.body_part))
    organs: list[str] = []
    sites: list[str] = []
    findings: list[str] = [words(region.label) for region in record.regions if region.label]
    absent: list[str] = []
    uncertain: list[str] = []
    sides: list[str] = []
    others: dict[str, list[str]] = {}
    for label in record.labels:
        name = label.name.lower().replace(" ", "_")
        if name in _ORGAN:
            organs.append(words(label.value))
        elif name in _LESION_SITE:
            sites.append(words(label.value))
        elif name in _SIDE:
            sides.extend(side_words(label.value))
        elif name in _FINDING:
            findings.append(words(label.value))
        elif label.value.lower() in _PRESENT:
            findings.append(words(label.name))
        elif label.value.lower() in _ABSENT:
            absent.append(words(label.name))
        elif label.value in _UNCERTAIN:
            uncertain.append(words(label.name))
        elif not _is_demographic(label):
            others.setdefault(words(name), []).append(words(label.value))
    contradicted = set(findings) & set(absent)
    return Facts(
        modality="" if record.modality == "other" else modality,
        organ=", ".join(dict.fromkeys(organs)),
        body_part=part,
        sites=tuple(dict.fromkeys(sites)),
        findings=tuple(name for name in dict.fromkeys(findings) if name not in contradicted),
        absent=tuple(name for name in dict.fromkeys(absent) if name not in contradicted),
        uncertain=tuple(dict.fromkeys([*uncertain, *sorted(contradicted)])),
        sides=tuple(dict.fromkeys(sides)),
        regions=_region_facts(record),
        others=tuple((name, ", ".join(dict.fromkeys(said))) for name, said in others.items()),
    )


def words(name: str) -> str:
    """A name as words: underscores become blanks, shouting becomes lower case."""
    spaced = re.sub(r"[\s_]+", " ", name).strip()
    return spaced.lower() if spaced.isupper() and len(spaced) > 4 else spaced


def side_words(value: str) -> list[str]:
    """``left``, ``right`` or ``bilateral`` from an owner's laterality; empty for anything else."""
    known = {"l": "left", "left": "left", "r": "right", "right": "right"}
    known |= {"b": "bilateral", "both": "bilateral", "bilateral": "bilateral"}
    found = known.get(value.strip().lower())
    return [found] if found else []


def size_words(size_mm: tuple[float, float]) -> str:
    """Size in whole millimetres; a box is no better than that."""
    return f"{size_mm[0]:.0f} x {size_mm[1]:.0f} mm"


def _is_demographic(label: Label) -> bool:
    return label.name.lower() in {"sex", "gender", "age", "age_band", "possibly_noisy"}


def _region_facts(record: Record) -> tuple[RegionFact, ...]:
    numbers = {image.image_id: i for i, image in enumerate(record.images, start=1)}
    return tuple(
        RegionFact(
            label=words(region.label),
            image_number=numbers[region.image_id],
            size_mm=_size_mm(record.image(region.image_id), region),
            box_xyxy=region.box_xyxy,
        )
        for region in record.regions
    )


def _size_mm(image: ImageRef, region: Region) -> tuple[float, float] | None:
    # On another axis than the axial one, spacing (x, y) does not belong to columns and rows.
    if len(image.spacing_mm) < 2 or image.axis not in ("", "axial"):
        return None
    across, down = image.spacing_mm[0], image.spacing_mm[1]
    if len(region.lines_xyxy) >= 2:
        first, second = (
            math.hypot((x1 - x0) * across, (y1 - y0) * down)
            for x0, y0, x1, y1 in region.lines_xyxy[:2]
        )
        return (first, second)
    if region.box_xyxy is None:
        return None
    x0, y0, x1, y1 = region.box_xyxy
    return ((x1 - x0) * across, (y1 - y0) * down)


def _box(fact: RegionFact) -> str:
    assert fact.box_xyxy is not None
    return "(" + ", ".join(f"{value:.0f}" for value in fact.box_xyxy) + ")"
