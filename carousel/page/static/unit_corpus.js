// In the panel of a unit, what the corpus says of it: the words after which it is highest and lowest, and what a probe reads from
// it. Both are asked for when they are opened, and then for each unit that is chosen.

import { askFind, askProbe } from "./api.js";
import { asking } from "./asking.js";
import { excerpt } from "./excerpts.js";
import { percent, show, signed } from "./numbers.js";
import { state } from "./state.js";
import { make, table } from "./tables.js";
import { addToUnit } from "./units.js";

const PLACES = 5; // at each end
const opened = new Set();

function panel(host, key, heading, question, fill) {
  const says = make("p", { className: "muted" });
  const found = make("div", { className: "found", tabIndex: 0, role: "region", ariaLabel: heading });
  const parts = make("details", { className: `told ${key}`, open: opened.has(key) }, make("summary", { textContent: heading }), says, found);
  says.setAttribute("aria-live", "polite");
  const questions = asking((line) => (says.textContent = line));
  const ask = () => {
    says.textContent = "Reading the corpus …";
    questions.ask(question, (answer) => {
      says.textContent = fill(found, answer);
    });
  };
  parts.addEventListener("toggle", () => {
    if (parts.open && !opened.has(key)) ask();
    if (parts.open) opened.add(key);
    else opened.delete(key);
  });
  if (parts.open) ask();
  host.append(parts);
}

function showPlaces(host, { highest, lowest }) {
  const part = (heading, places) => [
    make("h3", { textContent: heading }),
    ...places.slice(0, PLACES).map((e) => excerpt(e, ` ${show(e.value, 3)}`)),
  ];
  host.replaceChildren(...part("Highest", highest), ...part("Lowest", lowest));
  return "One place a line of the corpus.";
}

function showProbes(host, { probes }) {
  const rows = probes.map((p) => [
    p.property,
    `${percent(p.score)} (${signed(100 * (p.score - Math.max(p.majority, p.control)), 0)})`,
    percent(p.majority),
    percent(p.control),
    Object.entries(p.means).map(([label, mean]) => `${label} ${show(mean)}`).join(", "),
  ]);
  const headings = ["property", "right", "commonest", "control", "mean after each label"];
  host.replaceChildren(Object.assign(table("", headings, rows), { className: "switches" }));
  const words = Math.max(0, ...probes.map((p) => p.words)).toLocaleString("en");
  return `Read from the unit alone: the share right of ${words} words in sentences that the probe has not seen (in brackets, by how much it is above both controls); always the commonest label; a control task, in which words have labels at random.`;
}

addToUnit((host, { seen, name, layer, unit }) => {
  const { corpus, annotated } = seen.run;
  if (!corpus) return;
  const { model } = state;
  const asked = { name, layer, unit };
  if (annotated) panel(host, "probes", "What a probe reads from it", () => askProbe(asked, model), showProbes);
  else host.append(make("p", { className: "muted", textContent: "With labels beside the corpus (carousel serve --annotations), a probe tells what it reads from the unit." }));
  panel(
    host,
    "extremes",
    `Where it is highest and lowest in ${corpus}`,
    () => askFind({ kind: "unit", ...asked }, model),
    showPlaces,
  );
});
