"""The chat template of a Hugging Face folder against the templates it was made from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError

from models.export.chat_template import chat_template
from models.template import ConversationTemplate
from models.tokenizer import load_tokenizer
from semihvision.core.batch import Turn

SYSTEM = 'You\'re a "careful" reader.\n  {% of %} {{ images }} \\ é \U0001f600 '


def our_template(style: Any = "cambrian", system: str = SYSTEM) -> ConversationTemplate:
    return ConversationTemplate(
        load_tokenizer("tiny"),
        system_prompt=system,
        image_token_id=-200,
        ignore_index=-100,
        style=style,
    )


# Hypothesis also draws words of this project, such as special tokens: rendered text cannot keep
# those apart from real ones (`test_typed_special_tokens_stay_text` has the processor's side of it).
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip()) and "<|" not in text and "<image>" not in text
)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=5),
    system=st.none() | TEXTS,
    default=st.sampled_from(["", SYSTEM, "  Plain. "]),
    style=st.sampled_from(["cambrian", "meta"]),
)
def test_rendered_ids_are_ours(
    texts: list[str], system: str | None, default: str, style: str
) -> None:
    template = our_template(style, default)
    template.tokenizer.chat_template = chat_template(system_prompt=default, style=style)
    roles = [("user", "human"), ("assistant", "gpt")]
    turns = [(*roles[i % 2], text) for i, text in enumerate(texts)]
    if system is not None:
        turns.insert(0, ("system", "system", system))
    prompt = turns[-1][0] == "user"
    ours = encode(template, [Turn(own, text) for _, own, text in turns], prompt)  # type: ignore[arg-type]
    messages = [{"role": role, "content": text} for role, _, text in turns]
    rendered = template.tokenizer.apply_chat_template(messages, add_generation_prompt=prompt)
    assert list(rendered["input_ids"]) == ours
    parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
    again = template.tokenizer.apply_chat_template(parts, add_generation_prompt=prompt)
    assert again["input_ids"] == rendered["input_ids"]


def encode(template: ConversationTemplate, turns: list[Turn], prompt: bool) -> list[int]:
    from models.template import spoken_turns

    return template.encode(spoken_turns(turns), add_generation_prompt=prompt).input_ids


@pytest.mark.parametrize("style", ["cambrian", "meta"])
def test_images_stand_where_ours_stand(style: str) -> None:
    template = our_template(style)
    tokenizer = template.tokenizer
    tokenizer.chat_template = chat_template(system_prompt=SYSTEM, style=style)
    text = "  Compare <image> this.\n<image>"
    listed = [{"type": "image"}, {"type": "text", "text": "Compare  this."}, {"type": "image"}]
    for content in (text, listed):
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        pieces = [
            tokenizer(piece, add_special_tokens=False)["input_ids"]
            for piece in rendered.split("<image>")
        ]
        ids = [*pieces[0], *(i for piece in pieces[1:] for i in (-200, *piece))]
        assert ids == encode(template, [Turn("human", text)], True)


@pytest.mark.parametrize(
    "messages",
    [
        [("assistant", "Hi")],
        [("user", "a"), ("user", "b")],
        [("user", "a"), ("assistant", "<image>")],
        [("user", "a"), ("system", "late")],
        [("user", "  ")],
        [("user", [{"type": "video"}])],
    ],
)
def test_what_ours_refuses_is_not_rendered(messages: list[tuple[str, Any]]) -> None:
    tokenizer = load_tokenizer("tiny")
    tokenizer.chat_template = chat_template(system_prompt="", style="cambrian")
    with pytest.raises(TemplateError, match=r"expected|empty"):
        tokenizer.apply_chat_template([{"role": r, "content": c} for r, c in messages])


# The processor
