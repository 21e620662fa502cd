// The pages of runs that are looked into by examples: each kind has a module with its cards, under one head.

import { askRun } from "./api.js";
import { $, checked, say, showHead } from "./examples.js";
import { pageOf } from "./kinds.js";
import { change, fromHash } from "./state.js";

async function start() {
  try {
    const run = await askRun();
    const { cards, open, saysOf, steps } = await pageOf(run.task);
    $("cards").outerHTML = cards;
    $("level-name").textContent = steps.level;
    $("transport").setAttribute("aria-label", steps.all);
    for (const button of document.querySelectorAll("[data-go]"))
      if (steps[button.dataset.go]) button.setAttribute("aria-label", steps[button.dataset.go]);
    showHead(run, saysOf(run));
    open(run);
    const begin = () => change(checked(run, fromHash(location.hash)));
    addEventListener("hashchange", begin);
    begin();
  } catch (error) {
    say(error.message);
  }
}

start();
