// Show the news of the jobs: one stream for this page, open while it is seen: a browser has few for a server.
import { announce, renew } from "./page.js";

const LOST_MS = 4000; // a stream ends every minute or so, and the next one opens at once
const AGAIN_MS = 5000; // after an answer that is no stream, the browser does not try again by itself
const line = document.getElementById("live");
const shown = new Map();
let stream, again, lost, wasLost = false;

function states() {
  return new Map([...document.querySelectorAll("[data-state]")].map((one) => [one.dataset.job, one.dataset.state]));
}

function show(id, html) {
  const part = document.getElementById(id);
  if (!part || shown.get(id) === html) return;
  shown.set(id, html);
  const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
  part.innerHTML = html;
  if (focused) (document.getElementById(focused) ?? document.getElementById("main")).focus();
}

function news(event) {
  const before = states();
  for (const [id, html] of Object.entries(JSON.parse(event.data))) show(id, html);
  const changed = [...states()].filter(([job, state]) => before.has(job) && before.get(job) !== state);
  if (changed.length) announce(changed.map(([job, state]) => `${job} is ${state}`).join(", "));
}

function opened() {
  clearTimeout(lost);
  lost = undefined;
  line.textContent = "Live.";
  line.classList.remove("is-lost");
  if (wasLost) renew().catch(() => {}); // the server may have been started again
  wasLost = false;
}

function closed() {
  lost ??= setTimeout(() => {
    wasLost = true;
    line.textContent = `Not live since ${new Date().toLocaleTimeString()}. What is shown may be old. This page tries again by itself; if that does not help, load it again, or start 'ce2de ui' again.`;
    line.classList.add("is-lost");
  }, LOST_MS);
  if (stream.readyState !== EventSource.CLOSED) return;
  clearTimeout(again);
  again = setTimeout(open, AGAIN_MS);
}

function open() {
  stream?.close();
  stream = new EventSource(line.dataset.live);
  stream.addEventListener("open", opened);
  stream.addEventListener("parts", news);
  stream.addEventListener("error", closed);
}

function close() {
  clearTimeout(lost);
  clearTimeout(again);
  lost = undefined;
  stream?.close();
}

function follow() {
  if (document.visibilityState === "visible") open();
  else close();
}

addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && follow());
document.addEventListener("visibilitychange", follow);
follow();
