// A cell of one unit: a slider for each weight, a sequence to feed, what its quantities do, and training in view.

import { fillDrawing } from "./drawing.js";
import { numbers, plot } from "./plot.js";
import { change, state } from "./state.js";
import { firstWeights, OUTPUT, Random, TASKS, Training } from "./toys.js";

const REST = 400; // milliseconds that weights rest before the address says them
const FRAME = 60; // milliseconds between two pictures of a training
const [REACH, LONGEST, MOST] = [6, 60, 20000]; // of a slider; numbers of a sequence; updates of a training
const PANEL = `
<div class="heading">
  <h2 id="one-title">One unit</h2>
  <p id="one-refused" class="muted"></p>
</div>
<div id="one-body" class="one-body">
  <div class="one-weights">
    <h3>Weights</h3>
    <div id="sliders" class="sliders"></div>
    <p class="facts">At first evenly drawn from −1 to 1, as a layer of one unit; the answer to a task is v · output + c.</p>
  </div>
  <div class="one-right">
    <form id="training" class="row" aria-label="Training">
      <label>Task <select id="task"></select></label>
      <label>Steps <input type="number" id="steps" min="2" max="${LONGEST}" step="1"></label>
      <label>Seed <input type="number" id="seed" min="0" max="99999" step="1"></label>
      <label>Updates a second <select id="pace"><option>10</option><option selected>50</option><option value="0">all it can</option></select></label>
      <button type="submit" id="train" class="primary">Train</button>
      <button type="button" id="reset">Reset</button>
      <span id="trained" class="trained" aria-live="off"></span>
    </form>
    <p id="task-says" class="facts"></p>
    <div class="row" role="group" aria-label="The sequence">
      <label class="fed">Sequence <input type="text" id="fed" autocomplete="off" spellcheck="false" inputmode="text"></label>
      <button type="button" data-feed="impulse">Impulse</button>
      <button type="button" data-feed="alternating">Alternating</button>
      <button type="button" data-feed="noise">Noise</button>
      <button type="button" data-feed="task">Of the task</button>
      <label class="at">Step <input type="range" id="at" min="1" step="1"><output id="at-says" for="at"></output></label>
    </div>
    <p id="fed-refused" class="refused" role="alert"></p>
    <div class="charts">
      <figure><figcaption>Input and states</figcaption><div id="chart-states"></div></figure>
      <figure><figcaption>Valves and other quantities</figcaption><div id="chart-gates"></div></figure>
      <figure><figcaption>How the last output's gradient flows back</figcaption><div id="chart-back"></div></figure>
      <figure><figcaption>Loss of the training</figcaption><div id="chart-loss"></div></figure>
    </div>
    <details id="one-numbers"><summary>The numbers</summary><div class="scroll" id="one-table" tabindex="0" role="region" aria-label="The numbers"></div></details>
  </div>
</div>`;

const $ = (id) => document.getElementById(id);
let drawing = null; // the host of the cell's drawing, which shows a step
let engine = null; // the cell of one unit
let facts = null; // of the cell
let module = null; // the engine's name
let w = new Float64Array(0);
let training = null;
let isRunning = false;
let isDrawn = false; // whether a picture is asked for
let noted = 0;
let asked = 0;

const names = () => [...engine.weights, ...OUTPUT];
const listed = (xs) => Array.from(xs, (x) => String(Number(x.toPrecision(4)))).join(",");

export function listenToUnit(host, drawn) {
  drawing = drawn;
  host.innerHTML = PANEL;
  $("task").replaceChildren(...Object.keys(TASKS).map((name) => new Option(name, name)));
  $("training").addEventListener("submit", (event) => {
    event.preventDefault();
    if (isRunning) stop();
    else begin();
  });
  $("reset").addEventListener("click", () => {
    stop();
    training = null;
    setWeights(firstWeights(facts.one.initial, state.seed));
    keep();
  });
  $("task").addEventListener("change", () => renew({ task: $("task").value }));
  for (const [id, least, most] of [["steps", 2, LONGEST], ["seed", 0, 99999]])
    $(id).addEventListener("change", () => {
      const value = Math.min(Math.max(Math.round(Number($(id).value)) || least, least), most);
      $(id).value = value;
      renew({ [id]: value });
      if (id === "seed" && engine) $("reset").click();
    });
  $("fed").addEventListener("input", () => fed() && change({ fed: $("fed").value }));
  for (const button of host.querySelectorAll("[data-feed]")) button.addEventListener("click", () => feed(button.dataset.feed));
  $("at").addEventListener("input", draw);
  $("one-numbers").addEventListener("toggle", draw);
  new ResizeObserver(draw).observe(host);
}

// Another task is another training; the weights stay as they are.
function renew(patch) {
  stop();
  training = null;
  change(patch);
  showTask();
  draw();
}

// one: a module with the engine, or why there is none; about: the cell, where it is a new one.
export async function showUnitOf(one, about = null) {
  if (about) facts = about;
  $("one-refused").textContent = one.refused ? `Not of this cell: ${one.refused}.` : "";
  $("one-body").hidden = Boolean(one.refused);
  if (one.refused) return stop();
  showTask();
  if (one.module === module) return fromState();
  stop();
  const before = engine && w.length ? new Map(names().map((name, k) => [name, w[k]])) : new Map();
  asked += 1;
  const turn = asked;
  const made = await import(new URL(`engine/${one.module}`, document.baseURI).href).catch(() => null);
  if (turn !== asked) return;
  if (made === null) {
    $("one-refused").textContent = "The server does not hand out the engine. Is carousel serve still running?";
    return;
  }
  [engine, module, training] = [made, one.module, null];
  const first = firstWeights(one.initial, state.seed);
  w = Float64Array.from(names(), (name, k) => before.get(name) ?? first[k]); // what was set stays where it can
  if (state.w === null) w = first;
  else if (before.size) keep();
  offerSliders();
  fromState();
}

// Weights that a link gives, and its sequence.
function fromState() {
  const given = (state.w ?? "").split(",").map(Number);
  if (state.w !== null && given.length === w.length && given.every(Number.isFinite) && state.w !== listed(w)) w = Float64Array.from(given);
  if (state.fed !== null && $("fed").value !== state.fed && document.activeElement !== $("fed")) $("fed").value = state.fed;
  if (!$("fed").value) $("fed").value = sequence("impulse").join(", ");
  setWeights(w);
}

function showTask() {
  $("task").value = state.task;
  $("steps").value = state.steps;
  $("seed").value = state.seed;
  $("task-says").textContent = `${TASKS[state.task].says} Adam, rate 0.02; 32 new sequences an update; the seed draws weights and sequences.`;
}

// Weights

function offerSliders() {
  $("sliders").replaceChildren(
    ...names().map((name, k) => {
      const label = document.createElement("label");
      const slider = Object.assign(document.createElement("input"), { type: "range", min: -REACH, max: REACH, step: 0.01 });
      const number = Object.assign(document.createElement("input"), { type: "number", step: "any" });
      const shown = document.createElement("span");
      shown.textContent = name;
      number.setAttribute("aria-label", `${name} as a number`);
      label.append(shown, slider, number);
      for (const input of [slider, number])
        input.addEventListener("input", () => {
          if (input.value === "" || !Number.isFinite(input.valueAsNumber)) return;
          stop();
          w[k] = input.valueAsNumber;
          const other = input === slider ? number : slider;
          other.value = input.value;
          keep();
          draw();
        });
      return label;
    }),
  );
}

function setWeights(values) {
  w = values;
  for (const [k, label] of [...$("sliders").children].entries()) {
    const [, slider, number] = label.children;
    slider.value = w[k];
    if (document.activeElement !== number) number.value = w[k].toFixed(2);
  }
  draw();
}

// The address says the weights when they rest.
function keep() {
  clearTimeout(noted);
  noted = setTimeout(() => change({ w: listed(w) }), REST);
}

// The sequence

function sequence(kind) {
  const random = new Random(state.seed + 2);
  const { steps } = state;
  if (kind === "task") return TASKS[state.task].draw(random, steps).e;
  const each = { impulse: (k) => (k ? 0 : 1), alternating: (k) => (k % 2 ? -1 : 1), noise: () => random.normal() }[kind];
  return Array.from({ length: steps }, (_, k) => each(k));
}

function feed(kind) {
  $("fed").value = sequence(kind).map((x) => Number(x.toFixed(2))).join(", ");
  fed();
  change({ fed: $("fed").value });
}

// The numbers that are fed, or null where they are none, which is said.
function fed() {
  const parts = $("fed").value.split(/[\s,;]+/).filter(Boolean);
  const found = parts.map((part) => Number(part.replace("−", "-")));
  const wrong = parts.find((_, k) => !Number.isFinite(found[k]));
  const says =
    wrong !== undefined ? `“${wrong}” is no number` : !found.length ? "Give some numbers: 1, 0, 0" : found.length > LONGEST ? `At most ${LONGEST} numbers` : "";
  $("fed-refused").textContent = says;
  $("fed").setAttribute("aria-invalid", Boolean(says));
  if (!says) draw();
  return says ? null : found;
}

// Showing

function draw() {
  if (isDrawn || !engine || state.tab !== "write") return;
  isDrawn = true;
  requestAnimationFrame(() => {
    isDrawn = false;
    showSteps();
  });
}

function showSteps() {
  if (!engine || $("one-body").hidden) return;
  const e = $("fed-refused").textContent ? null : fedNumbers();
  if (!e) return;
  const count = w.length - OUTPUT.length;
  const cell = w.subarray(0, count);
  const a = engine.forward(cell, e);
  const given = new Float64Array(e.length);
  given[e.length - 1] = 1;
  const { errors } = engine.backward(cell, a, given);
  const values = Object.fromEntries(Object.entries(engine.names).map(([name, key]) => [name, Array.from(a[key])]));
  const states = engine.states.filter((name) => name in values && !/_ago\d+$/.test(name));
  const others = Object.keys(values).filter((name) => !states.includes(name) && !/_ago\d+$/.test(name));
  const curve = (name, kind) => ({ name, values: values[name], kind });
  const inside = [{ name: "e", values: e, kind: 7 }, ...states.map(curve)];
  const valves = others.map(curve);
  const back = states.map((name, kind) => ({ name, values: Array.from(errors[name], Math.abs), kind }));
  const steps = { across: "step", height: innerHeight < 950 ? 150 : 190 };
  plot($("chart-states"), inside, { ...steps, says: `The input and the states ${states.join(", ")} over the steps.` });
  const isGate = valves.length && others.every((name) => facts.valves.includes(name));
  $("chart-gates").parentNode.hidden = !valves.length;
  plot($("chart-gates"), valves, { ...steps, says: `The quantities ${others.join(", ")} over the steps.`, ...(isGate ? { low: 0, high: 1 } : {}) });
  plot($("chart-back"), back, { ...steps, log: true, says: "Size of the gradient of the last output with respect to each state after each step, on a logarithmic scale." });
  showLoss();
  const at = $("at");
  if (Number(at.max) !== e.length) Object.assign(at, { max: e.length, value: e.length });
  $("at-says").textContent = at.value;
  fillDrawing(drawing, { values: Object.fromEntries(Object.entries(values).map(([name, xs]) => [name, [xs.map((x) => [x])]])) }, Number(at.value) - 1, 0, null, []);
  if ($("one-numbers").open)
    $("one-table").replaceChildren(numbers("Every quantity, and the gradient of the last output", [
      ...inside,
      ...valves,
      ...states.map((name) => ({ name: `∂/∂${name}`, values: Array.from(errors[name]) })),
    ]));
}

const fedNumbers = () => $("fed").value.split(/[\s,;]+/).filter(Boolean).map((part) => Number(part.replace("−", "-")));

function showLoss() {
  const losses = training?.losses ?? [];
  $("trained").textContent = losses.length ? `Update ${losses.length}: loss ${losses.at(-1).toPrecision(2)}` : "";
  if (!losses.length) return ($("chart-loss").textContent = "Press Train.");
  const step = Math.max(1, Math.ceil(losses.length / 400));
  const thinned = losses.length > 400 ? losses.filter((_, k) => k % step === 0) : losses;
  const says = "Loss of each update, on a logarithmic scale.";
  plot($("chart-loss"), [{ name: "", values: thinned, kind: 0 }], { across: "update", each: step, log: true, height: innerHeight < 950 ? 150 : 190, says });
}

// Training

function begin() {
  training ??= new Training(engine, w, state);
  training.w = w;
  isRunning = true;
  $("train").textContent = "Stop";
  let last = performance.now();
  let owed = 0;
  let pictured = 0;
  const turn = (now) => {
    if (!isRunning) return;
    const pace = Number($("pace").value);
    owed = Math.min(owed + (pace * (now - last)) / 1000, pace);
    last = now;
    try {
      const end = performance.now() + 12;
      for (; pace ? owed >= 1 : performance.now() < end; owed -= 1) training.update();
    } catch (error) {
      stop();
      $("trained").textContent = error.message;
      return;
    }
    if (now - pictured >= FRAME) {
      pictured = now;
      setWeights(w);
    }
    if (training.losses.length >= MOST) stop();
    else requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
}

function stop() {
  $("train").textContent = "Train";
  if (!isRunning) return;
  isRunning = false;
  setWeights(w);
  keep();
}
