"""The timm and transformers embedders, on tiny networks with random weights and no hub."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import (
    ImageEmbedder,
    TextEmbedder,
    create_embedder,
    create_image_embedder,
    create_text_embedder,
)

IMAGES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    for seed in range(3)
]
TEXTS = ["a cyst of the kidney", "nodule of the lung", "liver"]


def check(vectors: np.ndarray, dimension: int) -> None:
    assert vectors.shape == (3, dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert len(np.unique(vectors.round(6), axis=0)) == 3


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A word-level tokenizer in transformers' form."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]"]
    tokenizer.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=special))
    folder = tmp_path / "model"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


def test_timm_model_from_a_local_folder(tmp_path: Path) -> None:
    import timm
    from timm.models import save_for_hf

    model = timm.create_model("test_vit", pretrained=False, num_classes=0)
    save_for_hf(model, str(tmp_path / "vit"), safe_serialization=True)
    embedder = create_image_embedder(f"timm:local-dir:{tmp_path / 'vit'}")
    assert not isinstance(embedder, TextEmbedder)
    check(embedder.embed_images(IMAGES), model.num_features)
    assert embedder.embed_images([]).shape == (0, model.num_features)
    np.testing.assert_allclose(
        embedder.embed_images(IMAGES[1:2]), embedder.embed_images(IMAGES)[1:2], atol=1e-5
    )
    other = timm.create_model("test_vit", pretrained=False, num_classes=0)
    save_for_hf(other, str(tmp_path / "other"), safe_serialization=True)
    assert create_image_embedder(f"timm:local-dir:{tmp_path / 'other'}").version != embedder.version


def test_a_text_encoder_ignores_its_padding(tokenizer_folder: Path) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12,
    )  # fmt: skip
    BertModel(config).save_pretrained(tokenizer_folder)
    embedder = create_text_embedder(f"hf:{tokenizer_folder}")
    assert not isinstance(embedder, ImageEmbedder)
    together = embedder.embed_texts(TEXTS)
    check(together, 16)
    alone = np.concatenate([embedder.embed_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert embedder.embed_texts(["liver " * 100]).shape == (1, 16)


def test_a_clip_model_embeds_both_into_one_space(tokenizer_folder: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    layers = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**layers, "vocab_size": 20, "max_position_embeddings": 10, "eos_token_id": 0},
        vision_config={**layers, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(tokenizer_folder)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**size).save_pretrained(tokenizer_folder)
    embedder = create_embedder(f"hf:{tokenizer_folder}")
    assert isinstance(embedder, TextEmbedder)
    assert isinstance(embedder, ImageEmbedder)
    assert embedder.dimension == 8
    check(embedder.embed_texts(TEXTS), 8)
    check(embedder.embed_images(IMAGES), 8)


def test_a_model_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("timm:no_such_network", f"hf:{tmp_path / 'absent'}"):
        with pytest.raises(InputError, match=name.split(":")[0]):
            create_embedder(name)
