// Small parts that screens share. All texts of the cluster become text nodes, never markup.
import { h, render, Fragment } from "./vendor/preact.js";
import { useState, useEffect, useRef, useLayoutEffect, useMemo } from "./vendor/hooks.js";
import { signal } from "./vendor/signals.js";
import htm from "./vendor/htm.js";
import { fleet, tick, route, to, here, go, classCounts } from "./data.js";
import { CLASSES, palette, onColours, cell, area, prepare } from "./draw.js";

// Characters that turn the direction of what follows: they are shown as what they are, a disturbance.
const TURNS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/** A text of the cluster that leaves the text around it alone. */
export const plain = (child) => (typeof child === "string" ? child.replace(TURNS, "\ufffd") : Array.isArray(child) ? child.map(plain) : child);
export const html = htm.bind((type, props, ...children) => h(type, props, ...children.map(plain)));
export { render, Fragment, useState, useEffect, useRef, useLayoutEffect, useMemo };

/** What was just done, for a moment, and for who listens. */
export const said = signal("");
let quiet;
/** Says something briefly. */
export const say = (text) => {
  said.value = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => (said.value = ""), 2600);
};

const number = new Intl.NumberFormat("en-US");
/** A number for people. */
export const n = (value) => number.format(value);
/** `1 node`, `2 nodes`. */
export const count = (value, what) => `${n(value)} ${what}${value === 1 ? "" : "s"}`;
/** A part of a whole in percent, rounded down: 100 % is all of it. */
export const percent = (part, whole) => (whole ? (Math.floor((part * 1000) / whole) / 10).toFixed(1) + " %" : "–");
/** A time of this machine. */
export const clock = (millis) =>
  new Date(millis).toLocaleString("en-GB", { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
/** `2m 5s`. */
export const span = (millis) => {
  const seconds = Math.max(0, Math.round(millis / 1000));
  const parts = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  const found = [];
  let left = seconds;
  for (const [unit, size] of parts) {
    if (left >= size || (unit === "s" && !found.length)) {
      found.push(`${Math.floor(left / size)}${unit}`);
      left %= size;
    }
  }
  return found.slice(0, 2).join(" ");
};
/** `for 2m 5s`, counted to when the fleet was seen. */
export const since = (seconds) => (seconds === undefined ? "" : `for ${span(fleet.value.takenAtMillis - seconds * 1000)}`);

/** The words and the tone of a state of `status`. */
export const STATES = {
  complete: ["complete", "good"],
  rollingOut: ["rolling out", "moving"],
  stalled: ["stalled", "bad"],
  notAvailable: ["not available", "bad"],
  onDelete: ["waits for deletions", "moving"],
  waitsForPromotion: ["waits for promotion", "warn"],
  paused: ["paused", "warn"],
  halted: ["halted", "bad"],
  rollingBack: ["going back", "warn"],
  rolledBack: ["gone back", "warn"],
  notObserved: ["not looked at", "warn"],
  deleting: ["being deleted", "quiet"],
};
/** The state of a DaemonSet in words. */
export const stateText = (summary) => {
  const [words] = STATES[summary.state] || [summary.state];
  const missing = summary.desired - summary.done;
  if (summary.state === "complete" && !summary.desired) return "no node is eligible";
  if (summary.state === "notAvailable") return `${n(missing)} not available`;
  const left = summary.estimate?.p50Millis;
  if (summary.state === "rollingOut" && left !== undefined) {
    return `~${span(left)} ${summary.estimate.waitsForPromotion ? "to its gate" : "left"}`;
  }
  return words;
};
export const State = ({ summary }) => {
  const [, tone] = STATES[summary.state] || ["", "quiet"];
  return html`<span class=${"state " + tone}>${stateText(summary)}</span>`;
};

/** A number that leads to its list. */
export const Num = ({ value, query, label, path = ["nodes"] }) =>
  value ? html`<a class="num" href=${to(path, query)} aria-label=${label && `${label}: ${n(value)}`}>${n(value)}</a>` : html`<span class="num none">0</span>`;

/** A shape as it is in the matrix. */
export const Shape = ({ cat, size = 12, area: is_area }) => {
  const canvas = useRef();
  useColours();
  useLayoutEffect(() => {
    const context = prepare(canvas.current, size, size);
    context.clearRect(0, 0, size, size);
    (is_area ? area : cell)(context, cat, 0, 0, size, size, palette());
  });
  return html`<canvas ref=${canvas} class="shape" aria-hidden="true" />`;
};

/** How the nodes of a column stand, as one bar. */
export const Bar = ({ column }) => {
  tick.value;
  const counts = classCounts(column);
  const total = counts[0] + counts[1] + counts[2] + counts[3];
  const part = (number) => (total ? `${(counts[number] * 100) / total}%` : "0");
  const words = [0, 1, 2, 3].filter((one) => counts[one]).map((one) => `${n(counts[one])} ${CLASSES[one].text}`);
  return html`<span class="bar" role="img" aria-label=${words.join(", ") || "no node is eligible"}>
    ${[0, 1, 2, 3].map((one) => counts[one] ? html`<i key=${one} class=${CLASSES[one].key} style=${{ width: part(one), minWidth: "3px" }} />` : null)}
  </span>`;
};

/** Copies text, and says so. */
export const copy = async (text, what) => {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied`);
  } catch {
    say("The browser did not let it be copied");
  }
};
/** A command that can be copied. */
export const Command = ({ text }) => html`<button class="command" title="Copy this command" onClick=${() => copy(text, "Command")}><code>${text}</code></button>`;
/** Takes what is shown along: as command, as Markdown, as a picture, as a link. */
export const Take = ({ command, markdown, canvas, name = "everynode" }) => html`<div class="take" role="group" aria-label="Copy what is shown"><span aria-hidden="true">Copy</span>
  ${command && html`<button onClick=${() => copy(command, "Command")} title=${command}>command</button>`}
  ${markdown && html`<button onClick=${() => copy(markdown(), "Markdown")}>Markdown</button>`}
  ${canvas && html`<button onClick=${() => png(canvas(), name)}>PNG</button>`}
  <button onClick=${() => copy(location.href, "Link")}>link</button>
</div>`;
const png = (canvas, name) => {
  if (!canvas) return;
  const whole = document.createElement("canvas");
  whole.width = canvas.width;
  whole.height = canvas.height;
  const context = whole.getContext("2d");
  context.fillStyle = palette().ground;
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(canvas, 0, 0);
  whole.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("Picture saved");
  });
};
/** Rows as a table of Markdown. */
export const markdownTable = (heads, rows) => {
  const line = (cells) => `| ${cells.map((text) => String(text).replace(/[|\\]/g, "\\$&").replace(/\s+/g, " ")).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n") + "\n";
};

/** The label that is chosen; `-` is none at all. */
export const chosenLabel = (name, fallback = "") => (route.value.query.get(name) ?? fallback).replace(/^-$/, "");
/** Chooses one of the labels by which nodes can be grouped. */
export const LabelChoice = ({ name, text, fallback = "" }) => {
  const chosen = chosenLabel(name, fallback);
  const known = fleet.value.labels.filter(({ values }) => values > 1 || fleet.value.count === 1);
  const end = (key) => key.replace(/^.*\//, "");
  const is_alone = (key) => known.filter((one) => end(one.key) === end(key)).length < 2;
  const short = (key) => (is_alone(key) ? end(key) : key);
  return html`<label class="choice"><span>${text}</span>
    <select value=${chosen} onChange=${(event) => go(here({ [name]: event.target.value || (fallback ? "-" : "") }), true)}>
      <option value="">nothing</option>
      ${chosen && !known.some(({ key }) => key === chosen) ? html`<option value=${chosen}>${chosen}</option>` : null}
      ${known.map(({ key, values }) => html`<option key=${key} value=${key}>${short(key)} · ${values}</option>`)}
    </select>
  </label>`;
};
/** Chooses one of a few words. */
export const Choice = ({ name, text, options, fallback }) => {
  const chosen = route.value.query.get(name) || fallback;
  return html`<fieldset class="segments"><legend>${text}</legend>
    ${options.map(([value, words]) => html`<button key=${value} aria-pressed=${value === chosen} onClick=${() => go(here({ [name]: value === fallback ? "" : value }), true)}>${words}</button>`)}
  </fieldset>`;
};

/** The label that most fleets are grouped by, if this one has it. */
export const usualLabel = () => {
  const has = (key) => fleet.value.labels.some((one) => one.key === key && one.values > 1);
  return ["topology.kubernetes.io/zone", "topology.kubernetes.io/region", "node.kubernetes.io/instance-type"].find(has) || "";
};

/** A number that changes with the colours. */
export const useColours = () => {
  const [number, set] = useState(0);
  useEffect(() => onColours(() => set((one) => one + 1)), []);
  return [number];
};

/** Where each node is in an order. */
export const usePositions = (ordered, nodes) => useMemo(() => {
  const found = new Uint32Array(nodes);
  ordered.nodes.forEach((node, at) => (found[node] = at));
  return found;
}, [ordered]);

/** How wide an element is. */
export const useWidth = (ref) => {
  const [width, set] = useState(0);
  useLayoutEffect(() => {
    const measure = () => ref.current && set(Math.floor(ref.current.clientWidth));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return width;
};

/** What the server answers to a question; asked again when the question is another one. */
export const useAnswer = (question, asked) => {
  const [answer, set] = useState({});
  useEffect(() => {
    let is_wanted = true;
    set((before) => ({ ...before, waiting: true }));
    question().then(
      (value) => is_wanted && set({ value }),
      (error) => is_wanted && set({ error: String(error.message) }),
    );
    return () => (is_wanted = false);
  }, asked);
  return answer;
};
