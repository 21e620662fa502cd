"""Cells of papers, by name; each a few lines of equations, with the paper and where in it they stand."""

from carousel.cells.papers.branched import (
    child_sum_lstm,
    grid_lstm,
    mdlstm,
    mdlstm_3,
    nary_tree_lstm,
    recursive,
    stable_mdlstm,
    tree_lstm,
)
from carousel.cells.papers.delayed import dilated_lstm, higher_order, horn, lstm_dilated, narx
from carousel.cells.papers.dynamical import (
    antisymmetric_gated,
    antisymmetric_rnn,
    cfc,
    cornn,
    coupled_oscillators,
    legendre_memory,
    lem,
    lipschitz,
    lipschitz_rnn,
    liquid,
    lmu,
    ltc,
)
from carousel.cells.papers.gated import atr, brc, cfn, intersection_rnn, mgu, minimal_rnn, mut1, mut2, mut3, nbrc, star, ugrnn
from carousel.cells.papers.linear import gilr, min_gru, min_lstm, qrnn, sru, t_rnn
from carousel.cells.papers.memories import janet, mogrifier, mogrifier_lstm, multiplicative_lstm, nas, ran, slstm, sub_lstm
from carousel.cells.papers.noisy import (
    gru_recurrent_dropout,
    gru_zoneout,
    lstm_layer_norm_zoneout,
    lstm_recurrent_dropout,
    lstm_variational,
    lstm_zoneout,
)
from carousel.cells.papers.normalised import gru_layer_norm, lstm_layer_norm
from carousel.cells.papers.plain import fast_grnn, fast_rnn, ind_rnn, multiplicative_rnn, recurrent_highway, rhn, scrn
from carousel.cells.papers.timed import (
    attention_gru,
    augru,
    contextual_lstm,
    gru_d,
    neural_hawkes,
    phased_lstm,
    t_lstm,
    time_lstm,
)
from carousel.equations import Cell

# By family: what remembers, and how it is guarded.
FAMILIES: dict[str, dict[int, tuple[Cell, ...]]] = {
    "simple": {
        1996: (narx,),
        2011: (multiplicative_rnn,),
        2015: (scrn,),
        2016: (horn,),
        2017: (rhn,),
        2018: (ind_rnn, fast_rnn, fast_grnn),
    },
    "gated": {
        2015: (mut1, mut2, mut3),
        2016: (mgu, gru_layer_norm, gru_recurrent_dropout),
        2017: (cfn, minimal_rnn, ugrnn, intersection_rnn, gru_zoneout),
        2018: (atr,),
        2021: (brc, nbrc, star),
    },
    "memory": {
        2016: (multiplicative_lstm, lstm_layer_norm, lstm_recurrent_dropout, lstm_variational),
        2017: (nas, ran, sub_lstm, lstm_dilated, lstm_zoneout, lstm_layer_norm_zoneout),
        2018: (janet,),
        2020: (mogrifier,),
        2024: (slstm,),
    },
    "linear": {2016: (t_rnn,), 2017: (qrnn,), 2018: (gilr, sru), 2024: (min_gru, min_lstm)},
    "dynamical": {
        2019: (antisymmetric_rnn, antisymmetric_gated, lmu),
        2021: (cornn, lipschitz_rnn, ltc),
        2022: (lem, cfc),
    },
    "told": {
        2016: (phased_lstm, attention_gru, contextual_lstm),
        2017: (time_lstm, t_lstm, neural_hawkes),
        2018: (gru_d,),
        2019: (augru,),
    },
}
PAPERS: dict[str, Cell] = {c.name: c for years in FAMILIES.values() for cells in years.values() for c in cells}

# Those whose steps follow several, of which layers are grids and trees.
YEARS: dict[int, tuple[Cell, ...]] = {
    2007: (mdlstm, mdlstm_3),
    2011: (recursive,),
    2015: (tree_lstm, child_sum_lstm),
    2016: (stable_mdlstm, grid_lstm),
}
BRANCHED: dict[str, Cell] = {c.name: c for cells in YEARS.values() for c in cells}

__all__ = [
    "BRANCHED",
    "FAMILIES",
    "PAPERS",
    "YEARS",
    "coupled_oscillators",
    "dilated_lstm",
    "higher_order",
    "legendre_memory",
    "lipschitz",
    "liquid",
    "mogrifier_lstm",
    "nary_tree_lstm",
    "recurrent_highway",
]
