// Heat maps on a canvas: words across, units down; read with the pointer or the arrow keys.

import { colourOf, gradientOf, token } from "./colours.js";
import { show, written } from "./numbers.js";

const maps = new WeakMap();

// given: { columns: [word], widest (the longest word of maps beside it), rows: [label], value(row, column), kind, low, high,
// current, say(row, column), choose(column) }
export function showMap(canvas, given) {
  const what = { ...given, columns: given.columns.map(written) };
  const cursor = maps.get(canvas)?.cursor ?? null;
  if (!maps.has(canvas)) listenTo(canvas);
  maps.set(canvas, {
    ...what,
    cursor: cursor && cursor[0] < what.rows.length && cursor[1] < what.columns.length ? cursor : null,
  });
  paintMap(canvas);
  const map = maps.get(canvas);
  const at = map.left + map.current * map.cell;
  const frame = canvas.parentElement;
  if (map.current !== null && (at < frame.scrollLeft || at + map.cell > frame.scrollLeft + frame.clientWidth))
    frame.scrollLeft = at - frame.clientWidth / 2;
}

export function paintMap(canvas) {
  const map = maps.get(canvas);
  const room = canvas.parentElement.clientWidth;
  if (!map || !room) return;
  const { columns, rows } = map;
  const pen = canvas.getContext("2d");
  const font = `13px ${token("--sans")}`;
  pen.font = font;
  map.left = map.wide ? Math.min(160, Math.max(...rows.map((r) => pen.measureText(r).width)) + 10) : 30;
  const cell = (map.cell = Math.max(12, Math.min(150, (room - map.left - 2) / columns.length)));
  const longest = Math.min(150, Math.max(...[...columns, map.widest ?? ""].map((w) => pen.measureText(w).width)));
  const turned = longest + 6 > cell;
  map.top = turned ? Math.min(90, longest * 0.78 + 20) : 24;
  map.line = map.wide ? 20 : Math.max(2, Math.min(22, Math.floor(340 / rows.length)));
  const margin = turned ? Math.min(60, longest * 0.7) : 2;
  const width = Math.max(Math.min(room, map.left + cell * columns.length + margin), map.left + cell * columns.length + 2);
  const height = map.top + map.line * rows.length + 2;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  paintCells(pen, map);
  paintWords(pen, map, font, turned);
  paintMarks(pen, map);
}

function paintCells(pen, map) {
  const { columns, rows } = map;
  const image = new ImageData(columns.length, rows.length);
  for (let r = 0; r < rows.length; r += 1) {
    for (let c = 0; c < columns.length; c += 1) {
      const x = map.value(r, c);
      const at = 4 * (r * columns.length + c);
      if (x === null || Number.isNaN(x)) continue;
      image.data.set([...colourOf(map.kind, (x - map.low) / (map.high - map.low || 1)), 255], at);
    }
  }
  const small = document.createElement("canvas");
  small.width = columns.length;
  small.height = rows.length;
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, map.left, map.top, map.cell * columns.length, map.line * rows.length);
}

function paintWords(pen, map, font, turned) {
  pen.textBaseline = "middle";
  for (const [k, word] of map.columns.entries()) {
    const now = k === map.current;
    pen.font = now ? `600 ${font}` : font;
    pen.fillStyle = token(now ? "--accent" : "--muted");
    pen.save();
    pen.translate(map.left + (k + 0.5) * map.cell, map.top - 9);
    if (turned) pen.rotate(-0.9);
    pen.textAlign = turned ? "left" : "center";
    pen.fillText(word.length > 16 ? `${word.slice(0, 15)}…` : word, 0, 0);
    pen.restore();
  }
  pen.font = font;
  pen.fillStyle = token("--muted");
  pen.textAlign = "right";
  const every = map.wide ? 1 : Math.ceil(16 / map.line);
  for (let r = 0; r < map.rows.length; r += every)
    pen.fillText(map.rows[r], map.left - 6, map.top + (r + 0.5) * map.line, map.left - 8);
}

function paintMarks(pen, map) {
  const height = map.line * map.rows.length;
  if (map.current !== null && map.current >= 0) {
    pen.strokeStyle = token("--accent");
    pen.lineWidth = 2;
    pen.strokeRect(map.left + map.current * map.cell + 1, map.top - 1, map.cell - 2, height + 2);
  }
  if (map.cursor) {
    pen.strokeStyle = token("--ink");
    pen.lineWidth = 2;
    const [r, c] = map.cursor;
    pen.strokeRect(map.left + c * map.cell, map.top + r * map.line - 1, map.cell, map.line + 2);
  }
}

function listenTo(canvas) {
  const readout = () => canvas.closest("figure, section").querySelector(".readout");
  const point = (cursor) => {
    const map = maps.get(canvas);
    map.cursor = cursor;
    readout().textContent = cursor ? map.say(...cursor) : "";
    paintMap(canvas);
  };
  const under = (event) => {
    const map = maps.get(canvas);
    const box = canvas.getBoundingClientRect();
    const c = Math.floor((event.clientX - box.left - map.left) / map.cell);
    const r = Math.floor((event.clientY - box.top - map.top) / map.line);
    return c >= 0 && c < map.columns.length && r >= 0 && r < map.rows.length ? [r, c] : null;
  };
  canvas.addEventListener("pointermove", (event) => point(under(event)));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    const at = under(event);
    if (at) maps.get(canvas).choose?.(at[1]);
  });
  canvas.addEventListener("keydown", (event) => {
    const map = maps.get(canvas);
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (way) {
      const [r, c] = map.cursor ?? [0, Math.max(map.current ?? 0, 0)];
      const to = map.cursor ? [r + way[0], c + way[1]] : [r, c];
      point([Math.min(Math.max(to[0], 0), map.rows.length - 1), Math.min(Math.max(to[1], 0), map.columns.length - 1)]);
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && map.cursor) map.choose?.(map.cursor[1]);
    else if (event.key === "Escape") point(null);
  });
  new ResizeObserver(() => paintMap(canvas)).observe(canvas.parentElement);
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
