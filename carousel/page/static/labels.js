// The page of a labeller of sequences: the running text in the colours of a unit, with the labels found and the right ones.

import { askSequence } from "./api.js";
import { asking } from "./asking.js";
import { colourOf, inkOn } from "./colours.js";
import { $, MAP, listenToChoices, listenToLevels, listenToReader, offerDirections, say, scaleOf, showChoices, titleOf, verdictOf } from "./examples.js";
import { moveMap, showLegend, showMap } from "./heatmap.js";
import { orderOf, percent, show } from "./numbers.js";
import { change, state, whenChanged } from "./state.js";
import { make } from "./tables.js";

export const cards = `
  <section class="card seen" aria-labelledby="steps-title">
    <div class="heading">
      <h2 id="steps-title">The steps</h2>
      <div id="legend" class="legend"></div>
    </div>
    <div class="all-steps" tabindex="0" role="group" aria-label="The steps, each with its label"><ol id="steps" class="steps"></ol></div>
    <p id="at-step" class="readout" aria-live="polite"></p>
  </section>
  <section class="card" aria-labelledby="maps-title">
    <h2 id="maps-title"></h2>
    ${MAP}
  </section>`;

export const steps = {
  all: "Step through the steps",
  level: "Step",
  first: "The first step",
  back: "Step before",
  on: "Step after",
  last: "The last step",
};

export const saysOf = (run) => (run.whole ? "It labels whole sequences." : "It labels steps.");

const questions = asking(say);
const seen = { run: null, found: null, count: null, values: [], units: [], scale: null };

const wordOf = (t) => seen.found.tokens[t] ?? String(t);
const levelOf = () => Math.min(state.level ?? Infinity, seen.values.length - 1);
const unitOf = () => state.unit ?? seen.units[0];
const wayOf = () => Math.max(seen.run.directions.indexOf(state.corner), 0);

function read() {
  const { text, part, number, see: name, layer } = state;
  if (!text && part === null) return say("This run has no data of its own; type a text.");
  document.body.classList.add("busy");
  questions.ask(
    () => askSequence({ ...(text ? { text } : { part, number }), name, layer }, state.model).finally(() => document.body.classList.remove("busy")),
    (found) => {
      Object.assign(seen, { found, count: found.count ?? seen.count });
      $("number").max = (seen.count ?? 1) - 1;
      if (document.activeElement !== $("text")) $("text").value = found.tokens.join(" ");
      showVerdict();
      showAll();
    },
  );
}

function showVerdict() {
  const { labels, right, probabilities } = seen.found;
  const parts = [];
  if (seen.run.whole) parts.push(make("span", { textContent: "Label " }), make("b", { textContent: labels[0] }), ` ${percent(probabilities[0])}`);
  if (seen.run.whole && right.length) parts.push(verdictOf(labels[0], right[0]));
  else if (right.length) parts.push(`${right.filter((label, t) => label === labels[t]).length} of ${labels.length} labels right`);
  $("verdict").replaceChildren(...parts);
}

function showAll() {
  const { run, found } = seen;
  if (!found) return;
  seen.values = found.values[wayOf()];
  seen.units = orderOf(seen.values, "variance");
  seen.scale = scaleOf(run, state.see, seen.values.flat());
  const { values, units, scale } = seen;
  const name = titleOf(run, state.see);
  showChoices(run, unitOf());
  $("corner").value = run.directions[wayOf()];
  $("level").max = values.length - 1;
  $("steps-title").textContent = `${name}, unit ${unitOf()}`;
  showLegend($("legend"), [{ label: state.see, ...scale }]);
  $("steps").replaceChildren(...values.map((row, t) => stepOf(row[unitOf()], t)));
  $("maps-title").textContent = `All units of ${name}, over the steps`;
  $("map").setAttribute("aria-label", `${name}: steps across, units down. Arrow keys read a value, Enter chooses the unit.`);
  showMap($("map"), {
    ...scale,
    ...{ columns: values.map((_, t) => wordOf(t)), rows: units.map(String), tall: 300, current: null },
    value: (r, c) => values[c][units[r]],
    say: (r, c) => `${wordOf(c)}: unit ${units[r]} is ${show(values[c][units[r]], 3)}`,
    choose: (c, r) => change({ unit: units[r], level: c }),
  });
  showLevel();
}

// A token in the colour of its value, and under it its label, where each step has one.
function stepOf(value, t) {
  const { found, scale, run } = seen;
  const colour = colourOf(scale.kind, (value - scale.low) / (scale.high - scale.low || 1));
  const token = make("span", { className: "token", textContent: wordOf(t) });
  Object.assign(token.style, { background: `rgb(${colour.join(" ")})`, color: inkOn(colour) });
  token.classList.toggle("unknown", found.known[t] === false);
  const made = make("li", {}, token);
  made.addEventListener("click", () => change({ level: t }));
  if (run.whole) return made;
  const right = found.right[t];
  const isWrong = right !== undefined && right !== found.labels[t];
  made.append(make("span", { className: `tagged${isWrong ? " is-wrong" : ""}`, textContent: isWrong ? `${found.labels[t]} ✗ ${right}` : found.labels[t] }));
  return made;
}

function showLevel() {
  const { found, values, units, run } = seen;
  const level = levelOf();
  // Backwards, the steps after this one have been read.
  const isRead = (t) => (run.directions[wayOf()] === "backwards" ? t >= level : t <= level);
  for (const [t, step] of [...$("steps").children].entries()) {
    step.classList.toggle("now", t === level);
    step.classList.toggle("ahead", !isRead(t) && state.level !== null);
  }
  $("level").value = level;
  $("level-says").textContent = `${level} of ${values.length - 1}`;
  moveMap($("map"), level, units.indexOf(unitOf()));
  const label = run.whole ? "" : `. Label ${found.labels[level]}, ${percent(found.probabilities[level])}${found.right.length ? (found.right[level] === found.labels[level] ? ", which is right" : `, meant ${found.right[level]}`) : ""}`;
  const inputs = found.inputs.map((row, k) => `${run.columns[k]} ${show(row[level])}`).join(", ");
  $("at-step").textContent = `${wordOf(level)}: ${inputs ? `${inputs}; ` : ""}${state.see}[${unitOf()}] = ${show(values[level][unitOf()], 3)}${label}.`;
}

export function open(run) {
  seen.run = run;
  if (!run.columns.length) listenToReader("Text", "some words", run.limits.characters);
  offerDirections(run.directions);
  listenToChoices(run, showAll, () => seen.count);
  listenToLevels(() => seen.values.length || 1);
  whenChanged((changed) => {
    if (changed.has("part")) seen.count = null;
    if (["text", "part", "number", "see", "layer", "model"].some((key) => changed.has(key))) read();
    else if (seen.found && changed.size === 1 && changed.has("level")) showLevel();
    else showAll();
  });
}
