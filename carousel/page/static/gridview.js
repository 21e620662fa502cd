// A unit's memory over an image, a picture for each scan: each fills from its corner, diagonal by diagonal.

import { coloursOf } from "./colours.js";
import { show } from "./numbers.js";
import { paint, paintPicture } from "./spikesview.js";
import { make } from "./tables.js";

const fromTop = (corner) => corner.startsWith("top");
const fromLeft = (corner) => corner.endsWith("left");

// The diagonal of a step, as a scan from that corner takes it.
export const diagonalOf = (corner, rows, columns) => (r, c) =>
  (fromTop(corner) ? r : rows - 1 - r) + (fromLeft(corner) ? c : columns - 1 - c);

// The pictures are those of their last drawing; host: where they stand.
export class GridView {
  constructor(host) {
    Object.assign(this, { host, parts: [] });
  }

  // image: its rows. scans: [{ corner, values }], values by row and column. scale: { kind, low, high }. named: of the unit.
  draw(image, scans, scale, named) {
    Object.assign(this, { scale, image });
    const original = this.figure("The image", image[0].length / image.length, "");
    paintPicture(original.canvas, image, "ink");
    this.parts = scans.map(({ corner, values }) => {
      const part = { ...this.figure(`from the ${corner}`, image[0].length / image.length, corner), corner, values };
      Object.assign(part, { of: diagonalOf(corner, values.length, values[0].length), cursor: null });
      const { canvas } = part;
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-roledescription", "picture");
      canvas.setAttribute("aria-label", `${named}, scanned from the ${corner}. Arrow keys read a value.`);
      this.listen(part);
      return part;
    });
    this.host.replaceChildren(original.figure, ...this.parts.map(({ figure }) => figure));
    this.host.classList.toggle("one", scans.length < 2);
  }

  figure(caption, shape, corner) {
    const canvas = make("canvas");
    canvas.style.aspectRatio = shape.toFixed(4);
    const readout = make("p", { className: "readout" });
    readout.setAttribute("aria-live", "polite");
    const figure = make("figure", { className: `scan ${corner.replace(" ", "-")}` }, make("figcaption", { textContent: caption }), canvas, readout);
    return { figure, canvas, readout };
  }

  // Diagonals up to `last` have been read.
  fill(last) {
    this.last = last;
    const { kind, low, high } = this.scale;
    const colours = coloursOf(kind);
    for (const part of this.parts) {
      const { canvas, values, of } = part;
      const share = (r, c) => (of(r, c) <= last ? (values[r][c] - low) / (high - low || 1) : null);
      paint(canvas, values[0].length, values.length, share, colours);
      this.say(part);
    }
  }

  say({ cursor, readout, values, of }) {
    if (!cursor) return void (readout.textContent = "");
    const [r, c] = cursor;
    readout.textContent = `row ${r}, column ${c}: ${of(r, c) <= this.last ? show(values[r][c], 3) : "not read yet"}`;
  }

  listen(part) {
    const { canvas, values } = part;
    const [rows, columns] = [values.length, values[0].length];
    const point = (cursor) => {
      part.cursor = cursor;
      this.say(part);
    };
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const r = Math.floor(((event.clientY - box.top) / box.height) * rows);
      const c = Math.floor(((event.clientX - box.left) / box.width) * columns);
      point(r >= 0 && r < rows && c >= 0 && c < columns ? [r, c] : null);
    });
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return point(null);
      const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!way) return;
      const [r, c] = part.cursor ?? [fromTop(part.corner) ? -way[0] : rows - 1 - way[0], fromLeft(part.corner) ? -way[1] : columns - 1 - way[1]];
      point([Math.min(Math.max(r + way[0], 0), rows - 1), Math.min(Math.max(c + way[1], 0), columns - 1)]);
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
