// What stands beside the drawing: predictions, a quantity's units, what a change has changed, the clamps that hold.

import { mean, percent, show, signed, written } from "./numbers.js";
import { table } from "./tables.js";

// What is the same is left alone: the browser would lay it out anew.
const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

export function showPredictions(host, list, others, most) {
  const before = new Map(others ?? []);
  const shown = list.slice(0, 8);
  host.classList.toggle("none", !list.length); // a sentence is being read
  while (host.children.length > shown.length) host.lastChild.remove();
  while (host.children.length < shown.length) host.append(prediction());
  for (const [k, [word, p]] of shown.entries()) {
    const [text, bar, chance, moved] = host.children[k].children;
    put(text, written(word));
    text.title = word === "<eos>" ? "the end of the line" : word;
    bar.style.setProperty("--p", (p / Math.max(most, 0.25)).toFixed(4));
    const change = others && before.has(word) ? p - before.get(word) : null;
    put(chance, percent(p));
    put(moved, change !== null && Math.abs(change) >= 0.005 ? signed(100 * change, 0) : "");
  }
}

function prediction() {
  const item = document.createElement("li");
  item.innerHTML = "<span class=word></span><span class=bar></span><span class=p></span><span class=change></span>";
  return item;
}

export function unitFacts(values, isValve) {
  if (values[0] === null) return "this layer takes no step here";
  const sorted = Float64Array.from(values).sort();
  const range = `mean ${show(mean(values))}, ${show(sorted[0])} to ${show(sorted.at(-1))}`;
  if (!isValve) return `${range} in ${values.length} units`;
  const shut = values.filter((x) => x < 0.1).length;
  const open = values.filter((x) => x > 0.9).length;
  return `${range}; of ${values.length} units ${open} open (above 0.9), ${shut} shut (below 0.1)`;
}

export function showChanges(host, a, b, i, j, places) {
  const [pa, pb] = [new Map(a.predictions[i]), new Map(b.predictions[j])];
  const floor = (list) => Math.min(...list.map(([, p]) => p));
  const [restA, restB] = [floor(a.predictions[i]), floor(b.predictions[j])];
  const next = [...new Set([...pa.keys(), ...pb.keys()])]
    // Of a word beyond those that were sent, all that is known is that it is no likelier than the last of them.
    .map((w) => ({ w, x: pa.get(w) ?? Math.min(restA, pb.get(w)), y: pb.get(w) ?? Math.min(restB, pa.get(w)) }))
    .map((row) => ({ ...row, least: pa.has(row.w) ? "" : "≤ ", most: pb.has(row.w) ? "" : "≤ " }))
    .sort((r, s) => Math.abs(s.y - s.x) - Math.abs(r.y - r.x))
    .slice(0, 8);
  if (host.of !== a || host.with !== b) {
    Object.assign(host, { of: a, with: b });
    host.innerHTML = "<h2>What changed most</h2><div class=tables></div>";
    host.lastChild.append("", changedWords(a, b, places));
  }
  host.lastChild.firstChild.replaceWith(
    table(
      `Next words, after “${written(a.words[i])}” in A and “${written(b.words[j])}” in B`,
      ["word", "A", "B", "B − A"],
      next.map(({ w, x, y, least, most }) => [
        written(w),
        atMost(least, x),
        atMost(most, y),
        `${least ? "≥ " : most}${signed(100 * (y - x), 1)} points`,
      ]),
    ),
  );
}

function changedWords(a, b, places) {
  const words = places
    .filter(([x, y]) => x !== null && y !== null && a.surprisal[x] !== null && b.surprisal[y] !== null && a.words[x] === b.words[y])
    .map(([x, y]) => [a.words[x], a.surprisal[x], b.surprisal[y]])
    .sort((x, y) => Math.abs(y[2] - y[1]) - Math.abs(x[2] - x[1]))
    .slice(0, 8);
  return table(
    "Words of the text: bits of surprise",
    ["word", "A", "B", "B − A"],
    words.map(([w, x, y]) => [written(w), show(x, 1), show(y, 1), signed(y - x, 1)]),
  );
}

const atMost = (sign, p) => (percent(p).startsWith("<") ? percent(p) : sign + percent(p));

// What was written of the sentence, by each run; words that the other run did not write stand out.
export function showTranslations(host, a, b) {
  host.hidden = a.translation === undefined;
  if (host.hidden) return;
  const lines = (b ? [[a, b, "A"], [b, a, "B"]] : [[a, null, ""]]).map(([run, other, name]) => {
    const line = document.createElement("p");
    if (name) {
      const tag = document.createElement("span");
      tag.className = `tag ${name.toLowerCase()}`;
      tag.textContent = name;
      line.append(tag, " ");
    }
    const known = new Set(other ? other.translation.split(" ") : run.translation.split(" "));
    for (const word of run.translation.split(" ")) {
      const part = document.createElement(known.has(word) ? "span" : "mark");
      part.textContent = word;
      line.append(part, " ");
    }
    return line;
  });
  host.replaceChildren(...lines);
}

// In words what run B is, with a way back for each change.
export function showChanged(host, pairs, clamps, words, ofA, restore) {
  const items = [];
  if (pairs) {
    const said = pairs.slice(0, 4).map(([a, b]) => `${written(a ?? "–")} → ${written(b ?? "–")}`);
    items.push([said.join(", ") + (pairs.length > 4 ? ` and ${pairs.length - 4} more` : ""), () => restore("other")]);
  }
  for (const [k, c] of clamps.entries()) {
    const units = c.units === null ? "all units" : `unit${c.units.length > 1 ? "s" : ""} ${c.units.join(", ")}`;
    const from = written(words[c.from] ?? "the beginning");
    const last = c.to === null ? "the end" : `“${words[c.to - 1] ?? ""}”`;
    const steps = c.to === c.from + 1 ? `at “${from}”` : c.from === 0 && c.to === null ? "everywhere" : `from “${from}” to ${last}`;
    const value = c.of === undefined ? show(c.value) : `A's at “${written(ofA[c.of] ?? "–")}”`;
    items.push([
      `${c.name} = ${value}, ${units}, ${c.layer === null ? "" : `layer ${c.layer}, `}${steps}`,
      () => restore(k),
    ]);
  }
  host.hidden = !items.length;
  host.innerHTML = items.length ? "<span class='tag b'>B</span>" : "";
  for (const [text, undo] of items) {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.textContent = text;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "×";
    button.setAttribute("aria-label", `Take back: ${text}`);
    button.addEventListener("click", undo);
    chip.append(button);
    host.append(chip);
  }
}
