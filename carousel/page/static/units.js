// One unit over the words: its curve, its valves, where they are shut, open or moving, and the text in its colours.

import { colourOf, inkOn, isDark } from "./colours.js";
import { layerIn } from "./layers.js";
import { mean, show, written } from "./numbers.js";
import { nameOf, quantityOf, unitOf } from "./quantity.js";
import { change, state } from "./state.js";
import { make, table } from "./tables.js";
import { tintWords } from "./words.js";

const [SHUT, OPEN, MOVED] = [0.1, 0.9, 0.25];
const NAMED = 8; // words that a cell of the table names
const area = (id) => document.getElementById(id);
const additions = [];
let drawn = [];

// A further part of the panel: fill(host, { seen, name, layer, unit }) is called for each unit that is chosen, with an empty
// element of its own.
export function addToUnit(fill) {
  additions.push(fill);
}

export function listenToUnits(seen) {
  const beside = (by) => {
    const { units } = quantityOf(seen);
    const at = units.indexOf(unitOf(seen) ?? -1);
    change({ unit: units[at < 0 ? 0 : Math.min(Math.max(at + by, 0), units.length - 1)] });
  };
  area("unit-above").addEventListener("click", () => beside(-1));
  area("unit-below").addEventListener("click", () => beside(1));
  area("unit-number").addEventListener("input", ({ target }) => {
    if (target.value !== "" && target.checkValidity()) change({ unit: Number(target.value) });
  });
  area("unit-close").addEventListener("click", () => {
    change({ unit: null });
    area("unit-number").focus();
  });
  area("unit-card").addEventListener("click", ({ target }) => {
    const place = target.closest("[data-place]")?.dataset.place;
    if (place !== undefined) change({ step: Number(place) });
  });
}

// What is seen of the chosen unit at the words i of A and j of B. A unit is A's; B has the same one where it is the same run.
export function showUnit(both, i, j) {
  const of = quantityOf(both);
  const seen = of.isOne ? both : { ...both, b: null };
  const unit = unitOf(seen);
  const asked = [of, unit, isDark()];
  if (asked.some((x, k) => x !== drawn[k])) {
    drawn = asked;
    Object.assign(area("unit-number"), { max: of.units.length - 1, value: unit ?? "" });
    area("unit-body").hidden = area("unit-does").hidden = unit === null;
    area("unit-says").textContent =
      unit === null ? "Choose a row of the heat map." : `of ${of.what}${of.isOne ? "" : `, of ${both.run.run} (A)`}`;
    area("unit-clamp").hidden = !of.isOne; // it is B that is clamped
    tintWords(area("words"), unit === null ? null : coloursOfWords(seen, of, unit));
    if (unit !== null) drawUnit(seen, of, unit);
  }
  if (unit === null) return;
  area("unit-tracks").lastChild.firstChild.style.transform = `translateX(${100 * state.step}%)`;
  for (const track of area("unit-tracks").querySelectorAll(".track")) {
    const { name } = track.dataset;
    const row = layerIn(seen.run);
    const shown = [seen.a.values[name][row][i][unit], ...(seen.b ? [seen.b.values[name][row][j][unit]] : [])];
    for (const [k, value] of shown.entries()) track.lastChild.children[k].textContent = show(value);
  }
  const [before, now] = [area("unit-card").querySelectorAll(".running .now"), `[data-place="${state.step}"]`];
  for (const word of before) word.classList.remove("now");
  for (const word of area("unit-text").querySelectorAll(now)) word.classList.add("now");
}

function coloursOfWords({ places }, of, unit) {
  const colour = (values, k) => {
    if (k === null || values[k][unit] === null) return undefined;
    const found = colourOf(of.kind, (values[k][unit] - of.low) / (of.high - of.low || 1));
    return [`rgb(${found.join(" ")})`, inkOn(found)];
  };
  return places.map(([i, j]) => [colour(of.va, i), of.vb ? colour(of.vb, j) : undefined]);
}

function drawUnit(seen, of, unit) {
  const { run, a, b, places } = seen;
  area("unit-facts").textContent = [
    [a, of.va, b ? "A: " : ""],
    [b, of.vb, "B: "],
  ]
    .filter(([read]) => read)
    .map(([read, values, which]) => which + extremes(read.words, values, unit))
    .join(" ");
  const size = run.units[of.name];
  const names = [...new Set([of.name, ...[...run.states].reverse(), ...run.valves])].filter((n) => run.units[n] === size);
  area("unit-tracks").replaceChildren(...names.map((name) => track(seen, name, unit)), axis(seen), mark(places.length));
  area("unit-text").replaceChildren(...runningText(seen, of, unit));
  const valves = names.filter((name) => run.valves.includes(name));
  area("unit-gates").hidden = !valves.length;
  area("unit-gates").replaceChildren(gates(seen, valves, unit));
  area("unit-more").replaceChildren(
    ...additions.map((fill) => {
      const host = document.createElement("div");
      fill(host, { seen, name: of.name, layer: layerIn(run), unit });
      return host;
    }),
  );
}

function extremes(words, values, unit) {
  const at = values.map((units) => units[unit]);
  const known = at.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const after = (x) => `after “${written(words[at.indexOf(x)])}” (${show(x)})`;
  return `Highest ${after(high)}, lowest ${after(low)}, mean ${show(mean(known))}.`;
}

// Values over the places of one run, null where it has no word.
const along = (places, run, values, unit) => places.map((p) => (p[run] === null ? null : values[p[run]][unit]));

function track({ run, a, b, places }, name, unit) {
  const isValve = run.valves.includes(name);
  const both = [a, b].filter(Boolean).map((read, k) => along(places, k, read.values[name][layerIn(run)], unit));
  const reach = isValve ? 1 : Math.max(0.01, ...both.flat().map((v) => Math.abs(v ?? 0)));
  const y = (v) => (isValve ? 1 - v : (1 - v / reach) / 2).toFixed(4);
  const paths = both.map((values, k) => {
    const line = `<path class="line ${"ab"[k]}" d="${stairs(values, y)}" />`;
    return isValve && k === 0 ? `<path class=open d="${stairs(values, y, true)}" />${line}` : line;
  });
  const made = document.createElement("div");
  made.className = `track${isValve ? " valve" : ""}`;
  made.dataset.name = name;
  made.innerHTML =
    `<span class=name></span><svg viewBox="0 0 ${places.length} 1" preserveAspectRatio=none aria-hidden=true>` +
    `<path class=zero d="M0 ${y(0)}H${places.length}" />${paths.join("")}</svg><span class=values>${both.map((_, k) => `<span class=${"ab"[k]}></span>`).join("")}</span>`;
  made.firstChild.textContent = nameOf(run, name);
  if (!isValve) made.firstChild.title = `from −${show(reach)} to ${show(reach)}`;
  return made;
}

// A level for each word; closed, as an area over nought.
function stairs(values, y, closed = false) {
  let path = "";
  let drawing = false;
  for (const [k, v] of values.entries()) {
    if (v === null) drawing = false;
    else if (closed) path += `M${k} 1V${y(v)}H${k + 1}V1z`;
    else {
      path += `${drawing ? "V" : `M${k} `}${y(v)}H${k + 1}`;
      drawing = true;
    }
  }
  return path;
}

// Words below the tracks, as many as can be read.
function axis({ a, b, places }) {
  const made = document.createElement("div");
  made.className = "axis";
  made.setAttribute("aria-hidden", "true");
  const words = places.map(([i, j]) => written(i === null ? b.words[j] : a.words[i]));
  const longest = Math.min(12, Math.max(...words.map((w) => w.length)));
  const every = Math.max(1, Math.ceil((places.length * (longest + 1)) / 58));
  for (let k = 0; k < words.length; k += every) {
    const word = document.createElement("span");
    word.textContent = words[k].length > 12 ? `${words[k].slice(0, 11)}…` : words[k];
    word.style.left = `${((100 * (k + 0.5)) / words.length).toFixed(3)}%`;
    made.append(word);
  }
  return made;
}

function mark(count) {
  const made = document.createElement("div");
  made.className = "here";
  made.append(document.createElement("div"));
  made.firstChild.style.width = `${100 / count}%`;
  return made;
}

// Karpathy, Johnson and Fei-Fei, 2015: every word on the colour of the unit after it.
function runningText(seen, of, unit) {
  const colours = coloursOfWords(seen, of, unit);
  const between = seen.run.vocabulary.kind === "word" ? " " : "";
  return [seen.a, seen.b].filter(Boolean).map((read, which) => {
    const line = document.createElement("p");
    line.className = "running";
    if (seen.b) line.innerHTML = `<span class="tag ${"ab"[which]}">${"AB"[which]}</span> `;
    for (const [place, both] of seen.places.entries()) {
      if (both[which] === null) continue;
      const word = document.createElement("span");
      word.dataset.place = place;
      word.textContent = written(read.words[both[which]]);
      [word.style.background, word.style.color] = colours[place][which] ?? ["", ""];
      line.append(word, between);
    }
    return line;
  });
}

function gates({ run, a, b, places }, valves, unit) {
  const which = b ? 1 : 0;
  const read = b ?? a;
  const link = (k) => make("span", { className: "link", textContent: written(read.words[places[k][which]]) });
  const rows = valves.map((name) => {
    const values = along(places, which, read.values[name][layerIn(run)], unit);
    const tests = [
      (v) => v < SHUT,
      (v) => v > OPEN,
      (v, k) => k > 0 && values[k - 1] !== null && Math.abs(v - values[k - 1]) > MOVED,
    ];
    const cells = tests.map((holds) => {
      const found = [...values.keys()].filter((k) => values[k] !== null && holds(values[k], k));
      if (!found.length) return "–";
      const links = found.slice(0, NAMED).flatMap((k) => {
        const word = link(k);
        word.dataset.place = k;
        return [word, " "];
      });
      return [`${found.length}: `, ...links, found.length > NAMED ? "…" : ""];
    });
    return [nameOf(run, name), ...cells];
  });
  const headings = ["", `shut (below ${SHUT})`, `open (above ${OPEN})`, `moves (by more than ${MOVED})`];
  return table(`Valves of the unit, by the word${b ? ", in B" : ""}`, headings, rows);
}
