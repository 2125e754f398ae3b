// One node: why each daemon is there, or is not.
import { fleet, tick, route, to, ask, placeOf } from "./data.js";
import { html, useState, since, span, Shape, Command, Take, markdownTable, useAnswer, count } from "./parts.js";
import { CLASSES } from "./draw.js";
import { kindText } from "./matrix.js";

const order = [2, 3, 4, 1, 0, 5];
const moment = (shown) => (shown.moment ? `&at=${encodeURIComponent(shown.moment)}` : "");

/** Clauses that read like a command can be copied. */
const Change = ({ text }) => {
  const at = text.search(/(kubectl|everynode) /);
  if (at < 0) return html`<div>${text}</div>`;
  const end = text.indexOf(" tells", at) < 0 ? text.length : text.indexOf(" tells", at);
  return html`<div>${text.slice(0, at)} <${Command} text=${text.slice(at, end)} /> ${text.slice(end)}</div>`;
};

const Predicates = ({ all }) => all.map((one, number) => html`<div key=${number} class=${one.holds ? "yes" : "no"}>${one.text}${(one.details || []).map((line, place) => html`<div key=${place} class="faint">${line}</div>`)}</div>`);

/** What `why` says. */
export const Why = ({ why }) => {
  const { reason } = why;
  return html`<dl>
    <dt>because</dt><dd>${reason.text}${reason.detail && html`<div class="soft">${reason.detail}</div>`}</dd>
    ${reason.sinceSeconds !== undefined && html`<dt>since</dt><dd>${span(why.takenAtSeconds * 1000 - reason.sinceSeconds * 1000)} ago</dd>`}
    ${reason.wouldChange?.length > 0 && html`<dt>change it</dt><dd>${reason.wouldChange.map((text, number) => html`<${Change} key=${number} text=${text} />`)}</dd>`}
    ${why.predicates.length > 0 && html`<dt>placement</dt><dd><${Predicates} all=${why.predicates} /></dd>`}
    ${why.pods.length > 0 && html`<dt>pods</dt><dd>${why.pods.map((pod) => html`<div key=${pod.name} class="name">${pod.name}, ${pod.isCurrent ? "current" : "old"} revision: ${pod.isAvailable ? "available" : pod.reason?.text}</div>`)}</dd>`}
    ${why.rollOut && html`<dt>roll-out</dt><dd>${why.rollOut.budget}, ${why.rollOut.used} in use${why.rollOut.isUser ? "; this node is one of them" : ""}</dd>`}
    ${why.policy && html`<dt>policy</dt><dd>${why.policy.name}: ${why.policy.text}</dd>`}
    ${why.events?.length > 0 && html`<dt>events</dt><dd>${why.events.map((one, number) => html`<div key=${number}><b>${one.reason}</b> ${one.message} <span class="faint">${one.count > 1 ? `${one.count} times` : ""}</span></div>`)}</dd>`}
    ${why.notSeen?.map((text, number) => html`<dt key=${`t${number}`}>not seen</dt><dd key=${number} class="soft">${text}</dd>`)}
  </dl>`;
};

const Daemon = ({ column, node, name, is_open }) => {
  tick.value;
  const shown = fleet.value;
  const [wanted, want] = useState(is_open);
  const { summary } = column;
  const number = column.classes[node];
  const path = `/api/why?namespace=${encodeURIComponent(summary.namespace)}&name=${encodeURIComponent(summary.name)}&node=${encodeURIComponent(name)}${moment(shown)}`;
  const { value, error } = useAnswer(() => (wanted ? ask(path) : Promise.resolve(undefined)), [path, wanted, wanted && shown.sequence - (shown.sequence % 20)]);
  const cause = kindText(shown, column.kinds[node]);
  const what = CLASSES[number].text;
  return html`<details open=${is_open} onToggle=${(event) => event.target.open && want(true)}>
    <summary><${Shape} cat=${CLASSES[number]} /><span><span class="daemon">${summary.name}</span> <span class="faint name">${summary.namespace}</span></span><span class=${number === 2 || number === 3 ? "" : "soft"}>${cause && cause !== what ? `${what}: ${value ? value.reason.text : cause}` : what}</span></summary>
    ${error ? html`<p class="soft">${error}</p>` : wanted && !value ? html`<p class="faint inset">Asking</p>` : value && html`<${Why} why=${value} /><p class="inset"><a class="num soft" href=${to(["daemon", summary.namespace, summary.name])}>all nodes of ${summary.name}</a></p>`}
  </details>`;
};

const About = ({ about }) => html`<div>
  <p class="soft">${about.ready === "True" ? "Ready" : about.ready === "Unknown" ? "Down: its kubelet does not answer" : "Not ready"} ${since(about.readySinceSeconds ?? undefined)}${about.unschedulable ? " · cordoned, which keeps no daemon away" : ""}${about.readyMessage ? ` · ${about.readyMessage}` : ""}</p>
  ${about.taints.length > 0 && html`<h2 class="more">Taints</h2><ul class="chips">${about.taints.map((one, number) => html`<li key=${number}>${one.key}${one.value && `=${one.value}`}:${one.effect}</li>`)}</ul>`}
  <h2 class="more">Labels</h2><ul class="chips">${Object.entries({ ...about.system, ...about.labels }).map(([key, value]) => html`<li key=${key}><span class="faint">${key}=</span>${value}</li>`)}</ul>
</div>`;

/** The screen. */
export const Node = () => {
  tick.value;
  const shown = fleet.value;
  const name = route.value.path[1] || "";
  const first = route.value.query.get("d");
  const node = placeOf(shown, name);
  const about = useAnswer(() => ask(`/api/node?name=${encodeURIComponent(name)}${moment(shown)}`), [name, shown.moment]);
  if (node === undefined) return html`<div class="lead"><div><h1>${name}</h1><p>There is no such node in what is shown.</p></div></div>`;
  const columns = shown.columns.filter((column) => column.classes[node] !== 255);
  const rank = (column) => (column.id === first ? -1 : order.indexOf(column.classes[node]));
  columns.sort((a, b) => rank(a) - rank(b));
  const bad = columns.filter((column) => [2, 3].includes(column.classes[node])).length;
  const command = first ? `everynode why daemonset/${first.split("/")[1]} -n ${first.split("/")[0]} node/${name}` : `everynode status -A --nodes`;
  const markdown = () => markdownTable(["daemon", "state", "cause"], columns.map((column) => [column.id, CLASSES[column.classes[node]].text, kindText(shown, column.kinds[node])]));
  return html`<div>
    <div class="lead"><div><p class="crumb"><a href=${to(["matrix"])}>matrix</a></p><h1>${name}</h1>
      <p>${bad ? `${count(bad, "daemon")} of ${columns.length} in trouble here` : `${count(columns.length, "daemon")} looked at; none is in trouble here`}</p></div><${Take} command=${command} markdown=${markdown} /></div>
    <div class="columns"><section><h2>Daemons</h2>
      ${columns.slice(0, 200).map((column, place) => html`<${Daemon} key=${column.id + name} column=${column} node=${node} name=${name} is_open=${column.id === first || (place < 3 && [2, 3, 4].includes(column.classes[node]))} />`)}</section>
    <section><h2>Node</h2>${about.error ? html`<p class="soft">${about.error}</p>` : about.value ? html`<${About} about=${about.value} />` : html`<p class="faint">Asking</p>`}</section></div>
  </div>`;
};
