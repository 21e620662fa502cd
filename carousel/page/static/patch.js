// Activation patching: which units of A, put into B while one word is read, make B foretell as A does.

import { askPatch } from "./api.js";
import { asking } from "./asking.js";
import { showLegend, showMap } from "./heatmap.js";
import { show, signed, written } from "./numbers.js";
import { state } from "./state.js";

let parts = null;

function build() {
  const card = document.createElement("section");
  card.className = "card flow";
  card.innerHTML = `<h2>Which units carry the difference</h2>
    <p class=muted>Values of A are put into B while one word is read: how much of the difference between the two predictions comes along. By hand: drag a column of A's heat map onto a word of B.</p>
    <p><button type=button id=patch-go>Find the units</button></p>
    <p id=patch-says aria-live=polite></p>
    <div id=patch-found hidden>
      <h3>All units of each quantity</h3>
      <div class=scroll><canvas id=patch-all tabindex=0 role=application aria-roledescription="heat map" aria-label="Share of the difference by quantity and word"></canvas></div>
      <h3 id=patch-title></h3>
      <div class=scroll><canvas id=patch-units tabindex=0 role=application aria-roledescription="heat map" aria-label="Share of the difference by units and word"></canvas></div>
      <p class=readout aria-live=polite></p>
      <div id=patch-legend class=legend></div>
    </div>`;
  document.getElementById("changes").after(card);
  const $ = (id) => document.getElementById(id);
  const named = { go: "patch-go", says: "patch-says", found: "patch-found", all: "patch-all", title: "patch-title" };
  const made = Object.entries({ ...named, units: "patch-units", legend: "patch-legend" }).map(([part, id]) => [part, $(id)]);
  const built = { card, ...Object.fromEntries(made) };
  built.go.addEventListener("click", find);
  built.questions = asking((line) => {
    built.says.textContent = line;
    built.go.disabled = false;
  });
  return built;
}

// Where B reads other words than A with the same model; valves that are held are left out.
export function offerPatch(isOffered) {
  if (!isOffered && !parts) return;
  parts ??= build();
  parts.card.hidden = !isOffered;
  parts.found.hidden = true;
  parts.says.textContent = "";
  parts.go.disabled = false;
  parts.questions.drop(); // what was asked was about other words
}

function find() {
  const { text, other, see, layer, model } = state;
  parts.go.disabled = true;
  parts.found.hidden = true;
  parts.says.textContent = "Searching …";
  parts.questions.ask(() => askPatch(text, other, see, layer, model), fill);
}

function fill(found) {
  const [a, b] = found.answers.map((word) => `“${written(word)}”`);
  const [brought, count] = [found.curve.at(-1), found.units.length];
  const many = found.quantities.some(({ layer }) => layer > 0);
  const columns = found.b.map((word, k) => (word === found.a[k] ? word : `${found.a[k].trim()} / ${word.trim()}`));
  parts.found.hidden = false;
  parts.says.textContent =
    `${a} is likelier than ${b} by ${signed(found.log_odds_bits[0], 1)} bits in A and by ${signed(found.log_odds_bits[1], 1)} in B. ` +
    `${count} unit${count > 1 ? "s" : ""} of ${found.name}, put in at ${written(columns[found.word])}: ${show(100 * brought, 0)} % of the difference.`;
  parts.title.textContent = `Units of ${found.name}${many ? `, layer ${found.layer}` : ""}, in the order in which they were found`;
  const last = found.groups.length - 1;
  const groups = found.groups.map((units, k) =>
    k < last - 1 ? units.join(" ") : k < last ? `the other ${units.length}` : `all ${units.length}`,
  );
  const map = (canvas, rows, shares) =>
    showMap(canvas, {
      columns,
      rows,
      wide: true,
      kind: "sequential",
      low: 0,
      high: 1,
      current: null,
      value: (r, c) => shares[r][c],
      say: (r, c) => `${rows[r]}, at ${written(columns[c])}: ${show(100 * shares[r][c], 0)} % of the difference`,
    });
  map(parts.all, found.quantities.map(({ name, layer }) => (many ? `${name}, layer ${layer}` : name)), found.by_quantity);
  map(parts.units, groups, found.by_group);
  showLegend(parts.legend, [{ label: "share of the difference", kind: "sequential", low: 0, high: 1 }]);
}
