// One quantity of the cell, as a strip of its units at a word and as heat maps over the words, of both runs.

import { showLegend, showMap } from "./heatmap.js";
import { orderOf, reachOf, show, written } from "./numbers.js";
import { showStrip, stripFacts } from "./panels.js";
import { change, state } from "./state.js";

const part = (id) => document.getElementById(id);

// What is seen of it at the words i of A and j of B.
export function showQuantity(seen, i, j) {
  const { a, b, places, run: of } = seen;
  const name = state.see;
  const isValve = a.valves.includes(name);
  const [va, vb] = [a.values[name][state.layer], b?.values[name][state.layer]];
  const units = orderOf(va, state.order);
  const largest = reachOf([...va, ...(vb ?? [])].flat());
  const [low, high] = isValve ? [0, 1] : [-largest, largest];
  const what = nameOf(of, name);
  part("chosen-title").textContent = `${what} at “${written(a.words[i])}”${b ? ", A and B" : ""}`;
  part("chosen-facts").textContent =
    (b ? "A: " : "") + stripFacts(va[i], isValve) + (b ? `. B: ${stripFacts(vb[j], isValve)}` : "");
  const lowest = Math.min(0, ...va[i], ...(vb?.[j] ?? [])) < 0 ? low : 0;
  showStrip(part("strip"), b ? [va[i], vb[j]] : [va[i]], units, lowest, high);
  part("strip").setAttribute("aria-label", `${what}, each unit: ${part("chosen-facts").textContent}`);
  part("maps-title").textContent = `${what} over the ${of.vocabulary.kind === "word" ? "words" : "pieces"}`;
  part("clamp-title").textContent = `Clamp ${name}`;
  const kind = isValve ? "sequential" : "diverging";
  const rows = units.map(String);
  const widest = b ? comparedWords(seen).reduce((x, y) => (y.length > x.length ? y : x)) : "";
  const show1 = (id, caption, run, values, run_, at) => {
    part(id).firstChild.textContent = caption;
    const canvas = part(id).querySelector("canvas");
    canvas.setAttribute("aria-label", `${caption}: ${what}, words across, units down. Arrow keys read a value.`);
    showMap(canvas, {
      columns: run.words,
      widest,
      rows,
      kind,
      low,
      high,
      current: at,
      value: (r, k) => values[k][units[r]],
      say: (r, k) => `“${run.words[k]}”, unit ${units[r]}: ${show(values[k][units[r]], 3)}`,
      choose: (k) => change({ step: places.findIndex((p) => p[run_] === k) }),
    });
  };
  show1("map-a", b ? "A" : what, a, va, 0, i);
  const legends = [{ label: b ? "A and B" : name, kind, low, high }];
  if (b) {
    show1("map-b", "B", b, vb, 1, j);
    legends.push({ label: "B − A", kind: "diverging", ...showDifference(seen, va, vb, units, rows) });
  }
  showLegend(part("legend"), legends);
}

function comparedWords({ a, b, places }) {
  return places.map(([i, j]) =>
    i === null ? b.words[j] : j === null || a.words[i] === b.words[j] ? a.words[i] : `${a.words[i]}/${b.words[j]}`,
  );
}

function showDifference(seen, va, vb, units, rows) {
  const { places } = seen;
  const at = (r, k) =>
    places[k][0] === null || places[k][1] === null ? null : vb[places[k][1]][units[r]] - va[places[k][0]][units[r]];
  const columns = comparedWords(seen);
  const high = reachOf(places.flatMap((_, k) => units.map((_, r) => at(r, k) ?? 0)));
  part("map-d").firstChild.textContent = "Difference, B − A";
  const canvas = part("map-d").querySelector("canvas");
  canvas.setAttribute("aria-label", "Difference, B minus A: words across, units down. Arrow keys read a value.");
  showMap(canvas, {
    columns,
    rows,
    kind: "diverging",
    low: -high,
    high,
    current: state.step,
    value: at,
    say: (r, k) => `“${columns[k]}”, unit ${units[r]}: B − A = ${at(r, k) === null ? "–" : show(at(r, k), 3)}`,
    choose: (k) => change({ step: k }),
  });
  return { low: -high, high };
}

// In words, for the letters that the lectures use.
export function nameOf({ valves, states }, name) {
  const meanings = { i: "input", f: "forget", o: "output", h: "memory", m: "message", r: "reset", z: "update" };
  const what = valves.includes(name) ? "valve" : states.includes(name) ? "" : "quantity";
  const known = valves.length || name === "h" ? meanings[name] : undefined;
  return [known ? known[0].toUpperCase() + known.slice(1) : "", what, name].filter(Boolean).join(" ");
}
