// The page: what is asked of the model, and what is shown of the answers.

import { askGradients, askPage, askRun, askWatch, hasGradients, savedHash } from "./api.js";
import { fillDrawing, mountDrawing } from "./drawing.js";
import { showFlow } from "./flow.js";
import { alignRuns, unitsOf, wordAt, written } from "./numbers.js";
import { showChanged, showChanges, showPredictions, showTranslations } from "./panels.js";
import { nameOf, showQuantity } from "./quantity.js";
import { offer } from "./save.js";
import { isAlive, isAlone } from "./server.js";
import { asHash, change, fromHash, state, whenChanged } from "./state.js";
import { markWord, showWords } from "./words.js";

const $ = (id) => document.getElementById(id);
const seen = { run: null, a: null, b: null, places: [] };
let playing = null;
let asked = 0;

// Asking

async function read() {
  const turn = (asked += 1);
  document.body.classList.add("busy");
  try {
    const compared = state.other !== null || state.clamps.length > 0;
    const a = await askWatch(state.text, []);
    let refusal = "";
    const b = compared
      ? await askWatch(state.other ?? state.text, state.clamps).catch((error) => void (refusal = error.message))
      : null;
    if (turn !== asked) return;
    Object.assign(seen, { a, b: b ?? null, places: alignRuns(a, b) });
    say(refusal); // A is shown all the same, and what was asked for can be taken back
    showAll();
  } catch (error) {
    if (turn === asked) say(error.message);
  } finally {
    if (turn === asked) document.body.classList.remove("busy");
  }
}

function say(message) {
  $("message").textContent = message;
  $("message").hidden = !message;
}

// Showing

function showAll() {
  const { a, b, places } = seen;
  if (state.step >= places.length) change({ step: places.length - 1 });
  $("reading").hidden = false;
  const flows = seen.run.task === "read" && [state.text, state.other ?? state.text].every(hasGradients);
  $("tabs").hidden = !flows; // there is one view, then
  if (!flows) change({ tab: "cell" });
  showWords($("words"), places, a, b, chooseWord);
  showTranslations($("translations"), a, b);
  $("run-b").hidden = $("map-b").hidden = $("map-d").hidden = $("changes").hidden = !b;
  $("runs").classList.toggle("two", Boolean(b));
  $("maps").classList.toggle("three", Boolean(b));
  $("run-a").querySelector(".tag").hidden = !b;
  $("run-a").querySelector(".which").textContent = b ? "as it is" : `${seen.run.cell}, drawn from its equations`;
  const changes = [state.other !== null ? "other words" : "", state.clamps.length ? "clamped" : ""].filter(Boolean).join(", ");
  $("run-b").querySelector(".which").textContent = changes;
  const given = b ? places.filter(([i, j]) => a.source === undefined || (i ?? 0) < a.source && (j ?? 0) < b.source) : [];
  const pairs = given.map(([i, j]) => [a.words[i], b.words[j]]).filter(([x, y]) => x !== y);
  showChanged($("changed"), state.other === null ? null : pairs, state.clamps, (b ?? a).words, takeBack);
  fillSteps();
  showView();
}

function showView() {
  const flow = state.tab === "flow";
  $("view-cell").hidden = flow || !seen.a;
  $("view-flow").hidden = !flow || !seen.a;
  for (const [id, on] of [
    ["tab-cell", !flow],
    ["tab-flow", flow],
  ]) {
    $(id).setAttribute("aria-selected", on);
    $(id).tabIndex = on ? 0 : -1;
  }
  if (!seen.a) return;
  showStep();
  if (flow) flowOfBoth();
}

async function flowOfBoth() {
  const { text, other } = state;
  try {
    const a = await askGradients(text);
    const b = other === null ? null : await askGradients(other);
    if (state.tab !== "flow" || state.text !== text || state.other !== other) return; // something else is asked by now
    const unit = seen.run.vocabulary.kind === "word" ? "words" : "pieces";
    showFlow(a, b, unit, state.clamps.length ? "Nothing is clamped here." : "");
  } catch (error) {
    say(error.message);
  }
}

function showStep() {
  const { a, b, places, run } = seen;
  const [i, j] = [wordAt(places, state.step, 0), b ? wordAt(places, state.step, 1) : null];
  markWord($("words"), state.step);
  $("now").textContent = whereIn(a, i) + (b && b.words[j] !== a.words[i] ? ` (A), ${written(b.words[j])} (B)` : "");
  const place = replaceable();
  $("replaced").textContent = place ? written(place.word) : "…";
  for (const element of $("replace").elements) element.disabled = !place || !isAlive;
  if (state.tab !== "cell") return;
  for (const [id, watched, word, clamps] of [
    ["run-a", a, i, []],
    ["run-b", b, j, state.clamps],
  ]) {
    if (!watched) continue;
    fillDrawing($(id).querySelector(".drawing"), watched, word, state.layer, state.see, clamps);
    const others = id === "run-b" ? a.predictions[i] : null;
    const most = Math.max(a.predictions[i]?.[0]?.[1] ?? 0, b?.predictions[j]?.[0]?.[1] ?? 0);
    showPredictions($(id).querySelector(".predictions"), watched.predictions[word], others, most);
  }
  showQuantity(seen, i, j);
  if (b) showChanges($("changes"), a, b, i, j, places);
}

// The word that can be replaced at the place that is seen: of B where it reads other words, else of A.
function replaceable() {
  const isOther = seen.b !== null && state.other !== null;
  const run = isOther ? seen.b : seen.a;
  const k = seen.places[state.step]?.[isOther ? 1 : 0] ?? null;
  const span = k === null ? null : (run.spans[k] ?? null);
  return span && { word: run.words[k].trim() || run.words[k], span, text: isOther ? state.other : state.text };
}

function whereIn(run, k) {
  const unit = seen.run.vocabulary.kind === "word" ? "Word" : "Piece";
  if (k === (run.source ?? 0)) return `Before the first ${unit.toLowerCase()}${run.source === undefined ? "" : " is written"}`;
  if (run.source === undefined) return `${unit} ${k} of ${run.words.length - 1}: ${run.words[k]}`;
  if (k > run.source) return `Written ${unit.toLowerCase()} ${k - run.source}: ${run.words[k]}`;
  return k === run.source - 1 ? "The end of the sentence" : `${unit} ${k + 1} of ${run.source - 1}: ${run.words[k]}`;
}

function fillSteps() {
  const { words } = seen.b ?? seen.a; // it is B that is clamped
  $("clamp-from").replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k)));
  $("clamp-to").replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k + 1)));
  $("clamp-to").append(new Option("to the end", ""));
  $("clamp-to").value = "";
}

// Acting

function chooseWord(place) {
  change({ step: place });
  const input = $("replacement");
  if (input.disabled || matchMedia("(pointer: coarse)").matches) return;
  input.value = replaceable().word;
  input.focus();
  input.select();
}

function replaceWord(event) {
  event.preventDefault();
  const place = replaceable();
  const isLetter = seen.run.vocabulary.kind === "char";
  const word = isLetter ? $("replacement").value : $("replacement").value.trim();
  if (!place || !word) return;
  const letters = Array.from(place.text);
  const [from, to] = place.span;
  const blanks = isLetter ? "" : letters.slice(from, to).join("").match(/^\s*/)[0]; // byte pairs begin with theirs
  letters.splice(from, to - from, blanks + word);
  const text = letters.join("");
  change({ other: text === state.text ? null : text });
}

function clamp(event) {
  event.preventDefault();
  try {
    const units = unitsOf($("clamp-units").value, seen.run.units[state.see]);
    const [from, to] = [Number($("clamp-from").value), $("clamp-to").value === "" ? null : Number($("clamp-to").value)];
    if ($("clamp-value").value === "") throw new Error("Give a value to clamp to.");
    if (to !== null && to <= from) throw new Error("The clamp ends before it begins.");
    const layer = $("clamp-layer").value === "" ? null : Number($("clamp-layer").value);
    change({ clamps: [...state.clamps, { name: state.see, value: Number($("clamp-value").value), units, from, to, layer }] });
  } catch (error) {
    say(error.message);
  }
}

function takeBack(what) {
  if (what === "other") change({ other: null });
  else change({ clamps: state.clamps.filter((_, k) => k !== what) });
  $("reading").focus();
}

function go(where) {
  const last = seen.places.length - 1;
  const to = { first: 0, back: state.step - 1, on: state.step + 1, last }[where];
  if (where === "play") togglePlay();
  else change({ step: Math.min(Math.max(to, 0), last) });
}

function togglePlay() {
  const stop = playing !== null;
  clearTimeout(playing);
  playing = null;
  $("play").textContent = stop ? "Play" : "Pause";
  $("play").setAttribute("aria-label", $("play").textContent);
  $("play").setAttribute("aria-pressed", !stop);
  if (stop) return;
  const next = () => {
    if (state.step >= seen.places.length - 1) return togglePlay();
    go("on");
    playing = setTimeout(next, 1000 / Number($("speed").value));
  };
  if (state.step >= seen.places.length - 1) change({ step: 0 });
  playing = setTimeout(next, 1000 / Number($("speed").value));
}

async function save() {
  $("save").disabled = true;
  try {
    offer(`${seen.run.run}.html`, await askPage(state.text, state.other, state.clamps, asHash()));
  } catch (error) {
    say(error.message);
  } finally {
    $("save").disabled = false;
  }
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    $("copy").textContent = "Copied";
  } catch {
    say("The link is the address of this page; copy it from the address bar.");
  }
  setTimeout(() => ($("copy").textContent = "Copy link"), 1500);
}

// Colours: as the system has them, light, or dark.

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  $("theme").textContent = { light: "Light", dark: "Dark" }[theme] ?? "Auto";
  $("theme").setAttribute("aria-label", `Colours: ${theme || "as the system has them"}`);
  try {
    localStorage.setItem("carousel-theme", theme);
  } catch {
    /* nowhere to keep it */
  }
  if (seen.a) showView();
}

function keptTheme() {
  try {
    return localStorage.getItem("carousel-theme") ?? "";
  } catch {
    return "";
  }
}

// Keys

function key(event) {
  const { target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey || !seen.a) return;
  if (target.closest("input, textarea, select, [role=tab], canvas, summary")) return;
  const where = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" }[event.key];
  const free = !target.closest("button, a, [role=button]");
  if (where) go(where);
  else if (event.key === " " && free) go("play");
  else return;
  event.preventDefault();
}

function tabKey(event) {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  change({ tab: state.tab === "cell" ? "flow" : "cell" });
  $(`tab-${state.tab}`).focus();
}

function listen() {
  $("reader").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ text: $("text").value.trim(), other: null, step: 1 });
    if (!$("text").value.trim()) say("The text is empty; give some words to read.");
  });
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    $("reader").requestSubmit();
  });
  $("replace").addEventListener("submit", replaceWord);
  $("clamp").addEventListener("submit", clamp);
  $("clamp-range").addEventListener("input", () => ($("clamp-value").value = $("clamp-range").value));
  $("clamp-value").addEventListener("input", () => ($("clamp-range").value = $("clamp-value").value));
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go(button.dataset.go));
  for (const [id, tab] of [
    ["tab-cell", "cell"],
    ["tab-flow", "flow"],
  ]) {
    $(id).addEventListener("click", () => change({ tab }));
    $(id).addEventListener("keydown", tabKey);
  }
  $("see").addEventListener("change", () => change({ see: $("see").value }));
  $("layer").addEventListener("change", () => change({ layer: Number($("layer").value) }));
  $("order").addEventListener("change", () => change({ order: $("order").value }));
  $("copy").addEventListener("click", copyLink);
  $("save").addEventListener("click", save);
  $("theme").addEventListener("click", () =>
    setTheme({ "": "light", light: "dark", dark: "" }[document.documentElement.dataset.theme ?? ""]),
  );
  document.addEventListener("keydown", key);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => seen.a && showView());
  addEventListener("hashchange", () => begin(location.hash));
  let resizing = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => seen.a && showView());
  });
  whenChanged((changed) => {
    if (["text", "other", "clamps"].some((k) => changed.has(k))) read();
    else if (seen.a) showView();
    if (changed.has("see")) fitClamp();
    $("see").value = state.see;
    $("layer").value = state.layer;
    $("order").value = state.order;
  });
}

function fitClamp() {
  const isValve = seen.run.valves.includes(state.see);
  Object.assign($("clamp-range"), isValve ? { min: 0, max: 1 } : { min: -2, max: 2 });
  $("clamp-value").value = $("clamp-range").value = 0;
}

function showRun() {
  const { run } = seen;
  document.title = `${run.run}: carousel`;
  $("title").textContent = run.run;
  const layers = run.layers > 1 ? `, ${run.layers} layers` : "";
  $("about").textContent =
    `${run.cell}${layers}, ${run.units[run.states.at(-1)]} units, ${run.parameters.toLocaleString("en")} parameters. ${run.doc}`;
  $("equations").textContent = run.equations.join("\n");
  $("see").replaceChildren(...run.names.map((n) => new Option(nameOf(run, n), n)));
  $("layer").replaceChildren(...Array.from({ length: run.layers }, (_, k) => new Option(k, k)));
  $("layer-label").hidden = run.layers < 2;
  $("clamp-layer").replaceChildren(
    new Option("every one", ""),
    ...Array.from({ length: run.layers }, (_, k) => new Option(k, k)),
  );
  $("text").maxLength = run.limits.characters;
  $("alone").hidden = !(isAlone && isAlive);
  $("foot").textContent = `carousel: a cell is its equations. ${run.source} ${isAlone ? aloneSays(run) : ""}`;
  for (const id of ["run-a", "run-b"]) mountDrawing($(id).querySelector(".drawing"), run.svg, (name) => change({ see: name }));
  $("save").hidden = isAlone;
  $("copy").hidden = !isAlive;
  if (!isAlive) for (const element of [...$("reader").elements, ...$("clamp").elements]) element.disabled = true;
}

// What a page says of itself that is one file.
function aloneSays(run) {
  if (!isAlive) return "A saved page: without a model behind it, it shows what was seen.";
  const bits = { int8: 8, bfloat16: 16, float32: 32 }[run.precision];
  return `The whole model is in this file, its weights in ${bits} bits, and nothing is sent. How the error flows back needs derivatives, and finding needs a corpus: carousel serve has both.`;
}

function begin(hash) {
  const { run } = seen;
  const found = fromHash(hash);
  found.text ||= run.example;
  if (!run.names.includes(found.see)) found.see = run.states.includes("h") ? "h" : run.states.at(-1);
  found.layer = Math.min(found.layer, run.layers - 1);
  if (run.task === "translate") found.tab = "cell";
  $("text").value = found.text;
  change(found);
}

async function start() {
  setTheme(keptTheme());
  try {
    seen.run = await askRun();
  } catch (error) {
    return say(error.message);
  }
  showRun();
  listen();
  begin(location.hash || savedHash);
}

start();
