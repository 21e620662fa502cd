"""The configuration of a forecaster's run."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from carousel.cells import in_sequence
from carousel.equations import Cell, EquationError
from carousel.equations.stored import StoredCell
from carousel.errors import InputError
from carousel.forecasting.outputs import Mixture, Output, Point, Quantiles
from carousel.training.config import ExampleTraining, NetworkConfig, RunConfig
from carousel.training.fields import LARGEST, LARGEST_SIZE, Settings, setting

OUTPUTS = ("point", "mean", "quantiles", "mixture")
MISSING = ("refuse", "previous", "linear")
DIFFERENCES = ("none", "step", "season")


def names(text: str) -> list[str]:
    """Return the names that a setting lists, separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


@dataclass(frozen=True)
class SeriesConfig(Settings):
    """The columns of the series, and how far ahead to forecast. ``file``: the path of the table; empty for arrays."""

    group = "Series"

    file: str = ""
    target: str = setting("", "Columns to forecast, a series each, separated by commas; by default all others of numbers.")
    by: str = setting("", "Column that names the series of each row; without it, a column is a series.")
    time: str = setting("", "Column with the time of each row: forecasts show it, the model does not read it.")
    covariates: str = setting("", "Columns that are read with each value, separated by commas.")
    ahead: str = setting("", "Columns whose future values are known, read for the whole horizon, separated by commas.")
    inputs: str = setting("", "Columns for the cell's own further inputs: d=gap,c=load+wind.")
    horizon: int = setting(1, "Steps to forecast.", least=1, most=1 << 16)
    season: int = setting(1, "Steps of a season; 1: there is none.", least=1)
    difference: str = setting(
        "none",
        "Learn none (values), step (differences from the previous value) or season (differences from a season before).",
        choices=DIFFERENCES,
    )
    missing: str = setting(
        "refuse",
        "Missing values: refuse them, or read the previous known value or a linear interpolation; they are never targets.",
        choices=MISSING,
    )
    valid: int = setting(
        0, "Steps to validate on, before the test's; 0: a tenth, or the horizon where that is longer.", least=0
    )
    test: int = setting(0, "Last steps, to test on; 0: a tenth, or the horizon where that is longer.", least=0)

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        self.further()
        if self.difference == "season" and self.season == 1:
            raise InputError("`difference` season needs a `season` of 2 steps or more")
        for name in ("valid", "test"):
            if 0 < getattr(self, name) < self.horizon:
                raise InputError(
                    f"`{name}` must be 0, or as long as the `horizon` of {self.horizon}, not {getattr(self, name)}"
                )

    def further(self) -> dict[str, list[str]]:
        """Return the columns of each further input of the cell. Raises InputError where ``inputs`` has another form."""
        found: dict[str, list[str]] = {}
        for part in names(self.inputs):
            name, _, columns = part.partition("=")
            found[name.strip()] = [column.strip() for column in columns.split("+") if column.strip()]
            if not name.strip() or not found[name.strip()]:
                raise InputError(f"`inputs` must be such as d=gap,c=load+wind, not {self.inputs!r}")
        return found

    @property
    def columns(self) -> int:
        """The number of inputs of a step."""
        beside = len(names(self.covariates)) + self.horizon * len(names(self.ahead))
        return 1 + (self.missing != "refuse") + beside

    @property
    def lag(self) -> int:
        """The number of steps back from which differences are taken; 0: there are none."""
        return {"none": 0, "step": 1, "season": self.season}[self.difference]


@dataclass(frozen=True)
class ForecasterConfig(NetworkConfig):
    """The settings of a forecaster's model. Dropout is between layers and on the outputs."""

    embedding: int | None = setting(
        None, "Size of e; by default layers read the columns themselves.", least=1, most=LARGEST_SIZE
    )
    hidden: int = setting(64, "Units of a layer.", least=1, most=LARGEST_SIZE)
    tied: bool = setting(False)
    dropout: float = setting(0.0, "Dropout between layers and on outputs.", least=0, below=1)
    output: str = setting(
        "mixture",
        "Form of a forecast: point (by absolute error), mean (by squared error), quantiles, or mixture (of Gaussians).",
        choices=OUTPUTS,
    )
    levels: str = setting("0.025,0.05,0.1,0.25,0.5,0.75,0.9,0.95,0.975", "Levels of quantiles, 0.5 among them.")
    direct: int = setting(
        0,
        "Last values that also go to the forecast by a linear map, past the recurrent layers; 0: none.",
        least=0,
        most=LARGEST_SIZE,
    )
    components: int = setting(3, "Gaussians of a mixture.", least=1, most=1000)

    def check(self) -> None:
        """Raise InputError for a value that cannot be."""
        super().check()
        self.quantile_levels()

    def quantile_levels(self) -> list[float]:
        """Return the levels of quantiles. Raises InputError where ``levels`` has another form."""
        try:
            found = [float(part) for part in names(self.levels)]
        except ValueError:
            found = []
        if 0.5 not in found or any(not 0 < level < 1 for level in found) or any(a >= b for a, b in pairwise(found)):
            raise InputError(f"`levels` must rise between 0 and 1, with 0.5 among them, not {self.levels!r}")
        return found

    def form(self) -> Output:
        """Return the output distribution of the forecast, with its loss and CRPS."""
        if self.output == "quantiles":
            return Quantiles(self.quantile_levels())
        return Mixture(self.components) if self.output == "mixture" else Point(squared=self.output == "mean")

    def own_cell(self) -> Cell:
        """Return the cell for Recurrent; it may have further inputs.

        Raises:
            InputError: the stored cell is damaged.
            ValueError: no cell has this name.
        """
        if self.cell_data is None:
            return in_sequence(self.cell)
        try:
            return in_sequence(StoredCell(self.cell_data))
        except EquationError as error:
            raise InputError(f"the cell that is kept is none: {error}") from None


@dataclass(frozen=True)
class WindowTraining(ExampleTraining):
    """The settings of training where a row is a window of a series."""

    feed: str = setting("windows", choices=("windows",))
    batch_size: int = setting(32, "Windows of a batch.", least=1)
    length: int = setting(48, "Steps that the model reads before a forecast.", least=1)
    windows: int = setting(640, "Windows drawn in an epoch, rounded up to whole batches.", least=1, most=LARGEST)
    epochs: int = setting(30, "Epochs of `windows` each, in all.", least=1)
    log_every: int = setting(20, "Steps between lines of metrics.jsonl.", least=1)


@dataclass(frozen=True)
class ForecastConfig(RunConfig):
    """The configuration of a forecaster's run; ``config.json``."""

    kind = "forecaster"
    series: SeriesConfig = field(default_factory=SeriesConfig)
    model: ForecasterConfig = field(default_factory=ForecasterConfig)
    training: WindowTraining = field(default_factory=WindowTraining)
