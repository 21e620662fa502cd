// The words as buttons, how surprising each was, and in a comparison the other run's below.

import { show, signed, written } from "./numbers.js";

const MANY = 60; // words
const EDGE = 0.12; // of the line, where a word is too far to the side

export function showWords(host, places, a, b, choose) {
  const most = Math.max(8, ...[...a.surprisal, ...(b?.surprisal ?? [])].filter((s) => s !== null));
  host.replaceChildren(
    ...places.map(([i, j], place) => {
      const item = document.createElement("li");
      item.classList.toggle("written", i !== null && i === a.source);
      item.append(wordButton(a, i, "a", most, null, () => choose(place)));
      if (b)
        item.append(
          wordButton(
            b,
            j,
            "b",
            most,
            i === null ? null : a.surprisal[i],
            () => choose(place),
            i !== null && j !== null && a.words[i] !== b.words[j],
          ),
        );
      return item;
    }),
  );
  spareUnseen(host);
}

// Of many words the browser draws those in sight; of the others it knows the size.
function spareUnseen(host) {
  host.classList.remove("many");
  if (host.children.length <= MANY) return;
  const sizes = [...host.children].map(({ offsetWidth, offsetHeight }) => `auto ${offsetWidth}px auto ${offsetHeight}px`);
  for (const [k, item] of [...host.children].entries()) item.style.containIntrinsicSize = sizes[k];
  host.classList.add("many");
}

function wordButton(run, k, which, most, other, choose, differs = false) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `word ${which}${differs ? " differs" : ""}`;
  if (k === null) {
    button.disabled = true;
    button.textContent = "–";
    return button;
  }
  const bits = run.surprisal[k];
  const text = document.createElement("span");
  text.className = run.known[k] ? "text" : "text unknown";
  text.textContent = written(run.words[k]);
  const bar = document.createElement("span");
  bar.className = "bits";
  bar.style.setProperty("--bits", bits === null ? 0 : bits / most);
  const number = document.createElement("span");
  number.className = "number";
  const begins = k === (run.source ?? 0);
  number.textContent =
    bits === null
      ? begins
        ? "start"
        : "read"
      : `${show(bits, 1)}${other !== null && Math.abs(bits - other) >= 0.05 ? ` (${signed(bits - other, 1)})` : ""}`;
  const strange = run.known[k] ? "" : ", unknown to the model";
  const rest = document.createElement("span"); // of the button's name
  rest.className = "unseen";
  rest.textContent = `${bits === null ? "" : " bits"}${strange}${which === "b" ? ", run B" : ""}`;
  button.append(text, " ", bar, number, rest);
  button.title = `${run.words[k]}${strange}${bits === null ? (begins ? ": every text begins here" : ": read") : `: ${show(bits, 1)} bits of surprise`}`;
  button.tabIndex = -1;
  button.addEventListener("click", choose);
  return button;
}

const marked = new WeakMap();

// The place that is seen. Only the word before it and its own are touched: a text of 500 words is stepped through smoothly.
export function markWord(host, place) {
  const before = marked.get(host);
  const item = host.children[place];
  if (before !== item && before?.parentNode === host) setCurrent(before, false);
  setCurrent(item, true);
  marked.set(host, item);
  const focused = document.activeElement;
  if (host.contains(focused) && !item.contains(focused)) item.querySelector("button:enabled").focus({ preventScroll: true });
  const [left, width, room] = [item.offsetLeft - host.scrollLeft, item.offsetWidth, host.clientWidth];
  // The line is still while the word stands well within it.
  if (left < EDGE * room || left + width > (1 - EDGE) * room) host.scrollLeft += left + width / 2 - room / 2;
}

function setCurrent(item, now) {
  item.classList.toggle("current", now);
  for (const button of item.children) {
    button.tabIndex = now ? 0 : -1; // one stop for the Tab key; the arrow keys do the rest
    if (now) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
  }
}

// Words in the colours of a unit: colours has [background, ink] for each place and run, or is null.
export function tintWords(host, colours) {
  for (const [place, item] of [...host.children].entries())
    for (const [run, button] of [...item.children].entries()) {
      const text = button.firstElementChild; // of a word that only the other run has there is none
      if (!text) continue;
      const [ground, ink] = colours?.[place]?.[run] ?? ["", ""];
      text.style.background = ground;
      text.style.color = ink;
    }
}
