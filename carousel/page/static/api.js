// The page's questions, each asked once. A page that is one file brings some answers along.

import { answerTo, isAlone } from "./server.js";

const kept = document.getElementById("saved");
const saved = kept ? JSON.parse(kept.textContent) : null;
const answers = new Map(Object.entries(saved?.answers ?? {}));

export const savedHash = saved?.hash ?? "";

const keyOf = (path, body) => path + (body ? ` ${JSON.stringify(body)}` : "");

async function ask(path, body) {
  const key = keyOf(path, body);
  if (answers.has(key)) return answers.get(key);
  const answer = await answerTo(path, body);
  if (answers.size > 60) answers.delete([...answers.keys()].find((k) => k !== "api/run"));
  answers.set(key, answer);
  return answer;
}

// Every question may be about another model than the first: "1@400" is the second run with the weights of step 400.
export const about = (model, body) => (model === "0" ? body : { ...body, model });
const watching = (text, clamps, model) => ["api/watch", about(model, { text, clamps, predictions: 40 })];
const flowing = (text, word, clamps, model) => [
  "api/gradients",
  about(model, { text, ...(word === null ? {} : { word }), ...(clamps.length ? { clamps } : {}) }),
];

let facts = null; // one object for all of the page's modules
export const askRun = () => (facts ??= ask("api/run"));
export const askWatch = (text, clamps, model) => ask(...watching(text, clamps, model));
export const askGradients = (text, word, clamps, model) => ask(...flowing(text, word, clamps, model));
export const askPatch = (text, other, name, layer, model) => ask("api/patch", about(model, { text, other, name, layer }));
export const askConnectivity = (text, name, clamps, model) => ask("api/connectivity", about(model, { text, name, clamps }));
export const askFind = (body, model) => ask("api/find", about(model, body));
export const askProbe = (body, model) => ask("api/probe", about(model, body));
export const askTree = (body, model) => ask("api/tree", about(model, body));
export const askSequence = (body, model) => ask("api/sequence", about(model, body));
export const askExample = (body, model) => ask("api/example", about(model, body));
export const askMemory = (body, model) => ask("api/memory", about(model, body));
export const askTraining = (model) => answerTo("api/training", { model });

// Weights that were replaced: what they answered holds no more.
export function forget(model) {
  for (const key of answers.keys()) {
    const body = key.includes(" ") ? JSON.parse(key.slice(key.indexOf(" "))) : null;
    if (body && (body.model ?? "0") === model) answers.delete(key);
  }
}

// Whether the error's way back can be told: it needs derivatives, so that one file knows only what it brought along.
export const hasGradients = (text, model) => !isAlone || answers.has(keyOf(...flowing(text, null, [], model)));

// The page as one HTML file that shows what is seen, told the answers that it cannot compute.
export function askPage({ text, other, clamps, model, beside }, flows, hash) {
  const both = [[text, [], model], [other ?? text, clamps, beside ?? model]];
  const questions = [
    ...both.map((each) => watching(...each)),
    ...(flows ? both.map(([words, , which]) => flowing(words, null, [], which)) : []),
  ];
  return answerTo("api/page", about(model, { hash, questions: [...new Set(questions.map((question) => keyOf(...question)))] }));
}
