"""Replies of the demo chat server: they fit whatever schema is asked for.

A stand-in for a language model: what it says follows from the schema and from the lines of the
prompt, not from the image. Use it to see the wiring work, never to make data.
"""

import json
import re
from typing import Any

from chat_server import Answer, ChatRequest

_RATING = re.compile(r"\b0\s*(?:-|to|–)\s*5\b|\bfloat\b|\bscore\b", re.IGNORECASE)


def demo_reply(request: ChatRequest) -> Answer:
    """A reply that fits the request: an annotation, a filled schema, a score, or a sentence."""
    if request.schema_name == "Annotation":
        return Answer(text=json.dumps(_annotation(request.user)))
    if request.schema:
        return Answer(text=json.dumps(_fill(request.schema, request.schema, "")))
    if _RATING.search(request.system + request.user):
        return Answer(text=f"{_score(request.user):.1f}")
    return Answer(text="This is a demo reply; no model has looked at the image.")


def _score(prompt: str) -> float:
    """5 times the share of listed items half of whose words stand in the student's answer."""
    answer = set(_words(_section(prompt, "student_answer")))
    sections = ("key_points", "reasoning_steps", "evidence")
    items = [line for name in sections for line in _section(prompt, name).splitlines()]
    counted = [words for words in map(_words, items) if words]
    met = [words for words in counted if 2 * len(answer & set(words)) >= len(set(words))]
    return 5.0 * len(met) / len(counted) if counted else 0.0


def _section(prompt: str, name: str) -> str:
    return prompt.partition(f"<{name}>")[2].partition(f"</{name}>")[0]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", text.lower())


def _annotation(prompt: str) -> dict[str, Any]:
    """Says again what the section KNOWN of the prompt states about the target."""
    known = re.findall(r"^- ([a-z ]+): (.+)$", prompt.rpartition("KNOWN")[2], re.MULTILINE)
    caption = "; ".join(f"{name}: {value}" for name, value in known) or "No finding is stated"
    questions = [
        {
            "question": f"Which {name} is stated for this image?",
            "answer": value,
            "answer_type": "OPEN",
            "image_numbers": [],
        }
        for name, value in known[:3]
    ]
    return {"caption": f"Demo caption. {caption}.", "qa": questions}


def _fill(schema: dict[str, Any], root: dict[str, Any], name: str) -> Any:
    """A value that validates against a JSON schema as pydantic writes it."""
    if "$ref" in schema:
        return _fill(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "anyOf" in schema:
        return _fill(schema["anyOf"][0], root, name)
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {field: _fill(inner, root, field) for field, inner in fields.items()}
    if kind == "array":
        count = max(schema.get("minItems", 1), min(3, schema.get("maxItems", 3)))
        return [_fill(schema["items"], root, f"{name} {i + 1}") for i in range(count)]
    if kind in ("number", "integer"):
        low = schema.get("minimum", 0)
        return (low + schema.get("maximum", low + 5)) // 2 + (0 if kind == "integer" else 0.5)
    return {"boolean": True, "null": None}.get(str(kind), f"demo {name.replace('_', ' ')}".strip())
