"""Loads a Hugging Face folder by transformers' auto classes alone and writes what it computes.

Run in an environment without this project: ``python -I load_without_project.py FOLDER IMAGE OUT``.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoProcessor, AutoTokenizer

OURS = ("semihvision", "models", "data_modules", "evaluation")
QUESTION = "Which organ is <|eot_id|> shown?"


def main(folder: str, image_file: str, out: str) -> None:
    torch.set_num_threads(1)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    image = {"type": "image", "image": Image.open(image_file)}
    text = {"type": "text", "text": QUESTION}
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [image, text]}], add_generation_prompt=True, tokenize=True
    )
    with torch.no_grad():
        tensors = {
            "logits": model(**inputs).logits,
            "greedy": model.generate(**inputs, max_new_tokens=8, do_sample=False),
            "input_ids": inputs["input_ids"],
            **{f"pixels.{i}": pixels for i, pixels in enumerate(inputs["pixel_values"])},
        }
    weights = {f"weights.{name}": value for name, value in model.state_dict().items()}
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    )
    save_file({k: v.clone() for k, v in (tensors | weights).items()}, Path(out) / "out.safetensors")
    facts = {
        "importable": [name for name in OURS if find_spec(name) is not None],
        "same_config_class": type(config) is type(model.config),
        "config_is_of_model": isinstance(config, model.config_class),
        "modules": sorted(name for name in sys.modules if name.split(".")[0] in OURS),
        "model_module": type(model).__module__,
        "chat": list(chat["input_ids"]),
        "threads": torch.get_num_threads(),
    }
    (Path(out) / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
