// Where a translator looks in the sentence at each word that it writes.

import { showLegend, showMap } from "./heatmap.js";
import { percent, written } from "./numbers.js";
import { change } from "./state.js";

const shares = { kind: "sequential", low: 0, high: 1 };
const partOf = (id) => document.getElementById(id);

// The word that is chosen at an entry of a run, or null while the sentence is read.
const stepOf = (run, k) => (run && k >= run.source ? k - run.source : null);

// Maps of both runs, the words that were written across; and in the list of words, where the run looks at the word that is seen.
export function showAttention({ a, b, places }, i, j) {
  const card = partOf("attention");
  card.hidden = !a.attention;
  if (card.hidden) return; // a step through 500 words of a language model touches none of them
  for (const [k, item] of [...partOf("words").children].entries()) {
    for (const [which, button] of [...item.children].entries())
      button.style.setProperty("--looked", shareOf(which ? b : a, which ? j : i, places[k][which]).toFixed(3));
  }
  if (!card.firstChild) buildAttention(card);
  for (const [id, run, at, which] of [
    ["attention-a", a, i, 0],
    ["attention-b", b, j, 1],
  ]) {
    partOf(id).hidden = !run;
    if (run) showLooks(partOf(id), run, at, which, places, Boolean(b));
  }
  const says = [a, b].map((run, which) => (run ? saysOf(run, which ? j : i, b ? ` (${"AB"[which]})` : "") : ""));
  partOf("attention-says").textContent =
    `Words written across, words read down; each column adds up to 1. ${says.filter(Boolean).join(" ")} The marked column also shades the words above.`;
  showLegend(partOf("attention-legend"), [{ label: "share of attention", ...shares }]);
}

function saysOf(run, k, name) {
  const step = stepOf(run, k);
  if (step === null) return `The sentence is still being read${name}.`;
  const before = step ? `After “${written(run.words[k])}”` : "First";
  return `${before} it writes “${written(run.written[step])}”${name}.`;
}

function shareOf(run, k, at) {
  const step = stepOf(run, k);
  return !run?.attention || step === null || at === null || at >= run.source ? 0 : run.attention[step][at];
}

function showLooks(figure, run, k, which, places, isCompared) {
  figure.firstChild.textContent = isCompared ? "AB"[which] : "";
  const canvas = figure.querySelector("canvas");
  canvas.setAttribute("aria-label", `Attention${isCompared ? ` of run ${"AB"[which]}` : ""}: words written across, words read down. Arrow keys read a value.`);
  showMap(canvas, {
    ...shares,
    wide: true,
    columns: run.written,
    rows: run.words.slice(0, run.source).map(written),
    current: stepOf(run, k),
    value: (r, c) => run.attention[c][r],
    say: (r, c) => `“${written(run.written[c])}” is written with ${percent(run.attention[c][r])} of the attention on “${written(run.words[r])}”`,
    choose: (c) => change({ step: places.findIndex((place) => place[which] === run.source + c) }),
  });
}

function buildAttention(card) {
  const figure = (id) =>
    `<figure id="${id}"><figcaption></figcaption><div class="scroll"><canvas tabindex="0" role="application" aria-roledescription="heat map"></canvas></div><p class="readout" aria-live="polite"></p></figure>`;
  card.innerHTML = `<h2>Where it looks as it writes</h2>
    <p id="attention-says" class="muted"></p>
    <div class="looks">${figure("attention-a")}${figure("attention-b")}</div><div id="attention-legend" class="legend"></div>`;
}
