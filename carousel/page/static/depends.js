// Which words each word depends on: a map of word × word; the word whose error flows back is chosen here.

import { askConnectivity } from "./api.js";
import { asking } from "./asking.js";
import { askedClamps } from "./clamping.js";
import { showLegend, showMap } from "./heatmap.js";
import { modelOfB } from "./models.js";
import { reachOf, show, written } from "./numbers.js";
import { state } from "./state.js";

// The number of the word whose error it is; null for the last.
export const endOf = (asked, run) => (asked !== null && asked > 0 && asked < run.words.length ? asked : null);

let parts = null;

function build() {
  const flow = document.querySelector("#view-flow .flow");
  flow.querySelector("h2").textContent = "How the error of a word flows back";
  const chooser = document.createElement("label");
  chooser.innerHTML = "Word <select id=flow-end></select>";
  flow.querySelector("h2").after(chooser);
  const card = document.createElement("section");
  card.className = "card flow";
  card.innerHTML = `<h2>Which words each word depends on</h2>
    <p class=muted>A row is a word, a column a word before it: the size of the derivative of the row's log-odds by what was there.</p>
    <div class=controls><label>By <select id=depends-name></select></label> <label id=depends-label>Run <select id=depends-run><option>A<option>B</select></label></div>
    <p id=depends-says class=message role=alert hidden></p>
    <div id=depends-shown><div class=scroll><canvas id=depends tabindex=0 role=application aria-roledescription="heat map" aria-label="How strongly each word depends on each word before it"></canvas></div>
    <p class=readout aria-live=polite></p><div id=depends-legend class=legend></div></div>`;
  flow.after(card);
  const $ = (id) => document.getElementById(id);
  const named = { end: "flow-end", name: "depends-name", run: "depends-run", label: "depends-label", map: "depends", legend: "depends-legend" };
  const built = { card, ...Object.fromEntries(Object.entries(named).map(([part, id]) => [part, $(id)])) };
  built.questions = asking((line) => {
    $("depends-says").textContent = line;
    $("depends-says").hidden = line === "";
    $("depends-shown").hidden = line !== "";
  });
  return built;
}

export function showDepends(seen, end, choose) {
  parts ??= build();
  const { words } = seen.a;
  parts.end.replaceChildren(...words.slice(1).map((w, k) => new Option(`${k + 1}: ${written(w)}`, k + 1)));
  parts.end.value = end ?? words.length - 1;
  parts.end.onchange = () => choose(Number(parts.end.value));
  parts.label.hidden = !seen.b;
  if (!seen.b) parts.run.value = "A";
  const most = seen.run.limits.map;
  parts.card.hidden = words.length > most || (seen.b?.words.length ?? 0) > most;
  if (parts.card.hidden) return;
  const again = () => {
    offerNames(parts.run.value === "B" ? seen.other : seen.run);
    ask();
  };
  parts.name.onchange = ask;
  parts.run.onchange = again;
  again();
}

function offerNames({ states, valves }) {
  const names = ["input", ...[...states].reverse(), ...valves];
  const { value } = parts.name;
  parts.name.replaceChildren(...names.map((n) => new Option(n, n)));
  if (names.includes(value)) parts.name.value = value;
}

function ask() {
  const isB = parts.run.value === "B";
  const name = parts.name.value;
  const asked = isB ? [state.other ?? state.text, name, askedClamps(), modelOfB()] : [state.text, name, [], state.model];
  parts.questions.ask(
    () => askConnectivity(...asked),
    (found) => fill(found, name),
  );
}

function fill(found, name) {
  const layer = Math.min(state.layer, found.size[name].length - 1);
  const sizes = found.size[name][layer];
  const high = reachOf(sizes.flat().filter((x) => x !== null));
  const rows = found.ends.map((end) => written(found.words[end]));
  showLegend(parts.legend, [{ label: `|∂L/∂${name}|${found.size[name].length > 1 ? `, layer ${layer}` : ""}`, kind: "sequential", low: 0, high }]);
  showMap(parts.map, {
    columns: found.words.slice(0, -1),
    rows,
    wide: true,
    kind: "sequential",
    low: 0,
    high,
    current: null,
    value: (r, c) => sizes[r][c] ?? 0,
    say: (r, c) => (sizes[r][c] === null ? "" : `“${rows[r]}” by “${written(found.words[c])}”: ${show(sizes[r][c], 3)}`),
    choose: () => {},
  });
}
