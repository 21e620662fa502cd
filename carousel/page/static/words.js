// The words as buttons, how surprising each was, and in a comparison the other run's below.

import { show, signed, written } from "./numbers.js";

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
  button.append(text, bar, number);
  const strange = run.known[k] ? "" : ", unknown to the model";
  button.setAttribute(
    "aria-label",
    `${run.words[k]}${strange}${bits === null ? "" : `, ${show(bits, 1)} bits`}${which === "b" ? ", run B" : ""}`,
  );
  button.title = `${run.words[k]}${strange}${bits === null ? (begins ? ": every text begins here" : ": read") : `: ${show(bits, 1)} bits of surprise`}`;
  button.addEventListener("click", choose);
  return button;
}

export function markWord(host, place) {
  for (const [k, item] of [...host.children].entries()) {
    const now = k === place;
    item.classList.toggle("current", now);
    for (const button of item.children) {
      button.tabIndex = now ? 0 : -1; // one stop for the Tab key; the arrow keys do the rest
      if (now) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    if (now && host.contains(document.activeElement) && !item.contains(document.activeElement)) item.firstChild.focus();
    if (now) host.scrollTo({ left: item.offsetLeft - host.clientWidth / 2 + item.clientWidth / 2 });
  }
}
