// Colours and shapes. Colour never stands alone: each state has a shape of its own.

const names = [
  "ink", "soft", "faint", "line", "ground", "raised",
  "available", "old", "bad", "warn", "quiet", "accent",
  "s0", "s1", "s2", "s3", "s4", "s5",
];
let known = null;
/** The colours of the scheme that is on. */
export const palette = () => {
  if (!known) {
    const style = getComputedStyle(document.documentElement);
    known = Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
  }
  return known;
};
const listeners = new Set();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => forget());
/** The colours are read anew. */
export const forget = () => {
  known = null;
  listeners.forEach((listener) => listener());
};
/** Calls when the colours change; returns how to stop. */
export const onColours = (listener) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** The classes in the order of their numbers: name, words, colour, shape; whether something is wrong. */
export const CLASSES = [
  { key: "available", text: "available", colour: "available", shape: "full" },
  { key: "old", text: "old revision", colour: "old", shape: "small" },
  { key: "notAvailable", text: "not available", colour: "bad", shape: "cross", bad: true },
  { key: "missing", text: "without a pod", colour: "bad", shape: "hollow", bad: true },
  { key: "misscheduled", text: "should not run it", colour: "warn", shape: "diamond", bad: true },
  { key: "notEligible", text: "not eligible", colour: "quiet", shape: "dot" },
];

const ramp = (texts, colours, shapes) =>
  texts.map((text, number) => ({ key: text, text, colour: colours[number], shape: shapes[number] || "full" }));

/** What a matrix can show of each cell: the categories, and which of them a cell has (255: none). */
export const MODES = {
  state: {
    text: "state",
    cats: () => CLASSES,
    of: (column) => (node) => column.classes[node],
  },
  revision: {
    text: "revision",
    layer: "revision",
    cats: (columns) => {
      const most = Math.max(1, ...columns.map((column) => column.hashes.length));
      const name = (number) => (number === 0 ? "current revision" : `older revision ${number}`);
      return Array.from({ length: Math.min(most, 6) }, (_, number) => ({
        key: String(number),
        text: name(number),
        colour: ["available", "s4", "s2", "s5", "s1", "s0"][number],
        shape: ["full", "small", "hollow", "diamond", "cross", "dot"][number],
      }));
    },
    of: (column) => {
      const current = column.hashes.findIndex((hash) => column.summary.revision?.endsWith("-" + hash));
      const older = column.hashes.map((_, number) => number).filter((number) => number !== current);
      const rank = column.hashes.map((_, number) => (number === current ? 0 : older.indexOf(number) + 1));
      return (node) => {
        const number = column.layers.revision?.[node] ?? 255;
        return number === 255 ? 255 : Math.min(rank[number] ?? 5, 5);
      };
    },
  },
  wave: {
    text: "wave",
    layer: "wave",
    cats: (columns) => {
      const most = Math.max(1, ...columns.map((column) => column.summary.policy?.waves || 0));
      const texts = Array.from({ length: Math.min(most, 6) }, (_, number) => (number === 5 ? "wave 6 and later" : `wave ${number + 1}`));
      const steps = [[5], [5, 1], [5, 3, 1], [5, 4, 2, 1], [5, 4, 3, 2, 1], [5, 4, 3, 2, 1, 0]][texts.length - 1];
      return ramp(texts, steps.map((step) => `s${step}`), []).map((cat, number) => ({ ...cat, digit: String(number + 1) }));
    },
    of: (column) => (node) => {
      const wave = column.layers.wave?.[node] || 0;
      return wave === 0 ? 255 : Math.min(wave, 6) - 1;
    },
  },
  restarts: {
    text: "restarts",
    layer: "restarts",
    cats: () => ramp(["no restart", "1 restart", "2 to 4", "5 to 19", "20 and more"], ["s0", "s1", "s2", "s3", "bad"], ["dot", "small", "hollow", "full", "cross"]),
    of: (column) => (node) => {
      if (column.classes[node] === 5 || column.classes[node] === 255) return 255;
      const number = column.layers.restarts?.[node] || 0;
      return number === 0 ? 0 : number === 1 ? 1 : number < 5 ? 2 : number < 20 ? 3 : 4;
    },
  },
  peers: {
    text: "CPU against peers",
    layer: "peers",
    cats: () => ramp(["under 0.7 times", "as its peers", "1.4 to 2 times", "2 to 4 times", "4 times and more"], ["old", "s0", "s2", "s4", "bad"], ["small", "dot", "hollow", "full", "cross"]),
    of: (column) => (node) => {
      const times = column.layers.peers?.[node] || 0;
      return times === 0 ? 255 : times < 70 ? 0 : times < 140 ? 1 : times < 200 ? 2 : times < 400 ? 3 : 4;
    },
    more: (column, node) => (column.layers.peers?.[node] ? `${(column.layers.peers[node] / 100).toFixed(2)} times what it uses on nodes like this` : ""),
  },
};

/** A canvas as large as wanted on this screen; everything is drawn in CSS pixels. */
export const prepare = (canvas, width, height) => {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
};

/** One cell as a shape in its colour. */
export const cell = (context, cat, x, y, width, height, colours) => {
  const colour = colours[cat.colour];
  const size = Math.min(width, height);
  context.fillStyle = colour;
  if (size < 5) return small(context, cat, x, y, width, height);
  if (cat.digit && size >= 12) return digit(context, cat, x, y, width, height, colours);
  switch (cat.shape) {
    case "small": {
      const inset = Math.max(1, Math.round(size * 0.28));
      context.fillRect(x + inset, y + inset, width - 2 * inset, height - 2 * inset);
      break;
    }
    case "cross":
      context.fillRect(x, y, width, height);
      context.strokeStyle = colours.ground;
      context.lineWidth = Math.max(1, size / 9);
      context.beginPath();
      context.moveTo(x + width * 0.28, y + height * 0.28);
      context.lineTo(x + width * 0.72, y + height * 0.72);
      context.moveTo(x + width * 0.72, y + height * 0.28);
      context.lineTo(x + width * 0.28, y + height * 0.72);
      context.stroke();
      break;
    case "hollow": {
      const thick = Math.max(1, Math.round(size / 6));
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.strokeRect(x + thick / 2, y + thick / 2, width - thick, height - thick);
      break;
    }
    case "diamond":
      context.beginPath();
      context.moveTo(x + width / 2, y);
      context.lineTo(x + width, y + height / 2);
      context.lineTo(x + width / 2, y + height);
      context.lineTo(x, y + height / 2);
      context.fill();
      break;
    case "dot": {
      const dot = Math.max(1.2, size * 0.2);
      context.fillRect(x + (width - dot) / 2, y + (height - dot) / 2, dot, dot);
      break;
    }
    default:
      context.fillRect(x, y, width, height);
  }
};
const striped = new Map();
const stripes = (context, colour) => {
  if (!striped.has(colour)) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 4;
    const one = tile.getContext("2d");
    one.fillStyle = colour;
    for (let line = 0; line < 4; line++) one.fillRect(3 - line, line, 1, 1), one.fillRect((4 - line) % 4, line, 1, 1);
    striped.set(colour, context.createPattern(tile, "repeat"));
  }
  return striped.get(colour);
};
/** A part of several cells: old ones are striped, as in bars, and what lacks is drawn as an edge. */
export const area = (context, cat, x, y, width, height, colours) => {
  const colour = colours[cat.colour];
  context.fillStyle = cat.shape === "small" ? stripes(context, colour) : colour;
  context.globalAlpha = { dot: 0.2, hollow: 0.65 }[cat.shape] || 1;
  context.fillRect(x, y, width, height);
  context.globalAlpha = 1;
};
// Too small for shapes: how much of the height is filled tells them apart.
const small = (context, { shape }, x, y, width, height) => {
  const part = { small: 0.45, hollow: 0.8, diamond: 0.7, dot: 0.16 }[shape] || 1;
  context.fillRect(x, y + height * (1 - part), width, height * part);
};
/** The one of ink and ground that is read better on a colour such as #8fb2c9. */
const contrast = (colour, { ink, ground }) => {
  const light = (text) => [1, 3, 5].reduce((sum, at, place) => sum + [0.3, 0.59, 0.11][place] * parseInt(text.slice(at, at + 2), 16), 0);
  return Math.abs(light(ink) - light(colour)) > Math.abs(light(ground) - light(colour)) ? ink : ground;
};
const digit = (context, cat, x, y, width, height, colours) => {
  context.fillRect(x, y, width, height);
  context.fillStyle = contrast(colours[cat.colour], colours);
  context.font = `600 ${Math.round(Math.min(width, height) * 0.66)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(cat.digit, x + width / 2, y + height / 2 + 0.5);
  context.textAlign = "start";
  context.textBaseline = "alphabetic";
};

/** Nodes in the order of one or two labels, with the groups that they are in. */
export const order = (count, first, second) => {
  const nodes = Uint32Array.from({ length: count }, (_, node) => node);
  const rank = (found, node) => (found ? Math.min(found.nodes[node], found.values.length) : 0);
  if (first) nodes.sort((a, b) => rank(first, a) - rank(first, b) || rank(second, a) - rank(second, b) || a - b);
  const name = (found, number) => found.values[number] ?? "(none)";
  const groups = [];
  for (let at = 0; at < count; at++) {
    const [one, two] = [rank(first, nodes[at]), rank(second, nodes[at])];
    let last = groups[groups.length - 1];
    if (!last || last.rank !== one) {
      last = { rank: one, name: first ? name(first, one) : "", from: at, to: at, parts: [] };
      groups.push(last);
    }
    let part = last.parts[last.parts.length - 1];
    if (!part || part.rank !== two) {
      part = { rank: two, name: second ? name(second, two) : "", from: at, to: at };
      last.parts.push(part);
    }
    last.to = part.to = at + 1;
  }
  return { nodes, groups };
};

/** A text that fits, with an end that says that more was there. */
export const fitted = (context, text, width) => {
  if (context.measureText(text).width <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
    else high = middle - 1;
  }
  return low < 2 ? "" : text.slice(0, low) + "…";
};
