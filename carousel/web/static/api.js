// Questions to the server, each asked once. A saved page carries the answers and has no server to ask.

const kept = document.getElementById("saved");
const saved = kept ? JSON.parse(kept.textContent) : null;
const answers = new Map(Object.entries(saved?.answers ?? {}));

export const savedHash = saved?.hash ?? "";
export const isSaved = saved !== null;

async function ask(path, body) {
  const key = path + (body ? ` ${JSON.stringify(body)}` : "");
  if (answers.has(key)) return answers.get(key);
  if (isSaved)
    throw new Error("This is a saved page: it shows what was seen, but has no model to ask. Run carousel serve for more.");
  let reply;
  try {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    reply = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is carousel serve still running?");
  }
  const answer = await reply.json().catch(() => ({ error: `The server failed (${reply.status}).` }));
  if (!reply.ok) throw new Error(answer.error);
  if (answers.size > 60) answers.delete([...answers.keys()].find((k) => k !== "api/run"));
  answers.set(key, answer);
  return answer;
}

export const askRun = () => ask("api/run");
export const askWatch = (text, clamps) => ask("api/watch", { text, clamps, predictions: 40 });
export const askGradients = (text) => ask("api/gradients", { text });

// The answers behind what is seen, for a saved page.
export async function answersFor(text, other, clamps, flows) {
  await askRun();
  await askWatch(text, []);
  const keys = ["api/run", `api/watch ${JSON.stringify({ text, clamps: [], predictions: 40 })}`];
  if (flows) {
    await askGradients(text);
    keys.push(`api/gradients ${JSON.stringify({ text })}`);
  }
  if (other !== null || clamps.length) {
    await askWatch(other ?? text, clamps);
    keys.push(`api/watch ${JSON.stringify({ text: other ?? text, clamps, predictions: 40 })}`);
  }
  if (flows && other !== null) {
    await askGradients(other);
    keys.push(`api/gradients ${JSON.stringify({ text: other })}`);
  }
  return Object.fromEntries(keys.map((k) => [k, answers.get(k)]));
}
