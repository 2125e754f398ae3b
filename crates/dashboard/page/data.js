// What is shown, as the server tells it: a frame of columns, then deltas. Nothing is decided here.
import { signal, batch } from "./vendor/signals.js";

/** The fleet; its columns change in place. */
export const fleet = signal(null);
/** Rises with every change of what is shown. Columns change in place, so who shows one reads this. */
export const tick = signal(0);
/** The cells that the last delta changed: [index of the column, numbers of nodes]. */
export const changed = signal([]);
/** Rises when a list of numbers has come that is not always there. */
export const layered = signal(0);
/** How the cluster is heard of: "live", "snapshot", "interrupted", "lost" (the server is gone). */
export const link = signal({ state: "waiting" });
/** Moments of the past and gaps between them. */
export const moments = signal({ live: false, moments: [], gaps: [] });
/** Why there is nothing to show, if so. */
export const failure = signal(null);

/** No value. */
export const NONE = 255;

// ---------------------------------------------------------------- the address

const parse = () => {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").map(decode), query: new URLSearchParams(query || "") };
};
const decode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Where we are: the parts of the path, and the query. */
export const route = signal(parse());
addEventListener("hashchange", () => (route.value = parse()));

/** The address of a screen. What goes along everywhere (the moment) is kept. */
export const to = (path, query = {}) => {
  const all = new URLSearchParams();
  const at = route.value.query.get("at");
  if (at) all.set("at", at);
  for (const [key, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") all.delete(key);
    else all.set(key, value);
  }
  const text = all.toString();
  return "#/" + path.map(encodeURIComponent).join("/") + (text ? "?" + text : "");
};
/** The address of this screen with parts of its query changed. */
export const here = (query) => to(route.value.path, { ...Object.fromEntries(route.value.query), ...query });
/** Goes somewhere; `quietly` without a step to go back to. */
export const go = (hash, quietly) => {
  if (quietly) {
    history.replaceState(null, "", hash);
    route.value = parse();
  } else location.hash = hash;
};

// ---------------------------------------------------------------- the frame

const get = async (path, kind = "json") => {
  const answer = await fetch(path);
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  const value = await answer[kind]();
  if (value.notKept) throw new Error(value.notKept);
  return value;
};
export const ask = get;

/** The names of nodes, by their version. They are more than all the rest, and hardly change. */
let named = { version: -1, nodes: [] };
const read = async (path) => {
  const buffer = await get(path, "arrayBuffer");
  const bytes = new Uint8Array(buffer);
  if (new TextDecoder().decode(bytes.subarray(0, 4)) !== "ENF2") throw new Error("This is no frame.");
  const length = new DataView(buffer).getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  if (named.version !== head.names) named = { version: head.names, nodes: await get(`/api/names?version=${head.names}`) };
  const { nodes } = named;
  const count = nodes.length;
  let from = 8 + length;
  const next = () => bytes.subarray(from, (from += count));
  const nodeStates = next();
  const columns = head.summaries.daemonsets.map((summary, index) => ({
    index,
    summary,
    id: `${summary.namespace}/${summary.name}`,
    hashes: head.hashes[index],
    classes: next(),
    kinds: next(),
    layers: {},
  }));
  return { ...head, notSeen: head.summaries.notSeen || [], nodes, count, nodeStates, columns, places: null };
};

/** The place of a node by its name. */
export const placeOf = (shown, name) => {
  shown.places ||= new Map(shown.nodes.map((node, place) => [node, place]));
  return shown.places.get(name);
};
/** The column of a DaemonSet by `namespace/name`. */
export const columnOf = (shown, id) => shown.columns.find((column) => column.id === id);

let loading = 0;
/** Loads what is shown now, or a moment. */
export const load = async () => {
  const mine = ++loading;
  const at = route.peek().query.get("at");
  try {
    const frame = await read("/api/frame" + (at ? `?at=${encodeURIComponent(at)}` : ""));
    if (mine !== loading) return;
    frame.moment = at;
    labels.clear();
    batch(() => {
      fleet.value = frame;
      failure.value = null;
      tick.value++;
    });
    moments.value = await get("/api/moments");
    if (moments.value.interrupted) link.value = { state: "interrupted", why: moments.value.interrupted };
    else if (link.value.state === "waiting") link.value = { state: moments.value.live ? "live" : "snapshot" };
  } catch (error) {
    // Nodes may have changed between the frame and their names.
    if (mine === loading && !at && error.status === 404) setTimeout(load, 250);
    else if (mine === loading) failure.value = error.status === 404 ? "That moment is not kept any more." : String(error.message);
  }
};

/** Loads what daemons use against their peers, in hundredths by node; `shown.unused` says why there is nothing. */
const peers = async (shown) => {
  const found = await get("/api/peers?measure=cpu");
  if (fleet.value !== shown) return;
  shown.unused = found.missing;
  shown.columns.forEach((column) => {
    const times = (column.layers.peers = new Uint32Array(shown.count));
    const cells = found.columns[column.id] || [];
    for (let at = 0; at < cells.length; at += 2) times[cells[at]] = Math.max(1, cells[at + 1]);
  });
  layered.value++;
  tick.value++;
};

/** Loads a list of numbers of every DaemonSet: wave, restarts, revision, flags, peers. Of the past only states are kept. */
export const layer = async (name) => {
  const shown = fleet.value;
  if (shown && !shown.moment && name === "peers") return peers(shown).catch((error) => (shown.unused = String(error.message)));
  if (!shown || shown.moment || shown.columns.every((column) => column.layers[name])) return;
  const bytes = new Uint8Array(await get(`/api/layer?name=${name}`, "arrayBuffer"));
  if (bytes.length !== shown.count * shown.columns.length || fleet.value !== shown) return;
  shown.columns.forEach((column, index) => {
    column.layers[name] = bytes.slice(index * shown.count, (index + 1) * shown.count);
  });
  layered.value++;
  tick.value++;
};

const labels = new Map();
/** The values of a label: their names, and by node the number of its value (65535: none). */
export const label = (key) => {
  // A link may name one that this fleet does not have.
  if (!fleet.value.labels.some((one) => one.key === key)) return Promise.resolve(null);
  if (!labels.has(key)) labels.set(key, get(`/api/label?key=${encodeURIComponent(key)}`).then(fit));
  return labels.get(key);
};
// A moment has other nodes than now: labels are those of now, by name.
const fit = async (found) => {
  const shown = fleet.value;
  if (!shown.moment) return found;
  const now = await read("/api/frame");
  const places = new Map(now.nodes.map((node, place) => [node, place]));
  return { ...found, nodes: shown.nodes.map((node) => found.nodes[places.get(node)] ?? 65535) };
};

// ---------------------------------------------------------------- what happens

const LAYERS = ["wave", "restarts", "revision", "flags"];
const apply = (event) => {
  const shown = fleet.value;
  if (!shown || shown.moment) return;
  if (event.sequence !== shown.sequence + 1) {
    if (event.sequence > shown.sequence) load();
    return;
  }
  const touched = [];
  for (const part of event.columns) {
    const column = shown.columns[part.index];
    const nodes = [];
    for (let at = 0; at < part.cells.length; at += 7) {
      const node = part.cells[at];
      column.classes[node] = part.cells[at + 1];
      column.kinds[node] = part.cells[at + 2];
      LAYERS.forEach((name, number) => {
        if (column.layers[name]) column.layers[name][node] = part.cells[at + 3 + number];
      });
      nodes.push(node);
    }
    column.summary = part.summary;
    column.hashes = part.hashes;
    touched.push([part.index, nodes]);
  }
  shown.kinds = event.kinds;
  shown.sequence = event.sequence;
  shown.takenAtMillis = event.takenAtMillis;
  batch(() => {
    changed.value = touched;
    tick.value++;
  });
};

/** Listens to the server from now on, and begins anew after a break. */
export const listen = () => {
  const source = new EventSource("/api/events");
  source.onopen = () => {
    if (link.value.state === "lost") {
      link.value = { state: "waiting" };
      load();
    }
  };
  source.onerror = () => {
    link.value = { state: "lost", why: "everynode dashboard is not running any more, or cannot be reached." };
  };
  source.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.type === "delta") apply(event);
    else if (event.type === "interrupted") link.value = { state: "interrupted", why: event.why };
    else if (event.type === "resumed") {
      link.value = { state: "live" };
      refreshMoments();
    } else if (event.type === "reload" && !fleet.value?.moment) load();
  };
};
export const refreshMoments = async () => {
  try {
    moments.value = await get("/api/moments");
  } catch {
    // The next event comes with a new try.
  }
};

// ---------------------------------------------------------------- counting

/** How many nodes of a column are of each class. */
export const classCounts = (column) => {
  const counts = new Uint32Array(7);
  const { classes } = column;
  for (let node = 0; node < classes.length; node++) counts[Math.min(classes[node], 6)]++;
  return counts;
};
/** The nodes of a column that a filter lets through. */
export const nodesWhere = (column, { classNumber, kind, flag, wave, revision }) => {
  const found = [];
  for (let node = 0; node < column.classes.length; node++) {
    if (classNumber !== undefined && column.classes[node] !== classNumber) continue;
    if (kind !== undefined && column.kinds[node] !== kind) continue;
    if (flag !== undefined && !((column.layers.flags?.[node] ?? 0) & flag)) continue;
    if (wave !== undefined && column.layers.wave?.[node] !== wave) continue;
    if (revision !== undefined && column.layers.revision?.[node] !== revision) continue;
    found.push(node);
  }
  return found;
};
