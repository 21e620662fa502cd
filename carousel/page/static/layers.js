// Layers as the page counts them: a row of values for each, or two where a translator's encoder reads in both directions;
// and what is seen of a run that lacks the chosen quantity or layer.

import { state } from "./state.js";

export const rowsOf = ({ layers, directions }) =>
  Array.from({ length: layers * directions }, (_, row) =>
    directions < 2 ? `${row}` : `${Math.floor(row / directions)}, ${row % directions ? "backwards" : "forwards"}`,
  );

// Clamps with the numbers of rows in the place of those of layers, as they hold in the chosen row.
export const inRow = (clamps, { directions }, row) =>
  clamps.map((clamp) => ({ ...clamp, layer: clamp.layer === null ? null : clamp.layer * directions + (row % directions) }));

const usual = ({ states }) => (states.includes("h") ? "h" : states.at(-1));
export const seeIn = (run) => (run.names.includes(state.see) ? state.see : usual(run));
export const layerIn = (run) => Math.min(state.layer, run.layers * run.directions - 1);
