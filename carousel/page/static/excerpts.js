// Places of the corpus in their context.

import { written } from "./numbers.js";
import { make } from "./tables.js";

// A place in its context, the tracks of annotation below its words.
export function excerpt(e, facts) {
  const inside = (k) => (k >= e.first && k < e.stop ? "inside" : "");
  const line = make("tr", {}, make("td"));
  line.append(...e.words.map((w, k) => make("td", { className: inside(k), textContent: written(w) })));
  const tracks = Object.entries(e.tracks).map(([name, labels]) => {
    const cells = labels.map((label, k) => make("td", { className: inside(k), textContent: label ?? "·" }));
    return make("tr", { className: "annotation" }, make("th", { scope: "row", textContent: name }), ...cells);
  });
  return make(
    "figure",
    {},
    make("figcaption", { className: "muted", textContent: `Line ${e.line.toLocaleString("en")}:${facts}` }),
    make("table", {}, make("tbody", {}, line, ...tracks)),
  );
}
