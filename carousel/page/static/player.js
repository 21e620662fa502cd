// Steps through the words, or the levels of a picture: by buttons, by keys, by itself.

import { change, state } from "./state.js";

let playing = null;
let wordCount = () => 0;
let key = "step"; // of the state; null is the last step
const here = () => state[key] ?? wordCount() - 1;

// count(): how many words there are. of: the name of the step in the state.
export function offerSteps(count, of = "step") {
  [wordCount, key] = [count, of];
  for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go(button.dataset.go));
  const bar = document.getElementById("reading"); // it stays in sight, so what is scrolled to stands below it
  new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
}

// The keys for the steps, where nothing else takes them. isOffered(): whether there is anything to step through.
export function offerKeys(isOffered) {
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.ctrlKey || event.altKey || event.metaKey || !isOffered()) return;
    if (target.closest("input, textarea, select, [role=tab], [role=application], canvas, summary")) return;
    const where = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" }[event.key];
    const isFree = !target.closest("button, a, [role=button]");
    if (where) go(where);
    else if (event.key === " " && isFree) go("play");
    else return;
    event.preventDefault();
  });
}

// Enter reads a text, as the button beside it does; with Shift it begins a line.
export function submitOnEnter(text) {
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    text.form.requestSubmit();
  });
}

function go(where) {
  const last = wordCount() - 1;
  if (where === "play") return togglePlay();
  const to = { first: 0, back: here() - 1, on: here() + 1, last }[where];
  change({ [key]: Math.min(Math.max(to, 0), last) });
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
    if (here() >= wordCount() - 1) return togglePlay();
    go("on");
    playing = setTimeout(next, wait());
  };
  if (here() >= wordCount() - 1) change({ [key]: 0 });
  playing = setTimeout(next, wait());
}
