export interface Choosing {
  /** Tokens to write; 100. */
  count?: number;
  /** 1; below it safer, above it wilder, 0 always the likeliest. */
  temperature?: number;
  /** Choose among so many likeliest; 0: all. */
  topK?: number;
  /** Same seed, same text. */
  seed?: number | null;
  /** Whether the end of a line ends the text. */
  stopAtEnd?: boolean;
  clamps?: Clamp[];
}

/** One text being read. */
export interface Reader {
  /** How many tokens it has read. */
  readonly steps: number;
  /** The scores of the next token; null before the first was read. */
  readonly logits: Float32Array | null;
  /** Reads a token, and gives the scores of the next. */
  read(id: number): Float32Array;
  /** The units of a gate, a state or another named quantity at the last token; of the last layer, if none is said. */
  values(name: string, layer?: number): Float32Array;
  /** The same reader at the same place, which goes on by itself. */
  copy(): Reader;
}

export interface Watched {
  words: string[];
  known: boolean[];
  /** Where the words stand in the text, in characters; null: the end of a line. */
  spans: ([number, number] | null)[];
  /** Bits; null for the first. */
  surprisal: (number | null)[];
  /** values[name][layer][word][unit] */
  values: Record<string, number[][][]>;
  /** After each word the likeliest next ones, with their probabilities. */
  predictions: [string, number][][];
}

export interface LanguageModel {
  readonly vocabulary: Vocabulary;
  /** The units of every named quantity. */
  readonly names: Record<string, number>;
  /** The same of each layer, where layers differ in size; `names` are the first layer's then. */
  readonly sizes?: Record<string, number>[];
  /** How many layers there are. */
  readonly count: number;
  /** A reader before the first token. Every text begins with an end of line. */
  reader(clamps?: Clamp[]): Reader;
  /** A reader that has read a text. */
  after(text: string, clamps?: Clamp[]): Reader;
  /** A text that goes on from a prompt. */
  generate(prompt?: string, how?: Choosing): string;
  /** The same, piece by piece. */
  pieces(prompt?: string, how?: Choosing): Generator<string>;
  watch(text: string, how?: { clamps?: Clamp[]; predictions?: number }): Watched;
}

/** source: of a WebAssembly module the file beside it, if another than its name says. */
export function load(source?: URL | string | BufferSource | WebAssembly.Module): Promise<LanguageModel>;
