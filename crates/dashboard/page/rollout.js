// One daemon: its nodes, why they stand as they do, and its roll-out.
import { fleet, tick, route, to, go, ask, layer, columnOf, nodesWhere } from "./data.js";
import { html, useState, useEffect, useRef, useMemo, n, count, percent, span, clock, Num, State, Shape, Command, Take, LabelChoice, Choice, chosenLabel, markdownTable, useAnswer, usualLabel } from "./parts.js";
import { CLASSES, MODES } from "./draw.js";
import { useOrder, useLayer, Unused } from "./matrix.js";
import { Grid, Curves, Evidence, Points } from "./charts.js";
import { Cohorts } from "./screens.js";

const classOf = (key) => CLASSES.find((cat) => cat.key === key) || CLASSES[5];

const Causes = ({ column }) => tick.value >= 0 && html`<ul class="causes">${column.summary.groups.slice(0, 40).map((group, number) => html`<li key=${number}>
  <${Shape} cat=${classOf(group.class)} /><span class="right"><${Num} value=${group.count} query=${{ d: column.id, class: group.class, kind: group.kind }} label=${group.text} /></span>
  <div>${classOf(group.class).text === group.text ? group.text : `${classOf(group.class).text}: ${group.text}`}
    <div class="why">${group.nodes.join(", ")}${group.count > group.nodes.length ? ` and ${n(group.count - group.nodes.length)} more` : ""}</div>
    ${group.wouldChange?.map((text, place) => html`<div key=${place} class="why">would change it: ${text}</div>`)}</div></li>`)}</ul>`;

/** Commands that steer a roll-out: they are shown, and somebody runs them. */
const Steering = ({ summary }) => {
  if (!summary.policy) return html`<p class="soft">No policy conducts it. <${Command} text=${`kubectl -n ${summary.namespace} rollout history daemonset/${summary.name}`} /></p>`;
  const verbs = { WaitingForPromotion: ["promote", "abort"], Halted: ["retry"], RollingBack: ["retry"], RolledBack: ["retry"], Complete: ["history"] }[summary.policy.phase] || (summary.policy.paused ? ["resume", "abort"] : ["pause", "abort"]);
  return html`<p>${verbs.map((verb) => html`<span key=${verb}><${Command} text=${`everynode rollout ${verb} daemonset/${summary.name} -n ${summary.namespace}`} /> </span>`)}</p>`;
};

const Waves = ({ column }) => {
  tick.value;
  const { policy } = column.summary;
  const waves = Array.from({ length: policy.waves }, (_, number) => {
    const nodes = nodesWhere(column, { wave: number + 1 });
    return { number: number + 1, count: nodes.length, done: nodes.filter((node) => column.classes[node] === 0).length };
  });
  const total = waves.reduce((sum, wave) => sum + wave.count, 0) || 1;
  const state = (number) => (policy.phase === "Complete" || number < policy.wave ? "done" : number === policy.wave ? "now" : "");
  return html`<ol class="waves" aria-label="Waves">${waves.map((wave) => html`<li key=${wave.number} class=${state(wave.number)} style=${{ flex: `${Math.max(0.04, wave.count / total)} 1 0` }} aria-current=${wave.number === policy.wave ? "step" : undefined}>wave ${wave.number}<div class="faint">${n(wave.done)} of ${n(wave.count)}</div></li>`)}</ol>`;
};

/** What a policy's analysis says, when its status has it. */
const Verdict = ({ analysis, column }) => html`<div class="more"><h2>Analysis: ${analysis.verdict || "nothing judged yet"}</h2><p class="soft">${analysis.message}${analysis.basis && ` (${analysis.basis})`}</p>
  ${analysis.common && html`<p class="finding more">${analysis.common}</p>`}
  ${analysis.worstNodes?.length > 0 && html`<p class="soft">Such as ${analysis.worstNodes.map((node, number) => html`<span key=${node}>${number ? ", " : ""}<a class="num" href=${to(["node", node], { d: column.id })}>${node}</a></span>`)}.</p>`}
  <${EvidenceCurves} ...${{ analysis, column }} />
  ${analysis.signals?.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Signals"><table><thead><tr><th scope="col">Signal</th><th scope="col">Verdict</th><th scope="col">what was seen</th><th scope="col" class="right">nodes</th><th scope="col" class="right">controls</th><th scope="col">by chance</th></tr></thead>
    <tbody>${analysis.signals.map((one, number) => html`<tr key=${number}><td>${one.name}</td><td>${one.verdict}</td><td>${one.message}</td><td class="right">${one.nodes}</td><td class="right">${one.controls}</td><td>${one.chanceOneIn > 1 ? `1 in ${n(one.chanceOneIn)}` : ""}</td></tr>`)}</tbody></table></div>`}</div>`;

/** The course of a daemon since it is watched. */
const useSeries = ({ id, summary }) => useAnswer(() => ask(`/api/series?namespace=${encodeURIComponent(summary.namespace)}&name=${encodeURIComponent(summary.name)}`), [id, fleet.value.sequence - (fleet.value.sequence % 8)]);

/** The evidence of each signal against what makes it worse, since it is watched: the status holds what it is now. */
const EvidenceCurves = ({ analysis, column }) => {
  const { value } = useSeries(column);
  const curves = Object.entries(value?.evidence || {}).filter(([, points]) => points.length > 0);
  if (!curves.length) return null;
  const from = Math.min(...curves.map(([, points]) => points[0][0]));
  return html`<div class="more"><${Evidence} curves=${curves} from=${from} end=${Math.max(fleet.value.takenAtMillis, from + 1)} worseFrom=${analysis.worseFrom} /></div>`;
};

const UNITS = {
  cpu: (cores) => (cores < 0.1 ? `${(cores * 1000).toPrecision(2)}m` : cores.toPrecision(2)),
  memory: (bytes) => `${(bytes / 2 ** 20).toPrecision(3)} MiB`,
};
/** What each node used before it was updated and after, and nodes that were not in the same windows. */
const Before = ({ column }) => {
  const { summary } = column;
  const [measure, setMeasure] = useState("cpu");
  const revision = summary.revision?.slice(summary.name.length + 1) || "";
  const path = `/api/before-after?daemonset=${encodeURIComponent(column.id)}&revision=${encodeURIComponent(revision)}&measure=${measure}`;
  const { value, error } = useAnswer(() => ask(path), [path, Math.floor(fleet.value.takenAtMillis / 30000)]);
  const points = value?.points || [];
  const times = (number) => (number ? `${number.toFixed(2)} times` : "not known");
  return html`<section><h2>Before and after</h2>
    <fieldset class="segments"><legend>Measure</legend>${Object.keys(UNITS).map((one) => html`<button key=${one} aria-pressed=${one === measure} onClick=${() => setMeasure(one)}>${one === "cpu" ? "CPU" : one}</button>`)}</fieldset>
    ${points.length
      ? html`<p class="soft more"><span class="key updated" /> ${count(value.updated, "updated node")}, ${times(value.updatedTimes)} in the middle · <span class="key other" /> ${count(value.others, "other")}, ${times(value.otherTimes)}</p>
        <${Points} points=${points} unit=${UNITS[measure]} open=${(node) => go(to(["node", node], { d: column.id }))} label=${`What ${summary.name} uses before and after: ${count(value.updated, "updated node")} ${times(value.updatedTimes)}, ${count(value.others, "other")} ${times(value.otherTimes)}`} />`
      : html`<p class="soft more">${error || value?.missing || (value ? "Nothing was measured on a node both before its update and after it." : "Asking")}</p>`}
  </section>`;
};

const Course = ({ column }) => {
  tick.value;
  const shown = fleet.value;
  const { summary } = column;
  const { value } = useSeries(column);
  const points = value?.points || [];
  if (points.length < 2) return html`<p class="soft">How it goes on is drawn from now on.</p>`;
  const from = points[0][0];
  const end = Math.max(shown.takenAtMillis, points[points.length - 1][0]);
  const of = (place) => points.map((point) => [point[0], point[place]]);
  const waves = points.filter((point, number) => point[4] > 0 && point[4] !== points[number - 1]?.[4]).map((point) => [point[0], `wave ${point[4]}`]);
  const marks = waves.filter(([millis], number) => number === waves.length - 1 || waves[number + 1][0] - millis > (end - from) / 12);
  return html`<div><p class="faint"><span class="state">updated and available</span> · <span class="state moving">updated</span></p>
    <${Curves} label=${`Nodes with the current revision over ${span(end - from)}`} from=${from} end=${end} marks=${marks} limit=${summary.desired} limitText="of" curves=${[{ points: of(1), colour: "old", dash: "4 3" }, { points: of(2), colour: "available" }]} />
    <p class="faint more"><span class="state bad">budget in use</span></p>
    <${Curves} label="Budget in use" from=${from} end=${end} limit=${summary.budget?.allowed} limitText="allowed" height=${86} marks=${marks} curves=${[{ points: of(3), colour: "bad" }]} /></div>`;
};

const Rollout = ({ column }) => {
  tick.value;
  const { summary } = column;
  const { policy, estimate } = summary;
  return html`<section class="long"><h2>Roll-out</h2>
    ${policy && html`<p>${policy.name}: ${policy.text}</p><div class="more"><${Waves} column=${column} /></div>`}
    ${estimate?.stalls && html`<p class="finding unsafe more">${estimate.stalls}</p>`}
    ${estimate?.problems?.map((text, number) => html`<p key=${number} class="finding unsafe">${text}</p>`)}
    ${estimate?.p50Millis !== undefined && html`<p class="soft more">${estimate.waitsForPromotion ? "Comes to its gate" : "Ends"} in about ${span(estimate.p50Millis)}, in 95 of 100 runs within ${span(estimate.p95Millis)}.</p>`}
    ${policy?.failed?.length > 0 && html`<h2 class="more">Failed nodes: ${n(policy.failedCount)} of ${n(policy.failureBudget)} allowed</h2>
      <div class="scroll" tabindex="0" role="region" aria-label="Failed nodes"><table><thead><tr><th scope="col">Node</th><th scope="col">Why</th><th scope="col">Noticed</th></tr></thead><tbody>${policy.failed.slice(0, 50).map((one) => html`<tr key=${one.node}><td><a class="daemon" href=${to(["node", one.node], { d: column.id })}>${one.node}</a></td><td>${one.reason}</td><td class="soft">${clock(one.atSeconds * 1000)}</td></tr>`)}</tbody></table></div>`}
    ${policy?.failedWhere?.map((one, number) => html`<p key=${number} class="finding more">${one.text}</p>`)}
    ${policy?.analysis && html`<${Verdict} analysis=${policy.analysis} column=${column} />`}
    <div class="more"><${Course} column=${column} /></div>
    <h2 class="more">To steer it</h2><${Steering} summary=${summary} />
  </section>`;
};

/** The screen. */
export const Daemon = () => {
  const version = tick.value;
  const shown = fleet.value;
  const [, namespace = "", name = ""] = route.value.path;
  const { query } = route.value;
  const column = columnOf(shown, `${namespace}/${name}`);
  const mode = MODES[query.get("show")] && !(shown.moment && query.get("show") !== "state") ? query.get("show") : "state";
  const by = chosenLabel("by", usualLabel());
  const ordered = useOrder(shown, by, "");
  const holder = useRef();
  useEffect(() => {
    layer("wave");
    layer("flags");
  }, [shown]);
  useLayer(mode, shown);
  const loaded = column?.layers[MODES[mode].layer];
  const cats = useMemo(() => column && MODES[mode].cats([column]), [column, mode, column?.hashes.length]);
  const of = useMemo(() => column && MODES[mode].of(column), [column, mode, column?.hashes.length, column?.summary.revision, loaded]);
  if (!column) return html`<div class="lead"><div><h1>${namespace}/${name}</h1><p>There is no such daemon in what is shown.</p></div></div>`;
  const { summary } = column;
  const { coverage, budget, policy } = summary;
  const unserved = coverage.nodes - coverage.served;
  const markdown = () => markdownTable(["nodes", "state", "cause"], summary.groups.map((group) => [group.count, classOf(group.class).text, group.text]));
  return html`<div ref=${holder}>
    <div class="lead"><div><p class="crumb"><a href=${to([""])}>daemons</a> / ${namespace}</p><h1>${name}</h1><p><${State} summary=${summary} /></p></div>
      <${Take} command=${`everynode why daemonset/${name} -n ${namespace}`} markdown=${markdown} canvas=${() => holder.current.querySelector(".stage canvas")} name=${name} /></div>
    <dl class="facts">
      <div><dt>served</dt><dd>${percent(coverage.served, coverage.nodes)} ${unserved > 0 && html`<small>${Object.entries(coverage.causes).map(([cause, number]) => `${n(number)} ${cause}`).join(", ")}</small>`}</dd></div>
      <div><dt>updated</dt><dd><${Num} value=${summary.updated} query=${{ d: column.id, updated: "1" }} label="updated" /> <small>of ${n(summary.desired)}</small></dd></div>
      <div><dt>available</dt><dd>${n(summary.available)} <small>of ${n(summary.desired)}</small></dd></div>
      ${budget && html`<div><dt>budget in use</dt><dd><${Num} value=${budget.used} query=${{ d: column.id, flag: "budget" }} label="use the budget" /> <small>${budget.text}</small></dd></div>`}
      ${policy && html`<div><dt>wave</dt><dd>${policy.wave} <small>of ${policy.waves}, ${policy.phase}</small></dd></div>`}
      ${policy && html`<div><dt>failed</dt><dd><${Num} value=${policy.failedCount} query=${{ d: column.id, flag: "failed" }} label="failed" /> <small>${n(policy.failureBudget)} halt it</small></dd></div>`}
      ${summary.misscheduled > 0 && html`<div><dt>should not run it</dt><dd><${Num} value=${summary.misscheduled} query=${{ d: column.id, class: "misscheduled" }} label="should not run it" /></dd></div>`}
    </dl>
    <div class="controls"><${LabelChoice} name="by" text="Group by" fallback=${usualLabel()} /><${Choice} name="show" text="Show" fallback="state" options=${Object.entries(MODES).filter(([key]) => !shown.moment || key === "state").map(([key, one]) => [key, one.text])} /></div>
    <${Unused} ...${{ shown, mode }} /><ul class="legend" aria-label="Legend">${cats.map((cat, number) => {
      let found = 0;
      for (let node = 0; node < column.classes.length; node++) if (of(node) === number) found++;
      return html`<li key=${cat.key}><${Shape} cat=${cat} size=${13} /><span>${cat.text}</span> ${mode === "state" && found ? html`<${Num} value=${found} query=${{ d: column.id, class: cat.key }} label=${cat.text} />` : html`<span class="faint">${n(found)}</span>`}</li>`;
    })}</ul>
    ${ordered && html`<${Grid} ...${{ shown, column, ordered, cats, of }} version=${loaded ? version : 0} describe=${MODES[mode].more && ((node) => MODES[mode].more(column, node))} label=${`The nodes of ${column.id}`} />`}
    <div class="columns"><section><h2>Why</h2><${Causes} column=${column} />${summary.notes?.map((text, number) => html`<p key=${number} class="finding more">${text}</p>`)}</section>
      <${Rollout} column=${column} />
      ${!shown.moment && html`<${Before} column=${column} />`}
      <section><h2>Where</h2><${Cohorts} column=${column} version=${Math.floor(version / 20)} /></section></div>
  </div>`;
};
