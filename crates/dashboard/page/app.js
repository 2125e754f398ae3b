// The frame around all screens: where we are, how the cluster is heard of, keys.
import { fleet, failure, link, route, to, go, load, listen, moments, refreshMoments } from "./data.js";
import { html, render, useEffect, useRef, useState, said, clock } from "./parts.js";
import { forget } from "./draw.js";
import { Daemons, Nodes, Outliers, Search } from "./screens.js";
import { Matrix } from "./matrix.js";
import { Daemon } from "./rollout.js";
import { Node } from "./node.js";
import { PlanScreen } from "./plan.js";
import { Time } from "./time.js";

const SCREENS = { "": Daemons, matrix: Matrix, daemon: Daemon, node: Node, nodes: Nodes, outliers: Outliers, plan: PlanScreen };
const TABS = [["", "Daemons", "1"], ["matrix", "Matrix", "2"], ["outliers", "Outliers", "3"], ["plan", "Plan", "4"]];
const KEYS = [["/", "search nodes and daemons"], ["1 to 4", "daemons, matrix, outliers, plan"], ["Arrows", "move within what has the focus"], ["Enter", "open it"], ["+ and -", "zoom the matrix"], ["Escape", "back: show all, then one screen up"], ["?", "these keys"]];

const Link = () => {
  const { state } = link.value;
  const words = { live: "live", snapshot: fleet.value && `snapshot of ${clock(fleet.value.takenAtMillis)}`, interrupted: "cluster not heard of", lost: "no connection", waiting: "reading" };
  return html`<span class=${"link " + state} role="status"><i />${fleet.value?.moment && state === "live" ? "a moment of the past" : words[state]}</span>`;
};

const scheme = () => document.documentElement.dataset.scheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
const Scheme = () => {
  const [now, set] = useState(scheme());
  const other = now === "dark" ? "light" : "dark";
  return html`<button class="ghost" aria-label=${`Use ${other} colours`} title=${`Use ${other} colours`} onClick=${() => {
    document.documentElement.dataset.scheme = other;
    forget();
    set(other);
  }}>${now === "dark" ? "☀" : "☾"}</button>`;
};

const Help = ({ dialog }) => html`<dialog ref=${dialog} aria-labelledby="keys">
  <h2 id="keys">Keys</h2><dl>${KEYS.map(([key, what]) => html`<dt key=${key}><kbd>${key}</kbd></dt><dd key=${what}>${what}</dd>`)}</dl>
  <button class="primary" onClick=${() => dialog.current.close()}>Close</button></dialog>`;

const Notices = () => {
  const { state, why } = link.value;
  const shown = fleet.value;
  return html`<div>
    ${(state === "interrupted" || state === "lost") && html`<p class="notice bad" role="alert">${state === "lost" ? "" : "The cluster is not heard of; what is shown was last. "}${why}</p>`}
    ${shown?.notSeen.map((text, number) => html`<p key=${number} class="notice">${text}</p>`)}
    ${failure.value && shown && html`<p class="notice bad" role="alert">${failure.value} <a class="num" href=${to([""])} onClick=${() => go("#/", true) || load()}>Show now</a></p>`}
  </div>`;
};

const App = () => {
  const main = useRef();
  const dialog = useRef();
  const screen = route.value.path[0];
  const Screen = SCREENS[screen] || Daemons;
  useEffect(() => {
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
      const screen = route.peek().path[0];
      const tab = TABS.find(([, , key]) => key === event.key);
      if (event.key === "/") document.querySelector(".search input")?.focus();
      else if (tab) go(to([tab[0]]));
      else if (event.key === "?") dialog.current.showModal();
      else if (event.key === "Escape" && !dialog.current.open && screen) go(to([screen === "node" || screen === "nodes" ? "matrix" : ""]));
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  useEffect(() => {
    document.title = ["everynode", ...route.value.path.filter(Boolean)].join(" · ");
    main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [route.value.path.join("/")]);
  return html`<div>
    <header class="top">
      <a class="brand" href=${to([""])}><img src="/icon.svg" alt="" />everynode</a>
      <nav class="tabs" aria-label="Screens">${TABS.map(([path, text, key]) => html`<a key=${path} href=${to([path])} aria-current=${screen === path || (path === "" && screen === "daemon") || (path === "matrix" && screen.startsWith("node")) ? "page" : undefined} title=${`Key ${key}`}>${text}</a>`)}</nav>
      <span class="grow" /><${Link} />${fleet.value && html`<${Search} />`}<${Scheme} /><button class="ghost" aria-label="Keys" title="Keys" onClick=${() => dialog.current.showModal()}>?</button>
    </header>
    ${fleet.value && html`<${Time} />`}<${Notices} />
    <main tabindex="-1" ref=${main}>${fleet.value ? html`<${Screen} key=${screen} />` : html`<p class="soft" role="status">${failure.value || "Reading the fleet"}</p>`}</main>
    <div class=${"said" + (said.value ? " shown" : "")} role="status" aria-live="polite">${said.value}</div>
    <${Help} dialog=${dialog} />
  </div>`;
};

// The token lets one browser in once; nobody needs it in the address any more.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);
document.getElementById("app").replaceChildren();
render(html`<${App} />`, document.getElementById("app"));
load();
listen();
setInterval(() => moments.value.live && refreshMoments(), 10000);
let at = route.value.query.get("at");
route.subscribe(({ query }) => {
  if (query.get("at") !== at) {
    at = query.get("at");
    load();
  }
});
