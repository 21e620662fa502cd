// What is held: quantities of a cell, at a number or at one for each unit, for some units, steps and layers.

// Throws for what the cell does not have.
function check({ names, count: layers, sizes = Array(layers).fill(names) }, { name, value, units = null, layer = null }) {
  if (!(name in names)) throw new Error(`the cell has nothing called '${name}' to clamp; it has ${Object.keys(names).join(", ")}`);
  if (layer !== null && !(layer >= 0 && layer < layers)) throw new Error(`there is no layer ${layer} to clamp ${name} in; layers are 0 to ${layers - 1}`);
  const lengths = (layer === null ? sizes : [sizes[layer]]).map((each) => each[name]);
  const least = Math.min(...lengths);
  for (const unit of units ?? [])
    if (!(unit >= 0 && unit < least)) throw new Error(`${name} has no unit ${unit} to clamp; units are 0 to ${least - 1}`);
  const many = Array.isArray(value) || ArrayBuffer.isView(value);
  if (![...(many ? value : [value])].every(Number.isFinite)) throw new Error(`${name} is clamped at a number, not ${value}`);
  for (const count of units === null ? lengths : [units.length])
    if (many && value.length !== count) throw new Error(`${name} is clamped at ${value.length} values, expected ${count}`);
}

// Holds one layer's units at a step, or where several are one, from that to the last; heldOf(name): the array of the values at
// which they are held.
function hold(clamps, step, layer, heldOf, last = step) {
  for (const name of new Set(clamps.map((clamp) => clamp.name))) heldOf(name).fill(NaN);
  for (const { name, value, units = null, from = 0, to = null, layer: only = null } of clamps) {
    if ((only !== null && only !== layer) || last < from || (to !== null && step >= to)) continue;
    const held = heldOf(name);
    for (const [k, unit] of (units ?? [...held.keys()]).entries()) held[unit] = value.length ? value[k] : value;
  }
}
