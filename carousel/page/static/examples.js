// What the pages of examples share: their head, the choice of an example, of a quantity, a layer and a unit.

import { offerLink } from "./link.js";
import { weightsOf, weightsSay } from "./models.js";
import { reachOf } from "./numbers.js";
import { offerKeys, offerSteps, submitOnEnter } from "./player.js";
import { nameOf } from "./quantity.js";
import { isAlone } from "./server.js";
import { change, state } from "./state.js";
import { make } from "./tables.js";
import { offerThemes } from "./theme.js";

// A heat map of all units.
export const MAP = `<div class="maps">
      <figure><figcaption></figcaption><div class="scroll"><canvas id="map" tabindex="0" role="application" aria-roledescription="heat map"></canvas></div><p class="readout" aria-live="polite"></p></figure>
    </div>`;

const [GROWN, FLAT] = [30, 3]; // values so large that a scale up to them shows nothing else; where tanh is all but 1

export const $ = (id) => document.getElementById(id);

export function say(message) {
  $("message").textContent = message;
  $("message").hidden = !message;
}

// run: its facts. what: a few words on what it does.
export function showHead(run, what) {
  document.title = `${run.run}: carousel`;
  $("title").textContent = run.run;
  const layers = run.layers > 1 ? `, ${run.layers} layers` : "";
  const says = `${run.cell}${layers}, ${run.units[run.states.at(-1)]} units, ${run.parameters.toLocaleString("en")} parameters. ${what}`;
  $("about").textContent = $("about").title = says;
  const alone = isAlone ? "This file has a few examples of the run, and no model to read others: carousel serve has one." : "";
  $("foot").textContent = `carousel: a cell is its equations. ${run.doc} ${run.source} ${alone}`;
  $("copy").hidden = isAlone;
  $("part").replaceChildren(...run.parts.map((part) => new Option(part, part)));
  $("see").replaceChildren(...run.names.map((name) => new Option(titleOf(run, name), name)));
  $("layer").replaceChildren(...Array.from({ length: run.layers }, (_, k) => new Option(k, k)));
  $("layer-label").hidden = run.layers < 2;
}

// run: its facts. show(): paints anew. count(): how many examples the part has, or null.
export function listenToChoices(run, show, count) {
  const number = (id, key, most) =>
    $(id).addEventListener("change", () => {
      const asked = Number($(id).value);
      if ($(id).value === "" || !$(id).checkValidity() || asked > most()) return void ($(id).value = state[key] ?? "");
      change({ [key]: asked, ...(key === "number" ? { text: "", level: null } : {}) });
    });
  number("number", "number", () => (count() ?? 1e9) - 1);
  number("unit", "unit", () => Number($("unit").max));
  $("part").addEventListener("change", () => change({ part: $("part").value, number: 0, text: "", level: null }));
  $("another").addEventListener("click", () => {
    const [most, here] = [count() ?? 1, state.number];
    change({ number: most < 2 ? 0 : (here + 1 + Math.floor(Math.random() * (most - 1))) % most, text: "", level: null });
  });
  $("see").addEventListener("change", () => {
    const see = $("see").value;
    change({ see, ...(state.unit !== null && state.unit >= run.units[see] ? { unit: null } : {}) });
  });
  $("layer").addEventListener("change", () => change({ layer: Number($("layer").value) }));
  $("weights").addEventListener("input", () => change({ model: weightsOf(run, 0, state.model)[$("weights").value] }));
  offerLink($("copy"));
  offerThemes($("theme"), show);
  let [resizing, width] = [0, innerWidth];
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(show);
  });
}

// What a link asks for that this run does not have is left out.
export function checked(run, found) {
  if (!run.parts.includes(found.part)) [found.part, found.number] = [run.parts[0] ?? null, run.parts.length ? found.number : 0];
  if (!run.names.includes(found.see)) found.see = run.states.includes("h") ? "h" : run.states.at(-1);
  found.layer = Math.min(found.layer, run.layers - 1);
  if (found.unit !== null && found.unit >= run.units[found.see]) found.unit = null;
  if (!weightsOf(run, 0, found.model).includes(found.model)) found.model = "0";
  if (![run.directions].flat().includes(found.corner)) found.corner = null;
  return found;
}

export function showChoices(run, unit) {
  for (const key of ["part", "see", "layer", "number"]) $(key).value = state[key];
  $("unit").max = run.units[state.see] - 1;
  $("unit").value = unit;
  const [names, says] = [weightsOf(run, 0, state.model), weightsSay(run, state.model)];
  $("weights").parentElement.hidden = names.length < 2;
  Object.assign($("weights"), { max: names.length - 1, value: names.indexOf(state.model) });
  $("weights").setAttribute("aria-valuetext", says);
  $("weights-says").textContent = says;
}

// A quantity in words, as they begin a heading.
export function titleOf(run, name) {
  const words = nameOf(run, name);
  return words.length > 1 ? words[0].toUpperCase() + words.slice(1) : words;
}

// How a quantity is coloured: valves from shut to open, others around 0. The memories of some grids grow without bound: their
// colours end where tanh does.
export function scaleOf(run, name, values) {
  const isValve = run.valves.includes(name);
  const reach = isValve ? 1 : reachOf(values);
  const largest = reach > GROWN ? FLAT : reach;
  return { kind: isValve ? "sequential" : "diverging", low: isValve ? 0 : -largest, high: largest };
}

// What is typed is read with the button, or by Enter. name: the field's. what: it is, where it is empty. most: characters.
export function listenToReader(name, what, most) {
  $("reader").hidden = isAlone;
  $("typed").textContent = name;
  $("text").maxLength = most;
  $("reader").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text) change({ text, level: null });
    else say(`The text is empty; give ${what} to read.`);
  });
  submitOnEnter($("text"));
}

// How far an example is read: by the slider, by the buttons, and by keys that nothing else takes. count(): how many levels.
export function listenToLevels(count) {
  $("level").addEventListener("input", () => change({ level: Number($("level").value) }));
  offerSteps(count, "level");
  offerKeys(() => true);
}

// Directions, or corners, of which one is seen, or with a first choice all. directions: their names.
export function offerDirections(directions, all = null) {
  const first = all === null ? [] : [new Option(all, "")];
  $("corner").replaceChildren(...first, ...directions.map((way) => new Option(way, way)));
  $("corner").parentElement.hidden = directions.length < 2;
  $("corner").addEventListener("change", () => change({ corner: $("corner").value || null }));
}

// A value and its verdict where the right one is known.
export function verdictOf(found, right) {
  const isRight = found === right;
  return make("span", { className: isRight ? "is-right" : "is-wrong", textContent: isRight ? "✓ right" : `✗ meant ${right}` });
}
