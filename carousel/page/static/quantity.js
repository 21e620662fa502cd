// One quantity of the cell as heat maps over the words, of both runs.

import { isDark } from "./colours.js";
import { isThinned, moveMap, showLegend, showMap } from "./heatmap.js";
import { layerIn, seeIn } from "./layers.js";
import { isOneRun } from "./models.js";
import { orderOf, reachOf, show, written } from "./numbers.js";
import { unitFacts } from "./panels.js";
import { change, state } from "./state.js";

const part = (id) => document.getElementById(id);
const canvasOf = (id) => part(id).querySelector("canvas");
let known = [];
let quantity = null;
let painted = [];

// The chosen quantity of what was read: { name, what, isValve, kind, low, high, units (in the order shown), rows, va, vb }.
// Of another run than A's (isOne false) B's is under b, with a scale of its own, and vb is null.
export function quantityOf(seen) {
  const { a, b, run, other } = seen;
  const asked = [a, b, run, other, state.see, state.layer, state.order];
  if (known.length && asked.every((x, k) => x === known[k])) return quantity;
  known = asked;
  const isOne = !b || isOneRun();
  quantity = { ...quantityIn(run, a, isOne ? b : null), isOne, b: isOne ? null : quantityIn(other, b, null) };
  return quantity;
}

function quantityIn(run, a, b) {
  const [name, layer] = [seeIn(run), layerIn(run)];
  const isValve = a.valves.includes(name);
  const [va, vb] = [a.values[name][layer], b?.values[name][layer] ?? null];
  const units = orderOf(va, state.order);
  const largest = isValve ? 1 : reachOf([...va, ...(vb ?? [])].flat());
  const scale = { kind: isValve ? "sequential" : "diverging", low: isValve ? 0 : -largest, high: largest };
  return { name, what: nameOf(run, name), isValve, ...scale, units, rows: units.map(String), va, vb };
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
    (b ? "A: " : "") + unitFacts(of.va[i], of.isValve) + (b ? `. B: ${unitFacts((of.vb ?? of.b.va)[j], (of.b ?? of).isValve)}` : "");
  const asked = [of, isDark(), state.every, innerWidth, innerHeight];
  if (asked.some((x, k) => x !== painted[k])) {
    painted = asked;
    const what = of.b && of.b.what !== of.what ? `${of.what} (A) and ${of.b.what} (B)` : of.what;
    part("maps-title").textContent = `${what} over the ${run.vocabulary.kind === "word" ? "words" : "pieces"}`;
    showMaps(seen, of);
    part("every-label").hidden = !(state.every || isThinned(canvasOf("map-a")));
  }
  const unit = unitOf(seen);
  const row = unit === null ? null : of.units.indexOf(unit);
  moveMap(canvasOf("map-a"), i, row);
  if (!b) return;
  moveMap(canvasOf("map-b"), j, of.isOne ? row : null);
  if (of.isOne) moveMap(canvasOf("map-d"), state.step, row);
}

function showMaps(seen, of) {
  const { a, b, places } = seen;
  const share = innerWidth < 1000 ? 0.17 : b ? (of.isOne ? 0.155 : 0.2) : 0.245;
  const common = { tall: Math.round(innerHeight * share), every: state.every, current: null };
  const columns = comparedWords(seen);
  const widest = b ? columns.reduce((x, y) => (y.length > x.length ? y : x)) : "";
  const ofB = of.b ?? of;
  part("map-d").hidden = !b || !of.isOne; // units of two runs are not the same ones
  for (const [id, caption, run, own, values, which] of [
    ["map-a", b ? "A" : of.what, a, of, of.va, 0],
    ["map-b", "B", b, ofB, of.vb ?? ofB.va, 1],
  ]) {
    if (!run) continue;
    part(id).firstChild.textContent = b ? (of.isOne ? caption : `${caption}: ${own.what}`) : "";
    canvasOf(id).setAttribute("aria-label", mapSays(`${caption}: ${own.what}`));
    showMap(canvasOf(id), {
      ...common,
      rows: own.rows,
      columns: run.words,
      widest,
      kind: own.kind,
      low: own.low,
      high: own.high,
      run: "ab"[which],
      value: (r, k) => values[k][own.units[r]],
      say: (r, k) => `“${run.words[k]}”, unit ${own.units[r]}: ${show(values[k][own.units[r]], 3)}`,
      choose: (k, r) =>
        change({ step: places.findIndex((p) => p[which] === k), ...(which && !of.isOne ? {} : { unit: own.units[r] }) }),
    });
  }
  const scale = ({ kind, low, high }, label) => ({ label, kind, low, high });
  const legends = of.isOne ? [scale(of, b ? "A and B" : of.name)] : [scale(of, `A: ${of.name}`), scale(ofB, `B: ${ofB.name}`)];
  if (b && of.isOne) {
    const at = differenceOf(of, places);
    const high = reachOf(places.flatMap((_, k) => of.units.map((_, r) => at(r, k) ?? 0)));
    const difference = { kind: "diverging", low: -high, high };
    part("map-d").firstChild.textContent = "B − A";
    canvasOf("map-d").setAttribute("aria-label", mapSays("Difference, B minus A"));
    showMap(canvasOf("map-d"), {
      ...common,
      ...difference,
      rows: of.rows,
      columns,
      run: "d",
      value: at,
      say: (r, k) => `“${columns[k]}”, unit ${of.units[r]}: B − A = ${at(r, k) === null ? "–" : show(at(r, k), 3)}`,
      choose: (k, r) => change({ step: k, unit: of.units[r] }),
    });
    legends.push({ label: "B − A", ...difference });
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
