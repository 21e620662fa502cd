// Heat maps: words across, rows down. The picture is painted once; marks move over it. Read with pointer or arrow keys.

import { coloursOf, gradientOf } from "./colours.js";
import { show, written } from "./numbers.js";

const READABLE = 18; // pixels from a turned word to the next
const maps = new WeakMap();
const ruler = document.createElement("canvas").getContext("2d");

// given: { columns: [word], widest (the longest word of maps beside it), rows: [label], wide (labels of rows are names),
// value(row, column), kind, low, high, tall (pixels for all rows), every (each word has its label), run (whose profile of
// the current column stands beside: "a", "b", "d"), current, chosen (row), say(row, column), choose(column, row) }
export function showMap(canvas, given) {
  const known = maps.get(canvas);
  const parts = known?.parts ?? build(canvas);
  const cursor = known?.cursor ?? null;
  const map = { tall: 340, chosen: null, ...given, parts, columns: given.columns.map(written), cursor: null };
  if (cursor && cursor[0] < map.rows.length && cursor[1] < map.columns.length) map.cursor = cursor;
  maps.set(canvas, map);
  paint(canvas, map);
  fitMap(canvas);
}

// Whether there are too many words for each to have its label.
export const isThinned = (canvas) => maps.get(canvas)?.thinned > 1;

// Only the marks: the current column, the chosen row.
export function moveMap(canvas, current, chosen = null) {
  const map = maps.get(canvas);
  Object.assign(map, { current, chosen });
  placeMarks(map);
  keepInSight(map);
}

function build(canvas) {
  const frame = canvas.parentElement;
  const part = (name, parent = frame) => {
    const made = document.createElement("div");
    made.className = name;
    parent.append(made);
    return made;
  };
  frame.classList.add("map");
  const [heads, sides, cells] = ["corner", "tail", "heads", "sides", "cells"].map((name) => part(name)).slice(2);
  cells.append(canvas);
  const [now, row, cursor] = ["now", "row", "cursor"].map((name) => part(`mark ${name}`, cells));
  const profile = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  profile.setAttribute("class", "profile");
  profile.setAttribute("aria-hidden", "true");
  profile.innerHTML = "<path class=zero /><path class=bars />";
  frame.append(profile);
  listenTo(canvas, frame);
  const parts = { frame, heads, sides, now, row, cursor, profile, left: 0, top: 0 };
  frame.addEventListener("scroll", () => Object.assign(parts, { left: frame.scrollLeft, top: frame.scrollTop }), { passive: true });
  return parts;
}

function paint(canvas, { columns, rows, kind, low, high, value }) {
  const colours = coloursOf(kind);
  const [width, height] = [Math.max(columns.length, 1), Math.max(rows.length, 1)];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const scale = (colours.length - 1) / (high - low || 1);
  for (let r = 0; r < rows.length; r += 1)
    for (let c = 0; c < columns.length; c += 1) {
      const x = value(r, c);
      if (x === null || Number.isNaN(x)) continue;
      pixels[r * width + c] = colours[Math.round(Math.min(Math.max((x - low) * scale, 0), colours.length - 1))];
    }
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function fitMap(canvas) {
  const map = maps.get(canvas);
  const { frame } = map.parts;
  const { clientWidth } = frame;
  if (!clientWidth) return;
  const { columns, rows } = map;
  ruler.font = `13px ${getComputedStyle(frame).fontFamily}`;
  const widthOf = (words) => Math.max(...words.map((w) => ruler.measureText(w).width));
  const beside = map.run ? 68 : 0;
  map.left = map.wide ? Math.min(160, widthOf(rows) + 10) : 34;
  const longest = Math.min(130, widthOf([...columns, map.widest ?? ""]));
  const spill = (map.spill = beside || Math.min(60, longest * 0.7)); // where the last turned word ends
  const room = clientWidth - map.left - 2;
  const straight = (room - beside) / columns.length >= longest + 6;
  const least = map.every ? READABLE : 1;
  map.cell = Math.max(least, Math.min(150, (room - (straight ? beside : spill)) / columns.length));
  map.turned = longest + 6 > map.cell;
  map.thinned = map.turned && map.cell < READABLE ? Math.ceil(READABLE / map.cell) : 1;
  map.line = map.wide ? 22 : Math.max(2, Math.min(22, map.tall / rows.length));
  const top = (map.turned ? Math.min(96, longest * 0.78 + 14) : 24) + (map.thinned > 1 ? 22 : 0);
  const sizes = { left: map.left, top, across: map.cell * columns.length, down: map.line * rows.length, cell: map.cell };
  for (const [name, size] of Object.entries({ ...sizes, line: map.line, spill: map.turned ? spill : beside }))
    frame.style.setProperty(`--${name}`, `${size.toFixed(3)}px`);
  frame.style.maxHeight = map.wide ? "" : `${Math.max(map.tall, 80) + top + 20}px`;
  frame.classList.toggle("turned", map.turned);
  frame.classList.toggle("thinned", map.thinned > 1);
  frame.classList.toggle("profiled", Boolean(map.run));
  map.room = clientWidth - map.left - beside;
  map.below = frame.clientHeight - top;
  label(map);
  placeMarks(map);
  keepInSight(map);
}

function label({ parts, columns, rows, cell, line, thinned, turned, wide, spill }) {
  const end = columns.length * cell + spill;
  const words = columns.map((word, k) => {
    const made = document.createElement("span");
    made.style.left = `${((k + 0.5) * cell).toFixed(1)}px`;
    made.textContent = word.length > 16 ? `${word.slice(0, 15)}…` : word;
    made.hidden = k % thinned > 0 || (turned && (k + 0.5) * cell + 0.62 * ruler.measureText(made.textContent).width + 12 > end);
    return made;
  });
  const here = document.createElement("b");
  parts.heads.replaceChildren(...words, here);
  const every = wide ? 1 : Math.ceil(16 / line);
  const labels = rows.map((text, r) => {
    if (r % every !== Math.floor(every / 2)) return null;
    const made = document.createElement("span");
    made.style.top = `${((r + 0.5) * line).toFixed(1)}px`;
    made.textContent = text;
    return made;
  });
  parts.sides.replaceChildren(...labels.filter(Boolean));
}

function placeMarks(map) {
  const { parts, current, chosen, cursor, cell, line, columns, rows } = map;
  if (!cell) return; // not seen yet
  const isAt = current !== null && current >= 0;
  parts.now.hidden = !isAt;
  if (isAt) parts.now.style.transform = `translateX(${(current * cell).toFixed(2)}px)`;
  parts.row.hidden = chosen === null || chosen < 0;
  if (!parts.row.hidden) parts.row.style.transform = `translateY(${(chosen * line).toFixed(2)}px)`;
  parts.cursor.hidden = !cursor;
  if (cursor) parts.cursor.style.transform = `translate(${(cursor[1] * cell).toFixed(2)}px, ${(cursor[0] * line).toFixed(2)}px)`;
  map.head?.classList.remove("now");
  map.head = isAt ? parts.heads.children[current] : null;
  map.head?.classList.add("now");
  if (map.thinned > 1) {
    const at = cursor ? cursor[1] : current;
    const here = parts.heads.lastChild;
    here.hidden = at === null || at < 0;
    here.textContent = columns[at] ?? "";
    here.style.left = `${((at + 0.5) * cell).toFixed(1)}px`;
    here.style.translate = at < columns.length * 0.1 ? "-0.6rem" : at > columns.length * 0.9 ? "calc(0.6rem - 100%)" : "-50%";
  }
  if (map.run && isAt) placeProfile(map, rows);
}

// The values of the current column, a bar for each row.
function placeProfile({ parts, current, value, low, high, line, run }, rows) {
  const width = 56;
  const x = (v) => (width * (Math.min(Math.max(v, low), high) - low)) / (high - low || 1);
  const zero = x(Math.max(low, 0));
  const thick = (line > 4 ? line - 1 : line).toFixed(2);
  let bars = "";
  for (let r = 0; r < rows.length; r += 1) {
    const v = value(r, current);
    if (v !== null) bars += `M${zero.toFixed(1)} ${(r * line).toFixed(2)}H${x(v).toFixed(1)}v${thick}H${zero.toFixed(1)}z`;
  }
  const [axis, path] = parts.profile.children;
  const along = `M${zero.toFixed(1)} 0V${(rows.length * line).toFixed(1)}`;
  if (axis.getAttribute("d") !== along) axis.setAttribute("d", along);
  path.setAttribute("d", bars);
  parts.profile.dataset.run = run;
}

// Where the frame stands is kept, since to ask it would have the page laid out within every step.
function keepInSight({ parts, current, cell, columns, rows, room, below, chosen, line, cursor }) {
  if (!cell) return;
  const { frame } = parts;
  const column = cursor ? cursor[1] : current;
  if (column !== null && column >= 0 && columns.length * cell > room + 1) {
    const at = column * cell - parts.left;
    if (at < 0 || at + cell > room) frame.scrollLeft = parts.left = Math.max(0, column * cell - room / 2);
  }
  const row = cursor ? cursor[0] : chosen;
  if (row === null || row < 0 || rows.length * line <= below + 1) return;
  const at = row * line - parts.top;
  if (at < 0 || at + line > below) frame.scrollTop = parts.top = Math.max(0, row * line - below / 2);
}

// The cell of the map where the pointer is, as [row, column], or null.
function cellAt(canvas, { clientX, clientY }) {
  const map = maps.get(canvas);
  const box = canvas.getBoundingClientRect();
  const c = Math.floor((clientX - box.left) / map.cell);
  const r = Math.floor((clientY - box.top) / map.line);
  return c >= 0 && c < map.columns.length && r >= 0 && r < map.rows.length ? [r, c] : null;
}

// The column where the pointer is, or null.
export const columnAt = (canvas, event) => cellAt(canvas, event)?.[1] ?? null;

// A column that is pointed at from elsewhere, or null.
export function pointAt(canvas, column) {
  const map = maps.get(canvas);
  map.cursor = column === null ? null : [0, column];
  placeMarks(map);
}

// A column as a picture of its own.
export function pictureOf(canvas, column) {
  const { cell } = maps.get(canvas);
  const made = document.createElement("canvas");
  Object.assign(made, { width: 1, height: canvas.height, className: "dragged" });
  made.getContext("2d").drawImage(canvas, column, 0, 1, canvas.height, 0, 0, 1, canvas.height);
  Object.assign(made.style, { width: `${Math.max(cell, 8)}px`, height: `${canvas.clientHeight}px` });
  return made;
}

function listenTo(canvas, frame) {
  const readout = () => canvas.closest("figure, section").querySelector(".readout");
  const point = (cursor, follows) => {
    const map = maps.get(canvas);
    map.cursor = cursor;
    readout().textContent = cursor ? map.say(...cursor) : "";
    placeMarks(map);
    if (follows && cursor) keepInSight(map);
  };
  canvas.addEventListener("pointermove", (event) => point(cellAt(canvas, event)));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    const at = cellAt(canvas, event);
    if (at) maps.get(canvas).choose?.(at[1], at[0]);
  });
  canvas.addEventListener("keydown", (event) => {
    const map = maps.get(canvas);
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (way) {
      const [r, c] = map.cursor ?? [Math.max(map.chosen ?? 0, 0), Math.max(map.current ?? 0, 0)];
      const to = map.cursor ? [r + way[0], c + way[1]] : [r, c];
      point([Math.min(Math.max(to[0], 0), map.rows.length - 1), Math.min(Math.max(to[1], 0), map.columns.length - 1)], true);
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && map.cursor) map.choose?.(map.cursor[1], map.cursor[0]);
    else if (event.key === "Escape") point(null);
  });
  let width = 0;
  new ResizeObserver(() => {
    if (frame.clientWidth === width) return;
    width = frame.clientWidth;
    fitMap(canvas);
  }).observe(frame);
}

export function showLegend(host, kinds) {
  host.replaceChildren(
    ...kinds.map(({ label, kind, low, high }) => {
      const item = document.createElement("div");
      const bar = document.createElement("span");
      bar.className = "ramp";
      bar.style.background = gradientOf(kind);
      const middle = kind === "diverging" ? `<span>0</span>` : "";
      item.innerHTML = `<b></b><span class="scale"><span>${show(low)}</span>${middle}<span>${show(high)}</span></span>`;
      item.firstChild.textContent = label;
      item.prepend(bar);
      return item;
    }),
  );
}
