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

const watching = (text, clamps) => ["api/watch", { text, clamps, predictions: 40 }];
const flowing = (text, word = null, clamps = []) => [
  "api/gradients",
  { text, ...(word === null ? {} : { word }), ...(clamps.length ? { clamps } : {}) },
];

export const askRun = () => ask("api/run");
export const askWatch = (text, clamps) => ask(...watching(text, clamps));
export const askGradients = (text, word, clamps) => ask(...flowing(text, word, clamps));
export const askPatch = (text, other, name, layer) => ask("api/patch", { text, other, name, layer });
export const askConnectivity = (text, name, clamps) => ask("api/connectivity", { text, name, clamps });

// Whether the error's way back can be told: it needs derivatives, so that one file knows only what it brought along.
export const hasGradients = (text) => !isAlone || answers.has(keyOf(...flowing(text)));

// The page as one HTML file that shows what is seen, told the answers that it cannot compute.
export function askPage(text, other, clamps, hash) {
  const texts = other === null ? [text] : [text, other];
  const questions = [watching(text, []), watching(texts.at(-1), clamps), ...texts.map((each) => flowing(each))];
  return answerTo("api/page", { hash, questions: [...new Set(questions.map((question) => keyOf(...question)))] });
}
