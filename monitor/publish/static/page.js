// Keeps the page live: fetches the same page anew and takes over the sections marked data-live, the summary and
// the title. Markup is made by the server alone, where all text is escaped; nothing here turns text into markup.
"use strict";

const EVERY = 5000; // ms
const live = document.getElementById("live");
const pause = document.getElementById("pause");
const updated = document.getElementById("updated");
let paused = false;

// How to find the place of the focus again in a section that was replaced.
function placeOf(section) {
  const focused = document.activeElement;
  if (!section.contains(focused)) return null;
  if (focused.id) return { id: focused.id };
  const details = focused.closest("details");
  const within = details && details.id ? details : section;
  const all = [...within.querySelectorAll("a, summary, [tabindex]")];
  return { within: within.id, index: all.indexOf(focused) };
}

function putBack(place) {
  if (!place) return;
  let target = place.id ? document.getElementById(place.id) : null;
  if (!target && place.within) {
    const within = document.getElementById(place.within);
    target = within && within.querySelectorAll("a, summary, [tabindex]")[place.index];
  }
  if (target) target.focus({ preventScroll: true });
}

function take(fresh) {
  for (const section of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(section.id);
    if (!next) continue;
    for (const one of section.querySelectorAll("details[id]")) {
      const same = next.querySelector(`details[id="${CSS.escape(one.id)}"]`);
      if (same) same.open = one.open;
    }
    if (next.innerHTML === section.innerHTML) continue; // and somebody who reads is not disturbed
    const selection = document.getSelection();
    // somebody who copies an address must not lose it
    if (selection && !selection.isCollapsed && section.contains(selection.anchorNode)) continue;
    const place = placeOf(section);
    section.replaceChildren(...[...next.childNodes].map((node) => document.importNode(node, true)));
    putBack(place);
  }
  const summary = document.getElementById("summary");
  const said = fresh.getElementById("summary");
  if (said && said.textContent !== summary.textContent) {
    summary.replaceChildren(...[...said.childNodes].map((node) => document.importNode(node, true)));
  }
  if (said) summary.className = said.className;
  document.title = fresh.title;
}

async function update() {
  if (paused || document.hidden) return;
  try {
    const answer = await fetch(location.pathname + location.search, {
      headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(EVERY),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // such as that of a proxy where one has to log in again
    if (!fresh.getElementById("summary")) throw new Error("another page");
    take(fresh);
    updated.textContent = "Updated " + new Date().toISOString().slice(11, 19) + "Z";
    live.classList.remove("stale");
  } catch {
    // what stands there is old now, and must not look as if it were not
    live.classList.add("stale");
    updated.textContent = "The monitor does not answer; what you see is old.";
  }
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Go on with updates" : "Pause updates";
  update();
});
document.addEventListener("visibilitychange", update);
const linked = document.getElementById(location.hash.slice(1));
if (linked && linked.tagName === "DETAILS") linked.open = true;
live.hidden = false;
setInterval(update, EVERY);
update();
