"""The stand-in embedders and the choice by name."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semihvision.core.errors import InputError
from semihvision.retrieval.embedders import (
    ImageEmbedder,
    TextEmbedder,
    create_embedder,
    create_image_embedder,
    create_text_embedder,
    unit_rows,
    usages,
)
from semihvision.retrieval.embedders.classical import ClassicalEmbedder
from semihvision.retrieval.embedders.lsa import LsaEmbedder

CORPUS = [
    "A simple cyst of the left kidney.",
    "Solid nodule in the right upper lobe of the lung.",
    "Haemangioma of the liver, bright in late phases.",
    "Pleural effusion on the left side, small.",
]


def test_unknown_names_list_the_known_ones() -> None:
    for name in ("word2vec", "", "../lsa", "lsa:big", "timm"):
        with pytest.raises(InputError) as caught:
            create_embedder(name)
        assert any(usage in str(caught.value) for usage in usages())


def test_stand_ins_have_one_modality_each() -> None:
    assert isinstance(create_text_embedder("lsa"), TextEmbedder)
    assert isinstance(create_image_embedder("classical"), ImageEmbedder)
    with pytest.raises(InputError, match="embeds no images"):
        create_image_embedder("lsa")
    with pytest.raises(InputError, match="embeds no texts"):
        create_text_embedder("classical")


def test_lsa_finds_the_text_that_shares_words() -> None:
    embedder = LsaEmbedder()
    embedder.fit(CORPUS)
    vectors = embedder.embed_texts(CORPUS)
    queries = ["cysts in a kidney", "lung nodules", "liver haemangiomas", "effusion"]
    nearest = (embedder.embed_texts(queries) @ vectors.T).argmax(axis=1)
    assert nearest.tolist() == [0, 1, 2, 3]
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, embedder.dimension)


def test_lsa_of_a_small_corpus_is_tf_idf_cosine() -> None:
    """With as many dimensions as texts nothing is reduced; the reference is scikit-learn's."""
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    common = {"sublinear_tf": True, "strip_accents": "unicode"}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **common)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **common)
    expected = cosine_similarity(
        hstack([words.fit_transform(CORPUS), letters.fit_transform(CORPUS)])
    )
    embedder = LsaEmbedder()
    embedder.fit(CORPUS)
    vectors = embedder.embed_texts(CORPUS)
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-5)


def test_lsa_state_survives_without_pickle(tmp_path: Path) -> None:
    embedder = LsaEmbedder(max_dimension=3)
    embedder.fit(CORPUS)
    embedder.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = LsaEmbedder()
    loaded.load(tmp_path)
    assert loaded.dimension == 3
    assert loaded.version == embedder.version
    queries = [*CORPUS, "kidney stone", ""]
    np.testing.assert_array_equal(loaded.embed_texts(queries), embedder.embed_texts(queries))


def test_lsa_version_names_what_was_learnt() -> None:
    one, again, other = LsaEmbedder(), LsaEmbedder(), LsaEmbedder()
    one.fit(CORPUS)
    again.fit(CORPUS)
    other.fit([*CORPUS[:3], "Something else."])
    assert one.version == again.version
    assert one.version != other.version
    np.testing.assert_array_equal(one.embed_texts(CORPUS), again.embed_texts(CORPUS))


def test_lsa_without_words_is_refused() -> None:
    with pytest.raises(InputError, match="no words"):
        LsaEmbedder().fit(["", " ... "])


def test_text_that_shares_nothing_is_zero() -> None:
    embedder = LsaEmbedder()
    embedder.fit(CORPUS)
    assert not embedder.embed_texts(["ж щ"]).any()
    assert embedder.embed_texts([]).shape == (0, embedder.dimension)


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    mode=st.sampled_from(["L", "RGB"]),
    seed=st.integers(0, 2**31),
)
def test_classical_descriptor_of_any_image_has_length_one(
    width: int, height: int, mode: str, seed: int
) -> None:
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    embedder = ClassicalEmbedder()
    vectors = embedder.embed_images([Image.fromarray(pixels)])
    assert vectors.shape == (1, embedder.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors) == pytest.approx(1.0, abs=1e-5)


def test_classical_descriptor_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (40, 30), dtype=np.uint8)) for _ in range(3)]
    embedder = ClassicalEmbedder()
    together = embedder.embed_images(images)
    alone = np.concatenate([embedder.embed_images([image]) for image in images])
    np.testing.assert_array_equal(together, alone)
    assert embedder.embed_images([]).shape == (0, embedder.dimension)


def test_classical_gradients_tell_directions_apart() -> None:
    stripes = np.tile(np.repeat([0, 255], 4), 8).astype(np.uint8)
    across = Image.fromarray(np.tile(stripes, (64, 1)))
    along = Image.fromarray(np.tile(stripes, (64, 1)).T.copy())
    shifted = Image.fromarray(np.roll(np.tile(stripes, (64, 1)), 1, axis=1))
    vectors = ClassicalEmbedder().embed_images([across, along, shifted])
    cosines = vectors @ vectors.T
    assert cosines[0, 2] > cosines[0, 1] + 0.2


def test_unit_rows_keep_zero_and_refuse_what_is_not_finite() -> None:
    np.testing.assert_allclose(unit_rows([[3.0, 4.0], [0.0, 0.0]]), [[0.6, 0.8], [0.0, 0.0]])
    with pytest.raises(InputError, match="not finite"):
        unit_rows([[np.nan, 1.0]])
