// A trained model in JavaScript, made by carousel export.

/** A gate or state held at a value, for some units (null: all), steps [from, to) and a layer (null: every one). Step 0 reads the
 * end of line before a text, step k the text's k-th token. */
export interface Clamp {
  name: string;
  value: number;
  units?: number[] | null;
  from?: number;
  to?: number | null;
  layer?: number | null;
}

export interface Piece {
  text: string;
  id: number;
  /** Where it stands in its line, in characters. */
  begin: number;
  end: number;
}

export interface Vocabulary {
  readonly kind: "word" | "char" | "bpe";
  readonly size: number;
  /** The id of the end of a line. */
  readonly end: number;
  readonly unknown: number | null;
  pieces(line: string): Piece[];
  /** The token ids of a line; the last is its end's. */
  encode(line: string): number[];
  decode(ids: number[]): string;
  token(id: number): string;
}

