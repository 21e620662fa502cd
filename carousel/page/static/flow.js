// The gradient flow of a text: sizes against lag, a curve for each state and layer.

import { askGradients } from "./api.js";
import { asking } from "./asking.js";
import { askedClamps } from "./clamping.js";
import { endOf, showDepends } from "./depends.js";
import { showLegend, showMap } from "./heatmap.js";
import { percent, show, written } from "./numbers.js";
import { modelOfB } from "./models.js";
import { isAlone } from "./server.js";
import { change, state } from "./state.js";
import { table } from "./tables.js";

const NS = "http://www.w3.org/2000/svg";
const SUP = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function make(parent, name, attributes, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
  element.textContent = text;
  parent.append(element);
  return element;
}

// Curves by lag: the last word first.
function curvesOf(flow, run) {
  const layers = Object.values(flow.size)[0].length;
  return Object.entries(flow.size).flatMap(([state, sizes], s) =>
    sizes.map((sizes_, layer) => ({
      label: `${state}${layers > 1 ? `, layer ${layer}` : ""}${run ? `, ${run}` : ""}`,
      run,
      layer,
      s,
      words: flow.words,
      points: [...sizes_].reverse(),
    })),
  );
}

const part = (id) => document.getElementById(id);
const questions = asking((line) => {
  part("flow-error").textContent = line;
  part("flow-error").hidden = line === "";
  part("flow-shown").hidden = line !== "";
});

// The flow of both runs; what is wrong with either is said in the panel.
export function askFlow(seen) {
  const { text, other, clamps, model } = state;
  const isFree = !isAlone; // one file knows the last word alone, without clamps
  const end = isFree ? endOf(state.end, seen.a) : null;
  const twin = end === null ? null : (seen.places.find(([i]) => i === end)?.[1] ?? null); // none: B's last word
  const isOther = seen.b && (isFree || other !== null || modelOfB() !== model);
  questions.ask(
    async () => [
      await askGradients(text, end, [], model),
      isOther ? await askGradients(other ?? text, twin, isFree ? askedClamps() : [], modelOfB()) : null,
    ],
    ([a, b]) => {
      const unit = seen.run.vocabulary.kind === "word" ? "words" : "pieces";
      showFlow(a, b, unit, !isFree && clamps.length ? "Nothing is clamped here." : "");
    },
  );
  if (isFree) showDepends(seen, end, (word) => change({ end: word }));
}

function showFlow(a, b, unit, aside) {
  const curves = [...curvesOf(a, b ? "A" : ""), ...(b ? curvesOf(b, "B") : [])];
  document.getElementById("flow-says").textContent = [flowSays(a, b ? "A" : "", unit), b ? flowSays(b, "B", unit) : "", aside]
    .filter(Boolean)
    .join(" ");
  plotFlow(document.getElementById("flow-plot"), curves);
  const back = (flow, lag) => flow?.words.at(-1 - lag);
  const rows = Array.from({ length: Math.max(a.words.length, b?.words.length ?? 0) }, (_, lag) => [
    `${lag}: ${[...new Set([back(a, lag), back(b, lag)])].filter((w) => w !== undefined).join(" / ")}`,
    ...curves.map((c) => c.points[lag]?.toExponential(2) ?? ""),
  ]);
  document
    .getElementById("flow-table")
    .replaceChildren(
      table("Size of ∂E/∂x by lag (words back from the last one read)", ["lag: word", ...curves.map((c) => c.label)], rows),
    );
  const names = Object.keys(a.parts);
  const high = Math.max(0.01, ...Object.values(a.parts).flat());
  showLegend(document.getElementById("parts-legend"), [
    { label: b ? "share, run A" : "share", kind: "sequential", low: 0, high },
  ]);
  showMap(document.getElementById("parts"), {
    columns: a.words,
    rows: names,
    wide: true,
    kind: "sequential",
    low: 0,
    high,
    current: null,
    value: (r, c) => a.parts[names[r]][c],
    say: (r, c) => `${names[r]}: ${percent(a.parts[names[r]][c])} of the sizes pass through “${a.words[c]}”`,
  });
}

function flowSays(flow, run, unit) {
  const half =
    flow.half_life === null ? "does not fall, or is too short to say" : `halves every ${show(flow.half_life, 1)} ${unit}`;
  return `${run ? `${run}: ` : ""}The error of “${flow.predicted}”, after “${flow.words.at(-1)}”, ${half} on its way back.`;
}

function plotFlow(host, curves) {
  const [width, height, left, right, top, bottom] = [900, 420, 64, 130, 16, 92];
  const lags = Math.max(...curves.map((c) => c.points.length));
  const logs = curves
    .flatMap((c) => c.points)
    .filter((v) => v > 0)
    .map((v) => Math.log10(v));
  const [low, high] = [Math.floor(Math.min(...logs, 0)), Math.ceil(Math.max(...logs, -1))];
  const x = (lag) => left + ((width - left - right) * lag) / Math.max(lags - 1, 1);
  const y = (v) => top + ((height - top - bottom) * (high - Math.max(Math.log10(v), low))) / (high - low);
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("class", "plot");
  svg.setAttribute("role", "img");
  svg.setAttribute(
    "aria-label",
    "Size of the gradient of the error with respect to each state, on a logarithmic scale, against the number of words back. The numbers are in the table below.",
  );
  const step = Math.ceil((high - low) / 8);
  for (let e = high; e >= low; e -= step) {
    make(svg, "line", { class: "grid", x1: left, x2: width - right, y1: y(10 ** e), y2: y(10 ** e) });
    make(svg, "text", { class: "tick end", x: left - 8, y: y(10 ** e) + 4 }, `10${[...String(e)].map((d) => SUP[d]).join("")}`);
  }
  const each = Math.ceil((lags * 18) / (width - left - right));
  for (let lag = 0; lag < lags; lag += each) {
    const [at, words] = [x(lag), [...new Set(curves.map((c) => c.words.at(-1 - lag)).filter(Boolean).map(written))]];
    const y = height - bottom + 14;
    make(svg, "text", { class: "tick end", x: at + 4, y, transform: `rotate(-50 ${at + 4} ${y})` }, words.join(" / "));
  }
  make(svg, "text", { class: "axis", x: (left + width - right) / 2, y: height - 4 }, "words, from the last one read back");
  const taken = [];
  for (const curve of curves) {
    const points = curve.points.map((v, lag) => [lag, v]).filter(([, v]) => v > 0);
    if (!points.length) continue;
    const name = `curve s${curve.s % 4} l${curve.layer % 3}${curve.run === "B" ? " b" : ""}`;
    make(svg, "path", { class: name, d: `M${points.map(([lag, v]) => `${x(lag).toFixed(1)} ${y(v).toFixed(1)}`).join("L")}` });
    if (lags < 60) for (const [lag, v] of points) make(svg, "circle", { class: `dot ${name}`, cx: x(lag), cy: y(v), r: 3 });
    let at = y(points.at(-1)[1]) + 4;
    while (taken.some((t) => Math.abs(t - at) < 15)) at -= 15;
    taken.push(at);
    make(svg, "text", { class: `name ${name}`, x: x(points.at(-1)[0]) + 8, y: at }, curve.label);
  }
  host.replaceChildren(svg);
}
