// What the pages of examples share: their head, the choice of an example, of a quantity, a layer and a unit.

import { reachOf } from "./numbers.js";
import { go, offerSteps } from "./player.js";
import { nameOf } from "./quantity.js";
import { change, note, state } from "./state.js";
import { offerThemes } from "./theme.js";

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
  $("foot").textContent = `carousel: a cell is its equations. ${run.doc} ${run.source}`;
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
  $("copy").addEventListener("click", copyLink);
  offerThemes($("theme"), show);
  let [resizing, width] = [0, innerWidth];
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(show);
  });
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--bar", `${$("reading").offsetHeight}px`);
  }).observe($("reading"));
}

// What a link asks for that this run does not have is left out.
export function checked(run, found) {
  if (!run.parts.includes(found.part)) [found.part, found.number] = [run.parts[0] ?? null, run.parts.length ? found.number : 0];
  if (!run.names.includes(found.see)) found.see = run.states.includes("h") ? "h" : run.states.at(-1);
  found.layer = Math.min(found.layer, run.layers - 1);
  if (found.unit !== null && found.unit >= run.units[found.see]) found.unit = null;
  return found;
}

export function showChoices(run, unit) {
  for (const key of ["part", "see", "layer", "number"]) $(key).value = state[key];
  $("unit").max = run.units[state.see] - 1;
  $("unit").value = unit;
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

// What is typed is read with the button, or by Enter. what: it is, where it is empty.
export function listenToReader(what) {
  $("reader").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value.trim();
    if (text) change({ text, level: null });
    else say(`The text is empty; give ${what} to read.`);
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("reader").requestSubmit();
  });
}

// How far an example is read: by the slider, by the buttons, and by keys that nothing else takes. count(): how many levels.
export function listenToLevels(count) {
  $("level").addEventListener("input", () => change({ level: Number($("level").value) }));
  offerSteps(count, "level");
  document.addEventListener("keydown", (event) => {
    const where = whereOf(event);
    if (!where) return;
    go(where);
    event.preventDefault();
  });
}

function whereOf(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  if (event.target.closest("input, textarea, select, canvas, [role=application], summary")) return null;
  const where = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" }[event.key];
  return where ?? (event.key === " " && !event.target.closest("button, a") ? "play" : null);
}

async function copyLink() {
  note();
  try {
    await navigator.clipboard.writeText(location.href);
    $("copy").textContent = "Copied";
  } catch {
    $("copy").textContent = "The address is the link";
  }
  setTimeout(() => ($("copy").textContent = "Copy link"), 1500);
}
