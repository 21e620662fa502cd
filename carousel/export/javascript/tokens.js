// Text to token ids and back, as the model was trained: words, characters, or byte pairs.

const SPACE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"; // Unicode's; JavaScript's \s has others
const PIECE = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`,
  "gu",
);
const WORD = new RegExp(`[^${SPACE}]+`, "gu");
const BLANK = `[${SPACE}\\x1c-\\x1f]`; // what Python strips
const STRIPPED = new RegExp(`^${BLANK}*([^]*?)${BLANK}*$`, "u");
const END = "<eos>";

const characters = (text) => {
  let n = 0;
  for (const _ of text) n += 1;
  return n;
};

// Throws for what is no token.
function checkToken({ size }, id) {
  if (!(Number.isInteger(id) && id >= 0 && id < size)) throw new Error(`there is no token ${id}; tokens are 0 to ${size - 1}`);
}

// A text without the white space around it.
const stripped = (text) => text.match(STRIPPED)[1];

export class Vocabulary {
  constructor({ kind, tokens, merges, end, unknown }) {
    Object.assign(this, { kind, tokens, end, unknown, size: tokens.length });
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    if (kind !== "bpe") return;
    const letters = [...byteLetters()];
    this.single = letters.map((letter) => this.ids.get(letter));
    this.byteOf = new Map(letters.map((letter, byte) => [letter, byte]));
    this.made = new Map();
    for (let k = 0; k < merges.length; k += 2) {
      const [a, b] = [merges[k], merges[k + 1]];
      this.made.set(a * this.size + b, { rank: k, id: this.ids.get(tokens[a] + tokens[b]) });
    }
  }

  // The tokens of a line: { text, id, begin, end }, where in characters (not UTF-16 units) they stand in it.
  pieces(line) {
    if (!line.isWellFormed?.() && /\p{Surrogate}/u.test(line)) throw new Error("the text holds half a character, which no text file could");
    if (this.kind === "bpe") return this.bytePairs(line);
    const found = [];
    let [at, units] = [0, 0];
    for (const match of line.matchAll(this.kind === "word" ? WORD : /[^]/gu)) {
      at += characters(line.slice(units, match.index));
      const begin = at;
      at += characters(match[0]);
      units = match.index + match[0].length;
      found.push({ text: match[0], id: this.ids.get(match[0]) ?? this.unknown, begin, end: at });
    }
    return found;
  }

  bytePairs(line) {
    const found = [];
    let at = 0; // in characters
    for (const [piece] of line.matchAll(PIECE)) {
      const places = []; // of each byte
      const bytes = [];
      for (const letter of piece) {
        for (const byte of new TextEncoder().encode(letter)) {
          bytes.push(byte);
          places.push(at);
        }
        at += 1;
      }
      const ids = bytes.map((byte) => this.single[byte]);
      const widths = bytes.map(() => 1);
      for (;;) {
        let [best, place] = [null, 0];
        for (let k = 0; k + 1 < ids.length; k += 1) {
          const pair = this.made.get(ids[k] * this.size + ids[k + 1]);
          if (pair && (best === null || pair.rank < best.rank)) [best, place] = [pair, k];
        }
        if (best === null) break;
        ids.splice(place, 2, best.id);
        widths.splice(place, 2, widths[place] + widths[place + 1]);
      }
      let byte = 0;
      for (const [k, id] of ids.entries()) {
        const begin = places[byte];
        byte += widths[k];
        found.push({ text: this.token(id), id, begin, end: places[byte - 1] + 1 });
      }
    }
    return found;
  }

  // The token ids of a line; the last is its end's.
  encode(line) {
    return [...this.pieces(line).map((piece) => piece.id), this.end];
  }

  // The text of a token, as one would print it.
  token(id) {
    if (id === this.end) return END;
    return this.kind === "bpe" ? this.text([id]) : this.tokens[id];
  }

  // The text of tokens; ends of lines become line breaks.
  decode(ids) {
    const lines = [[]];
    for (const id of ids) {
      if (id === this.end) lines.push([]);
      else lines.at(-1).push(id);
    }
    return lines.map((line) => this.text(line)).join("\n");
  }

  text(ids) {
    const tokens = ids.map((id) => this.tokens[id]);
    if (this.kind !== "bpe") return tokens.join(this.kind === "word" ? " " : "");
    const bytes = [...tokens.join("")].map((letter) => this.byteOf.get(letter));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }

  // The words of a text after the end of line that every text begins with: { word, id, known, span }, span null for ends.
  read(text) {
    const found = [{ word: END, id: this.end, known: true, span: null }];
    const inside = stripped(text);
    let at = characters(text.slice(0, text.indexOf(inside)));
    for (const line of inside.split("\n")) {
      for (const { text: word, id, begin, end } of this.pieces(line))
        found.push({ word, id, known: id !== this.unknown, span: [at + begin, at + end] });
      found.push({ word: END, id: this.end, known: true, span: null });
      at += characters(line) + 1;
    }
    if (found.length < 3) throw new Error("the text is empty; give some words to read");
    return found.slice(0, -1);
  }
}

// The letter that stands for each byte in byte-level tokens (Radford et al. 2019).
function* byteLetters() {
  let others = 0;
  for (let byte = 0; byte < 256; byte += 1) {
    const plain = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
    yield String.fromCodePoint(plain ? byte : 256 + others++);
  }
}
