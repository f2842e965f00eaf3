import itertools
import json
import subprocess
import sys

import pytest

from models.modeling import PMCCambrian
from models.presets import preset
from semihvision.cli import models as models_command
from semihvision.core.batch import IGNORE_INDEX, IMAGE_TOKEN_ID
from semihvision.core.errors import InputError


def vit(dim: int, depth: int, hidden: int, tokens: int, patch: int, *, bias: bool = True) -> int:
    """Parameters of a plain vision transformer without class token and head."""
    attention = 4 * dim * dim + 4 * dim
    mlp = 2 * dim * hidden + hidden + dim
    patches = 3 * patch**2 * dim + (dim if bias else 0)
    return depth * (attention + mlp + 4 * dim) + tokens * dim + patches + 2 * dim


def convnext_parameters(depths: tuple[int, ...], dims: tuple[int, ...]) -> int:
    """Parameters of ConvNeXt with the norm of its head, which timm keeps, and without classes."""
    stem = 3 * 4**2 * dims[0] + dims[0] + 2 * dims[0]
    blocks = [
        depth * (49 * dim + dim + 2 * dim + 8 * dim**2 + 4 * dim + dim + dim)
        for depth, dim in zip(depths, dims, strict=True)
    ]
    between = [2 * a + 4 * a * b + b for a, b in itertools.pairwise(dims)]
    return stem + sum(blocks) + sum(between) + 2 * dims[-1]


def sampler_layer(query: int, dim: int, towers: int, extra_keys: int) -> int:
    """Parameters of an SVA layer by the table of cambrian.md section 12."""
    normed_linear = 2 * dim + dim * dim
    projections = (1 + 2 * towers) * normed_linear + dim * dim
    outside = dim * dim + (query + dim) * dim + 2 * dim + dim * dim + query * dim
    return projections + outside + extra_keys * dim


def test_8b_has_the_published_sizes() -> None:
    document = models_command.describe("8b")
    siglip, clip, dinov2, convnext = (tower["parameters"] for tower in document["towers"])
    assert siglip == vit(1152, 27, 4304, 27 * 27, 14)
    # The published 428.2 M count the attention-pool head, which is not used here.
    pool = 1152 + 4 * 1152**2 + 4 * 1152 + 2 * 1152 * 4304 + 4304 + 1152 + 2 * 1152
    assert round((siglip + pool) / 1e6, 1) == 428.2
    assert clip == vit(1024, 24, 4096, 577, 14, bias=False) + 1024 + 2 * 1024
    assert round(clip / 1e6, 1) == 303.5
    # SwiGLU: 8192 gate and value channels into 4096; layer scale; class token; 27x27 positions.
    block = 4 * 1536**2 + 4 * 1536 + 1536 * 8192 + 8192 + 4096 * 1536 + 1536 + 4 * 1536 + 2 * 1536
    patches = 3 * 14**2 * 1536 + 1536
    assert dinov2 == 40 * block + patches + 1536 + (27**2 + 1) * 1536 + 2 * 1536
    # At 37x37 positions these are the published 1136.5 M.
    assert round((dinov2 + (37**2 - 27**2) * 1536) / 1e6, 1) == 1136.5
    assert round(dinov2 / 1e6, 1) == 1135.5
    assert convnext == convnext_parameters((3, 4, 30, 3), (384, 768, 1536, 3072))
    assert round(convnext / 1e6, 1) == 843.4

    parts = document["parts"]
    assert parts["towers"] == siglip + clip + dinov2 + convnext
    assert parts["projectors"] == sum(
        dim * 1024 + 1024 + 1024**2 + 1024 + 2 * 1024 for dim in (1152, 1024, 1536, 5760)
    )
    assert parts["query"] == 1024
    assert parts["newline"] == 4096
    assert parts["connector"] == 3 * sampler_layer(1024, 1024, 4, 16)
    assert parts["samplers"] == 10 * sampler_layer(4096, 1024, 4, 16)
    assert parts["mm_projector"] == 1024 * 4096 + 4096 + 4096**2 + 4096
    decoder_layer = 2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096
    assert parts["language_model"] == 32 * decoder_layer + 2 * 128256 * 4096 + 4096
    assert document["sizes"]["samplers after decoder layers"] == list(range(0, 28, 3))
    assert document["parameters"] == sum(parts.values())


def test_8b_names_towers_preprocessing_and_tokenizer_as_published() -> None:
    config = preset("8b")
    assert [spec.grid_side for spec in config.tower_specs] == [24, 24, 24, 96]
    assert [spec.padding_colour for spec in config.tower_specs] == [
        (122, 116, 104),
        (122, 116, 104),
        (123, 116, 103),
        (122, 116, 104),
    ]
    assert config.tokenizer == "meta-llama/Meta-Llama-3-8B-Instruct"


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("index", "name", "side_px", "features", "grid", "dim", "mean", "std"),
    [
        (0, "siglip/CLIP-ViT-SO400M-14-384", 384, "last", 24, 1152, HALF, HALF),
        (1, "openai/clip-vit-large-patch14-336", 336, "second_last", 24, 1024, CLIP_MEAN, CLIP_STD),
        (2, "facebook/dinov2-giant-res378", 378, "last", 24, 1536,
         (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (3, "clip-convnext-XXL-multi-stage", 1024, "stages", 96, 5760, CLIP_MEAN, CLIP_STD),
    ],
)  # fmt: skip
def test_each_tower_of_8b_is_fed_and_read_as_published(
    index: int,
    name: str,
    side_px: int,
    features: str,
    grid: int,
    dim: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    """The table of cambrian.md section 1; the weights themselves are not at hand."""
    spec = preset("8b").tower_specs[index]
    assert (spec.name, spec.input_side_px, spec.features) == (name, side_px, features)
    assert (spec.grid_side, spec.dim, spec.interpolation) == (grid, dim, "bicubic")
    assert (spec.image_mean, spec.image_std) == (mean, std)


def test_tiny_has_four_kinds_of_towers_with_different_inputs() -> None:
    config = preset("tiny")
    models = [spec.timm_model for spec in config.tower_specs]
    assert len(set(models)) == 4
    assert len({spec.input_side_px for spec in config.tower_specs}) >= 3
    assert len({spec.grid_side for spec in config.tower_specs}) >= 2
    assert PMCCambrian.from_preset("tiny", device="meta").num_parameters() < 3_000_000


def test_ids_are_those_of_the_seam_between_data_and_model() -> None:
    for name in ("tiny", "8b"):
        assert preset(name).image_token_id == IMAGE_TOKEN_ID
        assert preset(name).ignore_index == IGNORE_INDEX


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown preset '7b'; known are tiny, 8b"):
        preset("7b")
    with pytest.raises(InputError, match="known are tiny, 8b"):
        models_command.run(["show", "7b"])


def test_show_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert models_command.run(["show", "tiny", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parameters"] == sum(document["parts"].values())
    assert models_command.run(["show", "tiny"]) == 0
    assert "tiny-resnet" in capsys.readouterr().out


def test_show_names_the_published_weights_and_the_position_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert models_command.run(["show", "8b"]) == 0
    printed = capsys.readouterr().out
    for spec in preset("8b").tower_specs:
        assert str(spec.weights) in printed
    assert printed.count("scale_factor") == 1


def test_importing_the_package_loads_no_tensor_library() -> None:
    code = "import sys, models; print('torch' in sys.modules, sorted(models.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False")
    assert "PMCCambrianProcessor" in done.stdout
