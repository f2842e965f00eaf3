"""What `train_step.py` trains on: real images, random text, packed or padded.

Text is random token ids: what a token means costs nothing. Every sample is 39 tokens, an image, a
question and an answer of half the rest each.
"""

import torch
from PIL import Image
from torch.utils.data import Dataset

from models.packing import pack_rows, pad_samples
from models.padding import kept_grid
from models.preprocessing import tower_pixels
from semihvision.core.batch import IGNORE_INDEX, EncodedSample, TowerPixels


class Rows(Dataset):
    """Steps: `images` images with `questions` samples each, whose text fills the token budget."""

    def __init__(self, config, arguments) -> None:
        self.config, self.arguments = config, arguments
        self.files = sorted(p for p in arguments.images.rglob("*") if p.suffix in (".jpg", ".png"))
        if not self.files:
            raise SystemExit(f"{arguments.images}: no .jpg or .png below it")

    def __len__(self) -> int:
        return self.arguments.warmup + self.arguments.steps

    def __getitem__(self, index: int) -> list[list[EncodedSample]]:
        torch.set_num_threads(1)
        draw = torch.Generator().manual_seed(index)
        count, questions = self.arguments.per_step, self.arguments.questions
        images = [self._image(index * count + k) for k in range(count)]
        shares = torch.rand(count, questions, generator=draw) + 0.5
        grids = [kept_grid(*image.size_wh, self.config.image_side).num_tokens for image in images]
        heads = 40 * count
        # What the samples of an image share stands once in a row only if it is shared.
        once = questions if not self.arguments.share else 1
        text = self.arguments.tokens - once * (sum(grids) + heads) - count
        if text < 8 * count * questions:
            raise SystemExit("--tokens leaves less than 8 tokens of text a question")
        lengths = (shares / shares.sum() * text).int().clamp(min=4)
        return [self._segment(image, row, draw) for image, row in zip(images, lengths, strict=True)]

    def _segment(self, image: TowerPixels, lengths, draw) -> list[EncodedSample]:
        """Samples about one image: 39 tokens, the image, a question and an answer of half each."""
        vocabulary = self.config.text_config.vocab_size
        head = torch.randint(0, vocabulary, (39,), generator=draw)
        segment = []
        for length in lengths.tolist():
            text = torch.randint(0, vocabulary, (length,), generator=draw)
            ids = torch.cat([head, torch.tensor([self.config.image_token_id]), text])
            labels = ids.clone()
            labels[: 40 + length // 2] = IGNORE_INDEX
            segment.append(
                EncodedSample(example_id="", input_ids=ids, labels=labels, images=[image])
            )
        return segment

    def _image(self, number: int) -> TowerPixels:
        image = Image.open(self.files[number % len(self.files)]).convert("RGB")
        pixels = tower_pixels(image, self.config.tower_specs, self.arguments.preprocessing)
        return TowerPixels(pixels, image.size)


def collate(config, arguments):
    """Rows to a batch; without sharing every sample is a segment of its own."""
    ids = {"pad_token_id": config.text_config.pad_token_id, "ignore_index": IGNORE_INDEX}

    def make(items):
        (segments,) = items
        samples = [sample for segment in segments for sample in segment]
        if not arguments.packing:
            return pad_samples(samples, **ids)
        row = segments if arguments.share else [[sample] for sample in samples]
        batch = pack_rows([row], image_token_id=config.image_token_id, **ids)
        batch["row_length"] = arguments.tokens
        return batch

    return make


def shape_of(segments, config, share: bool) -> dict[str, int]:
    """Tokens, attending pairs and scored tokens of a step, images expanded."""
    tokens = pairs = scored = 0
    for segment in segments:
        grid = kept_grid(*segment[0]["images"][0].size_wh, config.image_side).num_tokens
        prefix = 40 - 1 + grid
        for i, sample in enumerate(segment):
            text = len(sample["input_ids"]) - 40
            alone = not share or i == 0
            tokens += text + (prefix if alone else 0)
            pairs += text * prefix + text * (text + 1) // 2
            pairs += prefix * (prefix + 1) // 2 if alone else 0
            scored += int((sample["labels"] != IGNORE_INDEX).sum())
    return {"tokens": tokens, "pairs": pairs, "scored_tokens": scored}
