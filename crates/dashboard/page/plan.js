// A plan: drop a manifest, and see what would happen, played forward.
import { signal } from "./vendor/signals.js";
import { fleet, columnOf, NONE } from "./data.js";
import { html, useState, useEffect, useRef, useMemo, n, count, span, Shape, Take, LabelChoice, chosenLabel, usualLabel } from "./parts.js";
import { useOrder } from "./matrix.js";
import { Grid, Curves } from "./charts.js";

const STARTS = 4 << 20;
/** The manifest and its plan stay while other screens are looked at. */
const text = signal("");
const answer = signal(null);
const is_asking = signal(false);
const wrong = signal("");

const ask = async () => {
  is_asking.value = true;
  wrong.value = "";
  try {
    const found = await fetch("/api/plan", { method: "POST", body: text.value, headers: { "Content-Type": "text/plain" } });
    if (!found.ok) throw new Error(await found.text());
    answer.value = await found.json();
  } catch (error) {
    wrong.value = String(error.message);
  }
  is_asking.value = false;
};

const CATS = [
  { key: "before", text: "as before", colour: "s0", shape: "small" },
  { key: "replaced", text: "being replaced", colour: "bad", shape: "hollow" },
  { key: "done", text: "new revision", colour: "available", shape: "full" },
  { key: "left", text: "not available in the end", colour: "bad", shape: "cross" },
  { key: "out", text: "not concerned", colour: "quiet", shape: "dot" },
];

/** What each node is at a time of the plan. */
const states = (shown, column, played, at) => {
  const found = new Uint8Array(shown.count).fill(4);
  if (column) column.classes.forEach((one, node) => (found[node] = one === 5 || one === NONE ? 4 : 0));
  const left = new Set(played.left);
  for (const [node, begin] of played.touches) {
    if (begin <= at) found[node] = at < begin + played.takesMillis ? 1 : left.has(node) ? 3 : 2;
    else if (found[node] === 4) found[node] = 0;
  }
  return found;
};

const Player = ({ plan }) => {
  const shown = fleet.value;
  const { played } = plan;
  const column = columnOf(shown, `${plan.namespace}/${plan.name}`) || shown.columns[0];
  const is_known = Boolean(columnOf(shown, `${plan.namespace}/${plan.name}`));
  const end = Math.max(played.endMillis, played.takesMillis, 1);
  const [at, setAt] = useState(0);
  const [is_playing, play] = useState(false);
  const by = chosenLabel("by", usualLabel());
  const ordered = useOrder(shown, by, "");
  useEffect(() => {
    if (!is_playing) return;
    let [handle, last] = [0, performance.now()];
    const step = (now) => {
      setAt((before) => {
        const next = before + ((now - last) * end) / 8000;
        last = now;
        if (next < end) return next;
        play(false);
        return end;
      });
      handle = requestAnimationFrame(step);
    };
    handle = requestAnimationFrame(step);
    return () => cancelAnimationFrame(handle);
  }, [is_playing, end]);
  const now = states(shown, is_known ? column : null, played, at);
  const unserved = useMemo(() => curve(played), [played]);
  const counts = CATS.map((_, number) => now.reduce((sum, one) => sum + (one === number), 0));
  return html`<div>
    <div class="play"><button class="primary" onClick=${() => { if (at >= end) setAt(0); play(!is_playing); }}>${is_playing ? "Pause" : "Play"}</button>
      <input type="range" min="0" max=${end} step="any" value=${at} aria-label="Time after the change" aria-valuetext=${span(at)} onInput=${(event) => { play(false); setAt(Number(event.target.value)); }} /><span>${span(at)} of ${span(end)}</span></div>
    <${Curves} label="Nodes that are being replaced at once" from=${0} end=${end} limit=${plan.unavailable.allowed} limitText="allowed" height=${92} at=${at} curves=${[{ points: unserved, colour: "bad" }]} />
    <div class="controls"><${LabelChoice} name="by" text="Group by" fallback=${usualLabel()} /></div>
    <ul class="legend" aria-label="Legend">${CATS.map((cat, number) => html`<li key=${cat.key}><${Shape} cat=${cat} size=${13} /><span>${cat.text}</span> <span class="faint">${n(counts[number])}</span></li>`)}</ul>
    ${ordered && html`<${Grid} ...${{ shown, column, ordered }} cats=${CATS} of=${(node) => now[node]} version=${at} describe=${() => ""} label=${`The nodes of ${plan.name} after ${span(at)}`} />`}
  </div>`;
};
/** How many nodes are being replaced at each time. */
const curve = ({ touches, takesMillis }) => {
  const steps = touches.flatMap(([, begin]) => [[begin, 1], [begin + takesMillis, -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const points = [[0, 0]];
  let value = 0;
  for (const [millis, step] of steps) {
    value += step;
    if (points[points.length - 1][0] === millis) points[points.length - 1][1] = value;
    else points.push([millis, value]);
  }
  return points;
};

const Plan = ({ plan }) => html`<section class="more">
  <h2>${plan.namespace}/${plan.name}: ${plan.safe ? html`<span class="state">safe</span>` : html`<span class="state bad">not safe</span>`}</h2>
  <dl class="facts">
    <div><dt>takes</dt><dd>${span(plan.duration.p50Millis)} <small>at worst ${span(plan.duration.p95Millis)} (p95)</small></dd></div>
    <div><dt>nodes</dt><dd>${n(plan.nodes.desired)} <small>of ${n(plan.nodes.total)}</small></dd></div>
    <div><dt>at the worst moment</dt><dd>${n(plan.unavailable.worst)} <small>not available</small></dd></div>
    ${plan.nodes.gained.length > 0 && html`<div><dt>gain it</dt><dd>${n(plan.nodes.gained.length)}</dd></div>`}
    ${plan.nodes.lost.length > 0 && html`<div><dt>lose it</dt><dd>${n(plan.nodes.lost.length)}</dd></div>`}
    ${plan.misfits.length > 0 && html`<div><dt>do not fit</dt><dd>${n(plan.misfits.length)}</dd></div>`}
  </dl>
  ${plan.findings.map((one, number) => html`<p key=${number} class=${"finding " + one.severity}>${one.message}</p>`)}
  ${plan.changes.length > 0 && html`<details><summary><span /><span>${count(plan.changes.length, "field")} changed</span></summary><dl>${plan.changes.map((one, number) => html`<dt key=${`t${number}`}>${number + 1}</dt><dd key=${number}><code>${one.path}: ${JSON.stringify(one.before ?? one.old ?? null)} → ${JSON.stringify(one.after ?? one.new ?? null)}</code></dd>`)}</dl></details>`}
  ${plan.played && html`<${Player} plan=${plan} />`}
</section>`;

/** The screen. */
export const PlanScreen = () => {
  const [is_over, setOver] = useState(false);
  const file = useRef();
  const take = async (files) => {
    const one = files[0];
    if (!one) return;
    if (one.size > STARTS) return (wrong.value = "A manifest has 4 MiB at most.");
    text.value = await one.text();
    ask();
  };
  const found = answer.value;
  return html`<div>
    <div class="lead"><div><h1>Plan</h1><p>Drop a manifest of a DaemonSet here, with its RolloutPolicy if it has one, and see what applying it would do. Nothing is written.</p></div>
      <${Take} command="everynode plan -f FILE" markdown=${found && (() => found.plans.map((plan) => "```\n" + plan.text + "```\n").join("\n"))} /></div>
    ${fleet.value.moment && html`<p class="finding">The plan is made for the fleet as it is now, not for the moment that is shown.</p>`}
    <label><span class="hidden">Manifest</span><textarea class=${is_over ? "over" : ""} placeholder="apiVersion: apps/v1&#10;kind: DaemonSet" spellcheck=${false} value=${text.value} onInput=${(event) => (text.value = event.target.value)}
      onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer.files); }} /></label>
    <div class="play"><button class="primary" disabled=${is_asking.value || !text.value.trim()} onClick=${ask}>${is_asking.value ? "Planning" : "Plan it"}</button>
      <button class="ghost" onClick=${() => file.current.click()}>Choose a file</button><input ref=${file} type="file" class="hidden" tabindex="-1" aria-hidden="true" onChange=${(event) => take(event.target.files)} />
      <span role="status" class="soft">${is_asking.value ? "The engine runs it in virtual time" : ""}</span></div>
    ${wrong.value && html`<p class="finding unsafe" role="alert">${wrong.value}</p>`}
    ${found?.errors.map((one, number) => html`<p key=${number} class="finding unsafe">${one}</p>`)}
    ${found?.ignored.length > 0 && html`<p class="soft">Not planned: ${found.ignored.join(", ")}</p>`}
    ${found?.plans.filter(Boolean).map((plan) => html`<${Plan} key=${plan.name} plan=${plan} />`)}
  </div>`;
};
