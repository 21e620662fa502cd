// What is seen, as one object; it is also the link (location.hash).

const first = {
  ...{ text: "", other: null, clamps: [], step: 1, model: "0", beside: null },
  ...{ see: null, layer: 0, order: "variance", unit: null, every: false, end: null, tab: "cell" },
  ...{ part: null, number: 0, level: null, corner: null }, // an example of the data, and how far it is read
  ...{ cell: null, code: null, units: 32, fed: null, w: null, task: "two-sequences", steps: 20, seed: 1 }, // a cell that is written
};
const listeners = [];
const REST = 400; // milliseconds: browsers refuse more than some hundred addresses in 30 seconds
let noted = 0;
export const state = { ...first };

export function change(patch) {
  const before = { ...state };
  Object.assign(state, patch);
  const changed = new Set(Object.keys(patch).filter((k) => before[k] !== state[k]));
  if (!changed.size) return;
  clearTimeout(noted);
  if (changed.size === 1 && (changed.has("step") || changed.has("level"))) noted = setTimeout(note, REST);
  else note();
  for (const listener of listeners) listener(changed);
}

// The address says what is seen; while one steps, when the steps rest.
export function note() {
  clearTimeout(noted);
  try {
    history.replaceState(null, "", `#${asHash()}`);
  } catch {
    /* a page opened from a file may not be allowed to */
  }
}

// Of what is no part of the view, and has changed all the same.
export function announce(what) {
  for (const listener of listeners) listener(new Set([what]));
}

export function whenChanged(listener) {
  listeners.push(listener);
}

export function asHash() {
  const found = new URLSearchParams();
  for (const key of Object.keys(first)) {
    const value = state[key];
    if (JSON.stringify(value) !== JSON.stringify(first[key])) found.set(key, key === "clamps" ? JSON.stringify(value) : value);
  }
  return found.toString();
}

const whole = (x) => (Number.isInteger(x) && x >= 0 ? x : null);

// A quantity of B that is held: at a value, or at those of A's word number `of`.
function asClamp({ name, value, of, units, from, to, layer }) {
  const listed = Array.isArray(units) && units.every((u) => whole(u) !== null) ? units : null;
  const held = Number.isFinite(value) ? { value } : { of: whole(of) };
  return { name, ...held, units: listed, from: whole(from) ?? 0, to: whole(to), layer: whole(layer) };
}

// What a link asks for; whatever in it cannot be is left out.
export function fromHash(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const found = { ...first };
  for (const key of ["text", "other", "see"]) if (asked.has(key)) found[key] = asked.get(key).slice(0, 20000);
  for (const key of ["step", "layer", "unit", "end", "level"]) if (/^\d{1,5}$/.test(asked.get(key) ?? "")) found[key] = Number(asked.get(key));
  for (const key of ["model", "beside"]) if (/^\d{1,3}(@(\d{1,18}|last))?$/.test(asked.get(key) ?? "")) found[key] = asked.get(key);
  if (/^\d{1,9}$/.test(asked.get("number") ?? "")) found.number = Number(asked.get("number"));
  if (/^(test|valid|train)$/.test(asked.get("part") ?? "")) found.part = asked.get("part");
  if (/^((top|bottom) (left|right)|forwards|backwards)$/.test(asked.get("corner") ?? "")) found.corner = asked.get("corner");
  for (const key of ["cell", "code", "fed", "w"]) if (asked.has(key)) found[key] = asked.get(key).slice(0, 8000);
  for (const [key, least, most] of [["units", 1, 4096], ["steps", 2, 60], ["seed", 0, 99999]])
    if (/^\d{1,5}$/.test(asked.get(key) ?? "")) found[key] = Math.min(Math.max(Number(asked.get(key)), least), most);
  if (/^(two-sequences|adding|copy)$/.test(asked.get("task") ?? "")) found.task = asked.get("task");
  if (asked.get("order") === "index") found.order = "index";
  found.every = asked.get("every") === "true";
  if (/^[a-z]{1,20}$/.test(asked.get("tab") ?? "")) found.tab = asked.get("tab");
  try {
    const clamps = JSON.parse(asked.get("clamps") ?? "[]");
    if (Array.isArray(clamps))
      found.clamps = clamps
        .filter((c) => typeof c?.name === "string" && (Number.isFinite(c.value) || whole(c.of) !== null))
        .slice(0, 100)
        .map(asClamp);
  } catch {
    /* no clamps, then */
  }
  return found;
}
