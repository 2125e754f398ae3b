// The matrix: daemons in rows, nodes in columns, in the order of one or two labels. Where there are more nodes than
// pixels, a column stands for several and shows their shares; what is wrong keeps some pixels however few it is.
import { fleet, tick, changed, layered, route, here, to, go, layer, label, NONE } from "./data.js";
import { html, useState, useEffect, useRef, useMemo, useLayoutEffect, useColours, usePositions, useWidth, n, count, Shape, Take, LabelChoice, Choice, chosenLabel, markdownTable, usualLabel, plain } from "./parts.js";
import { MODES, CLASSES, palette, cell, area, prepare, order, fitted } from "./draw.js";

const BAND = 20;
const ROWS = 60;
const WIDEST = 22;
/** A column that stands for several nodes is so wide at least. */
const BIN = 2;

/** The labels that are chosen, as the server has them; `undefined` while they come. */
export const useOrder = (shown, first, second) => {
  const [found, set] = useState(undefined);
  useEffect(() => {
    let is_wanted = true;
    set(undefined);
    const get = (key) => (key ? label(key).catch(() => null) : null);
    Promise.all([get(first), get(second)]).then(([one, two]) => {
      if (is_wanted) set({ ...order(shown.count, one || two, one ? two : null), shown });
    });
    return () => (is_wanted = false);
  }, [shown, first, second]);
  return found?.shown === shown ? found : undefined;
};

/** Has what a mode shows at hand; figures of use come anew while they are looked at. */
export const useLayer = (mode, shown) => useEffect(() => {
  const { layer: name } = MODES[mode];
  if (!name) return;
  layer(name);
  const again = name === "peers" && setInterval(() => layer(name), 30000);
  return () => clearInterval(again);
}, [mode, shown]);
/** Why figures of use are not there. */
export const Unused = ({ shown, mode }) => (tick.value, mode === "peers" && shown.unused ? html`<p class="finding">${shown.unused}</p>` : null);

/** The kind of a cause in words. */
export const kindText = (shown, kind) => (shown.kinds[kind] || "").replace(/([A-Z])/g, " $1").toLowerCase();

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Which nodes are in view: from one place in the order to another. */
const windowOf = (text, total) => {
  const [from, end] = (text || "").split("-").map(Number);
  return Number.isInteger(from) && Number.isInteger(end) && from >= 0 && end > from && end <= total ? [from, end] : [0, total];
};

/** Where everything stands on the canvas. */
const layout = (width, rows, total, view, levels, named) => {
  const [from, end] = view;
  const columnWidth = Math.min(WIDEST, width / Math.max(1, end - from));
  const rowHeight = Math.round(clamp((innerHeight - 340) / Math.max(1, rows), 16, 44));
  const bin = columnWidth >= BIN + 1 ? 1 : Math.ceil(BIN / columnWidth);
  const head = levels * BAND + (levels ? 4 : 0);
  const title = named ? 17 : 0;
  return { from, end, columnWidth, rowHeight, bin, head, title, pitch: rowHeight + title, height: head + rows * (rowHeight + title) };
};

/** Draws parts of the rows. */
class Painter {
  constructor(context, columns, ordered, mode, place) {
    Object.assign(this, { context, columns, ordered, place, colours: palette() });
    this.cats = MODES[mode].cats(columns);
    this.of = columns.map((column) => MODES[mode].of(column));
    this.counts = new Uint32Array(this.cats.length);
  }

  row(number) {
    const { from, end, bin } = this.place;
    for (let at = from; at < end; at += bin) this.bin(number, at);
  }

  /** The column of a row that has the node at this place of the order. */
  bin(number, at) {
    const { place, context, ordered, cats, colours } = this;
    const first = place.from + Math.floor((at - place.from) / place.bin) * place.bin;
    const last = Math.min(first + place.bin, place.end);
    const x = Math.round((first - place.from) * place.columnWidth);
    const width = Math.round((last - place.from) * place.columnWidth) - x;
    const y = place.head + number * place.pitch + place.title;
    const height = place.rowHeight - 4;
    context.clearRect(x, y, width, place.rowHeight);
    if (place.bin > 1) return this.shares(number, first, last, x, y, width, height);
    const category = this.of[number](ordered.nodes[first]);
    if (category === NONE || !cats[category]) return;
    const gap = width >= 4 ? 1 : 0;
    const size = width >= 9 ? Math.min(width - gap, height) : height;
    cell(context, cats[category], x, y + (height - size) / 2, width - gap, size, colours);
  }

  shares(number, first, last, x, y, width, height) {
    const { context, counts, cats, colours, ordered } = this;
    counts.fill(0);
    let total = 0;
    for (let at = first; at < last; at++) {
      const category = this.of[number](ordered.nodes[at]);
      if (category === NONE || category >= counts.length) continue;
      counts[category]++;
      total++;
    }
    if (!total) return;
    let top = y;
    for (let category = 0; category < cats.length; category++) {
      if (!cats[category].bad || !counts[category]) continue;
      const part = Math.max(Math.min(7, height / 3), (counts[category] / total) * height);
      this.fill(cats[category], x, top, width, Math.min(part, y + height - top));
      top += part;
    }
    const fine = total - cats.reduce((sum, cat, category) => sum + (cat.bad ? counts[category] : 0), 0);
    const room = Math.max(0, y + height - top);
    let bottom = y + height;
    for (let category = 0; category < cats.length; category++) {
      if (cats[category].bad || !counts[category]) continue;
      const part = (counts[category] / fine) * room;
      bottom -= part;
      this.fill(cats[category], x, bottom, width, part);
    }
  }

  fill(cat, x, y, width, height) {
    area(this.context, cat, x, y, width, height, this.colours);
  }

  /** The names of groups, and the lines between them. */
  heads(width) {
    const { context, place, ordered, colours } = this;
    context.clearRect(0, 0, width, place.head);
    const at = (position) => clamp((position - place.from) * place.columnWidth, 0, width);
    const name = (group, level) => {
      const [left, right] = [at(group.from), at(group.to)];
      if (right - left < 3) return;
      context.fillStyle = level ? colours.line : colours.quiet;
      context.fillRect(left, level * BAND + BAND - 3, right - left - 2, 2);
      context.fillStyle = level ? colours.faint : colours.ink;
      context.font = `${level ? 400 : 550} 12px system-ui, sans-serif`;
      context.fillText(fitted(context, plain(group.name), right - left - 8), left, level * BAND + 12);
    };
    if (!place.head) return;
    for (const group of ordered.groups) {
      name(group, 0);
      if (group.parts.length > 1 || group.parts[0].name) group.parts.forEach((part) => name(part, 1));
    }
  }

  between() {
    const { context, place, ordered, colours } = this;
    context.fillStyle = colours.ground;
    for (const { from } of ordered.groups) {
      if (from <= place.from || from >= place.end) continue;
      const x = (from - place.from) * place.columnWidth - 1.5;
      this.columns.forEach((_, row) => context.fillRect(x, place.head + row * place.pitch + place.title, 2, place.rowHeight));
    }
  }

  titles(columns, width) {
    const { context, place, colours } = this;
    if (!place.title) return;
    context.font = "12px system-ui, sans-serif";
    columns.forEach((column, number) => {
      const y = place.head + number * place.pitch;
      context.clearRect(0, y, width, place.title);
      context.fillStyle = colours.soft;
      context.fillText(fitted(context, plain(column.id), width), 0, y + 12);
    });
  }

  focus(row, at) {
    const { context, place, colours } = this;
    const first = place.from + Math.floor((at - place.from) / place.bin) * place.bin;
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    const width = Math.max(6, place.columnWidth * place.bin);
    context.strokeRect((first - place.from) * place.columnWidth - 1, place.head + row * place.pitch + place.title - 1, width + 1, place.rowHeight - 2);
  }
}

/** What there is at a place, in words. */
const words = (shown, columns, ordered, place, mode, { row, at }) => {
  const first = place.from + Math.floor((at - place.from) / place.bin) * place.bin;
  const last = Math.min(first + place.bin, place.end);
  const column = columns[row];
  if (!column || first >= last) return null;
  const cats = MODES[mode].cats(columns);
  const of = MODES[mode].of(column);
  const group = ordered.groups.find((one) => first < one.to);
  const part = group?.parts.find((one) => first < one.to);
  const where = [group?.name, part?.name].filter(Boolean).join(" · ");
  if (last - first === 1) {
    const node = ordered.nodes[first];
    const category = of(node);
    const cause = mode === "state" ? kindText(shown, column.kinds[node]) : MODES[mode].more?.(column, node) || "";
    const what = cats[category]?.text || "nothing";
    return { title: shown.nodes[node], lines: [column.id, cause && cause !== what ? `${what}: ${cause}` : what, where] };
  }
  const counts = cats.map(() => 0);
  for (let one = first; one < last; one++) {
    const category = of(ordered.nodes[one]);
    if (counts[category] !== undefined) counts[category]++;
  }
  const shares = cats.map((cat, category) => counts[category] && `${n(counts[category])} ${cat.text}`).filter(Boolean);
  return { title: `${count(last - first, "node")} from ${shown.nodes[ordered.nodes[first]]}`, lines: [column.id, shares.join(", ") || "nothing", where] };
};

/** The categories with how many cells are of each. */
const Legend = ({ columns, mode, dense }) => {
  tick.value;
  const cats = MODES[mode].cats(columns);
  const counts = cats.map(() => 0);
  for (const column of columns) {
    const of = MODES[mode].of(column);
    for (let node = 0; node < column.classes.length; node++) {
      const category = of(node);
      if (counts[category] !== undefined) counts[category]++;
    }
  }
  const link = (cat) => (mode === "state" ? to(["nodes"], { class: cat.key }) : null);
  return html`<ul class="legend" aria-label="Legend">
    ${cats.map((cat, category) => html`<li key=${cat.key}><${Shape} cat=${cat} size=${13} area=${dense} />
      <span>${cat.text}</span> ${link(cat) && counts[category] ? html`<a class="num" href=${link(cat)}>${n(counts[category])}</a>` : html`<span class="faint">${n(counts[category])}</span>`}
    </li>`)}
  </ul>`;
};

const Stage = ({ shown, columns, ordered, mode, levels }) => {
  const box = useRef();
  const canvas = useRef();
  const width = useWidth(box);
  const [focus, setFocus] = useState(null);
  const [tip, setTip] = useState(null);
  const [colours] = useColours();
  const view = windowOf(route.value.query.get("z"), shown.count);
  const named = width > 0 && matchMedia("(max-width: 760px)").matches;
  const place = layout(width || 1, columns.length, shown.count, view, levels, named);
  const painter = useRef();

  useLayoutEffect(() => {
    if (!width) return;
    const context = prepare(canvas.current, width, place.height);
    const one = (painter.current = new Painter(context, columns, ordered, mode, place));
    context.clearRect(0, 0, width, place.height);
    columns.forEach((_, row) => one.row(row));
    one.titles(columns, width);
    one.between();
    one.heads(width);
    if (focus) one.focus(focus.row, focus.at);
  }, [width, columns, ordered, mode, view.join(), focus, colours, named, shown, layered.value]);

  const positions = usePositions(ordered, shown.count);
  // A delta is drawn by its own columns; a layer that comes, by all.
  useEffect(() => {
    const one = painter.current;
    if (!one) return;
    for (const [index, nodes] of changed.value) {
      const row = columns.findIndex((column) => column.index === index);
      if (row < 0) continue;
      const bins = new Set(nodes.map((node) => positions[node]).filter((at) => at >= place.from && at < place.end).map((at) => Math.floor((at - place.from) / place.bin)));
      bins.forEach((bin) => one.bin(row, place.from + bin * place.bin));
    }
  }, [changed.value]);

  const hit = (event) => {
    const area = canvas.current.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top - place.head) / place.pitch);
    const at = place.from + Math.floor((event.clientX - area.left) / place.columnWidth);
    return row >= 0 && row < columns.length && at >= place.from && at < place.end ? { row, at } : null;
  };
  const zoom = (factor, around) => {
    const span = place.end - place.from;
    const wanted = clamp(Math.round(span * factor), Math.min(8, shown.count), shown.count);
    const from = clamp(Math.round(around - wanted / 2), 0, shown.count - wanted);
    go(here({ z: wanted === shown.count ? "" : `${from}-${from + wanted}` }), true);
  };
  const open = ({ row, at }) => {
    if (place.bin > 1) return zoom((width / WIDEST) * 2 / (place.end - place.from), at);
    go(to(["node", shown.nodes[ordered.nodes[at]]], { d: columns[row].id }));
  };
  const move = (rows, steps) => {
    const now = focus || { row: 0, at: place.from };
    if (!focus && !rows && !steps) return;
    const at = clamp(now.at + steps * place.bin, 0, shown.count - 1);
    if (at < place.from || at >= place.end) zoom(1, at);
    setFocus(focus ? { row: clamp(now.row + rows, 0, columns.length - 1), at } : now);
  };
  const keys = {
    ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1), ArrowUp: () => move(-1, 0), ArrowDown: () => move(1, 0),
    PageDown: () => move(0, 25), PageUp: () => move(0, -25), Home: () => move(0, -shown.count), End: () => move(0, shown.count),
    Enter: () => focus && open(focus),
    "+": () => zoom(0.5, (focus || { at: (place.from + place.end) / 2 }).at), "-": () => zoom(2, (focus || { at: (place.from + place.end) / 2 }).at),
  };
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys[event.key];
    if (event.key === "Escape" && (focus || view[1] - view[0] < shown.count)) {
      setFocus(null);
      go(here({ z: "" }), true);
    } else if (act) act();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const told = focus && words(shown, columns, ordered, place, mode, focus);
  const seen = tip && words(shown, columns, ordered, place, mode, tip);
  return html`<div>
    <div class="matrix">
      <ol class="rows" style=${{ paddingTop: place.head + "px" }}>
        ${columns.map((column, row) => html`<li key=${column.id} class=${focus?.row === row ? "here" : ""} style=${{ height: place.pitch + "px" }}>
          <a href=${to(["daemon", column.summary.namespace, column.summary.name])} title=${column.id}>${column.summary.name}</a></li>`)}
      </ol>
      <div class="stage" ref=${box} tabindex="0" role="application" aria-label="Matrix of daemons and nodes. Arrows move, Enter opens, plus and minus zoom, Escape shows all." aria-describedby="matrix-line"
        onKeyDown=${press} onFocus=${() => focus || setFocus({ row: 0, at: place.from })}
        onPointerMove=${(event) => { const found = hit(event); setTip(found && { ...found, x: event.nativeEvent?.offsetX ?? event.offsetX, y: event.offsetY }); }}
        onPointerLeave=${() => setTip(null)}
        onClick=${(event) => { const found = hit(event); if (found) open(found); }}>
        <canvas ref=${canvas} aria-hidden="true" />
        ${seen && html`<div class="tip" style=${{ left: Math.min(tip.x + 14, Math.max(0, width - 260)) + "px", top: tip.y + 18 + "px" }}>
          <b class="name">${seen.title}</b>${seen.lines.filter(Boolean).map((line, number) => html`<div key=${number}>${line}</div>`)}</div>`}
      </div>
    </div>
    <p class="line" id="matrix-line" aria-live="polite">${told ? [told.title, ...told.lines].filter(Boolean).join(" · ") : `${count(place.end - place.from, "node")}${place.bin > 1 ? `, ${place.bin} in a column` : ""}`}
      ${view[1] - view[0] < shown.count && html` · <a class="num" href=${here({ z: "" })}>all ${n(shown.count)}</a>`}</p>
  </div>`;
};

/** The rows of the matrix for who does not see it: groups of nodes and how they stand. */
const Rows = ({ shown, columns, ordered, mode }) => {
  tick.value;
  const cats = MODES[mode].cats(columns);
  const rows = [];
  for (const column of columns) {
    const of = MODES[mode].of(column);
    for (const group of ordered.groups.slice(0, 50)) {
      for (const part of group.parts.slice(0, 50)) {
        const counts = cats.map(() => 0);
        for (let at = part.from; at < part.to; at++) {
          const category = of(ordered.nodes[at]);
          if (counts[category] !== undefined) counts[category]++;
        }
        rows.push([column, [group.name, part.name].filter(Boolean).join(" · ") || "all nodes", counts]);
      }
    }
  }
  return html`<div class="scroll" tabindex="0" role="region" aria-label="The matrix as a table"><table>
    <thead><tr><th scope="col">Daemon</th><th scope="col">Nodes</th>${cats.map((cat) => html`<th key=${cat.key} scope="col" class="right">${cat.text}</th>`)}</tr></thead>
    <tbody>${rows.slice(0, 400).map(([column, name, counts], number) => html`<tr key=${number}>
      <td><a class="daemon" href=${to(["daemon", column.summary.namespace, column.summary.name])}>${column.id}</a></td><td class="name">${name}</td>
      ${counts.map((one, category) => html`<td key=${category} class="right">${n(one)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
};

/** The screen. */
export const Matrix = () => {
  const shown = fleet.value;
  const { query } = route.value;
  const mode = MODES[query.get("show")] && !(shown.moment && query.get("show") !== "state") ? query.get("show") : "state";
  const first = chosenLabel("by", usualLabel());
  const second = chosenLabel("by2");
  const page = Math.max(0, Number(query.get("p")) || 0);
  const columns = useMemo(() => shown.columns.slice(page * ROWS, (page + 1) * ROWS), [shown, page]);
  const ordered = useOrder(shown, first, second);
  useLayer(mode, shown);
  const is_table = query.get("as") === "table";
  const [from, end] = windowOf(query.get("z"), shown.count);
  const dense = !is_table && end - from > innerWidth / (BIN + 1);
  const holder = useRef();
  const markdown = () =>
    markdownTable(["daemon", ...CLASSES.map((cat) => cat.text)], columns.map((column) => [column.id, ...CLASSES.map((_, one) => column.classes.reduce((sum, each) => sum + (each === one), 0))]));
  return html`<div ref=${holder}>
    <div class="lead"><div><h1>Matrix</h1><p>${count(shown.columns.length, "daemon")} on ${count(shown.count, "node")}. A streak downward is a node, or a group of them; a streak across is a daemon.</p></div>
      <${Take} command="everynode status -A --nodes" markdown=${markdown} canvas=${() => holder.current.querySelector(".stage canvas")} name="matrix" /></div>
    <div class="controls">
      <${LabelChoice} name="by" text="Group by" fallback=${usualLabel()} /> <${LabelChoice} name="by2" text="then by" />
      <${Choice} name="show" text="Show" fallback="state" options=${Object.entries(MODES).filter(([key]) => !shown.moment || key === "state").map(([key, one]) => [key, one.text])} />
      <${Choice} name="as" text="As" fallback="picture" options=${[["picture", "picture"], ["table", "table"]]} />
    </div>
    <${Unused} ...${{ shown, mode }} /><${Legend} ...${{ columns, mode, dense }} />
    ${!ordered ? html`<p class="faint">Grouping</p>` : is_table ? html`<${Rows} ...${{ shown, columns, ordered, mode }} />` : html`<${Stage} ...${{ shown, columns, ordered, mode }} levels=${ordered.groups.length > 1 || ordered.groups[0]?.name ? (second ? 2 : 1) : 0} />`}
    ${shown.columns.length > ROWS && html`<p class="more">Daemons ${n(page * ROWS + 1)} to ${n(Math.min((page + 1) * ROWS, shown.columns.length))} of ${n(shown.columns.length)} ·
      ${page > 0 && html`<a class="num" href=${here({ p: page - 1 || "" })}>earlier</a> `} ${(page + 1) * ROWS < shown.columns.length && html`<a class="num" href=${here({ p: page + 1 })}>more</a>`}</p>`}
  </div>`;
};
