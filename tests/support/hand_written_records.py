"""Five records written by hand before anything relied on the Record: the schema's first users."""

from typing import Any

from semihvision.core.record import (
    QA,
    Attribute,
    Conversation,
    ConversationTurn,
    Gate,
    ImageRef,
    Label,
    Licence,
    Provenance,
    Record,
    Region,
    Retrieved,
    Text,
)

CC_BY = Licence(name="CC-BY-4.0", url="https://creativecommons.org/licenses/by/4.0/")
OWNER = Provenance(provenance_id="owner", producer="human")


def image(image_id: str, path: str, **more: Any) -> ImageRef:
    return ImageRef(
        **{"image_id": image_id, "path": path, "format": "png", "width": 64, "height": 48, **more}
    )


def eurorad_case() -> Record:
    """Five images, ten questions each by a model, texts by the authors."""
    images = tuple(image(f"fig {n}", f"18000/fig{n}.png", view=f"Fig. {n}") for n in range(1, 6))
    made = Provenance(
        provenance_id="qa-run",
        parent_id="owner",
        producer="model",
        model="gpt-4o-2024-08-06",
        prompt_hash="ab" * 32,
        retrieved=(
            Retrieved(ref="eurorad/17000", kind="case", score=0.81),
            Retrieved(ref="nice/ng12#4", kind="guideline", score=0.42),
        ),
        tokens_in=2100,
        tokens_out=900,
        cost_usd=0.0142,
        created_at="2025-11-22T08:00:00Z",
        gates=(Gate(name="no_copied_ngram", passed=True), Gate(name="support", passed=False)),
    )
    return Record(
        record_id="eurorad/18000",
        source="eurorad",
        group_id="case 18000",
        images=images,
        modality="mr",
        body_part="head_neck",
        texts=(
            Text(text_id="history", kind="history", text="Headache.", provenance_id="owner"),
            Text(text_id="findings", kind="findings", text="A mass.", provenance_id="owner"),
            Text(
                text_id="discussion", kind="discussion", text="Rare.\n\nVery", provenance_id="owner"
            ),
            *(
                Text(
                    text_id=f"caption {i.image_id}",
                    kind="caption",
                    text=f"T2 “axial” {i.image_id} – naïve",
                    image_ids=(i.image_id,),
                    provenance_id="owner",
                )
                for i in images
            ),
        ),
        qa=tuple(
            QA(
                qa_id=f"{i.image_id} q{n}",
                question=f"Question {n} about {i.image_id}?",
                answer=f"Answer {n}",
                image_ids=(i.image_id,),
                provenance_id="qa-run",
            )
            for i in images
            for n in range(1, 11)
        ),
        provenance=(OWNER, made),
        licence=CC_BY,
    )


def lld_mmri_case() -> Record:
    """Eight phases of one patient, a box through several slices of each, one diagnosis."""
    phases = ("T2WI", "DWI", "In Phase", "Out Phase", "C-pre", "C+A", "C+V", "C+Delay")
    images = tuple(
        image(
            phase,
            f"images/MR1/1.2.3/{phase}.nii.gz",
            format="nifti",
            depth=24 + number,
            axis="axial",
            view=phase,
            spacing_mm=(1.2, 1.2, 5.5),
            orientation="LPS",
        )
        for number, phase in enumerate(phases)
    )
    regions = tuple(
        Region(
            region_id=f"lesion 0 {phase}",
            image_id=phase,
            box_xyxy=(10.0, 11.5, 30.0, 40.0),
            slices=(7, 12),
            label="Hepatic_cyst",
            drawn_by="expert",
        )
        for phase in phases
    )
    return Record(
        record_id="lld_mmri/MR1",
        source="lld_mmri",
        split="train",
        group_id="MR1",
        images=images,
        regions=regions,
        labels=(
            Label(
                label_id="category",
                name="category",
                value="Hepatic_cyst",
                system="LLD-MMRI class",
                image_ids=phases,
                region_ids=tuple(region.region_id for region in regions),
            ),
        ),
        modality="mr",
        body_part="abdomen",
        licence=Licence(name="LLD-MMRI agreement", conditions=("agreement_allows",)),
    )


def deeplesion_slice() -> Record:
    """A 16-bit slice with a window, two measured lesions, no text."""
    return Record(
        record_id="deeplesion/000089_01_01_037",
        source="deeplesion",
        split="validation",
        group_id="patient 89",
        images=(
            image(
                "key slice",
                "Images_png/000089_01_01/037.png",
                axis="axial",
                index=37,
                rescale_intercept=-32768.0,
                window_center=50.0,
                window_width=450.0,
                spacing_mm=(0.859375, 0.859375),
            ),
        ),
        regions=(
            Region(
                region_id="lesion 1",
                image_id="key slice",
                box_xyxy=(132.977, 171.808, 165.939, 214.029),
                lines_xyxy=(
                    (154.273, 176.808, 143.903, 209.029),
                    (160.939, 200.511, 137.977, 191.252),
                ),
                label="liver lesion",
                drawn_by="expert",
            ),
            Region(region_id="lesion 2", image_id="key slice", mask_path="masks/37.png"),
        ),
        labels=(
            Label(label_id="sex", name="sex", value="F", system="DeepLesion"),
            Label(
                label_id="type 1",
                name="coarse_lesion_type",
                value="liver",
                system="DeepLesion",
                region_ids=("lesion 1",),
            ),
        ),
        modality="ct",
        licence=CC_BY,
    )


def twice_edited() -> Record:
    """A model's caption, edited twice by a reviewer, who also rejected a question; a long talk."""

    def caption(number: int, text: str, supersedes: str = "") -> Text:
        return Text(
            text_id=f"caption v{number}",
            kind="caption",
            text=text,
            image_ids=("i1",),
            provenance_id=f"p{number}",
            supersedes=supersedes,
        )

    def review(number: int, **more: str) -> Provenance:
        return Provenance.model_validate(
            {
                "provenance_id": f"p{number}",
                "producer": "reviewer",
                "model": "reviewer-7",
                "created_at": f"2025-11-2{number}T09:00:00Z",
                **more,
            }
        )

    asked = {"image_ids": ("i1",), "provenance_id": "p0"}
    turns = (
        ConversationTurn(role="system", text="Be brief."),
        ConversationTurn(role="human", text="<image>\nWhat is shown?"),
        ConversationTurn(role="gpt", text="A chest."),
        ConversationTurn(role="human", text="Which view?"),
        ConversationTurn(role="gpt", text="Frontal."),
    )
    return Record(
        record_id="folder/a/1.png",
        source="folder",
        group_id="a",
        images=(image("i1", "a/1.png", sha256="c" * 64),),
        texts=(
            caption(0, "Right lung mass."),
            caption(1, "Left lung mass.", "caption v0"),
            caption(2, "Left upper lobe mass.", "caption v1"),
        ),
        qa=(
            QA(qa_id="q1", question="Side?", answer="Right", **asked),
            QA(
                qa_id="q2",
                question="Which organ?",
                answer="B",
                options=("Heart", "Lung"),
                **asked,
            ),
        ),
        conversations=(Conversation(conversation_id="c1", turns=turns, **asked),),
        provenance=(
            Provenance(provenance_id="p0", producer="model", model="local-vlm", cost_usd=None),
            review(1, parent_id="p0", decision="edited", subject_id="caption v0"),
            review(2, parent_id="p1", decision="edited", subject_id="caption v1"),
            review(3, decision="rejected", subject_id="q1"),
            review(4, decision="accepted", subject_id="q2"),
        ),
        licence=Licence(name="own rules", conditions=("institution_approval",)),
    )


def vqa_rad_image() -> Record:
    """One image whose questions lie in both splits, as the owners have it."""

    def question(qid: int, split: str, answer: str, kind: str) -> QA:
        return QA(
            qa_id=str(qid),
            question=f"Question {qid}?",
            answer=answer,
            answer_type=kind,
            question_type="PRES, ATTRIB",
            attributes=(Attribute(name="phrase_type", value="freeform"),),
            image_ids=("image",),
            split=split,
            provenance_id="owner",
        )

    return Record(
        record_id="vqa_rad/synpic1.jpg",
        source="vqa_rad",
        group_id="synpic1.jpg",
        images=(image("image", "images/synpic1.jpg", format="jpeg"),),
        body_part="head_neck",
        qa=(
            question(1, "train", "Yes", "CLOSED"),
            question(2, "test", "3", "OPEN"),
            question(3, "train", "no", "CLOSED"),
        ),
        provenance=(OWNER,),
        licence=Licence(name="CC0-1.0"),
    )


ALL = (eurorad_case, lld_mmri_case, deeplesion_slice, twice_edited, vqa_rad_image)
