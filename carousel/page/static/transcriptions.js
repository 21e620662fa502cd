// The page of a transcriber: the spikes of an example, and the memory that fills while it is read.

import { askExample, askMemory } from "./api.js";
import { asking } from "./asking.js";
import { $, MAP, listenToChoices, listenToLevels, offerDirections, say, scaleOf, showChoices, titleOf, verdictOf } from "./examples.js";
import { GridView } from "./gridview.js";
import { moveMap, showLegend, showMap } from "./heatmap.js";
import { orderOf, percent, show } from "./numbers.js";
import { SpikesView } from "./spikesview.js";
import { change, state, whenChanged } from "./state.js";
import { make } from "./tables.js";

const [NAMED, LEAST] = [4, 0.001]; // labels of a step that are told: how many, and how likely

export const cards = `
  <section class="card seen" aria-labelledby="spikes-title">
    <div class="heading">
      <h2 id="spikes-title">Where it sees each label</h2>
      <p class="facts key"><span class="blank-key">blank</span> <span>a colour for each label; shaded are its steps on the likeliest path</span></p>
    </div>
    <div id="spikes" class="scroll spikes" tabindex="0" role="application" aria-roledescription="chart" aria-label="The input, the probability of each label over its steps, and the transcription. Arrow keys read a step."></div>
    <p id="at-step" class="readout" aria-live="polite"></p>
  </section>

  <section class="card memory" aria-labelledby="memory-title">
    <div class="heading">
      <h2 id="memory-title">Memory</h2>
      <div id="legend" class="legend"></div>
    </div>
    <div id="of-memory"></div>
    <p id="grown" class="facts"></p>
    <div id="pictures" class="pictures"></div>
    <div id="units">${MAP}</div>
  </section>`;

export const steps = {
  all: "Step through the reading",
  level: "Step",
  first: "The first step",
  back: "Step before",
  on: "Step after",
  last: "The last step",
};

const READS = { grid: "It scans images from their corners.", columns: "It reads images column by column.", series: "It reads series." };
export const saysOf = (run) => READS[run.reads];

const examples = asking(say);
const memories = asking(say);
const seen = { run: null, found: null, memory: null, of: null, unit: null, steps: 1 };
let [spikes, grid] = [null, null]; // the drawings

const isGrid = () => seen.run.reads === "grid";
const isImage = () => seen.run.reads !== "series";
const levelOf = () => Math.min(state.level ?? Infinity, seen.steps - 1);

function read() {
  const { part, number } = state;
  if (part === null) return say("This run has no data of its own, so that there is no example to show.");
  document.body.classList.add("busy");
  examples.ask(
    () => askExample({ part, number }, state.model).finally(() => document.body.classList.remove("busy")),
    (found) => {
      Object.assign(seen, { found, memory: null });
      $("number").max = found.count - 1;
      showVerdict();
      spikes.draw(found, isImage());
      readMemory();
    },
  );
}

function readMemory() {
  const { part, number, see: name, layer, unit } = state;
  const asked = { part, number, name, layer };
  memories.ask(() => askMemory(isGrid() && unit !== null ? { ...asked, unit } : asked, state.model), (memory) => {
    Object.assign(seen, { memory });
    showMemory();
  });
}

function showVerdict() {
  const { text, meant } = seen.found;
  const parts = [make("span", { textContent: "read " }), make("b", { textContent: text || "nothing" })];
  if (meant !== null) parts.push(verdictOf(text, meant));
  $("verdict").replaceChildren(...parts);
}

function showMemory() {
  const { run, memory, found } = seen;
  if (!memory) return;
  const { values } = memory;
  const name = titleOf(run, state.see);
  seen.steps = isGrid() ? values[0].length + values[0][0].length - 1 : values[0].length;
  $("level").max = seen.steps - 1;
  if (isGrid()) {
    seen.unit = memory.unit;
    seen.scale = scaleOf(run, state.see, values.flat(2));
    const scans = run.directions.map((corner, k) => ({ corner, values: values[k] }));
    const chosen = scans.filter(({ corner }) => state.corner === null || corner === state.corner);
    grid.draw(found.picture, chosen, seen.scale, `${name}, unit ${seen.unit}`);
  } else showUnits(name);
  $("memory-title").textContent = `${name}, unit ${seen.unit}`;
  showLegend($("legend"), [{ label: state.see, ...seen.scale }]);
  const most = values.flat(2).reduce((x, y) => Math.max(x, Math.abs(y)), 0);
  $("grown").textContent = most > 2 * seen.scale.high ? `Values reach ${show(most)}; colours end at ${show(seen.scale.high)}.` : "";
  showChoices(run, seen.unit);
  $("corner").value = state.corner ?? (isGrid() ? "" : run.directions[0]);
  showLevel();
}

// Of a sequence, all units over the steps, in one direction.
function showUnits(name) {
  const { run, memory } = seen;
  const way = Math.max(run.directions.indexOf(state.corner), 0);
  const values = memory.values[way];
  const units = (seen.units = orderOf(values, "variance"));
  seen.unit = state.unit ?? units[0];
  seen.scale = scaleOf(run, state.see, values.flat());
  const map = $("map");
  map.setAttribute("aria-label", `${name}, ${run.directions[way]}: steps across, units down. Arrow keys read a value, Enter chooses the unit.`);
  showMap(map, {
    ...seen.scale,
    ...{ columns: values.map((_, t) => String(t)), rows: units.map(String), tall: 300, current: null },
    value: (r, c) => values[c][units[r]],
    say: (r, c) => `step ${c}, unit ${units[r]}: ${show(values[c][units[r]], 3)}`,
    choose: (c, r) => change({ unit: units[r] }),
  });
}

function showLevel() {
  const { found, memory, unit, steps, units } = seen;
  if (!memory) return;
  const level = levelOf();
  $("level").value = level;
  $("level-says").textContent = `${level} of ${steps - 1}`;
  const last = found.probabilities.length - 1;
  // The output has its own steps: those of a grid's columns are there when all of it is read.
  const now = isGrid() ? last : Math.round((level / Math.max(steps - 1, 1)) * last);
  const step = spikes.step ?? (isGrid() ? null : now);
  spikes.mark(now, step);
  $("verdict").classList.toggle("waiting", now < last); // for the hall to guess
  if (isGrid()) grid.fill(level);
  else moveMap($("map"), level, units.indexOf(unit));
  sayStep(step);
}

function sayStep(step) {
  const { probabilities, labels, factor } = seen.found;
  if (step === null) return void ($("at-step").textContent = "Point at a step, or go through the steps with the arrow keys.");
  const row = probabilities[step];
  const order = row.map((_, k) => k).sort((a, b) => row[b] - row[a]);
  const told = order.filter((k, place) => !place || (place < NAMED && row[k] >= LEAST)).map((k) => `${k ? labels[k - 1] : "blank"} ${percent(row[k])}`);
  const at = factor > 1 ? `${step} (of the input ${step * factor} to ${(step + 1) * factor - 1})` : step;
  $("at-step").textContent = `Step ${at}: ${told.join(", ")}`;
}

function showAll() {
  if (!seen.found) return;
  spikes.draw(seen.found, isImage());
  showMemory();
}

export function open(run) {
  seen.run = run;
  spikes = new SpikesView($("spikes"), () => seen.found && showLevel());
  grid = new GridView($("pictures"));
  const row = $("controls").parentElement;
  $("of-memory").replaceWith($("controls"));
  row.remove();
  [$("pictures").hidden, $("units").hidden] = [!isGrid(), isGrid()];
  if (isGrid()) $("level-name").textContent = "Diagonal";
  Object.assign($("speed"), { max: 30, value: 15 }); // many short steps
  offerDirections(run.directions, isGrid() ? "all corners" : null);
  listenToChoices(run, showAll, () => seen.found?.count ?? null);
  listenToLevels(() => seen.steps);
  whenChanged((changed) => {
    const isAsked = (keys) => keys.some((key) => changed.has(key));
    if (isAsked(["part", "number", "model"])) read();
    else if (!seen.found) return;
    else if (isAsked(["see", "layer"]) || (isGrid() && changed.has("unit"))) readMemory();
    else if (changed.size === 1 && changed.has("level")) showLevel();
    else showMemory();
  });
}
