// Finding in the corpus: where else units do as on a span of words, where memories are nearest, where a unit is extreme.
// The corpus stays with the server, so a page that is one file has no such panel.

import { askFind, askRun, askWatch } from "./api.js";
import { asking } from "./asking.js";
import { excerpt } from "./excerpts.js";
import { layerIn, seeIn } from "./layers.js";
import { numberOf, runsOf } from "./models.js";
import { show, written } from "./numbers.js";
import { state, whenChanged } from "./state.js";
import { make, table } from "./tables.js";

const SHOWN = 12; // units that are listed
let words = []; // of the text that is read

const button = (textContent, onclick) => make("button", { type: "button", textContent, onclick });
const [from, to] = [make("select"), make("select")];
const threshold = make("input", { type: "number", min: 0.05, max: 100, step: 0.05, value: 0.3 });
const off = make("select", {}, ...["both", "before", "after"].map((side) => new Option(side, side)));
const unit = make("input", { type: "number", min: 0, step: 1, value: 0 });
const says = make("p", { className: "muted" });
const found = make("div", { className: "found", tabIndex: 0, role: "region", ariaLabel: "Places of the corpus" });
says.setAttribute("aria-live", "polite");

const card = make(
  "details",
  { id: "find", className: "card find" },
  make("summary", {}, make("h2", { textContent: "Find it in the corpus" })),
  make(
    "div",
    { className: "fields" },
    make("label", {}, "Words from ", from),
    make("label", {}, "to ", to),
    make("label", {}, "On from ", threshold),
    make("label", {}, "Off on sides ", off),
    button("Places where units do the same", () => ask("like")),
    button("Nearest to the last word", () => ask("nearest")),
    make("label", {}, "Unit ", unit),
    button("Where it is highest and lowest", () => ask("unit")),
  ),
  says,
  found,
);

const questions = asking((line) => (says.textContent = line));
const readings = asking(() => {}); // what is wrong with the text is said above

function ask(kind) {
  says.textContent = "Searching; a corpus is read once …";
  found.replaceChildren();
  const { text, model } = state;
  const [name, layer] = [seeIn(runSeen()), layerIn(runSeen())];
  const span = { begin: Number(from.value), end: Number(to.value) };
  const asked = { number: Number(unit.value), after: words[span.end - 1] };
  const how = { threshold: Number(threshold.value), off: off.value };
  questions.ask(
    () => askFind({ kind, name, layer, text, ...span, unit: asked.number, ...how }, model),
    (answer) => (kind === "like" ? showAlike(answer.alike, name) : showPlaces(answer, kind, name, asked)),
  );
}

const signed = (u, sign) => (sign < 0 ? `−${u}` : `${u}`);

function showAlike(alike, name) {
  const total = alike.units.length;
  const counts = Object.entries(alike.places).sort(([a], [b]) => b - a);
  const shared = counts.slice(0, 4).map(([k, n]) => `${k} of ${total}: ${n.toLocaleString("en")}`);
  says.textContent = `${total} units of ${name} are on over “${alike.words.slice(...alike.span).map(written).join(" ")}”. Places that units share: ${shared.join(", ")}.`;
  const fit = (u) => Math.max(0, ...u.labels.map((l) => l.correlation));
  const rows = [...alike.units].sort((a, b) => fit(b) - fit(a)).slice(0, SHOWN);
  const cells = rows.map((u) => {
    const [best] = u.labels;
    const labels = best ? [`${best.property} = ${best.label}`, show(best.precision), show(best.recall), show(best.share)] : [];
    return [signed(u.unit, u.sign), u.places.toLocaleString("en"), ...labels];
  });
  const headings = ["unit", "places", ...(rows[0].labels.length ? ["goes with", "precision", "recall", "of all words"] : [])];
  const units = Object.assign(table("", headings, cells), { className: "switches" });
  found.replaceChildren(units, ...alike.best.map((e) => excerpt(e, ` units ${e.units.map(([u, s]) => signed(u, s)).join(" ")}`)));
}

function showPlaces(answer, kind, name, { number, after }) {
  const what = kind === "unit" ? `Unit ${number} of ${name}` : `Nearest ${name} after “${written(after)}”`;
  says.textContent = `${what}, one place a line.`;
  const parts = Object.entries(answer).flatMap(([heading, places]) => [
    make("h3", { textContent: { nearest: "By distance", highest: "Highest", lowest: "Lowest" }[heading] }),
    ...places.map((e) => excerpt(e, ` ${show(e.value, 3)}`)),
  ]);
  found.replaceChildren(...parts);
}

function readWords() {
  const { text, model } = state;
  readings.ask(
    () => askWatch(text, [], model),
    (read) => {
      words = read.words;
      from.replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k)));
      to.replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k + 1)));
      mark();
    },
  );
}

// The span begins at the word that is seen; the last word stays where it is chosen after it.
function mark() {
  if (!words.length) return;
  const step = Math.min(state.step, words.length - 1);
  from.value = step;
  if (Number(to.value) <= step) to.value = step + 1;
}

let runs = [];
const runSeen = () => runs[numberOf(state.model)];

async function begin() {
  const run = await askRun().catch(() => ({})); // said by the page
  if (!run.corpus) return;
  runs = runsOf(run);
  card.querySelector("h2").textContent += `: ${run.corpus}`;
  document.querySelector("main").append(card);
  card.addEventListener("toggle", () => card.open && readWords());
  whenChanged((changed) => {
    if (Number.isInteger(state.unit)) unit.value = state.unit;
    if (!card.open) return;
    if (changed.has("text") || changed.has("model")) readWords();
    else if (changed.has("step")) mark();
  });
}

begin();
