// The form that clamps a quantity: its units, layer and words, and the clamps that hold.

import { about } from "./api.js";
import { listenToDrags } from "./dragging.js";
import { layerIn, seeIn } from "./layers.js";
import { isOneRun } from "./models.js";
import { unitsOf, wordAt, written } from "./numbers.js";
import { quantityOf, unitOf } from "./quantity.js";
import { isAlive } from "./server.js";
import { change, state } from "./state.js";

const field = (id) => document.getElementById(`clamp-${id}`);

// The clamps as they are asked for: where they are held at A's values, A's text goes with them.
export const askedClamps = () =>
  state.clamps.map((clamp) =>
    clamp.of === undefined ? clamp : { ...clamp, of: about(state.model, { text: state.text, word: clamp.of }) },
  );

// Whether B can take values of A: both are of one run, which reads in one direction.
const canTake = ({ run }) => run.directions === 1 && isOneRun();

export function listenToClamps(seen, say) {
  document.getElementById("clamp").addEventListener("submit", (event) => {
    event.preventDefault();
    try {
      change({ clamps: [...state.clamps, clampOf(seen)] });
    } catch (error) {
      say(error.message);
    }
  });
  field("range").addEventListener("input", () => (field("value").value = field("range").value));
  field("value").addEventListener("input", () => (field("range").value = field("value").value));
  field("of").addEventListener("change", showSource);
  document.getElementById("unit-clamp").addEventListener("click", () => clampUnit(seen));
  listenToDrags(
    seen,
    () => isAlive && canTake(seen),
    (i, j) => {
      try {
        const [name, layer] = [seeIn(seen.run), layerIn(seen.run)];
        const units = unitsOf(field("units").value, seen.run.units[name]);
        change({ clamps: [...state.clamps, { name, of: i, units, from: j, to: j + 1, layer }] });
      } catch (error) {
        say(error.message);
      }
    },
  );
}

function clampOf(seen) {
  const name = seeIn(seen.other);
  const units = unitsOf(field("units").value, seen.other.units[name]);
  const [from, to] = [Number(field("from").value), field("to").value === "" ? null : Number(field("to").value)];
  const held = field("of").value === "" ? { value: Number(field("value").value) } : { of: Number(field("of").value) };
  if ("value" in held && field("value").value === "") throw new Error("Give a value to clamp to.");
  if (to !== null && to <= from) throw new Error("The clamp ends before it begins.");
  const layer = field("layer").value === "" ? null : Number(field("layer").value);
  return { name, ...held, units, from, to, layer };
}

// The number counts where none of A's words was chosen.
function showSource() {
  for (const id of ["range", "value"]) field(id).disabled = !isAlive || field("of").value !== "";
}

// The chosen unit into the form: from the word that is seen on, at the value that it has there.
function clampUnit(seen) {
  const k = wordAt(seen.places, state.step, seen.b ? 1 : 0);
  const { va, vb } = quantityOf(seen);
  field("units").value = unitOf(seen);
  field("layer").value = layerIn(seen.run);
  field("from").value = k;
  field("of").value = "";
  showSource();
  field("range").value = field("value").value = Number((vb ?? va)[k][unitOf(seen)].toFixed(2));
  field("value").focus();
  field("value").select();
}

// A scale for the chosen quantity of B, which is clamped.
export function fitClamp({ run, other }) {
  const name = seeIn(other);
  field("title").textContent = `Clamp ${name}${run === other ? "" : ` of ${other.run}`}`;
  Object.assign(field("range"), other.valves.includes(name) ? { min: 0, max: 1 } : { min: -2, max: 2 });
  field("value").value = field("range").value = 0;
}

export function fillClampLayers(layers) {
  const each = Array.from({ length: layers }, (_, k) => new Option(k, k));
  field("layer").replaceChildren(new Option("every one", ""), ...each);
}

// The words that a clamp can hold, of B, which is clamped; and those of A whose values it can be held at.
export function fillClampWords(seen) {
  const { a, b } = seen;
  const { words } = b ?? a;
  field("of-label").hidden = !canTake(seen);
  field("of").replaceChildren(new Option("the value above", ""), ...a.words.map((w, k) => new Option(`A at ${k}: ${written(w)}`, k)));
  showSource();
  field("from").replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k)));
  field("to").replaceChildren(...words.map((w, k) => new Option(`${k}: ${written(w)}`, k + 1)));
  field("to").append(new Option("to the end", ""));
  field("to").value = "";
}
