from typing import Any

import pytest
from llm_requests import KEY

from semihvision.core.errors import InputError
from semihvision.llm.client import LLMClient, LLMSettings


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ""},
        {"concurrency": 0},
        {"timeout_s": 0},
        {"max_retries": -1},
        {"usd_per_million_in": 1.0},
        {"base_url": "api.example.org"},
        {"base_url": "ftp://example.org"},
        {"base_url": f"https://user:{KEY}@example.org/v1"},
        {"base_url": f"https://example.org/v1?key={KEY}"},
        {"base_url": "http://[::1/v1"},
    ],
)
def test_unusable_settings_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        LLMSettings(**{"model": "toy", **changes})
    assert KEY not in str(caught.value)


def test_the_endpoint_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LLMClient(LLMSettings(model="toy")).endpoint == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    assert LLMClient(LLMSettings(model="toy")).endpoint == "http://127.0.0.1:9/v1"
    made = LLMSettings(model="toy", base_url="http://127.0.0.1:8/v1")
    assert LLMClient(made).endpoint == "http://127.0.0.1:8/v1"
