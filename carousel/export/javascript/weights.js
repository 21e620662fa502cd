// Weights from their text: compressed, 13 bits in two letters; numbers byte by byte, the exponents of all of them first.

const digitOf = (code) => code - 33 - (code > 34) - (code > 60) - (code > 92); // of the letters from ! to ~ without ", < and \

function bytesOf(text) {
  const bytes = new Uint8Array((13 * (text.length >> 1) + 6 * (text.length & 1)) >> 3);
  let [bits, count, at] = [0, 0, 0];
  for (let k = 0; k < text.length; k += 2) {
    const [first, last] = [digitOf(text.charCodeAt(k)), k + 1 === text.length];
    bits = last ? (bits << 6) | first : (bits << 13) | (91 * first + digitOf(text.charCodeAt(k + 1)));
    for (count += last ? 6 : 13; count >= 8; count -= 8) bytes[at++] = bits >> (count - 8);
    bits &= 255;
  }
  return bytes;
}

export async function unpacked(text, weights) {
  const whole = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(whole).arrayBuffer());
  const found = {};
  let at = 0;
  const numbers = (n, width) => {
    const values = new Float32Array(n);
    const bits = new Uint32Array(values.buffer);
    for (let k = 0; k < n; k += 1) bits[k] = bytes[at++] << 23;
    for (let k = 0; k < n; k += 1, at += 1) bits[k] |= ((bytes[at] & 128) << 24) | ((bytes[at] & 127) << 16);
    for (let shift = 8; shift > 16 - 8 * (width - 1); shift -= 8) for (let k = 0; k < n; k += 1) bits[k] |= bytes[at++] << shift;
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
