// Curves as SVG: over steps or updates, on a linear or a logarithmic scale, named at their ends.

const NS = "http://www.w3.org/2000/svg";
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const [LEFT, TOP, BOTTOM] = [46, 10, 34];

function make(parent, name, attributes, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attributes)) element.setAttribute(k, v);
  element.textContent = text;
  parent.append(element);
  return element;
}

const power = (e) => `10${[...String(e)].map((d) => RAISED[d]).join("")}`;
const written = (x) => String(Number(x.toPrecision(3))).replace("-", "−");

// Round numbers from low to high, some four of them.
function ticksOf(low, high) {
  const raw = (high - low) / 4;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * size).find((s) => s >= raw * 0.999);
  const found = [];
  for (let x = Math.ceil(low / step - 1e-9) * step; x <= high + 1e-9 * step; x += step) found.push(Math.abs(x) < 1e-12 ? 0 : x);
  return found;
}

// host: where it stands. curves: [{ name, values, kind }], kind a number for the colour; from: the first value's place, each: how
// many places are between two values.
// At a place where a value is null, or on a logarithmic scale not above 0, there is no point.
export function plot(host, curves, { says, across, log = false, from = 1, each = 1, low = null, high = null, height = 190 }) {
  const width = Math.max(240, Math.round(host.clientWidth || 420));
  const right = Math.min(74, 16 + 8.5 * Math.max(...curves.map(({ name }) => name.length), 1));
  const known = (x) => x !== null && Number.isFinite(x) && (!log || x > 0);
  const all = curves.flatMap(({ values }) => values.filter(known)).map((x) => (log ? Math.log10(x) : x));
  let [least, most] = [Math.min(...all, ...(low === null ? [] : [low])), Math.max(...all, ...(high === null ? [] : [high]))];
  if (!all.length) [least, most] = log ? [-1, 0] : [0, 1];
  if (log) [least, most] = [Math.max(Math.floor(least), Math.ceil(most) - 16), Math.ceil(most)];
  if (most - least < 1e-9) [least, most] = [least - (log ? 1 : 0.5), most + (log ? 0 : 0.5)];
  const shown = (x) => known(x) && (!log || Math.log10(x) >= least); // what is smaller than all that is seen ends a curve
  const count = Math.max(2, ...curves.map(({ values }) => values.length));
  const x = (k) => LEFT + ((width - LEFT - right) * k) / (count - 1);
  const y = (v) => TOP + ((height - TOP - BOTTOM) * (most - (log ? Math.log10(v) : v))) / (most - least);
  const svg = document.createElementNS(NS, "svg");
  for (const [k, v] of Object.entries({ viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": says }))
    svg.setAttribute(k, v);
  const ticks = log ? ticksOf(least, most).filter(Number.isInteger).map((e) => [10 ** e, power(e)]) : ticksOf(least, most).map((v) => [v, written(v)]);
  for (const [at, text] of ticks) {
    make(svg, "line", { class: at === 0 ? "grid zero" : "grid", x1: LEFT, x2: width - right, y1: y(at), y2: y(at) });
    make(svg, "text", { class: "end", x: LEFT - 6, y: y(at) + 4 }, text);
  }
  for (const k of ticksOf(from, from + each * (count - 1)).filter(Number.isInteger))
    make(svg, "text", { x: x((k - from) / each), y: height - BOTTOM + 15 }, k.toLocaleString("en"));
  make(svg, "text", { x: (LEFT + width - right) / 2, y: height - 3 }, across);
  const taken = [];
  for (const { name, values, kind } of curves) {
    const parts = [[]];
    for (const [k, v] of values.entries()) {
      if (shown(v)) parts.at(-1).push(`${x(k).toFixed(1)} ${y(v).toFixed(1)}`);
      else if (parts.at(-1).length) parts.push([]);
    }
    const d = parts.filter((each) => each.length).map((each) => `M${each.join("L")}${each.length < 2 ? "h0.01" : ""}`).join("");
    const group = make(svg, "g", { class: `series k${kind % 8}` });
    if (d) make(group, "path", { d });
    const last = values.findLastIndex(shown);
    if (last < 0 || !name) continue;
    let at = y(values[last]) + 4;
    while (taken.some((t) => Math.abs(t - at) < 13)) at += 13;
    if (at > height - BOTTOM + 6) for (at = y(values[last]) + 4; taken.some((t) => Math.abs(t - at) < 13); ) at -= 13;
    taken.push(at);
    make(group, "text", { class: "name", x: x(last) + 6, y: at }, name);
  }
  host.replaceChildren(svg);
}

// The same numbers as a table.
export function numbers(caption, curves, from = 1) {
  const made = document.createElement("table");
  made.createCaption().textContent = caption;
  const head = made.createTHead().insertRow();
  for (const name of ["step", ...curves.map((curve) => curve.name)]) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    head.append(cell);
  }
  const body = made.createTBody();
  for (let k = 0; k < Math.max(...curves.map(({ values }) => values.length)); k += 1) {
    const row = body.insertRow();
    const first = document.createElement("th");
    first.scope = "row";
    first.textContent = k + from;
    row.append(first);
    for (const { values } of curves) row.insertCell().textContent = values[k] === null || values[k] === undefined ? "–" : written(values[k]);
  }
  return made;
}
