// The models that are seen: A's run and weights, and those of B. Names are the server's: "1@400" is the second run with the
// weights of step 400, "1@last" with the newest, "1" with the best.

import { change, state } from "./state.js";

const part = (id) => document.getElementById(id);
export const numberOf = (model) => Number.parseInt(model, 10);
export const runsOf = (facts) => [facts, ...(facts.others ?? [])];
export const modelOfB = () => state.beside ?? state.model;

// Whether units of A and of B are the same ones.
export const isOneRun = () => numberOf(modelOfB()) === numberOf(state.model);

// Models of a run in the order of the slider; one that is seen has its place in any case.
export function weightsOf(run, number, seen) {
  const best = run.best ? [`${number}`] : [];
  const newest = run.training || seen === `${number}@last` ? [`${number}@last`] : [];
  const kept = run.kept.map((step) => `${number}@${step}`);
  return [...kept, ...best, ...newest];
}

export function weightsSay(run, model) {
  const which = model.split("@")[1];
  if (which === undefined) return "best";
  if (which !== "last") return `step ${Number(which).toLocaleString("en")}`;
  return run.newest === undefined || run.newest === null ? "newest" : `newest, step ${run.newest.toLocaleString("en")}`;
}

// Where a run begins: one that is being trained with its newest weights.
export const begins = (run, number) => (run.training || !run.best ? `${number}@last` : `${number}`);

// What stands over a drawing: the run's name where there are several, and its weights where they are not the best.
export function nameOfModel(runs, model) {
  const run = runs[numberOf(model)];
  const names = runs.length > 1 ? [run.run, run.cell] : [run.cell];
  return [...names, ...(model.includes("@") ? [weightsSay(run, model)] : [])].join(", ");
}

export function listenToModels(runs) {
  const other = () => (numberOf(state.model) + 1) % runs.length; // of one run, the same
  part("model-a").addEventListener("change", ({ target }) => change({ model: begins(runs[target.value], target.value) }));
  part("model-b").addEventListener("change", ({ target }) =>
    change({ beside: target.value === "" ? null : begins(runs[target.value], target.value) }),
  );
  for (const [side, key] of [["a", "model"], ["b", "beside"]])
    part(`weights-${side}`).addEventListener("input", ({ target }) => {
      const number = numberOf(state[key]);
      change({ [key]: weightsOf(runs[number], number, state[key])[target.value] });
    });
  part("swap").addEventListener("click", () => change({ model: state.beside ?? begins(runs[other()], other()), beside: state.model }));
}

// Of one run with one set of weights there is nothing to choose.
export function showModels(runs) {
  const many = runs.map((run, number) => weightsOf(run, number, null).length > 1);
  part("models").hidden = runs.length < 2 && !many[0];
  if (part("models").hidden) return;
  for (const [side, model] of [["a", state.model], ["b", state.beside]]) {
    const select = part(`model-${side}`);
    const options = runs.map((run, number) => new Option(run.run, number));
    select.replaceChildren(...(side === "b" ? [new Option("–", "")] : []), ...options);
    select.value = model === null ? "" : numberOf(model);
    select.parentNode.hidden = side === "a" && runs.length < 2;
    const slider = part(`weights-${side}`);
    const names = model === null ? [] : weightsOf(runs[numberOf(model)], numberOf(model), model);
    slider.parentNode.hidden = names.length < 2;
    if (slider.parentNode.hidden) continue;
    const says = weightsSay(runs[numberOf(model)], model);
    Object.assign(slider, { max: names.length - 1, value: names.indexOf(model) });
    slider.setAttribute("aria-valuetext", says);
    part(`weights-${side}-says`).textContent = says;
  }
  part("swap").hidden = state.beside === null && runs.length < 2;
}
