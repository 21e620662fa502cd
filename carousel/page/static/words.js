// The words as buttons, how surprising each was, and in a comparison the other run's below.

import { show, signed, written } from "./numbers.js";

const MANY = 60; // words
const EDGE = 0.12; // of the line, where a word is too far to the side
const BESIDE = 1; // lines of words on either side of those in sight

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

// Of many words those in sight are there, and some beside them; the room of the others is kept free. A frame of the browser costs
// as much for a word that is out of sight as for one that is seen.
const rows = new WeakMap();

function spareUnseen(host) {
  rows.get(host)?.sizes.disconnect();
  rows.delete(host);
  Object.assign(host.style, { paddingLeft: "", paddingRight: "" });
  if (host.children.length <= MANY) return;
  const row = { from: 0, to: host.children.length, sizes: new ResizeObserver(() => measure(host)) };
  rows.set(host, row);
  if (!host.onscroll) host.onscroll = () => reveal(host);
  row.sizes.observe(host);
}

// Where each word begins and ends, when all are there.
function measure(host) {
  const row = rows.get(host);
  if (!row || row.width === host.clientWidth) return;
  const { scrollLeft } = host;
  for (const item of host.children) item.hidden = false;
  Object.assign(host.style, { paddingLeft: "", paddingRight: "" });
  const items = [...host.children];
  const edge = Number.parseFloat(getComputedStyle(host).paddingLeft);
  const begins = items.map((item) => item.offsetLeft - edge);
  const whole = host.scrollWidth - 2 * edge;
  Object.assign(row, { begins, whole, edge, width: host.clientWidth, from: 0, to: items.length });
  host.scrollLeft = scrollLeft;
  reveal(host);
}

// at: a word that is to be in sight, or none: what is scrolled to.
function reveal(host, at = null) {
  const row = rows.get(host);
  if (!row?.begins) return;
  const { begins, width, whole, edge, from, to } = row;
  const left = at === null ? host.scrollLeft : Math.max(0, begins[at] - width / 2);
  const last = begins.length - 1;
  const wordAt = (x) => Math.max(0, begins.findLastIndex((begin) => begin <= x));
  const [first, end] = [wordAt(left - width / 2), wordAt(left + 1.5 * width) + 1];
  if (first >= from && end <= to && (at === null || (at >= from && at < to))) return;
  const [now, then] = [wordAt(left - BESIDE * width), Math.min(wordAt(left + (1 + BESIDE) * width) + 1, last + 1)];
  for (let k = Math.min(from, now); k < Math.max(to, then); k += 1) host.children[k].hidden = k < now || k >= then;
  host.style.paddingLeft = `${edge + begins[now]}px`;
  host.style.paddingRight = `${edge + (then > last ? 0 : whole - begins[then])}px`;
  Object.assign(row, { from: now, to: then });
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
  button.append(text, " ", bar, number);
  // A name, not unseen words: to clip two of them at each word took a third of a frame.
  const rest = `${bits === null ? "" : " bits"}${strange}${which === "b" ? ", run B" : ""}`;
  button.setAttribute("aria-label", `${text.textContent} ${number.textContent}${rest}`);
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
  reveal(host, place);
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
