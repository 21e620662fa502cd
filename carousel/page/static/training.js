// A run that is being trained is followed: its learning curve, and its newest weights as soon as they are there. A finished run
// that kept weights shows on its curve where they are from. One file knows nothing of this.

import { askRun, askTraining, forget } from "./api.js";
import { asking } from "./asking.js";
import { modelOfB, numberOf, runsOf } from "./models.js";
import { announce, state, whenChanged } from "./state.js";
import { make } from "./tables.js";

const EVERY = 2000; // milliseconds between two questions while a run is being trained
const NS = "http://www.w3.org/2000/svg";
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [240, 56, 16, 12, 34];
const part = (id) => document.getElementById(id);
const says = make("p", { className: "muted" });
const plot = make("div", { className: "course" });
const title = make("h2", { textContent: "Training" });
const card = make("details", { id: "training", className: "card training" }, make("summary", {}, title), says, plot);
const questions = asking((line) => {
  if (line) says.textContent = line;
});
let runs = [];
let waiting = null;
let shown = []; // of A's run, and of B's: { number, course }

const seenRuns = () => [...new Set([state.model, modelOfB()].map(numberOf))];

function ask() {
  clearTimeout(waiting);
  const numbers = seenRuns().filter((number) => runs[number].kept.length || runs[number].training);
  card.hidden = !numbers.length;
  if (card.hidden) return;
  questions.ask(
    () => Promise.all(numbers.map((number) => askTraining(`${number}`))),
    (courses) => {
      shown = courses.map((course, k) => ({ number: numbers[k], course }));
      for (const { number, course } of shown) take(runs[number], number, course);
      show();
    },
  ).then(() => {
    if (shown.some(({ course }) => course.training) || runs.some((run) => run.training)) waiting = setTimeout(ask, EVERY);
  });
}

// What is known of a run by now. Weights that were replaced are read anew.
function take(run, number, { kept, best, training, newest, valid }) {
  const isNewer = newest !== run.newest;
  const isBetter = best !== run.best || valid.length !== run.validations;
  const isFirst = run.validations === undefined;
  const isOther = isNewer || isBetter || training !== run.training || kept.length !== run.kept.length;
  Object.assign(run, { kept, best, training, newest, validations: valid.length });
  if (isFirst) return isOther && announce("models");
  if (isNewer) forget(`${number}@last`);
  if (isBetter) forget(`${number}`);
  const asked = [state.model, modelOfB()];
  if ((isNewer && asked.includes(`${number}@last`)) || (isBetter && asked.includes(`${number}`))) announce("weights");
  else if (isOther) announce("models");
}

function show() {
  const lines = shown.map(({ number, course }) => courseSays(runs[number], course, shown.length > 1));
  says.textContent = lines.join(" ");
  plot.replaceChildren(drawn(Math.max(plot.clientWidth, 320), HEIGHT, true));
  const live = shown.filter(({ course }) => course.training);
  part("live").hidden = !live.length;
  if (!live.length) return;
  const [{ number, course }] = live;
  const epoch = course.epoch === null ? "it begins" : `epoch ${course.epoch} of ${course.epochs}`;
  part("live").replaceChildren(make("span", { textContent: `${shown.length > 1 ? runs[number].run : "This run"} is being trained: ${epoch}` }));
  part("live").append(drawn(110, 26, false));
}

function courseSays(run, { training, newest, epoch, epochs, metric, train, valid }, isNamed) {
  const value = (points) => points.at(-1)[1].toPrecision(4);
  const parts = [
    epoch === null ? "" : `Epoch ${epoch} of ${epochs}`,
    train.length ? `step ${train.at(-1)[0].toLocaleString("en")}: ${metric} ${value(train)} in training` : "",
    valid.length ? `${value(valid)} held out` : "",
  ].filter(Boolean);
  const now = training
    ? ` It is being trained now; its newest weights are ${newest === null ? "still to come" : `those of step ${newest.toLocaleString("en")}`}.`
    : "";
  return `${isNamed ? `${run.run}: ` : ""}${parts.join(", ")}.${now}`;
}

// Both runs' curves over the steps, on a logarithmic scale: lines in training, dots held out, and where the weights that are seen are from.
function drawn(width, height, isWhole) {
  const [left, right, top, bottom] = isWhole ? [LEFT, RIGHT, TOP, BOTTOM] : [1, 1, 2, 2];
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", isWhole ? "plot" : "spark");
  if (isWhole) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Learning curve. ${says.textContent}`);
  } else svg.setAttribute("aria-hidden", "true");
  const every = shown.flatMap(({ course: { train, valid } }) => [...train, ...valid]);
  if (!every.length) return svg;
  const add = (name, attributes, text = "") => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    svg.append(element);
  };
  const last = Math.max(...every.map(([step]) => step));
  const values = every.map(([, value]) => value).filter((v) => v > 0 && Number.isFinite(v));
  const [low, high] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  const x = (step) => left + ((width - left - right) * step) / last;
  const y = (value) => top + ((height - top - bottom) * (high - Math.log(value))) / (high - low || 1);
  if (isWhole) {
    for (const k of [0, 0.25, 0.5, 0.75, 1]) {
      const value = Math.exp(low + k * (high - low));
      add("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) });
      add("text", { class: "end", x: left - 8, y: y(value) + 5 }, value < 100 ? value.toPrecision(3) : Math.round(value).toLocaleString("en"));
    }
    const said = (k) => Math.round(k * last).toLocaleString("en") + (k === 1 ? " steps" : "");
    for (const k of [0, 0.5, 1]) add("text", { class: k === 1 ? "end" : "", x: x(k * last), y: height - 12 }, said(k));
  }
  for (const { number, course } of shown) {
    const which = number === numberOf(state.model) ? "a" : "b";
    const points = course.train.filter(([, v]) => v > 0).map(([step, v]) => `${x(step).toFixed(1)} ${y(v).toFixed(1)}`);
    if (points.length) add("path", { class: `course-line ${which}`, d: `M${points.join("L")}` });
    if (isWhole) for (const [step, v] of course.valid) add("circle", { class: `course-dot ${which}`, cx: x(step), cy: y(v), r: 3.5 });
  }
  if (!isWhole) return svg;
  for (const [model, which] of [[state.model, "a"], [modelOfB(), "b"]]) {
    if (which === "b" && state.beside === null) continue;
    const step = stepOf(model);
    if (step === null || step > last) continue;
    add("line", { class: `course-here ${which}`, x1: x(step), x2: x(step), y1: top, y2: height - bottom });
  }
  return svg;
}

function stepOf(model) {
  const which = model.split("@")[1];
  return which === undefined ? null : which === "last" ? (runs[numberOf(model)].newest ?? null) : Number(which);
}

async function begin() {
  const run = await askRun().catch(() => null); // said by the page
  if (!run) return;
  runs = runsOf(run);
  if (!runs.some((each) => each.training || each.kept.length)) return;
  document.querySelector("main").append(card);
  card.open = run.training;
  card.addEventListener("toggle", () => card.open && shown.length && show());
  whenChanged((changed) => {
    if (changed.has("beside") || changed.has("model")) {
      const numbers = seenRuns();
      if (numbers.some((number) => !shown.some((each) => each.number === number))) ask();
      else show();
    }
  });
  ask();
}

begin();
