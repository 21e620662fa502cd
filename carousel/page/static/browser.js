// What answers a page that is one file: the model inside it, which a script before this one has begun to load.

export const isAlone = true;
export const isAlive = globalThis.carousel !== undefined;

// Numbers as the server sends them: the same page shows the same.
const inDigits = (x) =>
  typeof x === "number"
    ? Math.round(x * 1e4) / 1e4
    : Array.isArray(x)
      ? x.map(inDigits)
      : x instanceof Object
        ? Object.fromEntries(Object.entries(x).map(([key, value]) => [key, inDigits(value)]))
        : x;

export async function answerTo(path, body) {
  if (!isAlive)
    throw new Error("This is a saved page: it shows what was seen, but has no model to ask. Run carousel serve for more.");
  if (path !== "api/watch") throw new Error("This page has no answer to that. Run carousel serve for more.");
  const model = await globalThis.carousel;
  const saved = JSON.parse(document.getElementById("saved").textContent);
  if ((body.model ?? "0") !== saved.model)
    throw new Error("This page has only the model of run A inside. Run carousel serve for the others.");
  const { others = [], ...first } = saved.answers["api/run"];
  const { limits, valves, states } = [first, ...others][Number.parseInt(saved.model, 10)];
  const { text, clamps, predictions } = body;
  const long = [...text].length;
  if (long > limits.characters)
    throw new Error(`the text has ${long.toLocaleString("en")} characters; give at most ${limits.characters.toLocaleString("en")}`);
  const count = model.vocabulary.read(text).length - 1;
  if (count > limits.words)
    throw new Error(`the text has ${count.toLocaleString("en")} words of the vocabulary; give at most ${limits.words}`);
  const found = model.watch(text, { clamps, predictions });
  const units = Object.values(found.values).flat(2);
  if (!units.every((xs) => xs.every((x) => x === null || Number.isFinite(x))))
    throw new Error("the model's values are not finite; was it trained to the end, or is a clamp too large?");
  return { ...inDigits(found), valves, states };
}
