// What answers the page: the server that it came from.

export const isAlone = false; // a page that is one file
export const isAlive = true; // there is a model to ask

export async function answerTo(path, body) {
  let reply;
  try {
    const options = body ? { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
    reply = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is carousel serve still running?");
  }
  if (reply.ok) return reply.headers.get("Content-Type").startsWith("text/html") ? reply.text() : reply.json();
  const { error } = await reply.json().catch(() => ({ error: `The server failed (${reply.status}).` }));
  throw new Error(error);
}
