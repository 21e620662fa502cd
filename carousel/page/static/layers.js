// Layers as the page counts them: a row of values for each, or two where a translator's encoder reads in both directions.

export const rowsOf = ({ layers, directions }) =>
  Array.from({ length: layers * directions }, (_, row) =>
    directions < 2 ? `${row}` : `${Math.floor(row / directions)}, ${row % directions ? "backwards" : "forwards"}`,
  );

// Clamps with the numbers of rows in the place of those of layers, as they hold in the chosen row.
export const inRow = (clamps, { directions }, row) =>
  clamps.map((clamp) => ({ ...clamp, layer: clamp.layer === null ? null : clamp.layer * directions + (row % directions) }));
