// The page as one HTML file: its styles, its modules one after the other, and the answers behind what is seen.

const MODULES = [
  "state",
  "api",
  "colours",
  "numbers",
  "drawing",
  "heatmap",
  "words",
  "panels",
  "quantity",
  "flow",
  "save",
  "main",
];
const STYLES = ["theme.css", "style.css", "cell.css"];
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

async function textOf(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path} could not be read`);
  return reply.text();
}

// In one script the modules share their names, so imports and exports go.
const unwrapped = (source) => source.replace(/^import .*;$/gm, "").replace(/^export /gm, "");

// As text, not as a document: the page's own policy would refuse the inline style of a document that it makes.
export async function wholePage(answers, hash) {
  const html = await textOf(".");
  const styles = await Promise.all(STYLES.map((name) => textOf(`static/${name}`)));
  const scripts = await Promise.all(MODULES.map((name) => textOf(`static/${name}.js`)));
  const data = JSON.stringify({ hash, answers }).replaceAll("<", "\\u003c");
  const head = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">\n<style>\n${styles.join("\n")}</style>\n`;
  const tail = `<script type="application/json" id="saved">${data}</${"script"}>\n<script type="module">\n${scripts.map(unwrapped).join("\n")}</${"script"}>\n`;
  return html
    .replace(/^<(link rel="stylesheet"|script).*\n/gm, "")
    .replace("</head>", () => `${head}</head>`)
    .replace("</body>", () => `${tail}</body>`);
}

export function offer(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/html" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
