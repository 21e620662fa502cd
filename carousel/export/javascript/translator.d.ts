export interface Writer {
  /** The share of attention that each token of the sentence had at the last step; null without attention. */
  readonly weights: Float32Array | null;
  /** Writes a token, the end of a line first, and gives the scores of the next. */
  write(id: number): Float32Array;
}

/** A sentence that was read and what was then written: the end of a line, which begins it, then a word a step. */
export interface Translated {
  words: string[];
  known: boolean[];
  /** Where the words stand in the text, in characters. */
  spans: ([number, number] | null)[];
  /** Bits of the words that were written; null for those that were read. */
  surprisal: (number | null)[];
  /** values[name][row][word][unit]. A layer has a row, or two where the encoder reads in both directions, forwards first; null: the
   * encoder or the decoder has no such row. */
  values: Record<string, (number | null)[][][]>;
  /** After each word that was written, the likeliest next ones, with their probabilities. */
  predictions: [string, number][][];
  /** How many words were read, the sentence's end among them. */
  source: number;
  translation: string;
  /** The word that each step of the decoder has chosen. */
  written: string[];
  /** attention[step][word that was read]; null without attention. */
  attention: number[][] | null;
}

export interface Translator {
  /** Of the sentences that it reads, and of those that it writes. */
  readonly vocabulary: Vocabulary;
  readonly target: Vocabulary;
  /** The units of every named quantity. */
  readonly names: Record<string, number>;
  /** Layers of the encoder or of the decoder, whichever has more. */
  readonly count: number;
  /** The translation of a line; the likeliest token is taken each time. */
  translate(line: string): string;
  /** Reads a sentence: token ids, of which the last is its end. Steps of clamps are counted through, from the sentence on. */
  read(ids: number[], clamps?: Clamp[]): Writer;
  watch(text: string, how?: { clamps?: Clamp[]; predictions?: number }): Translated;
}

export function load(): Promise<Translator>;
