// Small arithmetic on what was read.

// Units that one of a translator's networks lacks are null, and so is their mean.
export const mean = (xs) => (xs[0] === null ? null : xs.reduce((a, b) => a + b, 0) / xs.length);
export const show = (x, digits = 2) => {
  if (x === null) return "–";
  if (Math.abs(x) >= 1e5) return x.toExponential(1).replace("e+", "e").replace("-", "−");
  return (Math.abs(x) < 0.5 * 10 ** -digits ? 0 : x).toFixed(digits).replace("-", "−");
};
export const signed = (x, digits = 2) => (x >= 0.5 * 10 ** -digits ? "+" : "") + show(x, digits);
export const percent = (p) => (p >= 0.0995 ? `${Math.round(p * 100)} %` : p >= 0.001 ? `${(p * 100).toFixed(1)} %` : "< 0.1 %");

// A word as one would print it: blanks and ends of lines can be seen.
export const written = (word) => (word === " " ? "␣" : word === "\n" || word === "<eos>" ? "¶" : word);

// How far a scale reaches: to the largest size, unless a few are so much larger that nothing else would be seen.
export function reachOf(xs) {
  const sizes = Float64Array.from(xs, Math.abs).sort();
  const [most, nearly] = [sizes.at(-1), sizes[Math.floor(0.98 * (sizes.length - 1))]];
  return Math.max(0.01, most > 3 * nearly && nearly > 0 ? nearly : most);
}

// Units in the order of how much they move over the words, or by their number.
export function orderOf(rows, order) {
  const units = [...rows[0].keys()];
  if (order === "index") return units;
  const there = rows.filter((r) => r[0] !== null);
  const spread = units.map((u) => {
    const middle = mean(there.map((r) => r[u]));
    return mean(there.map((r) => (r[u] - middle) ** 2));
  });
  return units.sort((a, b) => spread[b] - spread[a] || a - b);
}

// Which words of two runs stand for each other: [a, b], null where one has none.
export function align(a, b) {
  if (!b || a.length === b.length) return a.map((_, k) => [k, b ? k : null]);
  const shorter = Math.min(a.length, b.length);
  let head = 0,
    tail = 0;
  while (head < shorter && a[head] === b[head]) head += 1;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const found = [];
  for (let k = 0; k < head; k += 1) found.push([k, k]);
  const [restA, restB] = [a.length - head - tail, b.length - head - tail];
  for (let k = 0; k < Math.max(restA, restB); k += 1) found.push([k < restA ? head + k : null, k < restB ? head + k : null]);
  for (let k = tail; k > 0; k -= 1) found.push([a.length - k, b.length - k]);
  return found;
}

// The same where a sentence was read, in its first a.source entries, and another written: each part for itself.
export function alignRuns(a, b) {
  if (a.source === undefined || !b) return align(a.words, b?.words);
  const written = align(a.words.slice(a.source), b.words.slice(b.source));
  const later = (k, by) => (k === null ? null : k + by);
  return [
    ...align(a.words.slice(0, a.source), b.words.slice(0, b.source)),
    ...written.map(([i, j]) => [later(i, a.source), later(j, b.source)]),
  ];
}

// The word of a run (0: A, 1: B) that is seen at a place, or the last before it.
export function wordAt(places, place, run) {
  for (let k = Math.min(place, places.length - 1); k >= 0; k -= 1) if (places[k][run] !== null) return places[k][run];
  return 0;
}

// "0, 3, 5-9" as numbers; null for all. Throws for anything else.
export function unitsOf(text, most) {
  const asked = text.trim();
  if (!asked || asked === "all") return null;
  const found = new Set();
  for (const part of asked.split(",")) {
    const [, from, to] = part.trim().match(/^(\d+)(?:\s*[-–]\s*(\d+))?$/) ?? [];
    if (from === undefined || Number(to ?? from) >= most || Number(to ?? from) < Number(from))
      throw new Error(`Units are numbers from 0 to ${most - 1}, such as 0, 3, 5-9; or leave it empty for all.`);
    for (let u = Number(from); u <= Number(to ?? from); u += 1) found.add(u);
  }
  return [...found];
}
