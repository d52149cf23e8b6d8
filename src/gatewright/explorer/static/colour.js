// Scales that every kind of colour blindness can read: cividis (Nuñez, Anderton and Renslow 2018) for 0 … 1, blue and
// orange around the paper's colour for signed values, Okabe and Ito's colours for lines.

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#fee838"];
const SIGNED = {
  light: ["#00527f", "#3f8fc4", "#a8cfe8", "#f6f6f3", "#f5c9a0", "#e08a3c", "#a94a00"],
  dark: ["#7cc4f5", "#3d8cc4", "#1f4a6b", "#20262b", "#6e3f16", "#cf7a2c", "#ffb473"],
};
export const LINES = {
  light: ["#0072b2", "#c2570c", "#00805e", "#a8527f", "#8a6d00", "#3b8ec2"],
  dark: ["#5ab4ef", "#f59b54", "#3ecfa4", "#e79ac0", "#e6c94a", "#9ad4f5"],
};
export const DASHES = ["", "7 4", "2 3", "9 3 2 3", "4 2", "1 4"];

const parts = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/** 256 colours between the stops, as [r, g, b]. */
function table(stops) {
  const colours = stops.map(parts);
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (colours.length - 1);
    const low = Math.min(Math.floor(at), colours.length - 2);
    return colours[low].map((v, c) => Math.round(v + (colours[low + 1][c] - v) * (at - low)));
  });
}

const tables = { gate: table(CIVIDIS), light: table(SIGNED.light), dark: table(SIGNED.dark) };

export const theme = () => document.documentElement.dataset.scheme;

/** How values of a name are coloured: its table, and the values at its two ends. */
export function scale(entry, lo = -1, hi = 1) {
  const [from, to] = entry?.range ?? [lo, hi];
  if (entry?.kind === "gate" || (from >= 0 && entry?.range)) return { colours: tables.gate, lo: from, hi: to };
  const reach = Math.max(Math.abs(from), Math.abs(to), 1e-9);
  return { colours: tables[theme()], lo: -reach, hi: reach };
}

export function colourOf(value, { colours, lo, hi }) {
  if (!Number.isFinite(value)) return colours[127];
  return colours[Math.round(255 * Math.min(Math.max((value - lo) / (hi - lo), 0), 1))];
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** Black or white, whichever can be read on a colour. */
export function inkOn([r, g, b]) {
  const [x, y, z] = [r, g, b].map((v) => (v / 255) ** 2.2);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z > 0.3 ? "#14181c" : "#ffffff";
}

/** The scale as a CSS gradient, for legends. */
export const gradient = ({ colours }) =>
  `linear-gradient(to right, ${[0, 32, 64, 96, 128, 160, 192, 224, 255].map((k) => css(colours[k])).join(", ")})`;
