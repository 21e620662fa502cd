// One quantity of the cell as heat maps over the words, of both runs.

import { isDark } from "./colours.js";
import { isThinned, moveMap, showLegend, showMap } from "./heatmap.js";
import { orderOf, reachOf, show, written } from "./numbers.js";
import { unitFacts } from "./panels.js";
import { change, state } from "./state.js";

const part = (id) => document.getElementById(id);
const canvasOf = (id) => part(id).querySelector("canvas");
let known = [];
let quantity = null;
let painted = [];

// The chosen quantity of what was read: { name, what, isValve, kind, low, high, units (in the order shown), rows, va, vb }.
export function quantityOf(seen) {
  const { a, b, run } = seen;
  const asked = [a, b, state.see, state.layer, state.order];
  if (known.length && asked.every((x, k) => x === known[k])) return quantity;
  known = asked;
  const name = state.see;
  const isValve = a.valves.includes(name);
  const [va, vb] = [a.values[name][state.layer], b?.values[name][state.layer] ?? null];
  const units = orderOf(va, state.order);
  const largest = isValve ? 1 : reachOf([...va, ...(vb ?? [])].flat());
  const scale = { kind: isValve ? "sequential" : "diverging", low: isValve ? 0 : -largest, high: largest };
  quantity = { name, what: nameOf(run, name), isValve, ...scale, units, rows: units.map(String), va, vb };
  return quantity;
}

// The chosen unit, or null where the quantity has no such one.
export function unitOf(seen) {
  return state.unit !== null && state.unit < quantityOf(seen).units.length ? state.unit : null;
}

// What is seen of it at the words i of A and j of B.
export function showQuantity(seen, i, j) {
  const { a, b, run } = seen;
  const of = quantityOf(seen);
  part("chosen-title").textContent = `at “${written(a.words[i])}”`;
  part("chosen-facts").textContent =
    (b ? "A: " : "") + unitFacts(of.va[i], of.isValve) + (b ? `. B: ${unitFacts(of.vb[j], of.isValve)}` : "");
  const asked = [of, isDark(), state.every, innerWidth, innerHeight];
  if (asked.some((x, k) => x !== painted[k])) {
    painted = asked;
    part("maps-title").textContent = `${of.what} over the ${run.vocabulary.kind === "word" ? "words" : "pieces"}`;
    showMaps(seen, of);
    part("every-label").hidden = !(state.every || isThinned(canvasOf("map-a")));
  }
  const unit = unitOf(seen);
  const row = unit === null ? null : of.units.indexOf(unit);
  moveMap(canvasOf("map-a"), i, row);
  if (!b) return;
  moveMap(canvasOf("map-b"), j, row);
  moveMap(canvasOf("map-d"), state.step, row);
}

function showMaps(seen, of) {
  const { a, b, places } = seen;
  const share = innerWidth < 1000 ? 0.17 : b ? 0.155 : 0.245;
  const common = { rows: of.rows, tall: Math.round(innerHeight * share), every: state.every, current: null };
  const columns = comparedWords(seen);
  const widest = b ? columns.reduce((x, y) => (y.length > x.length ? y : x)) : "";
  for (const [id, caption, run, values, which] of [
    ["map-a", b ? "A" : of.what, a, of.va, 0],
    ["map-b", "B", b, of.vb, 1],
  ]) {
    if (!run) continue;
    part(id).firstChild.textContent = b ? caption : "";
    canvasOf(id).setAttribute("aria-label", mapSays(`${caption}: ${of.what}`));
    showMap(canvasOf(id), {
      ...common,
      columns: run.words,
      widest,
      kind: of.kind,
      low: of.low,
      high: of.high,
      run: "ab"[which],
      value: (r, k) => values[k][of.units[r]],
      say: (r, k) => `“${run.words[k]}”, unit ${of.units[r]}: ${show(values[k][of.units[r]], 3)}`,
      choose: (k, r) => change({ step: places.findIndex((p) => p[which] === k), unit: of.units[r] }),
    });
  }
  const legends = [{ label: b ? "A and B" : of.name, kind: of.kind, low: of.low, high: of.high }];
  if (b) {
    const at = differenceOf(of, places);
    const high = reachOf(places.flatMap((_, k) => of.units.map((_, r) => at(r, k) ?? 0)));
    const scale = { kind: "diverging", low: -high, high };
    part("map-d").firstChild.textContent = "B − A";
    canvasOf("map-d").setAttribute("aria-label", mapSays("Difference, B minus A"));
    showMap(canvasOf("map-d"), {
      ...common,
      ...scale,
      columns,
      run: "d",
      value: at,
      say: (r, k) => `“${columns[k]}”, unit ${of.units[r]}: B − A = ${at(r, k) === null ? "–" : show(at(r, k), 3)}`,
      choose: (k, r) => change({ step: k, unit: of.units[r] }),
    });
    legends.push({ label: "B − A", ...scale });
  }
  showLegend(part("legend"), legends);
}

const mapSays = (what) => `${what}, words across, units down. Arrow keys read a value, Enter chooses the unit.`;

function comparedWords({ a, b, places }) {
  return places.map(([i, j]) =>
    i === null ? b.words[j] : j === null || a.words[i] === b.words[j] ? a.words[i] : `${a.words[i]}/${b.words[j]}`,
  );
}

function differenceOf({ va, vb, units }, places) {
  return (r, k) => {
    const [i, j] = places[k];
    return i === null || j === null ? null : vb[j][units[r]] - va[i][units[r]];
  };
}

// In words, for the letters that the lectures use.
export function nameOf({ valves, states }, name) {
  const meanings = { i: "input", f: "forget", o: "output", h: "memory", m: "message", r: "reset", z: "update" };
  const what = valves.includes(name) ? "valve" : states.includes(name) ? "" : "quantity";
  const meaning = valves.length || name === "h" ? meanings[name] : undefined;
  return [meaning ? meaning[0].toUpperCase() + meaning.slice(1) : "", what, name].filter(Boolean).join(" ");
}
