// Steps through the words: by buttons, by keys, by itself.

import { change, state } from "./state.js";

let playing = null;
let wordCount = () => 0;

// count(): how many words there are.
export function offerSteps(count) {
  wordCount = count;
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go(button.dataset.go));
}

export function go(where) {
  const last = wordCount() - 1;
  if (where === "play") return togglePlay();
  const to = { first: 0, back: state.step - 1, on: state.step + 1, last }[where];
  change({ step: Math.min(Math.max(to, 0), last) });
}

function togglePlay() {
  const stop = playing !== null;
  clearTimeout(playing);
  playing = null;
  const button = document.getElementById("play");
  button.textContent = stop ? "Play" : "Pause";
  button.setAttribute("aria-pressed", !stop);
  if (stop) return;
  const wait = () => 1000 / Number(document.getElementById("speed").value);
  const next = () => {
    if (state.step >= wordCount() - 1) return togglePlay();
    go("on");
    playing = setTimeout(next, wait());
  };
  if (state.step >= wordCount() - 1) change({ step: 0 });
  playing = setTimeout(next, wait());
}
