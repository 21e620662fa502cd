// The drawing of the cell: filled with what its valves do at a word, and answering to clicks and keys.

import { mean, show } from "./numbers.js";

export function mountDrawing(host, svg, choose) {
  host.innerHTML = svg;
  const cell = host.querySelector("svg");
  const { width, height } = cell.viewBox.baseVal;
  host.style.setProperty("--natural", `${width}px`);
  host.style.setProperty("--shape", (width / height).toFixed(4));
  new ResizeObserver(() => {
    const zoom = Math.max(width / cell.clientWidth, height / cell.clientHeight);
    if (Number.isFinite(zoom)) cell.style.setProperty("--zoom", zoom.toFixed(3)); // letters grow as the drawing shrinks
    cell.classList.toggle("tiny", zoom > 1.3);
  }).observe(cell);
  const pick = (event) => {
    const group = event.target.closest("[data-name][role=button]");
    if (group) choose(group.dataset.name);
    return group;
  };
  host.addEventListener("click", pick);
  host.addEventListener("keydown", (event) => {
    if ((event.key === "Enter" || event.key === " ") && pick(event)) event.preventDefault();
  });
  for (const group of host.querySelectorAll("[data-name][role=button]")) group.dataset.says = group.getAttribute("aria-label");
}

export function fillDrawing(host, watched, word, layer, chosen, clamps) {
  for (const group of host.querySelectorAll("[data-name][role=button]")) {
    const name = group.dataset.name;
    const values = watched.values[name]?.[layer][word];
    group.classList.toggle("chosen", name === chosen);
    const held = clamps.some(
      (c) => c.name === name && (c.layer === null || c.layer === layer) && c.from <= word && (c.to === null || word < c.to),
    );
    group.classList.toggle("clamped", held);
    if (!values) continue;
    const middle = mean(values);
    group.style.setProperty("--level", Math.min(Math.max(middle, 0), 1).toFixed(3));
    const shown = group.querySelector(".value");
    if (shown && shown.textContent !== show(middle)) shown.textContent = show(middle);
    const what = group.classList.contains("valve") ? "mean opening" : "mean";
    const [head, equation] = group.dataset.says.split(/: (.*)/);
    const says = `${head} ${show(middle)}, ${what}${held ? ", clamped" : ""}${equation ? `: ${equation}` : ""}`;
    if (says === group.getAttribute("aria-label")) continue;
    group.setAttribute("aria-label", says);
    group.querySelector("title").textContent = says;
  }
}
