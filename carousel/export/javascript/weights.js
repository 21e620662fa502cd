// Weights from their text: compressed, in base64; numbers byte by byte, the upper bytes of all of them first.

export async function unpacked(text, weights) {
  const letters = atob(text);
  const packed = new Uint8Array(letters.length);
  for (let k = 0; k < packed.length; k += 1) packed[k] = letters.charCodeAt(k);
  const whole = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(whole).arrayBuffer());
  const found = {};
  let at = 0;
  const numbers = (n, width) => {
    const values = new Float32Array(n);
    const bits = new Uint32Array(values.buffer);
    for (let shift = 24; shift > 24 - 8 * width; shift -= 8) for (let k = 0; k < n; k += 1) bits[k] |= bytes[at++] << shift;
    return values;
  };
  for (const [name, precision, rows, columns] of weights) {
    if (precision !== "int8") {
      found[name] = numbers(rows * columns, precision === "bfloat16" ? 2 : 4);
      continue;
    }
    const scale = numbers(rows, 4);
    const whole = new Int8Array(bytes.buffer, at, rows * columns);
    at += whole.length;
    found[name] = new Float32Array(whole);
    for (let r = 0, k = 0; r < rows; r += 1) for (let c = 0; c < columns; c += 1) found[name][k++] *= scale[r];
  }
  return found;
}
