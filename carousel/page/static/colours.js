// Palettes that the colour-blind can tell apart: blue to orange through neutral; shut to open, pale to gold; paper to ink.

const palettes = {
  light: {
    diverging: [
      [16, 78, 139],
      [88, 150, 205],
      [181, 210, 235],
      [250, 250, 248],
      [250, 205, 160],
      [226, 132, 57],
      [148, 61, 5],
    ],
    sequential: [
      [252, 251, 246],
      [252, 237, 196],
      [246, 211, 124],
      [231, 170, 58],
      [194, 124, 20],
      [132, 78, 6],
    ],
    ink: [
      [255, 255, 255],
      [23, 33, 43],
    ],
  },
  dark: {
    diverging: [
      [150, 205, 255],
      [70, 140, 210],
      [32, 74, 118],
      [24, 30, 38],
      [112, 62, 22],
      [212, 122, 48],
      [255, 196, 138],
    ],
    sequential: [
      [24, 30, 38],
      [70, 54, 24],
      [128, 92, 24],
      [190, 140, 40],
      [240, 194, 92],
      [255, 240, 196],
    ],
    ink: [
      [24, 32, 42],
      [233, 238, 243],
    ],
  },
};

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// From 0 to 1 to [red, green, blue].
export function colourOf(kind, x) {
  const stops = palettes[isDark() ? "dark" : "light"][kind];
  const at = Math.min(Math.max(x, 0), 1) * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  return stops[k].map((c, j) => Math.round(c + (stops[k + 1][j] - c) * (at - k)));
}

// The 256 colours of a palette as pixels of a canvas.
export function coloursOf(kind) {
  const colours = new Uint8ClampedArray(4 * 256);
  for (let k = 0; k < 256; k += 1) colours.set([...colourOf(kind, k / 255), 255], 4 * k);
  return new Uint32Array(colours.buffer);
}

// Black or white, whichever is read better on a colour.
export function inkOn(colour) {
  const [r, g, b] = colour.map((c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

export function gradientOf(kind) {
  const stops = palettes[isDark() ? "dark" : "light"][kind];
  return `linear-gradient(90deg, ${stops.map((c) => `rgb(${c.join(" ")})`).join(", ")})`;
}
