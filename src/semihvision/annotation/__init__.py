"""The semi-human annotation pipeline: paths, prompts, runner, gates."""
