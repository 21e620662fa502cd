// A cell that is typed: drawn at once, with its formulas, counts and the decay of its gradient; a unit of it beside.
// The server works the equations out, so that a page that is one file has no such tab.

import { mountDrawing } from "./drawing.js";
import { Editor } from "./editor.js";
import { show } from "./numbers.js";
import { listenToUnit, showUnitOf } from "./oneunit.js";
import { plot } from "./plot.js";
import { answerTo } from "./server.js";
import { change, state, whenChanged } from "./state.js";

const HAND = 250; // milliseconds that a hand rests before what it typed is read
const FEWEST = 256; // the most units of which the gradient is followed
const PANELS = `
<section class="card typing" aria-labelledby="typing-title">
  <div class="heading">
    <h2 id="typing-title"><label for="code">Write a cell</label></h2>
    <label class="menu">Begin with <select id="cell-menu"><option value="">a cell …</option></select></label>
  </div>
  <div class="editor">
    <ol id="gutter" aria-hidden="true"></ol>
    <div class="lines"><div id="strip" hidden></div><textarea id="code" wrap="off" spellcheck="false" autocomplete="off" autocapitalize="off" aria-describedby="refused"></textarea></div>
  </div>
  <p id="refused" class="refused" role="alert"></p>
  <h3>Formulas</h3>
  <pre id="formulas" tabindex="0" role="region" aria-label="Formulas"></pre>
  <details><summary>LaTeX</summary><pre id="latex" tabindex="0" role="region" aria-label="LaTeX"></pre></details>
  <div class="counted">
    <h3>Parameters</h3>
    <label>with <input type="number" id="units" min="1" max="4096" step="1"> units</label>
    <p id="counted"></p>
  </div>
  <p id="shapes" class="facts"></p>
</section>
<section class="card drawn" aria-labelledby="cell-name">
  <h2 id="cell-name">The cell</h2>
  <p id="cell-doc" class="facts"></p>
  <div id="cell-drawing" class="drawing"></div>
  <h3>How its gradient fades at first weights</h3>
  <div id="decay-plot" class="plotted"></div>
  <p id="decay-says" class="facts" aria-live="polite"></p>
</section>
<section id="one-unit" class="card one-unit" aria-labelledby="one-title"></section>`;

const $ = (id) => document.getElementById(id);
let editor = null;
let typed = 0; // the timer of what was typed
let turn = 0; // the number of the last question
let shown = null; // what was asked last, as text
let about = null; // the answer to it
let decayed = null; // the last decay, which is drawn anew when the window changes

// Puts the panels into host.
export function offerCells(host) {
  host.innerHTML = PANELS;
  editor = new Editor({ field: $("code"), gutter: $("gutter"), strip: $("strip"), says: $("refused") }, () => {
    clearTimeout(typed);
    typed = setTimeout(() => change({ code: editor.text, cell: null }), HAND);
  });
  $("cell-menu").addEventListener("change", () => {
    if ($("cell-menu").value) change({ cell: $("cell-menu").value, code: null, w: null });
  });
  $("units").addEventListener("change", () => {
    const units = Math.round(Number($("units").value));
    change({ units: Math.min(Math.max(units || 32, 1), 4096) });
    $("units").value = state.units;
  });
  host.addEventListener("keydown", (event) => event.stopPropagation()); // arrows are no steps through words here
  listenToUnit($("one-unit"), $("cell-drawing"));
  fillMenu();
  whenChanged(() => isOpen() && read());
  new ResizeObserver(() => decayed && isOpen() && plotDecay()).observe($("decay-plot"));
}

const isOpen = () => state.tab === "write";

// What is refused is an answer as any other: { error, line }.
async function ask(path, body) {
  const found = await answerTo(path, body);
  if (found.error) throw Object.assign(new Error(found.error), { line: found.line });
  return found;
}

async function fillMenu() {
  try {
    const { families } = await ask("api/cells");
    for (const { name, meaning, cells } of families) {
      const group = document.createElement("optgroup");
      group.label = `${name}: ${meaning}`;
      group.append(...cells.map((cell) => new Option(cell, cell)));
      $("cell-menu").append(group);
    }
    $("cell-menu").value = state.code === null ? (state.cell ?? "lstm-v1") : "";
  } catch (error) {
    editor.mark(error.message);
  }
}

// Reads what the state says, unless that is what is shown.
async function read() {
  const asked = { ...(state.code === null ? { name: state.cell ?? "lstm-v1" } : { text: state.code }), units: state.units };
  $("cell-menu").value = state.code === null ? (state.cell ?? "lstm-v1") : "";
  $("units").value = state.units;
  if (state.code !== null && document.activeElement !== $("code")) editor.text = state.code;
  const key = JSON.stringify(asked);
  if (key === shown) return about && showUnitOf(about.one);
  shown = key;
  turn += 1;
  const mine = turn;
  try {
    const found = await ask("api/cell", asked);
    if (mine !== turn) return;
    if (state.code === null) editor.text = found.text.trimEnd();
    editor.mark(null);
    about = found;
    showCell(found);
    await readDecay(found.text, mine);
  } catch (error) {
    if (mine !== turn) return;
    if (state.code === null) shown = null; // another attempt may find the server
    editor.mark(error.message, error.line ?? null);
    document.querySelector(".drawn").classList.add("stale");
  }
}

function showCell(found) {
  document.querySelector(".drawn").classList.remove("stale");
  $("cell-name").textContent = found.name;
  $("cell-doc").textContent = [found.doc, found.source].filter(Boolean).join(" ");
  mountDrawing($("cell-drawing"), found.svg, choose);
  $("formulas").replaceChildren(...found.equations.map(formula));
  $("latex").textContent = found.latex;
  showCounts(found.counts);
  showUnitOf(found.one, found);
}

function formula(text) {
  const line = document.createElement("span");
  line.textContent = `${text}\n`;
  line.dataset.name = text.split(/ₜ| =/)[0];
  return line;
}

// A quantity of the drawing: its formula stands out.
function choose(name) {
  for (const group of $("cell-drawing").querySelectorAll("[data-name]")) group.classList.toggle("chosen", group.dataset.name === name);
  for (const line of $("formulas").children) line.classList.toggle("chosen", line.dataset.name === name);
}

function showCounts({ refused, parameters, shapes, operations, projected }) {
  const numbers = (x) => x.toLocaleString("en");
  $("counted").textContent = refused
    ? refused
    : `${numbers(parameters)} parameters, ${numbers(operations.input + operations.recurrent + operations.pointwise)} operations a step`;
  const listed = Object.entries(shapes ?? {}).map(([name, shape]) => `${name} ${shape.join("×")}`);
  const of = projected ? `The message has ${projected}. ` : "";
  $("shapes").textContent = refused ? "" : `${of}${listed.join(", ")}`;
}

async function readDecay(text, mine) {
  decayed = null;
  $("decay-says").textContent = "The gradient is followed back …";
  try {
    const found = await ask("api/decay", { text, units: Math.min(state.units, FEWEST) });
    if (mine !== turn) return;
    decayed = found;
    plotDecay();
    $("decay-says").textContent = decaySays(found);
  } catch (error) {
    if (mine !== turn) return;
    $("decay-plot").replaceChildren();
    $("decay-says").textContent = error.message;
  }
}

function plotDecay() {
  const curves = Object.entries(decayed.size_by_state).map(([name, values], kind) => ({ name, values, kind }));
  const says = "Size of the gradient of the last step's error with respect to each state, against the steps back, on a logarithmic scale.";
  plot($("decay-plot"), curves, { says, across: "steps back", log: true, from: 0, height: 150 });
}

function decaySays({ half_life_steps: half_life, bound_per_step, steps, rows, seed, units }) {
  const half = half_life === null ? "It does not fall." : `It halves every ${show(half_life, 1)} steps.`;
  const bound = bound_per_step === null ? "" : ` The lecture's bound: at most × ${show(bound_per_step, 2)} a step.`;
  return `${half}${bound} |∂E/∂x| over ${steps} steps of noise, ${units} units, ${rows} sequences, seed ${seed}.`;
}

// In the page of a run it is one more tab.
if ($("tabs")) {
  const tab = document.createElement("button");
  Object.assign(tab, { type: "button", id: "tab-write", innerHTML: 'Write<span class="more"> a cell</span>', tabIndex: -1 });
  for (const [name, value] of [["role", "tab"], ["aria-controls", "view-write"], ["aria-selected", "false"]]) tab.setAttribute(name, value);
  $("tabs").append(tab);
  const view = document.createElement("div");
  Object.assign(view, { id: "view-write", hidden: true });
  for (const [name, value] of [["role", "tabpanel"], ["aria-labelledby", "tab-write"]]) view.setAttribute(name, value);
  document.querySelector("main").append(view);
  let isOffered = false;
  whenChanged(() => {
    document.body.classList.toggle("writing", isOpen());
    if (!isOpen() || isOffered) return;
    isOffered = true;
    offerCells(view);
    read();
  });
}
