// The nodes of one daemon as a dense grid, and curves.
import { changed, to, go, NONE } from "./data.js";
import { html, useState, useEffect, useRef, useMemo, useLayoutEffect, useColours, usePositions, useWidth, n, span, plain } from "./parts.js";
import { palette, cell, prepare, fitted } from "./draw.js";
import { kindText } from "./matrix.js";

const TITLE = 20;
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Where each group begins, and how many cells stand in a line. */
const layout = (width, ordered, total) => {
  const pitch = total <= 300 ? 20 : total <= 2500 ? 14 : total <= 9000 ? 9 : total <= 30000 ? 6 : 4;
  const perLine = Math.max(1, Math.floor(width / pitch));
  const has_names = ordered.groups.length > 1 || Boolean(ordered.groups[0]?.name);
  let y = 0;
  const groups = ordered.groups.map((group) => {
    const lines = Math.ceil((group.to - group.from) / perLine);
    const placed = { ...group, y: y + (has_names ? TITLE : 0), lines };
    y = placed.y + lines * pitch + (has_names ? 8 : 0);
    return placed;
  });
  return { pitch, perLine, groups, has_names, height: Math.max(1, y) };
};

/** Draws the nodes of one daemon, wrapped. `of` says the category of a node, of which `cats` are known. */
export const Grid = ({ shown, column, ordered, cats, of, version, describe, label }) => {
  const box = useRef();
  const canvas = useRef();
  const width = useWidth(box);
  const [focus, setFocus] = useState(null);
  const [tip, setTip] = useState(null);
  const [colours] = useColours();
  const place = useMemo(() => layout(width || 1, ordered, shown.count), [width, ordered]);
  const spot = (at) => {
    const group = place.groups.find((one) => at < one.to);
    const inside = at - group.from;
    return [(inside % place.perLine) * place.pitch, group.y + Math.floor(inside / place.perLine) * place.pitch];
  };
  const paint = (context, at) => {
    const [x, y] = spot(at);
    const size = place.pitch - (place.pitch > 5 ? 2 : 1);
    context.clearRect(x, y, place.pitch, place.pitch);
    const category = of(ordered.nodes[at]);
    if (category !== NONE && cats[category]) cell(context, cats[category], x, y, size, size, palette());
  };
  useLayoutEffect(() => {
    if (!width) return;
    const context = prepare(canvas.current, width, place.height);
    context.clearRect(0, 0, width, place.height);
    for (const group of place.groups) {
      if (place.has_names) {
        context.fillStyle = palette().faint;
        context.font = "12px system-ui, sans-serif";
        context.fillText(fitted(context, `${plain(group.name)} · ${n(group.to - group.from)}`, width), 0, group.y - 7);
      }
      for (let at = group.from; at < group.to; at++) paint(context, at);
    }
    if (focus !== null) {
      const [x, y] = spot(focus);
      context.strokeStyle = palette().ink;
      context.lineWidth = 2;
      context.strokeRect(x - 1.5, y - 1.5, place.pitch + 1, place.pitch + 1);
    }
  }, [width, place, cats, of, focus, colours, version]);
  const positions = usePositions(ordered, shown.count);
  useEffect(() => {
    if (!width) return;
    const context = canvas.current.getContext("2d");
    for (const [index, nodes] of changed.value) {
      if (index === column.index) nodes.forEach((node) => paint(context, positions[node]));
    }
  }, [changed.value]);

  const hit = (event) => {
    const area = canvas.current.getBoundingClientRect();
    const [x, y] = [event.clientX - area.left, event.clientY - area.top];
    const group = place.groups.find((one) => y >= one.y && y < one.y + one.lines * place.pitch);
    const inside = group && Math.floor((y - group.y) / place.pitch) * place.perLine + Math.floor(x / place.pitch);
    return group && Math.floor(x / place.pitch) < place.perLine && group.from + inside < group.to ? group.from + inside : null;
  };
  const open = (at) => go(to(["node", shown.nodes[ordered.nodes[at]]], { d: column.id }));
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -place.perLine, ArrowDown: place.perLine }[event.key];
    if (steps) setFocus(clamp((focus ?? 0) + (focus === null ? 0 : steps), 0, shown.count - 1));
    else if (event.key === "Enter" && focus !== null) open(focus);
    else if (event.key === "Escape" && focus !== null) setFocus(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const cause = (node) => kindText(shown, column.kinds[node]);
  const words = (at) => {
    const node = ordered.nodes[at];
    const what = cats[of(node)]?.text || "nothing";
    const more = describe ? describe(node) : cause(node);
    return [shown.nodes[node], more && more !== what ? `${what}: ${more}` : what];
  };
  return html`<div>
    <div class="stage" ref=${box} tabindex="0" role="application" aria-label=${`${label}. Arrows move, Enter opens the node.`}
      onKeyDown=${press} onFocus=${() => focus === null && shown.count && setFocus(0)}
      onPointerMove=${(event) => { const at = hit(event); setTip(at === null ? null : { at, x: event.offsetX, y: event.offsetY }); }} onPointerLeave=${() => setTip(null)}
      onClick=${(event) => { const at = hit(event); if (at !== null) open(at); }}>
      <canvas ref=${canvas} aria-hidden="true" />
      ${tip && html`<div class="tip" style=${{ left: Math.min(tip.x + 14, Math.max(0, width - 240)) + "px", top: tip.y + 18 + "px" }}><b class="name">${words(tip.at)[0]}</b><div>${words(tip.at)[1]}</div></div>`}
    </div>
    <p class="line" aria-live="polite">${focus !== null && words(focus).join(" · ")}</p>
  </div>`;
};

const log = Math.log10;
/** Evidence over time, each signal a curve of [time, once in so many roll-outs by chance], against what makes it worse. */
export const Evidence = ({ curves, from, end, worseFrom, height = 130 }) => {
  const box = useRef();
  const width = useWidth(box) || 1;
  const most = Math.max(log(worseFrom) * 1.3, ...curves.flatMap(([, points]) => points.map(([, chance]) => log(chance))));
  const x = (millis) => (end > from ? ((millis - from) * (width - 90)) / (end - from) : 0);
  const y = (chance) => height - 22 - (log(Math.max(1, chance)) * (height - 40)) / most;
  const path = (points) => points.map(([millis, chance], number) => `${number ? `H${x(millis).toFixed(1)}V` : `M${x(millis).toFixed(1)} `}${y(chance).toFixed(1)}`).join("") + `H${x(end).toFixed(1)}`;
  const ends = curves.map(([name, points]) => [name, y(points[points.length - 1][1])]).sort((a, b) => b[1] - a[1]);
  ends.forEach((one, number) => number && (one[1] = Math.min(one[1], ends[number - 1][1] - 13)));
  const words = curves.map(([name, points]) => `${name} 1 in ${n(points[points.length - 1][1])}`).join(", ");
  return html`<div ref=${box}><svg class="curve" width=${width} height=${height} role="img" aria-label=${`Evidence by signal: ${words}; worse from 1 in ${n(worseFrom)}`}>
    <line x1="0" x2=${width - 90} y1=${y(1)} y2=${y(1)} stroke="var(--line)" />
    <line x1="0" x2=${width - 90} y1=${y(worseFrom)} y2=${y(worseFrom)} stroke="var(--warn)" stroke-dasharray="5 4" />
    <text x="0" y=${y(worseFrom) - 5}>worse from 1 in ${n(worseFrom)}</text>
    ${curves.map(([name, points]) => html`<path key=${name} d=${path(points)} stroke=${points[points.length - 1][1] >= worseFrom ? "var(--bad)" : "var(--available)"} />`)}
    ${ends.map(([name, at]) => html`<text key=${name} x=${width - 86} y=${Math.max(10, at + 4)}>${name}</text>`)}
    <text x="0" y=${height - 6}>by chance 1 in 1</text><text x=${width - 90} y=${height - 6} text-anchor="end">${span(end - from)}</text>
  </svg></div>`;
};

/** Nodes by what a daemon used before and after: [{node, isUpdated, before, after}], on equal scales of logarithms. */
export const Points = ({ points, unit, label, open, size = 300 }) => {
  const box = useRef();
  const width = Math.min(useWidth(box) || 1, size);
  const all = points.flatMap(({ before, after }) => [before, after]).filter((one) => one > 0);
  const [low, high] = [log(Math.min(...all)) - 0.08, log(Math.max(...all)) + 0.08];
  const at = (value) => (Math.max(0, log(Math.max(value, 10 ** low)) - low) * (width - 46)) / (high - low);
  const [x, y] = [(value) => 42 + at(value), (value) => width - 28 - at(value) * ((width - 34) / (width - 46))];
  const order = [...points].sort((a, b) => a.isUpdated - b.isUpdated);
  return html`<div ref=${box}><svg class="curve points" width=${width} height=${width} role="img" aria-label=${label}>
    <line x1=${x(10 ** low)} y1=${y(10 ** low)} x2=${x(10 ** high)} y2=${y(10 ** high)} stroke="var(--quiet)" stroke-dasharray="4 4" />
    <path d=${`M42 6V${width - 28}H${width - 4}`} stroke="var(--line)" />
    ${order.map((point) => point.isUpdated
      ? html`<circle key=${point.node} cx=${x(point.before)} cy=${y(point.after)} r="4" onClick=${() => open(point.node)}><title>${`${point.node}: ${unit(point.before)} before, ${unit(point.after)} after`}</title></circle>`
      : html`<path key=${point.node} class="other" d=${`M${x(point.before) - 2.5} ${y(point.after)}h5m-2.5 -2.5v5`} />`)}
    <text x="46" y="16">after ${unit(10 ** high)}</text><text x=${width - 4} y=${width - 10} text-anchor="end">before ${unit(10 ** high)}</text><text x="42" y=${width - 10}>${unit(10 ** low)}</text>
  </svg></div>`;
};

/** Curves over time: each a list of [time in milliseconds, value], drawn as steps. */
export const Curves = ({ curves, from, end, limit, limitText, height = 110, label, at, marks = [] }) => {
  const box = useRef();
  const width = useWidth(box) || 1;
  const most = Math.max(1, limit || 0, ...curves.flatMap(({ points }) => points.map(([, value]) => value)));
  const x = (millis) => (end > from ? ((millis - from) * width) / (end - from) : 0);
  const y = (value) => height - 22 - (value * (height - 40)) / most;
  const path = (points) => points.map(([millis, value], number) => `${number ? `H${x(millis).toFixed(1)}V` : `M${x(millis).toFixed(1)} `}${y(value).toFixed(1)}`).join("") + `H${width}`;
  return html`<div ref=${box}><svg class="curve" width=${width} height=${height} role="img" aria-label=${label}>
    <line x1="0" x2=${width} y1=${y(0)} y2=${y(0)} stroke="var(--line)" />
    ${limit ? html`<line x1="0" x2=${width} y1=${y(limit)} y2=${y(limit)} stroke="var(--warn)" stroke-dasharray="5 4" />
      <text x=${width} y=${y(limit) - 5} text-anchor="end">${limitText} ${n(limit)}</text>` : null}
    ${curves.map(({ points, colour, dash }, number) => points.length ? html`<path key=${number} d=${path(points)} stroke=${`var(--${colour})`} stroke-dasharray=${dash || "none"} />` : null)}
    ${marks.map(([millis, text]) => html`<g key=${text}><line x1=${x(millis)} x2=${x(millis)} y1="18" y2=${y(0)} stroke="var(--quiet)" stroke-dasharray="1 3" /><text x=${x(millis) + 4} y="32">${text}</text></g>`)}
    ${at !== undefined ? html`<line x1=${x(at)} x2=${x(at)} y1="4" y2=${y(0)} stroke="var(--ink)" />` : null}
    <text x="0" y=${height - 6}>0</text><text x=${width} y=${height - 6} text-anchor="end">${span(end - from)}</text>
    <text x="0" y="12">${n(most)}</text>
  </svg></div>`;
};
