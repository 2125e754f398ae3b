// Daemons in lines, lists of nodes, what stands out, and the search.
import { fleet, tick, route, to, here, go, ask, layer, columnOf, nodesWhere } from "./data.js";
import { html, useState, useEffect, useRef, useMemo, n, count, percent, Num, Bar, State, Shape, Take, markdownTable, useAnswer, STATES } from "./parts.js";
import { CLASSES } from "./draw.js";
import { kindText } from "./matrix.js";

const ROWS = 100;
const daemonPath = ({ namespace, name }) => ["daemon", namespace, name];
/** The cause that most nodes in trouble have. */
export const mainCause = (summary) => {
  const used = summary.budget?.usedBy;
  const bad = summary.groups.filter((group) => ["notAvailable", "missing"].includes(group.class));
  const most = [...(used || []), ...bad].sort((a, b) => b.count - a.count)[0];
  return summary.state === "complete" ? null : most || summary.groups.find((group) => group.class === "old") || null;
};
const wave = ({ policy }) => (policy ? `${policy.wave} of ${policy.waves}` : "");
const verdict = ({ policy }) => policy?.analysis?.verdict;
/** What the analysis of its policy says, in words. */
const verdictText = (summary) => ({ Worse: "worse than before", NoWorse: "no worse than before", Undecided: "not yet judged", Blind: "cannot be judged" })[verdict(summary)] || "";
const budget = ({ budget }) => (budget ? budget.used / Math.max(1, budget.allowed) : -1);
const urgency = ["stalled", "halted", "notAvailable", "rollingBack", "notObserved", "waitsForPromotion", "paused", "rollingOut", "onDelete", "rolledBack", "deleting", "complete"];
const share = (summary) => (summary.coverage.nodes ? summary.coverage.served / summary.coverage.nodes : 2);

const SORTS = {
  name: (a, b) => a.id.localeCompare(b.id),
  coverage: (a, b) => share(a.summary) - share(b.summary),
  updated: (a, b) => a.summary.done / (a.summary.desired || 1) - b.summary.done / (b.summary.desired || 1),
  wave: (a, b) => (a.summary.policy?.wave || 0) - (b.summary.policy?.wave || 0),
  budget: (a, b) => budget(a.summary) - budget(b.summary),
  state: (a, b) => urgency.indexOf(a.summary.state) - urgency.indexOf(b.summary.state),
};

const Head = ({ name, text, sort, is_down, className }) => html`<th scope="col" class=${className} aria-sort=${sort === name ? (is_down ? "descending" : "ascending") : undefined}>
  <button onClick=${() => go(here({ sort: name, down: sort === name && !is_down ? "1" : "" }), true)}>${text}</button></th>`;

const Line = ({ column, is_here }) => {
  tick.value;
  const { summary, id } = column;
  const cause = mainCause(summary);
  const { coverage } = summary;
  return html`<tr aria-selected=${is_here}>
    <td><a class="daemon" href=${to(daemonPath(summary))}>${summary.name}</a><div class="faint name">${summary.namespace}</div></td>
    <td>${percent(coverage.served, coverage.nodes)}<div class="faint">${coverage.nodes - coverage.served ? html`${n(coverage.nodes - coverage.served)} unserved` : count(coverage.nodes, "node")}</div></td>
    <td class="mid"><${Bar} column=${column} /><div class="faint"><${Num} value=${summary.updated} query=${{ d: id, updated: "1" }} label="updated" />/${n(summary.desired)} updated</div></td>
    <td class="wide">${wave(summary)}<div class="faint">${summary.policy?.phase}</div>${verdict(summary) && html`<div class=${verdict(summary) === "Worse" ? "bad-ink" : "faint"}>${verdictText(summary)}</div>`}</td>
    <td class="wide">${summary.budget ? html`<${Num} value=${summary.budget.used} query=${{ d: id, flag: "budget" }} label="use the budget" /> of ${n(summary.budget.allowed)}` : html`<span class="faint">none</span>`}</td>
    <td><${State} summary=${summary} />${cause && html`<div class="why">${n(cause.count)} × ${cause.text}</div>`}</td>
  </tr>`;
};

/** One sortable line for each daemon. */
export const Daemons = () => {
  tick.value;
  const shown = fleet.value;
  const { query } = route.value;
  const sort = SORTS[query.get("sort")] ? query.get("sort") : "state";
  const is_down = query.get("down") === "1";
  const wanted = query.get("state");
  const most = Number(query.get("most")) || ROWS;
  const [line, setLine] = useState(-1);
  const columns = shown.columns.filter((column) => !wanted || column.summary.state === wanted).sort((a, b) => SORTS[sort](a, b) * (is_down ? -1 : 1) || SORTS.name(a, b));
  const states = new Map();
  shown.columns.forEach(({ summary }) => states.set(summary.state, (states.get(summary.state) || 0) + 1));
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setLine(Math.max(0, Math.min(Math.min(most, columns.length) - 1, line + step)));
    else if (event.key === "Enter" && columns[line] && event.target === event.currentTarget) go(to(daemonPath(columns[line].summary)));
    else return;
    event.preventDefault();
  };
  const command = "everynode status -A";
  const markdown = () =>
    markdownTable(["daemon", "served", "updated", "wave", "verdict", "budget", "state"], columns.map(({ id, summary }) => [id, percent(summary.coverage.served, summary.coverage.nodes), `${summary.updated}/${summary.desired}`, wave(summary), verdictText(summary), summary.budget ? `${summary.budget.used} of ${summary.budget.allowed}` : "", (STATES[summary.state] || [summary.state])[0]]));
  return html`<div>
    <div class="lead"><div><h1>Daemons</h1><p>${count(shown.columns.length, "daemon")} on ${count(shown.count, "node")}:
      ${[...states].sort((a, b) => urgency.indexOf(a[0]) - urgency.indexOf(b[0])).map(([state, number], place) => html`<span key=${state}>${place ? ", " : " "}<a class="num" href=${here({ state: wanted === state ? "" : state })}>${n(number)} ${(STATES[state] || [state])[0]}</a></span>`)}${wanted ? html` · <a class="num" href=${here({ state: "" })}>show all</a>` : "."}</p></div>
      <${Take} command=${command} markdown=${markdown} /></div>
    ${shown.columns.length === 0 ? html`<p class="soft">There is no DaemonSet here.</p>` : html`<div class="scroll" tabindex="0" role="region" aria-label="Daemons. Arrows choose a line, Enter opens it." onKeyDown=${press}><table>
      <thead><tr><${Head} name="name" text="Daemon" ...${{ sort, is_down }} /><${Head} name="coverage" text="Served" ...${{ sort, is_down }} /><${Head} name="updated" text="Nodes" className="mid" ...${{ sort, is_down }} />
        <${Head} name="wave" text="Wave, verdict" className="wide" ...${{ sort, is_down }} /><${Head} name="budget" text="Budget in use" className="wide" ...${{ sort, is_down }} /><${Head} name="state" text="State" ...${{ sort, is_down }} /></tr></thead>
      <tbody>${columns.slice(0, most).map((column, number) => html`<${Line} key=${column.id} column=${column} is_here=${number === line} />`)}</tbody>
    </table></div>`}
    ${columns.length > most && html`<p class="more"><a class="num" href=${here({ most: most + 400 })}>Show ${n(Math.min(400, columns.length - most))} more of ${n(columns.length)}</a></p>`}
  </div>`;
};

/** The nodes behind a number. */
export const Nodes = () => {
  tick.value;
  const shown = fleet.value;
  const { query } = route.value;
  const of = query.get("d");
  const only = of ? columnOf(shown, of) : null;
  const classNumber = CLASSES.findIndex(({ key }) => key === query.get("class"));
  const kind = Object.entries(shown.kinds).find(([, name]) => name === query.get("kind"))?.[0];
  const flag = { failed: 1, budget: 2 }[query.get("flag")];
  const is_updated = query.get("updated") === "1";
  const text = (query.get("q") || "").toLowerCase();
  const most = Number(query.get("most")) || ROWS;
  useEffect(() => {
    if (flag) layer("flags");
    if (is_updated) layer("revision");
  }, [flag, is_updated, shown]);
  if (of && !only) return html`<p class="soft">There is no daemon ${of}.</p>`;
  const rows = [];
  for (const column of only ? [only] : shown.columns) {
    const current = column.hashes.findIndex((hash) => column.summary.revision?.endsWith("-" + hash));
    const found = nodesWhere(column, { classNumber: classNumber < 0 ? undefined : classNumber, kind: kind === undefined ? undefined : Number(kind), flag });
    for (const node of found) {
      if (column.classes[node] === 255 || (is_updated && (column.layers.revision?.[node] !== current || column.classes[node] >= 4))) continue;
      if (text && !shown.nodes[node].toLowerCase().includes(text)) continue;
      rows.push([column, node]);
    }
  }
  const what = [is_updated && "updated", CLASSES[classNumber]?.text, kind !== undefined && kindText(shown, kind), flag === 1 && "failed", flag === 2 && "uses the budget"].filter(Boolean).join(", ");
  const markdown = () => markdownTable(["node", "daemon", "state", "cause"], rows.slice(0, 1000).map(([column, node]) => [shown.nodes[node], column.id, CLASSES[column.classes[node]]?.text, kindText(shown, column.kinds[node])]));
  const command = only ? `everynode why daemonset/${only.summary.name} -n ${only.summary.namespace}` : "everynode status -A -o wide";
  return html`<div>
    <div class="lead"><div><p class="crumb">${only ? html`<a href=${to(daemonPath(only.summary))}>${only.id}</a>` : html`<a href=${to(["matrix"])}>all daemons</a>`}</p>
      <h1>${only ? `${count(rows.length, "node")}${what && `: ${what}`}` : `${n(rows.length)} × ${what || "a daemon on a node"}`}</h1></div>
      <${Take} command=${command} markdown=${markdown} /></div>
    <div class="controls"><label class="choice"><span>Name has</span><input class="field" type="search" value=${query.get("q") || ""} onInput=${(event) => go(here({ q: event.target.value }), true)} /></label></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Nodes"><table>
      <thead><tr><th scope="col">Node</th>${!only && html`<th scope="col">Daemon</th>`}<th scope="col">State</th><th scope="col">Cause</th></tr></thead>
      <tbody>${rows.slice(0, most).map(([column, node]) => html`<tr key=${column.id + " " + node}>
        <td><a class="daemon" href=${to(["node", shown.nodes[node]], { d: column.id })}>${shown.nodes[node]}</a></td>${!only && html`<td class="name">${column.id}</td>`}
        <td><${Shape} cat=${CLASSES[column.classes[node]]} /> ${CLASSES[column.classes[node]].text}</td><td class="soft">${kindText(shown, column.kinds[node])}</td></tr>`)}</tbody>
    </table></div>
    ${rows.length > most && html`<p class="more"><a class="num" href=${here({ most: most + 400 })}>Show ${n(Math.min(400, rows.length - most))} more of ${n(rows.length)}</a></p>`}
  </div>`;
};

/** The label values that nodes in trouble have more often than others. */
export const Cohorts = ({ column, version }) => {
  const { summary } = column;
  const path = `/api/cohorts?namespace=${encodeURIComponent(summary.namespace)}&name=${encodeURIComponent(summary.name)}`;
  const { value, error } = useAnswer(() => ask(path), [path, version]);
  if (error) return html`<p class="soft">${error}</p>`;
  if (!value) return html`<p class="faint">Counting</p>`;
  const of = `${count(value.marked, "node")} ${value.failed ? "that failed" : "without an available pod"}, of ${n(value.of)}`;
  if (!value.cohorts.length) return html`<p class="soft">${value.marked ? `No label value stands out among ${of}.` : "Nothing is wrong, so nothing stands out."}</p>`;
  return html`<div><p class="soft">Among ${of}:</p><div class="scroll" tabindex="0" role="region" aria-label="Cohorts"><table>
    <thead><tr><th scope="col">Label</th><th scope="col" class="right">of them</th><th scope="col" class="right">nodes</th><th scope="col" class="right">times as often</th><th scope="col" class="right">by chance</th></tr></thead>
    <tbody>${value.cohorts.map((one) => html`<tr key=${one.label + one.value}><td class="name"><span class="faint">${one.label.replace(/^.*\//, "")}</span> ${one.value}${one.alike.length > 0 && html`<div class="why">as ${one.alike.join(", ")}</div>`}</td>
      <td class="right">${n(one.found)}</td><td class="right">${n(one.nodes)}</td><td class="right">${one.lift.toFixed(1)}</td><td class="right">${one.oneIn >= 1e9 ? "< 1 in 10⁹" : `1 in ${n(one.oneIn)}`}</td></tr>`)}</tbody></table></div></div>`;
};

const Used = () => {
  const shown = fleet.value;
  const { value, error } = useAnswer(() => ask("/api/outliers"), [Math.floor(shown.takenAtMillis / 30000)]);
  if (!value) return html`<p class="soft">${error || "Comparing"}</p>`;
  if (value.missing) return html`<p class="soft">${value.missing}</p>`;
  return html`<div><p class="soft">Levels against those of the same daemon on nodes with the same ${value.label.replace(/^.*\//, "")}; only what is far out of all is named, as by everynode outliers.</p>
    ${value.signals.map(({ signal, nodes, pairs, judged, unknown }) => html`<div key=${signal} class="more"><h3>${signal === "cpu" ? "CPU" : "Memory"}: ${nodes.length + pairs.length ? `${n(nodes.length + pairs.length)} out of level` : "nothing is out of its level"} <small class="faint">${n(judged)} judged, ${n(unknown)} not</small></h3>
      ${nodes.length + pairs.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label=${`Outliers of ${signal}`}><table><thead><tr><th scope="col">Node</th><th scope="col">Daemon</th><th scope="col" class="right">times its peers</th><th scope="col" class="right">deviations</th></tr></thead><tbody>
        ${nodes.slice(0, 25).map((one) => html`<tr key=${one.node}><td><a class="daemon" href=${to(["node", one.node])}>${one.node}</a></td><td>all ${n(one.daemons)}</td><td class="right">${one.times.toFixed(1)}</td><td class="right">${one.deviations.toFixed(0)}</td></tr>`)}
        ${pairs.slice(0, 25).map((one) => html`<tr key=${one.node + one.daemonset}><td><a class="daemon" href=${to(["node", one.node], { d: one.daemonset })}>${one.node}</a></td><td class="name">${one.daemonset}</td><td class="right">${one.times.toFixed(1)}</td><td class="right">${one.deviations.toFixed(0)}</td></tr>`)}</tbody></table></div>`}</div>`)}</div>`;
};

/** Nodes on which several daemons are in trouble, and parts of the fleet that are. */
export const Outliers = () => {
  tick.value;
  const shown = fleet.value;
  const bad = new Uint16Array(shown.count);
  for (const { classes } of shown.columns) for (let node = 0; node < classes.length; node++) if (classes[node] === 2 || classes[node] === 3) bad[node]++;
  const nodes = Array.from(bad.keys()).filter((node) => bad[node] > 1).sort((a, b) => bad[b] - bad[a] || a - b);
  const trouble = ({ summary }) => summary.groups.reduce((sum, group) => sum + (["notAvailable", "missing"].includes(group.class) ? group.count : 0), 0) + (summary.policy?.failedCount || 0);
  const troubled = shown.columns.filter(trouble).sort((a, b) => trouble(b) - trouble(a));
  const version = Math.floor(shown.takenAtMillis / 10000);
  return html`<div>
    <div class="lead"><div><h1>What stands out</h1><p>A node with several daemons in trouble is itself the likely cause. Label values are named when chance would hardly bring so many: at most 1 in 20 over all values.</p></div><${Take} command="everynode coverage -A --by LABEL" /></div>
    <div class="columns tall">
      <section><h2>Nodes with several daemons in trouble</h2>
        ${nodes.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Nodes"><table><thead><tr><th scope="col">Node</th><th scope="col" class="right">daemons in trouble</th></tr></thead>
          <tbody>${nodes.slice(0, 25).map((node) => html`<tr key=${node}><td><a class="daemon" href=${to(["node", shown.nodes[node]])}>${shown.nodes[node]}</a></td><td class="right">${n(bad[node])}</td></tr>`)}</tbody></table></div>
          ${nodes.length > 25 && html`<p class="more soft">and ${n(nodes.length - 25)} more</p>`}` : html`<p class="soft">There is none.</p>`}
        ${!shown.moment && html`<h2 class="more">What daemons use</h2><${Used} />`}</section>
      ${troubled.slice(0, 8).map((column) => html`<section key=${column.id}><h2><a class="daemon" href=${to(daemonPath(column.summary))}>${column.id}</a></h2><${Cohorts} column=${column} version=${version} /></section>`)}
    </div></div>`;
};

/** Finds daemons, nodes and states by parts of their names. */
export const Search = () => {
  const [text, setText] = useState("");
  const [place, setPlace] = useState(0);
  const [is_open, setOpen] = useState(false);
  const input = useRef();
  const found = useMemo(() => (text ? matches(fleet.value, text.toLowerCase()) : []), [text, fleet.value]);
  const open = (one) => {
    if (!one) return;
    go(one.href);
    setOpen(false);
    setText("");
    input.current.blur();
    document.querySelector("main")?.focus();
  };
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setPlace((place + step + found.length) % Math.max(1, found.length));
    else if (event.key === "Enter") open(found[place]);
    else if (event.key === "Escape") {
      setText("");
      setOpen(false);
      input.current.blur();
      document.querySelector("main")?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const is_shown = is_open && found.length > 0;
  return html`<div class="search" role="search">
    <input ref=${input} type="search" role="combobox" aria-label="Search nodes and daemons" aria-expanded=${is_shown} aria-controls="found" aria-autocomplete="list" aria-activedescendant=${is_shown ? `found-${place}` : undefined}
      placeholder="Search nodes and daemons  /" value=${text} onInput=${(event) => { setText(event.target.value); setPlace(0); setOpen(true); }} onFocus=${() => setOpen(true)} onBlur=${() => setTimeout(() => setOpen(false), 150)} onKeyDown=${press} />
    ${is_shown && html`<ul class="found" id="found" role="listbox" aria-label="Found">
      ${found.map((one, number) => html`<li key=${one.href} id=${`found-${number}`} role="option" aria-selected=${number === place} onMouseDown=${() => open(one)}><span class="what">${one.what}</span><span class="name">${one.name}</span></li>`)}
    </ul>`}
  </div>`;
};
const matches = (shown, text) => {
  const found = [];
  for (const { id, summary } of shown.columns) {
    if (found.length < 6 && id.toLowerCase().includes(text)) found.push({ what: "daemon", name: id, href: to(daemonPath(summary)) });
  }
  let nodes = 0;
  for (let node = 0; node < shown.count && nodes < 8; node++) {
    if (shown.nodes[node].toLowerCase().includes(text)) {
      found.push({ what: "node", name: shown.nodes[node], href: to(["node", shown.nodes[node]]) });
      nodes++;
    }
  }
  for (const { key, text: words } of CLASSES) {
    if (words.includes(text)) found.push({ what: "state", name: words, href: to(["nodes"], { class: key }) });
  }
  return found;
};
