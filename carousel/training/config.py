"""How a model is trained, and ``config.json``: all that a run was asked to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from torch import nn

from carousel import __version__, files
from carousel.cells import CELLS, fed_alone, get
from carousel.equations import Cell, EquationError
from carousel.equations.stored import StoredCell, as_data
from carousel.errors import InputError
from carousel.layers import CellLayer, Recurrent
from carousel.training.device import found
from carousel.training.fields import LARGEST_SIZE, MOST_LAYERS, Settings, is_of, setting, settings

LARGEST_SEED, MOST_THREADS = 2**63 - 1, 4096
LEAST_VARIED = 10  # lengths vary by 5
FIRST_KIND = "language model"  # of a run whose config.json names no kind, as of the first version
# Names of 0.1.0, by part of config.json: the name now, and values that mean the same.
BEFORE: dict[tuple[str, str], tuple[str, tuple[tuple[Any, Any], ...]]] = {
    ("model", "recurrent"): ("recurrent_init", ()),
    ("model", "same_mask"): ("variational_dropout", ()),
    ("model", "projection"): ("projection", ((0, None),)),
}


@dataclass(frozen=True)
class NetworkConfig(Settings):
    """The parts of recurrent layers over any cell."""

    group = "Model"

    cell: str = setting("lstm-v2", "A cell of carousel cells, or your own: file.py:name, module:name.")
    cell_data: dict[str, Any] | None = field(default=None, kw_only=True)  # of one's own cell: ``equations.stored``
    embedding: int | None = setting(None, "Size of the input e; by default that of the last layer.", least=1, most=LARGEST_SIZE)
    hidden: int | list[int] = setting(  # noqa: RUF009 (a field)
        200, "Units of all layers, or of each layer: 1150,1150,400.", least=1, most=LARGEST_SIZE
    )
    layers: int = setting(1, "Recurrent layers.", least=1, most=MOST_LAYERS)
    projection: int | None = setting(
        None, "Size of a projected message (lstm-v4); half of `hidden` by default.", least=1, most=LARGEST_SIZE
    )
    tied: bool = setting(False, "Use the embedding as output weights.")
    recurrent_init: str = setting(
        "uniform", "Initial recurrent weights: uniform or orthogonal.", choices=("uniform", "orthogonal"), option="--init"
    )
    forget_bias: float | None = setting(None, "Initial bias of the forget gate.")
    variational_dropout: bool = setting(False, "One dropout mask for all steps of a row.")
    dropout: float = setting(0.2, "Dropout on inputs, between layers and on outputs.", least=0, below=1)
    rates: str = setting("", "Rates of the cell's own noise: h=0.1,m=0.05.")
    weight_noise: float = setting(0.0, "Standard deviation of noise on the recurrent layers' weights in training.", least=0)
    weight_dropout: float = setting(
        0.0, "Dropout of the recurrent layers' weights from states, drawn once a batch.", least=0, below=1
    )

    def __post_init__(self) -> None:
        if isinstance(self.hidden, list) and self.layers == 1:
            object.__setattr__(self, "layers", len(self.hidden))  # the instance is frozen

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        self.noise_rates()
        if isinstance(self.hidden, list) and len(self.hidden) != self.layers:
            raise InputError(
                f"`hidden` has {len(self.hidden)} sizes, and `layers` is {self.layers}; give one size for each, or for all"
            )

    def noise_rates(self) -> dict[str, float]:
        """Return the rates of the cell's noise by their letters. Raises InputError for text that says none."""
        found: dict[str, float] = {}
        for part in filter(None, self.rates.replace(" ", "").split(",")):
            letters, _, number = part.partition("=")
            try:
                found[letters] = float(number)
            except ValueError:
                raise InputError(f"`rates` must be such as h=0.1,m=0.05, not {self.rates!r}") from None
        return found

    @property
    def input_size(self) -> int:
        """The size of e."""
        return self.width if self.embedding is None else self.embedding

    @property
    def width(self) -> int:
        """The units of the last layer."""
        return self.hidden[-1] if isinstance(self.hidden, list) else self.hidden

    def known_cell(self) -> Cell:
        """Return the cell of this name, or the cell that is kept here.

        Raises:
            InputError: for bad data.
            ValueError: for a cell that is not there.
        """
        if self.cell_data is None:
            return get(self.cell)
        try:
            return StoredCell(self.cell_data)
        except EquationError as error:
            raise InputError(f"the cell that is kept is none: {error}") from None

    def own_cell(self) -> Cell:
        """Return the cell for the layers, as ``known_cell``. Raises ValueError also for a cell that they cannot feed."""
        return fed_alone(self.known_cell())

    def recurrent_layers(self, input_size: int, layers: int | None = None, **options: Any) -> Recurrent:
        """Return the layers of a model. Raises ValueError for what they cannot be.

        Args:
            input_size: how many numbers a step reads.
            layers: how many layers, if not as many as set.
            **options: further arguments of ``Recurrent``.
        """
        count = self.layers if layers is None else layers
        found = {"dropout": self.dropout if count > 1 else 0.0, **self.layer_options(), **options}
        return Recurrent(self.own_cell(), input_size, self.hidden, count, **found)

    def layer_options(self) -> dict[str, Any]:
        """Return the arguments of ``Recurrent`` that the settings of these names, or nearly these, are. Raises InputError."""
        return {
            "proj_size": self.projection,
            "variational_dropout": self.variational_dropout,
            "recurrent_init": self.recurrent_init,
            "forget_bias": self.forget_bias,
            "rates": self.noise_rates(),
            "weight_noise": self.weight_noise,
            "weight_dropout": self.weight_dropout,
        }

    def keeping(self, cell: Cell, model_of: Callable[[Self], nn.Module]) -> Self:
        """Return the same for this cell; the equations are kept where it is not one of the lectures'.

        Args:
            cell: any cell.
            model_of: builds a model of such a configuration, whose layers say for which sizes constants are kept.
        """
        if cell.name in CELLS:
            return replace(self, cell=cell.name, cell_data=None)
        without = replace(self, cell=cell.name, cell_data=as_data(cell, ()))
        layers = [m for m in model_of(without).modules() if isinstance(m, CellLayer)]
        sizes = dict.fromkeys(chain.from_iterable(layer.all_sizes() for layer in layers))
        return replace(without, cell_data=as_data(cell, sizes))


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The settings of training. ``batch_size`` counts rows of all processes together."""

    group = "Training"

    feed: str = setting(
        "stream", "stream: one continuous text; sentences: one per row, padded.", choices=("stream", "sentences")
    )
    batch_size: int = setting(20, "Rows of a batch.", least=1)
    length: int = setting(35, "Steps of truncated back-propagation; with sentences, where they are cut (0: never).", least=0)
    epochs: int = setting(10, "Times the text is read, in all.", least=1)
    optimizer: str = setting(
        "adamw",
        "adamw, sgd (steepest descent), rmsprop, rprop (steps by the signs of gradients alone, `lr` the first), or muon (of the"
        " recurrent layers' matrices; adamw of all else).",
        choices=("adamw", "sgd", "rmsprop", "rprop", "muon"),
    )
    lr: float = setting(3e-3, "Learning rate.", above=0, below=1e6)
    momentum: float = setting(0.0, "Momentum of sgd and rmsprop.", least=0)
    weight_decay: float = setting(0.01, "Weight decay.", least=0)
    warmup: int = setting(100, "Steps in which the learning rate rises to `lr`.", least=0)
    schedule: str = setting(
        "cosine",
        "cosine or linear (to zero at the end), plateau (`decay` when validation is no better), epochs (`decay` each epoch once"
        " `decay_after` are over), constant, one-cycle (up to `lr` in the first 30 % of the steps and down; without `warmup`).",
        choices=("cosine", "linear", "plateau", "epochs", "constant", "one-cycle"),
    )
    decay: float = setting(0.25, "Factor of the learning rate on a plateau, or in an epoch.", least=0)
    decay_after: int = setting(0, "Epochs before the learning rate falls from epoch to epoch.", least=0)
    clip: float = setting(1.0, "Clip the gradient to this norm; 0: no clipping.", least=0)
    vary_length: bool = setting(
        False, "Lengths of back-propagation vary around `length`, and the learning rate with them; of a stream."
    )
    average: str = setting(
        "none",
        "Mean of the weights, which is validated and kept: none, ema (exponential, `average_decay`), nt-asgd (of all steps"
        " once validation is worse than `average_after` epochs before).",
        choices=("none", "ema", "nt-asgd"),
    )
    average_decay: float = setting(0.999, "Decay factor of the exponential mean at each step.", least=0, below=1)
    average_after: int = setting(5, "Number of latest epochs that nt-asgd leaves out of its comparison.", least=0)
    patience: int = setting(0, "Stop after this many epochs without a better validation; 0: never.", least=0)
    precision: str = setting(
        "float32",
        "Precision of products in training: float32, or bfloat16 (autocast), faster if the hardware supports it.",
        choices=("float32", "bfloat16"),
    )
    watch_gradients: int = setting(
        0,
        "Steps between measurements of the gradient's decay over time, and of the share of clipped steps; 0: never.",
        least=0,
    )
    monitor: int = setting(
        0,
        "Steps between lines of norms and ranges of weights, gradients, gates and states in metrics.jsonl; 0: never.",
        least=0,
    )
    tensorboard: bool = setting(False, "Write metrics.jsonl for TensorBoard as well, which must be installed.")
    seed: int = setting(1, "Seed of weights, dropout and order.", least=0, most=LARGEST_SEED)
    threads: int = setting(0, "Number of threads; 0: PyTorch's choice.", least=0, most=MOST_THREADS)
    log_every: int = setting(50, "Steps between lines of metrics.jsonl.", least=1)
    save_every: float = setting(30.0, "Seconds between checkpoints.", least=0)
    device: str = setting("cpu", "Device for training: cpu, cuda, cuda:1, or another device of PyTorch.")
    cuda_graph: bool = setting(
        False,
        "On a CUDA GPU, record a training step for each shape of batch as a CUDA graph and replay it; one process, adamw.",
    )
    keep_every: int = setting(
        0, "Steps between copies of the weights that are kept in the run folder, to be opened as RUN@STEP; 0: never.", least=0
    )

    @property
    def even_rows(self) -> int:
        """Rows of a batch, of which all processes must have as many; 0: they need not."""
        return self.batch_size

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        device = found(self.device)
        if self.cuda_graph and (device.type != "cuda" or self.optimizer != "adamw"):
            raise InputError(f"`cuda_graph` needs a CUDA device and adamw, not {device.type} and {self.optimizer}")
        if self.feed == "stream" and self.length == 0:
            raise InputError("`length` must be at least 1, not 0")
        if self.feed != "stream" and self.vary_length:
            raise InputError("`vary_length` is for a stream; sentences have lengths of their own")
        if self.vary_length and self.length < LEAST_VARIED:
            raise InputError(f"`vary_length` needs a `length` of {LEAST_VARIED} or more, not {self.length}")


@dataclass(frozen=True)
class ExampleTraining(TrainConfig):
    """The settings of training where each row is an example of its own: nothing goes on from batch to batch."""

    length: int = setting(0, least=0)
    watch_gradients: int = setting(0, least=0)
    vary_length: bool = setting(False)
    cuda_graph: bool = setting(False)

    @property
    def even_rows(self) -> int:
        """No rows: batches may differ in them."""
        return 0


class RunConfig:
    """A run's configuration, as ``config.json`` has it: a dataclass whose parts are dataclasses.

    ``kind``: of the model.
    """

    kind: ClassVar[str]
    training: TrainConfig

    def save(self, folder: Path) -> None:
        """Write ``config.json``."""
        facts = {"carousel": __version__, "kind": self.kind, **asdict(self)}  # type: ignore[call-overload]  # a dataclass
        files.write(folder / "config.json", json.dumps(facts, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read ``config.json``. Raises InputError where it is missing, no JSON, of another kind, or has an unknown key."""
        path = folder / "config.json"
        data = _read_config(folder)
        data.pop("carousel", None)
        kind = data.pop("kind", FIRST_KIND)
        if kind != cls.kind:
            raise InputError(f"{folder} holds the run of a {kind}, and not of a {cls.kind}")
        parts: dict[str, Any] = {f.name: f.default_factory for f in fields(cls)}  # type: ignore[arg-type]  # a dataclass
        _refuse_unknown(path, data, parts, "")
        return cls(**{k: _build(path, parts[k], v, k) for k, v in data.items()})


def _read_config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a run folder: there is no such folder")
    try:
        return files.read_object(folder / "config.json")
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run folder: it has no config.json") from None


def run_kind(folder: Path) -> str:
    """Return the kind of model that a run folder holds, as its ``config.json`` says. Raises InputError where it has none."""
    return str(_read_config(folder).get("kind", FIRST_KIND))


T = TypeVar("T")


def _build(path: Path, kind: type[T], values: Any, where: str) -> T:
    if not isinstance(values, dict):
        raise InputError(f"{path}: {where} must be an object, not {type(values).__name__}")
    values = dict(_renewed(where, *item) for item in values.items())
    known, about = {f.name: f for f in fields(kind)}, settings(kind)  # type: ignore[arg-type]  # every kind is a dataclass
    _refuse_unknown(path, values, known, f" in {where}")
    for name, value in values.items():
        wanted = str(known[name].type)
        if not is_of(wanted, value):
            raise InputError(f"{path}: {where}.{name} must be {wanted}, not {value!r}")
        reason = about[name].refusal(value) if name in about and value is not None else None
        if reason:
            raise InputError(f"{path}: {where}.{name} {reason}")
    return kind(**values)


def _renewed(where: str, name: str, value: Any) -> tuple[str, Any]:
    """Return a name and its value as this version writes them."""
    name, changes = BEFORE.get((where, name), (name, ()))
    return name, next((new for old, new in changes if type(value) is type(old) and value == old), value)


def _refuse_unknown(path: Path, data: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    for key in data:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise InputError(f"{path} has an unknown key {key!r}{where}; {hint}")
