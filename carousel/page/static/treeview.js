// A tree as a drawing: leaves side by side in the order of the text, every node as high as its level. Read with pointer or keys.

import { colourOf, inkOn } from "./colours.js";

const NS = "http://www.w3.org/2000/svg";
const [PAD, GAP] = [10, 6];
const [LEAST, READABLE] = [13, 18]; // pixels from a leaf to the next: what still fits is shown whole, else it scrolls
const [WIDEST, HIGHEST] = [84, 66];
const ruler = document.createElement("canvas").getContext("2d");

function make(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
  element.textContent = text;
  parent.append(element);
  return element;
}

// The children of each node, and its place from left to right, leaves being one apart.
function placesOf({ parents }) {
  const children = parents.map(() => []);
  for (const [node, parent] of parents.entries()) if (parent >= 0) children[parent].push(node);
  let leaves = 0;
  const across = children.map((below) => (below.length ? 0 : leaves++));
  for (let k = parents.length - 1; k >= 0; k -= 1)
    if (children[k].length) across[k] = (across[children[k][0]] + across[children[k].at(-1)]) / 2;
  return { children, across, leaves };
}

export class TreeView {
  // host: an element that scrolls and takes the focus. read(node): is told the node that is pointed at, null for none.
  constructor(host, read) {
    Object.assign(this, { host, read, tree: null, pinned: null, pointed: null });
    const under = (event) => {
      const group = event.target.closest("[data-node]");
      return group ? Number(group.dataset.node) : null;
    };
    host.addEventListener("pointermove", (event) => this.point(under(event)));
    host.addEventListener("pointerleave", () => this.point(null));
    host.addEventListener("click", (event) => this.pin(under(event)));
    host.addEventListener("focus", () => host.matches(":focus-visible") && this.pinned === null && this.pin(0));
    host.addEventListener("keydown", (event) => {
      const to = event.key === "Escape" ? null : this.beside(event.key);
      if (to === undefined) return;
      this.pin(to, true);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  get node() {
    return this.pointed ?? this.pinned;
  }

  // tree: { parents, heights, tokens, labels (to write into the nodes), wrong (whether each is) }. tall: pixels that it should fit into.
  draw(tree, tall) {
    if (tree !== this.tree) [this.pinned, this.pointed] = [null, null];
    Object.assign(this, { tree, ...placesOf(tree) });
    const { parents, heights, tokens, labels } = tree;
    const [top, room] = [Math.max(...heights), this.host.clientWidth - 2 * PAD];
    ruler.font = `14px ${getComputedStyle(this.host).fontFamily}`;
    const longest = Math.max(...tokens.map((token) => ruler.measureText(token).width));
    const wide = room / this.leaves < LEAST ? READABLE : Math.min(WIDEST, room / this.leaves);
    const isTurned = longest + 5 > wide;
    const foot = isTurned ? longest * 0.94 + 16 : 26;
    const radius = Math.min(15, wide * 0.44);
    const high = top ? Math.max(radius + 3, Math.min(HIGHEST, (tall - foot - 2 * (radius + GAP)) / top)) : 0;
    const [width, height] = [this.leaves * wide + 2 * PAD, top * high + 2 * (radius + GAP) + foot];
    const svg = document.createElementNS(NS, "svg");
    for (const [k, v] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": true }))
      svg.setAttribute(k, v);
    svg.classList.toggle("turned", isTurned);
    const x = (k) => PAD + (this.across[k] + 0.5) * wide;
    const y = (k) => radius + GAP + (top - heights[k]) * high;
    const edges = make(svg, "g", { class: "edges" });
    // Up from the child, and across to its parent: above a child there is nothing but its way up, so that no two ways cross.
    const way = (k, parent) => `M${x(k).toFixed(1)} ${y(k).toFixed(1)}V${y(parent).toFixed(1)}H${x(parent).toFixed(1)}`;
    this.edges = parents.map((parent, k) => (parent < 0 ? null : make(edges, "path", { d: way(k, parent) })));
    this.groups = parents.map((parent, k) => {
      const group = make(svg, "g", { class: `node${parent < 0 ? " root" : ""}`, "data-node": k, transform: `translate(${x(k).toFixed(1)} ${y(k).toFixed(1)})` });
      make(group, "circle", { class: "halo", r: radius + 5 });
      make(group, "circle", { class: "disc", r: radius.toFixed(1) });
      const fits = radius > 5.5 && ruler.measureText(labels[k]).width < 2 * radius - 1;
      make(group, "text", { class: "label", dy: "0.36em", "font-size": Math.min(13, 1.4 * radius).toFixed(1) }, fits ? labels[k] : "");
      if (tokens[k]) {
        const under = radius + (isTurned ? 8 : 17);
        make(group, "text", { class: "token", ...(isTurned ? { transform: `translate(5 ${under}) rotate(-70)` } : { dy: under }) }, tokens[k]);
      }
      return group;
    });
    this.host.replaceChildren(svg);
    this.mark();
  }

  // value(node): of a unit. Nodes above the level are not read yet.
  fill(value, { kind, low, high }, level) {
    const { heights, wrong } = this.tree;
    for (const [k, group] of this.groups.entries()) {
      const isRead = heights[k] <= level;
      const [, disc, label] = group.children;
      const colour = isRead ? colourOf(kind, (value(k) - low) / (high - low || 1)) : null;
      disc.style.fill = colour ? `rgb(${colour.join(" ")})` : "";
      label.style.fill = colour ? inkOn(colour) : "";
      group.classList.toggle("read", isRead);
      group.classList.toggle("wrong", isRead && wrong[k] === true);
      group.classList.toggle("right", isRead && wrong[k] === false);
      const parent = this.tree.parents[k];
      if (parent >= 0) this.edges[k].classList.toggle("read", heights[parent] <= level);
    }
  }

  beside(key) {
    const { parents, heights } = this.tree;
    const here = this.node ?? 0;
    if (key === "ArrowUp") return Math.max(parents[here], 0);
    if (key === "ArrowDown") return this.children[here][0] ?? here;
    const way = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!way) return undefined;
    const siblings = parents[here] < 0 ? [here] : this.children[parents[here]];
    const next = siblings[siblings.indexOf(here) + way];
    if (next !== undefined) return next;
    const level = [...heights.keys()].filter((k) => heights[k] === heights[here]).sort((a, b) => this.across[a] - this.across[b]);
    return level[level.indexOf(here) + way] ?? here;
  }

  pin(node, follows = false) {
    this.pinned = node;
    this.pointed = null;
    this.mark();
    if (follows && node !== null) this.groups[node].scrollIntoView({ block: "nearest", inline: "nearest" });
    this.read(node);
  }

  point(node) {
    if (node === this.pointed) return;
    this.pointed = node;
    this.mark();
    this.read(this.node);
  }

  mark() {
    for (const [k, group] of this.groups.entries()) group.classList.toggle("current", k === this.node);
  }
}
