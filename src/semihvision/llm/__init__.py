"""The OpenAI-compatible client: cache, limits, structured output."""
