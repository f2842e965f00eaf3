"""What is sent for a request: its chat messages and the limits of the reply."""

import base64
import io
from typing import Any

from PIL.Image import Image

from semihvision.llm.exchange import LLMRequest, LLMSettings


def payload_of(request: LLMRequest, settings: LLMSettings) -> dict[str, Any]:
    """The fields of a chat completion; images follow the user's words, as PNG.

    The form of a structured reply is not among them: see `LLMClient`.
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": request.user}]
    for image in request.images:
        content.append({"type": "image_url", "image_url": {"url": _data_url(image)}})
    messages = [
        {"role": "system", "content": request.system},
        {"role": "user", "content": content if request.images else request.user},
    ]
    return {
        "model": settings.model,
        "messages": messages,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }


def _data_url(image: Image) -> str:
    """The image as PNG; pixels only, since file metadata can name a patient."""
    clean = image.convert("RGB")
    clean.info.clear()
    buffer = io.BytesIO()
    clean.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
