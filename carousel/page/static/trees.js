// The page of a labeller of trees: an expression as a tree that fills from its leaves, its nodes in the colours of a unit.

import { askTree } from "./api.js";
import { asking } from "./asking.js";
import { colourOf, inkOn } from "./colours.js";
import { $, MAP, listenToChoices, listenToLevels, listenToReader, say, scaleOf, showChoices, titleOf, verdictOf } from "./examples.js";
import { moveMap, showLegend, showMap } from "./heatmap.js";
import { orderOf, percent, show } from "./numbers.js";
import { change, state, whenChanged } from "./state.js";
import { make } from "./tables.js";
import { TreeView } from "./treeview.js";

export const cards = `
  <section class="card seen" aria-labelledby="tree-title">
    <div class="heading">
      <h2 id="tree-title">The tree</h2>
      <div id="legend" class="legend"></div>
    </div>
    <div id="tree" class="scroll tree" tabindex="0" role="application" aria-roledescription="tree" aria-label="The tree. Arrow keys go to the parent, the children and the neighbours; Escape leaves the node."></div>
    <p id="node" class="readout" aria-live="polite"></p>
  </section>
  <section class="card" aria-labelledby="maps-title">
    <h2 id="maps-title"></h2>
    ${MAP}
  </section>`;

export const steps = {
  all: "Step through the levels",
  level: "Level",
  first: "The leaves",
  back: "Level below",
  on: "Level above",
  last: "The root",
};

export const saysOf = () => "It labels trees.";

const questions = asking(say);
const seen = { run: null, tree: null, count: null, units: [], scale: null, columns: [] };
let view = null; // the drawing

const unitOf = () => state.unit ?? seen.units[0];
const topOf = ({ heights }) => Math.max(...heights);
const levelOf = () => Math.min(state.level ?? Infinity, topOf(seen.tree));
const textOf = ({ tokens, ends }, k) => tokens.slice(k, ends[k]).filter(Boolean).join(" ");

function read() {
  const { text, part, number, see: name, layer } = state;
  if (!text && part === null) return say("This run has no data of its own; type a tree.");
  const which = text ? { text } : { part, number };
  document.body.classList.add("busy");
  questions.ask(() => askTree({ ...which, name, layer }, state.model).finally(() => document.body.classList.remove("busy")), showTree);
}

function showTree(tree) {
  const { run } = seen;
  const isWhole = tree.right.length !== tree.tokens.length;
  const rightOf = (k) => (isWhole ? (k ? undefined : tree.right[0]) : tree.right[k]);
  const wrong = tree.labels.map((label, k) => (rightOf(k) === undefined ? null : rightOf(k) !== label));
  // A leaf's label says nothing where the model has learnt to label roots.
  const labels = tree.labels.map((label, k) => (run.whole && !tree.heights[k] ? "" : label));
  Object.assign(seen, { tree: { ...tree, wrong, rightOf, drawn: { ...tree, labels, wrong } }, count: tree.count ?? seen.count });
  seen.units = orderOf(tree.values, "variance");
  seen.scale = scaleOf(run, state.see, tree.values.flat());
  const { heights } = tree;
  seen.columns = [...heights.keys()].sort((a, b) => heights[a] - heights[b] || a - b); // as the layer takes them
  $("number").max = (seen.count ?? 1) - 1;
  $("level").max = topOf(tree);
  if (document.activeElement !== $("text")) $("text").value = tree.text;
  showVerdict();
  showAll();
}

function showVerdict() {
  const { tree, run } = seen;
  const [label, chance] = [tree.labels[0], percent(tree.probabilities[0])];
  const right = tree.rightOf(0);
  const parts = [make("span", { textContent: run.whole ? "Label " : "Root " }), make("b", { textContent: label }), ` ${chance}`];
  if (right !== undefined) parts.push(verdictOf(label, right));
  const known = tree.wrong.filter((each) => each !== null);
  if (known.length > 1) parts.push(`· ${known.filter((each) => !each).length} of ${known.length} nodes right`);
  $("verdict").replaceChildren(...parts);
}

function showAll() {
  const { tree, run, scale, units, columns } = seen;
  if (!tree) return;
  const unit = unitOf();
  const name = titleOf(run, state.see);
  showChoices(run, unit);
  $("tree-title").textContent = `${name}, unit ${unit}`;
  showLegend($("legend"), [{ label: state.see, ...scale }]);
  const tall = Math.max(220, innerHeight - $("tree").getBoundingClientRect().top - scrollY - 64);
  view.draw(tree.drawn, tall);
  $("maps-title").textContent = `All units of ${name}, over the nodes from the leaves to the root`;
  $("map").setAttribute("aria-label", `${name}: nodes across, from the leaves to the root; units down. Arrow keys read a value, Enter chooses the unit.`);
  showMap($("map"), {
    ...scale,
    ...{ columns: columns.map((k) => tree.tokens[k] || "·"), rows: units.map(String), tall: 300, current: null },
    value: (r, c) => tree.values[columns[c]][units[r]],
    say: (r, c) => `${textOf(tree, columns[c])}: unit ${units[r]} is ${show(tree.values[columns[c]][units[r]], 3)}`,
    choose: (c, r) => change({ unit: units[r] }),
  });
  showLevel();
}

function showLevel() {
  const { tree, scale } = seen;
  const [level, unit] = [levelOf(), unitOf()];
  view.fill((k) => tree.values[k][unit], scale, level);
  $("level").value = level;
  $("verdict").classList.toggle("waiting", level < topOf(tree)); // for the hall to guess
  $("level-says").textContent = `${level} of ${topOf(tree)}`;
  showText(level, unit);
  readNode();
}

// The tokens in the colours of their nodes.
function showText(level, unit) {
  const { tree, scale } = seen;
  $("running").replaceChildren(
    ...tree.tokens.flatMap((token, k) => {
      if (!token) return [];
      const made = make("span", { textContent: token });
      made.dataset.place = k;
      if (tree.heights[k] <= level) {
        const colour = colourOf(scale.kind, (tree.values[k][unit] - scale.low) / (scale.high - scale.low || 1));
        Object.assign(made.style, { background: `rgb(${colour.join(" ")})`, color: inkOn(colour) });
      }
      made.classList.toggle("unknown", !tree.known[k]);
      return [made, " "];
    }),
  );
}

// What is told of the node that is pointed at; its tokens stand out, and its column of the map.
function readNode() {
  const { tree, run, columns, units } = seen;
  if (!tree) return;
  const k = view.node;
  const read = columns.filter((node) => tree.heights[node] <= levelOf()).length;
  moveMap($("map"), k === null ? read - 1 : columns.indexOf(k), units.indexOf(unitOf()));
  const [from, to] = k === null ? [0, 0] : [k, tree.ends[k]];
  for (const token of $("running").children)
    token.classList.toggle("within", Number(token.dataset.place) >= from && Number(token.dataset.place) < to);
  if (k === null) return void ($("node").textContent = "Point at a node, or step through the tree with the arrow keys.");
  const text = textOf(tree, k);
  if (tree.heights[k] > levelOf()) return void ($("node").textContent = `${text}: not read yet, at level ${tree.heights[k]}.`);
  const value = `${state.see}[${unitOf()}] = ${show(tree.values[k][unitOf()], 3)}`;
  const right = tree.rightOf(k);
  const learnt = run.whole && k ? "; it has learnt to label the root alone" : "";
  const meant = right === undefined ? learnt : right === tree.labels[k] ? ", which is right" : `, meant ${right}`;
  $("node").textContent = `${text}: ${value}. Label ${tree.labels[k]}, ${percent(tree.probabilities[k])}${meant}.`;
}

export function open(run) {
  seen.run = run;
  view = new TreeView($("tree"), readNode);
  $("running").hidden = false;
  listenToReader("Tree", "a tree", run.limits.characters);
  listenToChoices(run, showAll, () => seen.count);
  listenToLevels(() => (seen.tree ? topOf(seen.tree) + 1 : 1));
  whenChanged((changed) => {
    if (changed.has("part")) seen.count = null;
    if (["text", "part", "number", "see", "layer", "model"].some((key) => changed.has(key))) read();
    else if (seen.tree && changed.size === 1 && changed.has("level")) showLevel();
    else showAll();
  });
}
