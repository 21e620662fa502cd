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

// Clamps at the values that a text has at a word, as arrays of numbers, one for each layer.
function valued(model, clamp) {
  if (!clamp.of) return [clamp];
  const { of, ...rest } = clamp;
  const values = model.watch(of.text).values[clamp.name] ?? [];
  if (values.length && of.word >= values[0].length)
    throw new Error(`there is no word ${of.word} to take ${clamp.name} from; words are 0 to ${values[0].length - 1}`);
  const chosen = clamp.layer === null ? [...values.keys()] : values[clamp.layer] ? [clamp.layer] : [];
  const taken = (units) => (clamp.units === null ? units : clamp.units.map((unit) => units[unit] ?? 0));
  const found = chosen.map((layer) => ({ ...rest, layer, value: taken(values[layer][of.word]) }));
  if (found.some(({ value }) => value.includes(null)))
    throw new Error(`not every layer that is to be clamped has ${clamp.name} at word ${of.word}`);
  return found.length ? found : [{ ...rest, value: 0 }]; // of what the model does not have, which it refuses
}

export async function answerTo(path, body) {
  if (!isAlive)
    throw new Error("This is a saved page: it shows what was seen, but has no model to ask. Run carousel serve for more.");
  if (path !== "api/watch") throw new Error("This page has no answer to that. Run carousel serve for more.");
  const model = await globalThis.carousel;
  const saved = JSON.parse(document.getElementById("saved").textContent);
  if ([body, ...body.clamps.flatMap(({ of }) => of ?? [])].some(({ model: asked = "0" }) => asked !== saved.model))
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
  const found = model.watch(text, { clamps: clamps.flatMap((clamp) => valued(model, clamp)), predictions });
  const units = Object.values(found.values).flat(2);
  if (!units.every((xs) => xs.every((x) => x === null || Number.isFinite(x))))
    throw new Error("the model's values are not finite; was it trained to the end, or is a clamp too large?");
  return { ...inDigits(found), valves, states };
}
