// Recurrent layers in JavaScript, made by carousel.export.

/** States and what was last seen of them; only the layers that made them know more. */
export type States = unknown;

export interface Layers {
  /** New states, at their first values, and nothing held. */
  start(): States;
  /** The states at their first values; what is held stays so. */
  reset(states: States): void;
  copy(states: States): States;
  /** The output, valid until the next step. Further inputs come in the cell's order: vectors, or numbers. */
  step(states: States, x: ArrayLike<number>, ...inputs: (ArrayLike<number> | number)[]): Float32Array;
  /** The units of a gate, a state or another named quantity at the last step, valid until the next. */
  seen(states: States, layer: number, name: string): Float32Array;
  /** The values at which its units are held from now on; NaN: free. Valid until the next call. */
  held(states: States, layer: number, name: string): Float32Array;
}

/** source: of a WebAssembly module the file beside it, if another than its name says. */
export function load(source?: URL | string | BufferSource | WebAssembly.Module): Promise<Layers>;
