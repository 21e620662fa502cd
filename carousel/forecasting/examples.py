"""Series to begin with, which statsmodels carries along: sunspots, and carbon dioxide at Mauna Loa."""

from __future__ import annotations

from carousel.errors import InputError

NAMES = ("sunspots", "co2")


def example(name: str) -> str:
    """Return a series as CSV.

    Args:
        name: "sunspots", the yearly mean from 1700 to 2008; or "co2", the monthly mean from March 1958 to December 2001 of the
            weekly measurements in parts per million, empty where a month has none.

    Raises:
        InputError: there is no such series, or statsmodels is not installed.
    """
    if name not in NAMES:
        raise InputError(f"there are {' and '.join(NAMES)}, not {name!r}")
    try:
        from statsmodels.datasets import co2, sunspots
    except ImportError:
        raise InputError("the series come with statsmodels: pip install 'carousel-rnn[series]'") from None
    if name == "sunspots":
        data = sunspots.load_pandas().data
        rows = [f"{int(year)},{value}" for year, value in zip(data["YEAR"], data["SUNACTIVITY"], strict=True)]
        return "\n".join(["year,sunspots", *rows]) + "\n"
    weekly = co2.load_pandas().data["co2"]
    monthly = weekly.groupby(weekly.index.strftime("%Y-%m")).mean()
    rows = [f"{month},{'' if value != value else f'{value:.4f}'}" for month, value in monthly.items()]
    return "\n".join(["month,co2", *rows]) + "\n"
