"""Is a reply usable? Refusals, cut-off and empty replies, and those that are not of the schema."""

from typing import NamedTuple

from pydantic import BaseModel, ValidationError

from semihvision.llm.exchange import Failure


class Assessment(NamedTuple):
    """What a reply is worth.

    Attributes:
        text: Its words, or those of a refusal.
        parsed: The object, where it is one of the schema.
        failure: Kind of failure; empty for a usable reply.
        reason: Why it failed, without words of the reply.
    """

    text: str
    parsed: BaseModel | None = None
    failure: Failure = ""
    reason: str = ""


def assess(
    schema: type[BaseModel] | None, *, text: str, refusal: str | None, finish_reason: str
) -> Assessment:
    """Whether a reply is usable: refusal, cut-off, empty, or not of the schema.

    A reply that wraps the object of the schema in other text is accepted.

    Args:
        schema: What the reply has to be; None takes any text.
        text: The words of the reply.
        refusal: The words the model declines with, where it does.
        finish_reason: Why the reply ended, in the API's words.

    Returns:
        The reply; its `reason` names schema, fields and kinds of error, never a value.
    """
    if refusal:
        return Assessment(text or refusal, None, "refusal", "the model declined")
    if finish_reason == "content_filter":
        return Assessment(text, None, "refusal", "the provider's content filter stopped the reply")
    if finish_reason == "length":
        return Assessment(text, None, "cut_off", "max_tokens was reached before the reply ended")
    if not text.strip():
        return Assessment(text, None, "invalid", "the reply is empty")
    if schema is None:
        return Assessment(text)
    try:
        return Assessment(text, schema.model_validate_json(_json_object(text)))
    except ValidationError as error:
        return Assessment(text, None, "invalid", _schema_reason(schema, error))


def _json_object(text: str) -> str:
    """From the first brace to the last; all of it where there is no such span."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _schema_reason(schema: type[BaseModel], error: ValidationError) -> str:
    """Names schema, fields and error types, never values or keys that the reply made up."""
    found = []
    for item in error.errors(include_input=False, include_context=False, include_url=False):
        steps = item["loc"][:-1] if item["type"] == "extra_forbidden" else item["loc"]
        found.append(".".join(map(str, steps)) + ": " + item["type"])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"the reply is no {schema.__name__} ({'; '.join(found[:3])}{more})"
