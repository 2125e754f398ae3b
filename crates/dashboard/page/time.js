// The slider over what was: snapshots, or what was watched. Times that nobody watched are gaps.
import { fleet, moments, link, route, here, go, load, tick } from "./data.js";
import { html, useRef, useWidth, clock } from "./parts.js";

/** Moments, gaps and where we are. */
export const Time = () => {
  tick.value;
  const box = useRef();
  const { moments: all, gaps, live } = moments.value;
  const width = useWidth(box);
  const at = route.value.query.get("at");
  const is_worth_it = all.length > 1;
  const last = all[all.length - 1];
  const from = all[0]?.atMillis ?? 0;
  const end = Math.max(live ? fleet.value.moment ? last?.atMillis ?? 0 : fleet.value.takenAtMillis : last?.atMillis ?? 0, from + 1);
  const x = (millis) => ((millis - from) / (end - from)) * Math.max(1, width - 12) + 6;
  const place = at ? all.findIndex((one) => String(one.id) === at) : all.length - 1;
  const show = (number) => {
    const one = all[number];
    const is_now = number >= all.length - 1;
    go(here({ at: is_now || !one ? "" : one.id }), true);
    load();
  };
  const press = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    show(Math.max(0, Math.min(all.length - 1, place + step)));
  };
  const click = (event) => {
    const area = event.currentTarget.getBoundingClientRect();
    const wanted = from + ((event.clientX - area.left - 6) / Math.max(1, width - 12)) * (end - from);
    let best = 0;
    all.forEach((one, number) => {
      if (Math.abs(one.atMillis - wanted) < Math.abs(all[best].atMillis - wanted)) best = number;
    });
    show(best);
  };
  if (!is_worth_it) return html`<div ref=${box} />`;
  return html`<section class="time" aria-label="Time">
    <span>${clock(fleet.value.takenAtMillis)}</span>
    <div ref=${box} style=${{ flex: "1", minWidth: "60px" }} role="slider" tabindex="0" aria-label="Time" aria-valuemin="0" aria-valuemax=${all.length - 1} aria-valuenow=${place} aria-valuetext=${clock(fleet.value.takenAtMillis)} onKeyDown=${press} onClick=${click}>
      <svg height="26" width=${width} aria-hidden="true">
        <line x1="6" x2=${Math.max(6, width - 6)} y1="13" y2="13" stroke="var(--line)" stroke-width="4" stroke-linecap="round" />
        ${gaps.map((gap, number) => html`<line key=${`g${number}`} x1=${x(Math.max(from, gap.fromMillis))} x2=${x(Math.min(end, gap.toMillis))} y1="13" y2="13" stroke="var(--warn)" stroke-width="4" stroke-dasharray="2 4" />`)}
        ${all.map((one, number) => html`<line key=${one.id} x1=${x(one.atMillis)} x2=${x(one.atMillis)} y1=${number === place ? 3 : 8} y2=${number === place ? 23 : 18} stroke=${number === place ? "var(--accent)" : "var(--quiet)"} stroke-width=${number === place ? 4 : 1.5} stroke-linecap="round" />`)}
      </svg></div>
    ${at ? html`<button class="ghost" onClick=${() => show(all.length - 1)}>${live ? "Back to now" : "Latest"}</button>` : html`<span class="faint">${live ? (link.value.state === "live" ? "now" : "last heard of") : `${all.length} snapshots`}</span>`}
  </section>`;
};
