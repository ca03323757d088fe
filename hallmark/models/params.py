"""The network and its input: the ``model`` section, and how its ``auto`` values resolve for a data set.

>>> auto = Model(name="auto", backbone="none", image_size="auto", channels="auto", width="auto", depth="auto",
...              activation="auto", norm="auto", dropout=0.0, stochastic_depth=0.0)
>>> choice = choose(auto, images=1300, classes=10, side=8, grey=True, batch_size=64)
>>> choice.name, choice.side, choice.channels
('cnn', 8, 1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from hallmark.contracts import require

NAMES = ("perceptron", "mlp", "cnn", "resnet", "convnext", "vit")
PRETRAINED = "pretrained"
LITE = "efficientnet_lite"  # the network of the shipped weights
SHIPPED = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
DEFAULT_BACKBONE = SHIPPED[0]
AUTO, NONE = "auto", "none"
BACKBONE = "model.backbone"
ACTIVATIONS = ("relu", "gelu", "silu", "sigmoid", "tanh")
NORMS = ("batch", "group", "layer", "none")

SMALLEST = 8  # pixels: smaller images leave too little after one halving, and little to augment
LARGEST = 224  # pixels: the usual input of networks for photographs
SMALLEST_BATCH = 3  # images for batch norm: batches of 2 may leave a last batch of 1
PHOTOGRAPHS = 48  # pixels of the shorter side, from which a network trained on photographs is the better start
MANY = 50_000  # images, from which a network trained from scratch catches up
FEW_TO_TUNE = 2_000  # images, up to which the head alone of a shipped network is fitted
FEW = 20_000  # images; with fewer, details beyond 128 pixels are memorised rather than learnt

# settings that a network does not support; _OWN and _NEUTRAL are the values they may still have
_UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "perceptron": ("width", "depth", "activation", "norm", "stochastic_depth"),
    "mlp": ("stochastic_depth",),
    "cnn": ("stochastic_depth",),
    "vit": ("norm",),
    PRETRAINED: ("width", "depth", "activation", "norm", "dropout", "stochastic_depth"),
}
_OWN = {"perceptron": ("auto", "none", 0), "vit": ("auto", "layer")}
_NEUTRAL = ("auto", 0)


def automatic_backbone(*, images: int, side: int) -> tuple[str | None, str]:
    """The backbone that ``auto`` means for so many images of this shorter side in pixels, or None; and the reason."""
    if side < PHOTOGRAPHS:
        return None, f"images of {side} pixels are too small for a network trained on photographs"
    if images > MANY:
        return None, f"{images} images are enough to train from scratch"
    return DEFAULT_BACKBONE, f"{images} images of {side} pixels are too few to train as good a network from scratch"


@dataclass(frozen=True, kw_only=True)
class Model:
    """The ``model`` section. ``width``: units of the first layers; ``depth``: layers, stages or blocks.

    ``backbone``: a trained network to start from: auto, none, or one by name; for the name auto or pretrained.
    """

    name: str
    backbone: str
    image_size: int | Literal["auto"]
    channels: int | Literal["auto"]
    width: int | Literal["auto"]
    depth: int | Literal["auto"]
    activation: str
    norm: str
    dropout: float
    stochastic_depth: float

    def __post_init__(self) -> None:
        require.one_of(("auto", *NAMES, PRETRAINED), name=self.name)
        require.not_blank("give auto, none or the name of a trained network", backbone=self.backbone)
        require.that(
            self.name != PRETRAINED or self.backbone != NONE,
            "names nothing to start from, but {name} is pretrained",
            remedy=f"give auto, {SHIPPED[0]}, an id of the Hugging Face hub, a folder, or models:/<name>@<alias>",
            field="backbone",
            siblings=["name"],
        )
        require.that(
            self.name in (AUTO, PRETRAINED) or self.backbone in (NONE, AUTO),
            f"is '{self.backbone}', but {{name}} is {self.name}",
            remedy="set {name} to pretrained, or {backbone} to none",
            field="backbone",
            siblings=["name", "backbone"],
        )
        require.in_range(SMALLEST, 1024, image_size=self.image_size)
        known = self.channels in ("auto", 1, 3)
        require.that(known, f"is {self.channels}", remedy="give 1 (grey), 3 (colour) or auto", field="channels")
        require.in_range(1, 4096, width=self.width)
        require.in_range(1, 24, depth=self.depth)
        require.one_of(("auto", *ACTIVATIONS), activation=self.activation)
        require.one_of(("auto", *NORMS), norm=self.norm)
        require.in_range(0, 0.9, dropout=self.dropout, stochastic_depth=self.stochastic_depth)
        self.suits(self.name)

    def starts_from(self, *, images: int, side: int) -> tuple[str | None, str]:
        """The backbone's name, None to train from scratch, and the reason.

        ``images`` training images have the median shorter side ``side``, in pixels.
        """
        if self.backbone == NONE or self.name not in (AUTO, PRETRAINED):
            return None, ""
        if self.backbone != AUTO:
            return self.backbone, "set by model.backbone"
        if self.name == PRETRAINED:
            return DEFAULT_BACKBONE, "the default backbone"
        own = [each for each in _UNSUPPORTED[PRETRAINED] if getattr(self, each) not in _NEUTRAL]
        if own or self.channels == 1:
            return None, f"model.{(own or ['channels'])[0]} is set, which a trained network does not have"
        return automatic_backbone(images=images, side=side if self.image_size == "auto" else self.image_size)

    def suits(self, name: str) -> None:
        """Raises InputError for a setting that the network ``name`` does not support, instead of ignoring it."""
        lacks = "the backbone decides that" if name == PRETRAINED else f"the network {name} has no such setting"
        for setting in _UNSUPPORTED.get(name, ()):
            value = getattr(self, setting)
            require.that(
                value in _OWN.get(name, _NEUTRAL),
                f"is {value}, but {lacks}",
                remedy=f"set it to {0 if setting in ('dropout', 'stochastic_depth') else 'auto'}",
                field=setting,
            )

    def suits_batches(self, size: int) -> None:
        """Raises InputError for batch norm with batches that may contain a single image."""
        require.that(
            self.norm != "batch" or size >= SMALLEST_BATCH,
            f"is batch, but of batches of {size} one may hold a single image",
            remedy=f"set it to group, or give batches of {SMALLEST_BATCH} images or more",
            field="norm",
        )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A network for a data set: flat ``arguments`` of ``models.build``, and the reason for the choice."""

    name: str
    side: int
    channels: int
    arguments: dict[str, Any]
    why: str


def choose(model: Model, *, images: int, classes: int, side: int, grey: bool, batch_size: int) -> Choice:
    """Resolves ``auto`` for ``images`` training images of ``classes`` classes with median shorter side ``side``."""
    size, size_why = _size(model, images=images, side=side)
    channels = model.channels if model.channels != "auto" else (1 if grey else 3)
    name, name_why = _name(model, images=images, size=size)
    scratch = model.starts_from(images=images, side=side)[1]
    arguments = _arguments(model, name, images=images, size=size, batch_size=batch_size)
    colour = f"{'grey' if channels == 1 else 'colour'} " + (
        "set by model.channels"
        if model.channels != "auto"
        else ("because all sampled images are grey" if grey else "because some images have colour")
    )
    why = f"{name}: {name_why}; {size} x {size} pixels: {size_why}; {colour}"
    if scratch:
        why += f"; not pretrained: {scratch}"
    return Choice(name=name, side=size, channels=channels, arguments=arguments, why=why)


def _size(model: Model, *, images: int, side: int) -> tuple[int, str]:
    if model.image_size != "auto":
        return model.image_size, "set by model.image_size"
    if side < SMALLEST:
        return SMALLEST, f"the median side is {side}, too small for convolutions"
    if side <= 64:
        return side, "the median side of the images"
    limit = 128 if images < FEW else LARGEST
    if side <= limit:
        return side // 8 * 8, f"the median side is {side}"
    return limit, f"the median side is {side}, and more pixels do not help with {images} images"


def _name(model: Model, *, images: int, size: int) -> tuple[str, str]:
    if model.name != "auto":
        return model.name, "set by model.name"
    if size <= 40:
        return "cnn", f"for {images} images of {size} pixels a plain convolutional network learns fastest"
    return "resnet", f"at {size} pixels a residual network trains most reliably from scratch"


def _arguments(model: Model, name: str, *, images: int, size: int, batch_size: int) -> dict[str, Any]:
    """The network's own arguments."""
    model.suits(name)  # the name may have been chosen automatically
    small = size <= 40
    defaults: dict[str, dict[str, Any]] = {
        "perceptron": {},
        "mlp": {"units": 128, "depth": 2},
        "cnn": {"units": 32, "depth": 2 if size <= 16 else 3},
        "resnet": {"units": 32 if small or images < FEW else 64, "depth": 2, "stages": 3 if small else 4},
        "convnext": {"units": 48, "depth": 2, "patch": 1 if size <= 16 else (2 if small else 4)},
        "vit": {"units": 96 if small else 192, "depth": 6, "patch": _patch(size)},
    }
    arguments = dict(defaults[name])
    if name == "resnet":
        arguments["stem"] = "cifar" if size <= 64 else "imagenet"
    if name != "perceptron":
        arguments["activation"] = _activation(model, name)
    if name not in ("perceptron", "vit"):
        model.suits_batches(batch_size)
        arguments["norm"] = _norm(model, name, batch_size)
    arguments["dropout"] = model.dropout
    if name in ("resnet", "convnext", "vit"):
        arguments["stochastic_depth"] = model.stochastic_depth
    for setting, argument in (("width", "units"), ("depth", "depth")):
        value = getattr(model, setting)
        if value != "auto":
            arguments[argument] = value
    return arguments


def _activation(model: Model, name: str) -> str:
    if model.activation != "auto":
        return model.activation
    return "gelu" if name in ("convnext", "vit") else "relu"


def _norm(model: Model, name: str, batch_size: int) -> str:
    if model.norm != "auto":
        return model.norm
    if name == "convnext":
        return "layer"
    return "batch" if batch_size >= 8 else "group"


def _patch(size: int) -> int:
    """A patch side that gives about 8 x 8 to 14 x 14 tokens."""
    if size <= 12:
        return 1
    return max(2, size // 14 if size > 112 else size // 8)
