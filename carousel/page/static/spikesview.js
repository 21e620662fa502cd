// The input as a picture, and under it, over the same steps, the probability of each label, what was read and what was meant.

import { coloursOf } from "./colours.js";
import { reachOf } from "./numbers.js";

const NS = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, CHART, LETTERS, READABLE] = [58, 12, 190, 30, 4]; // pixels; READABLE: the narrowest step
const COLOURS = 7; // of labels, beside the grey of the blank

export const colourOfLabel = (k) => `k${k % COLOURS}`;

function make(parent, name, attributes = {}, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
  element.textContent = text;
  parent.append(element);
  return element;
}

// values: rows of numbers. Images are ink on paper; series have a sign, and each row a scale of its own.
export function paintPicture(canvas, values, kind) {
  const [low, high] = [Math.min, Math.max].map((most) => values.reduce((x, row) => most(x, ...row), values[0][0]));
  const scales = values.map((row) => (kind === "ink" ? [low, high] : [-reachOf(row), reachOf(row)]));
  const share = (r, c) => (values[r][c] - scales[r][0]) / (scales[r][1] - scales[r][0] || 1);
  paint(canvas, values[0].length, values.length, share, coloursOf(kind));
}

export function paint(canvas, width, height, share, colours) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let r = 0; r < height; r += 1)
    for (let c = 0; c < width; c += 1) {
      const x = share(r, c);
      if (x !== null) pixels[r * width + c] = colours[Math.round(Math.min(Math.max(x, 0), 1) * 255)];
    }
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export class SpikesView {
  // host: an element that scrolls and takes the focus. read(step): is told the step of the output that is pointed at, or null.
  constructor(host, read) {
    Object.assign(this, { host, read, found: null, step: null });
    const under = (event) => {
      const at = Math.floor((event.clientX - this.frame.getBoundingClientRect().left - LEFT) / this.across / this.found.factor);
      return at >= 0 && at < this.found.probabilities.length ? at : null;
    };
    host.addEventListener("pointermove", (event) => this.found && this.point(under(event)));
    host.addEventListener("pointerleave", () => this.point(null));
    host.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") this.point(null);
      if (!way || !this.found) return;
      const last = this.found.probabilities.length - 1;
      this.point(this.step === null ? (way > 0 ? 0 : last) : Math.min(Math.max(this.step + way, 0), last), true);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  point(step, follows = false) {
    if (step === this.step) return;
    this.step = step;
    if (follows) this.host.scrollLeft = LEFT + step * this.found.factor * this.across - this.host.clientWidth / 2;
    this.read(step);
  }

  // found: as the server tells it. isImage: its picture is ink.
  draw(found, isImage) {
    if (found !== this.found) this.step = null;
    const { picture, probabilities, factor } = (this.found = found);
    const [height, width] = [picture.length, picture[0].length];
    this.across = Math.max(READABLE, (this.host.clientWidth - LEFT - RIGHT) / width);
    const size = { width: LEFT + RIGHT + width * this.across, tall: Math.max(24, Math.min(180, isImage ? height * this.across : 14 * height)) };
    this.frame = document.createElement("div");
    this.frame.className = "aligned";
    this.frame.style.width = `${size.width}px`;
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", true);
    Object.assign(canvas.style, { marginLeft: `${LEFT}px`, width: `${width * this.across}px`, height: `${size.tall}px` });
    paintPicture(canvas, picture, isImage ? "ink" : "diverging");
    this.tall = size.tall + 8;
    this.chart(size.width, width, probabilities, factor);
    this.frame.append(canvas, this.svg);
    this.host.replaceChildren(this.frame);
  }

  chart(wide, width, probabilities, factor) {
    const { places, right, text, meant, labels } = this.found;
    const half = factor % 2 ? 0.5 : 0; // the middle of a peak's step, in steps of the input
    const rows = meant === null ? 1 : 2;
    const height = CHART + rows * LETTERS + 20;
    const svg = (this.svg = document.createElementNS(NS, "svg"));
    for (const [k, v] of Object.entries({ width: wide, height, viewBox: `0 0 ${wide} ${height}`, role: "img" })) svg.setAttribute(k, v);
    svg.setAttribute("aria-label", `Read as ${text}${meant === null ? "" : `, meant ${meant}`}.`);
    const at = (step) => LEFT + step * this.across; // of the input
    const y = (p) => 14 + (CHART - 24) * (1 - p);
    for (const p of [0, 0.5, 1]) {
      make(svg, "line", { class: "grid", x1: LEFT, x2: at(width), y1: y(p), y2: y(p) });
      make(svg, "text", { class: "end", x: LEFT - 7, y: y(p) + 5 }, String(p));
    }
    for (const { begin, stop, label } of places) {
      const shade = { class: `shade ${colourOfLabel(labels.indexOf(label))}`, x: at(begin), width: (stop - begin) * this.across };
      make(svg, "rect", { ...shade, y: y(1), height: y(0) - y(1) });
    }
    const middle = (t) => at(Math.min((t + 0.5) * factor, width));
    const line = (k) => probabilities.map((row, t) => `${t ? "L" : "M"}${middle(t).toFixed(1)} ${y(row[k]).toFixed(1)}`).join("");
    make(svg, "path", { class: "blank", d: line(0) });
    const named = new Set([...places, ...right].map(({ label }) => labels.indexOf(label)));
    const order = [...labels.keys()].sort((a, b) => named.has(a) - named.has(b)); // what is read stands above
    for (const k of order) {
      const isSeen = Math.max(...probabilities.map((row) => row[k + 1])) > 0.02;
      if (isSeen) make(svg, "path", { class: named.has(k) ? `line ${colourOfLabel(k)}` : "minor", d: line(k + 1) });
    }
    for (const [row, [name, letters]] of [["read", places], ...(rows > 1 ? [["meant", right]] : [])].entries()) {
      const base = CHART + 18 + row * LETTERS;
      make(svg, "text", { class: "end", x: LEFT - 7, y: base }, name);
      for (const { peak, label } of letters)
        make(svg, "text", { class: `letter ${name} ${colourOfLabel(labels.indexOf(label))}`, x: at(peak + half), y: base + 2, "data-peak": peak }, label);
      if (name === "meant" && !right.length) make(svg, "text", { class: "begin", x: LEFT + 4, y: base }, meant);
    }
    make(svg, "text", { class: "end", x: at(width), y: height - 2 }, `${width} steps of the input`);
    this.cover = make(svg, "rect", { class: "cover", y: 0, height: CHART });
    this.here = make(svg, "rect", { class: "here", x: LEFT, y: y(1), height: y(0) - y(1), width: factor * this.across });
    this.edge = at(width);
  }

  // Steps of the output up to `last` have been read; the rest is covered. step: that is marked, null for none.
  mark(last, step) {
    const wide = this.found.factor * this.across;
    const from = Math.min(LEFT + (last + 1) * wide, this.edge);
    this.cover.setAttribute("x", from);
    this.cover.setAttribute("width", this.edge - from + 2);
    for (const letter of this.svg.querySelectorAll(".letter.read"))
      letter.classList.toggle("unread", Number(letter.dataset.peak) >= (last + 1) * this.found.factor);
    this.here.classList.toggle("none", step === null);
    if (step === null) return;
    const left = LEFT + step * wide;
    this.here.setAttribute("x", left);
    this.here.setAttribute("width", Math.min(wide, this.edge - left));
  }
}
