"""Configuration of PMC-Cambrian: its towers, its connector, its language model.

Legend: T towers, V vision width, H language width, Q query side, S image side, a_t grid side of
tower t (square grids of tokens).
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from transformers import AutoConfig, PretrainedConfig

from semihvision.core.errors import InputError
from semihvision.core.json_files import read_json

FeatureRule = Literal["last", "second_last", "stages"]
PositionRule = Literal["scale_factor", "size", "antialias"]

FEATURE_RULES: tuple[FeatureRule, ...] = ("last", "second_last", "stages")
POSITION_RULES: tuple[PositionRule, ...] = ("scale_factor", "size", "antialias")
TOWER_DTYPES = ("float32", "bfloat16", "float16")
INTERPOLATIONS = ("bicubic", "bilinear")
NUM_HEADS = 16
"""Heads of every SVA layer, whatever its width (cambrian.md section 6)."""


@dataclass(frozen=True, kw_only=True)
class TowerSpec:
    """One vision tower: where it comes from, what it is fed, what is taken from it.

    Attributes:
        name: Name in tables and messages.
        timm_model: timm model name; ``None`` for a tower that exists only as precomputed features.
        timm_kwargs: Arguments of ``timm.create_model`` besides name, weights and classes.
        weights: timm's hub name of the published weights; ``None`` where there are none.
            `models.tower_weights` loads them; building a tower never does.
        position_rule: How a position table is resampled that was trained at another input size
            (`models.position_tables`); ``None`` refuses weights with such a table.
        dtype: Dtype in which the tower keeps its weights and computes, whatever the model around
            it is cast to; ``None`` follows the model.
        input_side_px: Side of the square input in pixels.
        features: ``last``: normalised output tokens; ``second_last``: output of the last block but
            one, not normalised; ``stages``: every stage of a convolutional network (and its stem
            where timm counts it), resized and concatenated. Class tokens are always dropped.
        grid_side: Side a_t of the token grid that is handed on.
        dim: Channels of the features.
        image_mean: Mean per channel, 0 to 1.
        image_std: Standard deviation per channel.
        padding_colour: RGB 0 to 255 that fills an image up to a square.
        interpolation: Filter of the resize to ``input_side_px``.
    """

    name: str
    timm_model: str | None = None
    timm_kwargs: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    position_rule: PositionRule | None = None
    dtype: str | None = None
    input_side_px: int = 224
    features: FeatureRule = "last"
    grid_side: int
    dim: int
    image_mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    image_std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    padding_colour: tuple[int, int, int] = (127, 127, 127)
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        # JSON knows lists only; a spec read back must equal the one written.
        for name in ("image_mean", "image_std", "padding_colour"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in [
            ("features", FEATURE_RULES),
            ("interpolation", INTERPOLATIONS),
            ("position_rule", (None, *POSITION_RULES)),
            ("dtype", (None, *TOWER_DTYPES)),
        ]:
            if getattr(self, name) not in known:
                raise ValueError(self._message(name, getattr(self, name), f"one of {known}"))
        for name in ("input_side_px", "grid_side", "dim"):
            if getattr(self, name) < 1:
                raise ValueError(self._message(name, getattr(self, name), "at least 1"))

    def _message(self, name: str, found: object, expected: str) -> str:
        return f"tower {self.name!r}: {name} is {found!r}; expected {expected}"


class PMCCambrianConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Configuration of `PMCCambrian`.

    Args:
        towers: One `TowerSpec`, or its fields as a mapping, per tower. The first one gives the
            global context.
        text_config: Configuration of the decoder, or its fields as a mapping with ``model_type``.
        vision_hidden_size: V, a multiple of 16 (the heads of an SVA layer).
        query_num_list: Q² of each query group of the connector.
        image_token_len: S², cells of the image grid in the sequence.
        connector_depth: SVA layers per query group.
        connector_only: No SVA layers inside the language model.
        num_samplers: SVA layers inside the language model.
        sampler_start: Decoder layer after which the first of them runs.
        sampler_stride: Decoder layers between two of them.
        tokenizer: ``tiny`` for the shipped tokenizer, else the name of one on a hub.
        max_sequence_length: Longest sequence in tokens, images expanded.
        image_token_id: Placeholder id of one image in ``input_ids``.
        ignore_index: Label of a token that is not trained.
        **kwargs: Further fields of ``PretrainedConfig``.

    Raises:
        ValueError: Sizes that do not fit each other.

    Source: cambrian.md sections 7, 9 and 12. Samplers whose decoder layer does not exist are
    allowed because official configurations have them; they hold weights and never run.
    """

    model_type = "pmc_cambrian"
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    def __init__(
        self,
        towers: list[TowerSpec | dict[str, Any]] | None = None,
        text_config: PretrainedConfig | dict[str, Any] | None = None,
        *,
        vision_hidden_size: int = 1024,
        query_num_list: list[int] | None = None,
        image_token_len: int = 576,
        connector_depth: int = 3,
        connector_only: bool = False,
        num_samplers: int = 10,
        sampler_start: int = 0,
        sampler_stride: int = 3,
        tokenizer: str = "tiny",
        max_sequence_length: int = 2048,
        image_token_id: int = -200,
        ignore_index: int = -100,
        **kwargs: Any,
    ) -> None:
        self.towers = [asdict(_tower_spec(tower)) for tower in towers or []]
        self.text_config = _decoder_config(text_config)
        self.vision_hidden_size = vision_hidden_size
        self.query_num_list = list(query_num_list or [image_token_len])
        self.image_token_len = image_token_len
        self.connector_depth = connector_depth
        self.connector_only = connector_only
        self.num_samplers = num_samplers
        self.sampler_start = sampler_start
        self.sampler_stride = sampler_stride
        self.tokenizer = tokenizer
        self.max_sequence_length = max_sequence_length
        self.image_token_id = image_token_id
        self.ignore_index = ignore_index
        self._check()
        super().__init__(**kwargs)

    @classmethod
    def from_folder(cls, folder: str | Path) -> "PMCCambrianConfig":
        """The configuration in a model folder; unlike `from_pretrained`, of this model only.

        Raises:
            InputError: There is none, it is damaged, or it is another model's.
        """
        path = Path(folder) / "config.json"
        fields = read_json(path)
        kind = fields.get("model_type") if isinstance(fields, dict) else None
        if kind != cls.model_type:
            raise InputError(
                f"{path}: model_type is {kind!r}; expected {cls.model_type!r}, a model folder as "
                "`semihvision fit` writes it"
            )
        # The code beside the weights belongs to that folder, not to those made from this one.
        fields.pop("auto_map", None)
        try:
            return cls.from_dict(fields)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def tower_specs(self) -> tuple[TowerSpec, ...]:
        """The towers in order."""
        return tuple(_tower_spec(tower) for tower in self.towers)

    @property
    def query_sides(self) -> tuple[int, ...]:
        """Q of each query group."""
        return tuple(math.isqrt(number) for number in self.query_num_list)

    @property
    def image_side(self) -> int:
        """S, the side of the image grid in the sequence."""
        return math.isqrt(self.image_token_len)

    @property
    def sampler_layers(self) -> dict[int, int]:
        """Decoder layer index -> index of the sampler that runs after it."""
        if self.connector_only:
            return {}
        layers = (self.sampler_start + k * self.sampler_stride for k in range(self.num_samplers))
        depth = self.text_config.num_hidden_layers
        return {layer: k for k, layer in enumerate(layers) if layer < depth}

    def _check(self) -> None:
        if self.vision_hidden_size % NUM_HEADS:
            raise ValueError(
                f"vision_hidden_size is {self.vision_hidden_size}; expected a multiple of "
                f"{NUM_HEADS}, the number of heads of an SVA layer"
            )
        for name, number in [
            ("image_token_len", self.image_token_len),
            *(("query_num_list", number) for number in self.query_num_list),
        ]:
            if math.isqrt(number) ** 2 != number or number < 1:
                raise ValueError(f"{name} holds {number}; expected a square number (side x side)")
        window_sides = set(self.query_sides)
        if not self.connector_only:
            window_sides.add(self.image_side)
        for spec in self.tower_specs:
            for side in sorted(window_sides):
                if spec.grid_side % side:
                    raise ValueError(
                        f"tower {spec.name!r}: grid side {spec.grid_side} is no multiple of the "
                        f"query side {side}; every query needs a whole window"
                    )
        if self.sampler_stride < 1 or self.sampler_start < 0 or self.connector_depth < 1:
            raise ValueError(
                f"sampler_stride {self.sampler_stride}, sampler_start {self.sampler_start}, "
                f"connector_depth {self.connector_depth}; expected >= 1, >= 0 and >= 1"
            )


def _tower_spec(tower: TowerSpec | dict[str, Any]) -> TowerSpec:
    return tower if isinstance(tower, TowerSpec) else TowerSpec(**tower)


def _decoder_config(text_config: PretrainedConfig | dict[str, Any] | None) -> PretrainedConfig:
    if isinstance(text_config, PretrainedConfig):
        return text_config
    fields = dict(text_config or {})
    return AutoConfig.for_model(fields.pop("model_type", "llama"), **fields)
