// The page: what is asked of the model, and what is shown of the answers.

import { askPage, askRun, askWatch, hasGradients, savedHash } from "./api.js";
import { showAttention } from "./attention.js";
import { carried } from "./carried.js";
import { askedClamps, fillClampLayers, fillClampWords, fitClamp, listenToClamps } from "./clamping.js";
import { fillDrawing, mountDrawing } from "./drawing.js";
import { askFlow } from "./flow.js";
import { inRow, layerIn, rowsOf, seeIn } from "./layers.js";
import { offerLink } from "./link.js";
import { begins, listenToModels, modelOfB, nameOfModel, numberOf, runsOf, showModels } from "./models.js";
import { alignRuns, wordAt, written } from "./numbers.js";
import { showChanged, showChanges, showPredictions, showTranslations } from "./panels.js";
import { offerPatch } from "./patch.js";
import { offerKeys, offerSteps, submitOnEnter } from "./player.js";
import { nameOf, showQuantity } from "./quantity.js";
import { offer } from "./save.js";
import { isAlive, isAlone } from "./server.js";
import { asHash, change, fromHash, state, whenChanged } from "./state.js";
import { hasTab, listenToTabs, offerTab, showTab } from "./tabs.js";
import { offerThemes } from "./theme.js";
import { listenToUnits, showUnit } from "./units.js";
import { markWord, showWords } from "./words.js";

const $ = (id) => document.getElementById(id);
const HAND = 200; // milliseconds that a hand rests before what it typed is read
const REPEAT = 100; // milliseconds: steps that follow so soon are a run through the text, and tables wait for its end
const seen = { runs: [], run: null, other: null, a: null, b: null, places: [] }; // run: the facts of A's, other: of B's
let asked = 0;
let isReading = false;
let typed = null; // the timer of what was typed
let followsCaret = false;
let stepped = -REPEAT; // when the last step was shown
let [fitted, fittedTo] = [null, null]; // the quantity and the run of the clamps' form
let tabled = null; // the timer of what waits for the end of a run through the text

// Asking

// One question at a time, and the latest wins: what was asked meanwhile is asked next, once.
async function read() {
  asked += 1;
  if (isReading) return;
  isReading = true;
  document.body.classList.add("busy");
  for (let turn = 0; turn !== asked; ) {
    turn = asked;
    await readOnce(() => turn === asked);
  }
  document.body.classList.remove("busy");
  isReading = false;
}

async function readOnce(isLatest) {
  if (!seen.a) showRuns();
  try {
    const compared = state.other !== null || state.clamps.length > 0 || state.beside !== null;
    const a = await askWatch(state.text, [], state.model);
    let refusal = "";
    const b =
      compared && isLatest()
        ? await askWatch(state.other ?? state.text, askedClamps(), modelOfB()).catch((error) => void (refusal = error.message))
        : null;
    if (!isLatest()) return;
    showRuns();
    Object.assign(seen, { a, b: b ?? null, places: alignRuns(a, b) });
    say(refusal); // A is shown all the same, and what was asked for can be taken back
    showAll();
  } catch (error) {
    if (isLatest()) say(error.message);
  }
}

function say(message) {
  $("message").textContent = message;
  $("message").hidden = !message;
}

// Showing

function showAll() {
  const { a, b, places } = seen;
  $("reading").hidden = false;
  showWords($("words"), places, a, b, chooseWord);
  if (followsCaret) change({ step: placeOfCaret() });
  followsCaret = false;
  if (state.step >= places.length) change({ step: places.length - 1 });
  const flows =
    seen.run.task === "read" && hasGradients(state.text, state.model) && hasGradients(state.other ?? state.text, modelOfB());
  offerTab("flow", flows);
  if (!flows && state.tab === "flow") change({ tab: "cell" });
  showTranslations($("translations"), a, b);
  $("run-b").hidden = $("map-b").hidden = $("changes").hidden = !b;
  document.body.classList.toggle("compared", Boolean(b));
  $("run-a").querySelector(".tag").hidden = !b;
  $("run-a").querySelector(".which").textContent = 
    b && !state.beside ? "as it is" : nameOfModel(seen.runs, state.model);
  const changes = [
    state.beside ? nameOfModel(seen.runs, state.beside) : "",
    state.other !== null ? "other words" : "", state.clamps.length ? "clamped" : "",
  ].filter(Boolean).join(", ");
  $("run-b").querySelector(".which").textContent = changes;
  const given = b ? places.filter(([i, j]) => a.source === undefined || (i ?? 0) < a.source && (j ?? 0) < b.source) : [];
  const pairs = given.map(([i, j]) => [a.words[i], b.words[j]]).filter(([x, y]) => x !== y);
  showChanged($("changed"), state.other === null ? null : pairs, state.clamps, (b ?? a).words, a.words, takeBack);
  if (b) carried(a, b).then((line) => b === seen.b && sayCarried(line), () => {});
  fillClampWords(seen);
  offerPatch(!isAlone && b !== null && state.other !== null && state.beside === null);
  showView();
}

function sayCarried(line) {
  if (line) $("changed").append(Object.assign(document.createElement("span"), { id: "carried", textContent: line }));
}

function showView() {
  showTab(state.tab, Boolean(seen.a));
  $("controls").hidden = state.tab !== "cell" || !seen.a;
  if (!seen.a) return;
  showStep();
  if (state.tab === "flow") askFlow(seen);
}

function showStep() {
  const { a, b, places, run, other } = seen;
  const [i, j] = [wordAt(places, state.step, 0), b ? wordAt(places, state.step, 1) : null];
  markWord($("words"), state.step);
  $("now").textContent = whereIn(a, i) + (b && b.words[j] !== a.words[i] ? ` (A), ${written(b.words[j])} (B)` : "");
  const place = replaceable();
  $("replaced").textContent = place ? written(place.word) : "…";
  $("replacement").placeholder = place ? `for ${written(place.word)}` : "";
  for (const element of $("replace").elements) element.disabled = !place || !isAlive;
  if (state.tab !== "cell") return;
  for (const [id, watched, word, clamps, of] of [
    ["run-a", a, i, [], run],
    ["run-b", b, j, state.clamps, other],
  ]) {
    if (!watched) continue;
    const row = layerIn(of);
    fillDrawing($(id).querySelector(".drawing"), watched, word, row, seeIn(of), inRow(clamps, of, row));
    const others = id === "run-b" ? a.predictions[i] : null;
    const most = Math.max(a.predictions[i]?.[0]?.[1] ?? 0, b?.predictions[j]?.[0]?.[1] ?? 0);
    showPredictions($(id).querySelector(".predictions"), watched.predictions[word], others, most);
  }
  showQuantity(seen, i, j);
  showUnit(seen, i, j);
  showAttention(seen, i, j);
  clearTimeout(tabled);
  if (b && performance.now() - stepped > REPEAT) showChanges($("changes"), a, b, i, j, places);
  else if (b) tabled = setTimeout(() => showChanges($("changes"), a, b, i, j, places), REPEAT);
  stepped = performance.now();
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

function takeBack(what) {
  if (what === "other") change({ other: null });
  else change({ clamps: state.clamps.filter((_, k) => k !== what) });
  $("reading").focus();
}

async function save() {
  $("save").disabled = true;
  try {
    offer(`${seen.run.run}.html`, await askPage({ ...state, clamps: askedClamps() }, seen.run.task === "read", asHash()));
  } catch (error) {
    say(error.message);
  } finally {
    $("save").disabled = false;
  }
}

// What is typed is read as it is typed, and followed to the word at the caret.
function readTyped(event) {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const text = $("text").value.trim();
    if (!text || text === state.text || event.isComposing) return;
    followsCaret = true;
    change({ text, other: null });
  }, HAND);
}

function placeOfCaret() {
  const { value, selectionStart } = $("text");
  const before = Array.from(value.slice(0, selectionStart).trimStart()).length;
  const found = seen.places.findLastIndex(([i]) => i !== null && seen.a.spans[i] && seen.a.spans[i][0] < before);
  return found < 0 ? Math.min(1, seen.places.length - 1) : found;
}

function submitText(event) {
  event.preventDefault();
  clearTimeout(typed);
  followsCaret = false;
  const text = $("text").value.trim();
  change({ text, other: null, step: 1 });
  if (!text) say("The text is empty; give some words to read.");
}

function listen() {
  $("reader").addEventListener("submit", submitText);
  $("text").addEventListener("input", readTyped);
  $("text").addEventListener("compositionend", readTyped);
  submitOnEnter($("text"));
  $("replace").addEventListener("submit", replaceWord);
  listenToClamps(seen, say);
  listenToUnits(seen);
  listenToModels(seen.runs);
  offerSteps(() => seen.places.length);
  listenToTabs((tab) => change({ tab }));
  $("see").addEventListener("change", () => change({ see: $("see").value }));
  $("layer").addEventListener("change", () => change({ layer: Number($("layer").value) }));
  $("order").addEventListener("change", () => change({ order: $("order").value }));
  $("every").addEventListener("change", () => change({ every: $("every").checked }));
  offerLink($("copy"));
  $("save").addEventListener("click", save);
  offerThemes($("theme"), () => seen.a && showView());
  offerKeys(() => seen.a !== null);
  addEventListener("hashchange", () => begin(location.hash));
  let resizing = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => seen.a && showView());
  });
  whenChanged((changed) => {
    if (["text", "other", "clamps", "model", "beside", "weights"].some((k) => changed.has(k))) read();
    else if (seen.a && changed.size === 1 && changed.has("step")) showStep();
    else if (seen.a) showView();
    showModels(seen.runs);
    showChosen();
    $("every").checked = state.every;
  });
}

function showChosen() {
  if (!seen.run) return;
  const chosen = { see: seeIn(seen.run), layer: state.layer, order: state.order };
  if (seen.other.names.includes(state.see)) chosen.see = state.see;
  for (const [key, value] of Object.entries(chosen)) $(key).value = value;
  if (fitted !== seeIn(seen.other) || fittedTo !== seen.other) fitClamp(seen);
  [fitted, fittedTo] = [seeIn(seen.other), seen.other];
}

function showRun() {
  const [first] = seen.runs;
  $("text").maxLength = first.limits.characters;
  $("alone").hidden = !(isAlone && isAlive);
  $("save").hidden = isAlone;
  $("copy").hidden = !isAlive;
  if (!isAlive) for (const element of [...$("reader").elements, ...$("clamp").elements]) element.disabled = true;
}

// The runs of A and B: their drawings, and what can be chosen of them.
function showRuns() {
  const { runs } = seen;
  const [run, other] = [state.model, modelOfB()].map((model) => runs[numberOf(model)]);
  for (const [id, was, now] of [
    ["run-a", seen.run, run],
    ["run-b", seen.other, other],
  ])
    if (was !== now) mountDrawing($(id).querySelector(".drawing"), now.svg, (name) => change({ see: name }));
  const isNew = run !== seen.run || other !== seen.other;
  Object.assign(seen, { run, other });
  if (!isNew) return;
  document.title = `${run.run}: carousel`;
  $("title").textContent = run === other ? run.run : `${run.run}, ${other.run}`;
  $("about").textContent = $("about").title = [...new Set([run, other])].map(saysOf).join(" ");
  $("equations").textContent = run.equations.join("\n");
  const names = new Map([other, run].flatMap((each) => each.names.map((name) => [name, nameOf(each, name)])));
  $("see").replaceChildren(...[...names].map(([name, says]) => new Option(says, name)));
  const deepest = [run, other].map(rowsOf).reduce((x, y) => (y.length > x.length ? y : x));
  $("layer").replaceChildren(...deepest.map((row, k) => new Option(row, k)));
  $("layer-label").hidden = deepest.length < 2;
  fillClampLayers(other.layers);
  $("foot").textContent = `carousel: a cell is its equations. ${run.doc} ${run.source} ${isAlone ? aloneSays(run) : ""}`;
  showChosen();
}

function saysOf(run) {
  const layers = run.layers > 1 ? `, ${run.layers} layers` : "";
  return `${run.cell}${layers}, ${run.units[run.states.at(-1)]} units, ${run.parameters.toLocaleString("en")} parameters. ${run.doc}`;
}

// What a page says of itself that is one file.
function aloneSays(run) {
  if (!isAlive) return "A saved page: without a model behind it, it shows what was seen.";
  const bits = { int8: 8, bfloat16: 16, float32: 32 }[run.precision];
  return `The whole model is in this file, its weights in ${bits} bits, and nothing is sent. How the error flows back needs derivatives, and finding needs a corpus: carousel serve has both.`;
}

function begin(hash) {
  const { runs } = seen;
  const found = fromHash(hash);
  const known = (model) => model !== null && numberOf(model) < runs.length;
  if (!known(found.model) || found.model === "0") found.model = begins(runs[0], 0);
  if (!known(found.beside)) found.beside = null;
  const run = runs[numberOf(found.model)];
  const both = [run, runs[numberOf(found.beside ?? found.model)]];
  found.text ||= run.example;
  if (!both.some(({ names }) => names.includes(found.see))) found.see = run.states.includes("h") ? "h" : run.states.at(-1);
  found.layer = Math.min(found.layer, Math.max(...both.map((each) => rowsOf(each).length)) - 1);
  if ((run.task === "translate" && found.tab === "flow") || !hasTab(found.tab)) found.tab = "cell";
  if ($("text").value.trim() !== found.text) $("text").value = found.text;
  change(found);
}

async function start() {
  try {
    seen.runs = runsOf(await askRun());
  } catch (error) {
    return say(error.message);
  }
  showRun();
  listen();
  begin(location.hash || savedHash);
}

start();
