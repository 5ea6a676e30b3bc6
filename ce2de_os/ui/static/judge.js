// Grades: shown at once, kept in this browser until the server has them for good, shared with other tabs.
import { announce, post, say } from "./page.js";

const PREFIX = "ce2de/judgment/";
const RETRY_MS = 2000;
const AT_ONCE = 500;
const tabs = new BroadcastChannel("ce2de-judgments");
let isSending = false;

const place = (node) => node.closest("[data-judging]");

function judgmentOf(group, grade) {
  const { collection, judge, queryId, query } = { ...place(group).dataset };
  const own = group.closest("[data-index]")?.dataset.index;
  const base = { collection: own || collection, judge, doc_id: group.dataset.doc, grade, at_ms: Date.now() };
  return queryId ? { ...base, query_id: queryId } : { ...base, query };
}

const nameOf = (one) => PREFIX + JSON.stringify([one.collection, one.query_id ?? one.query, one.judge, one.doc_id]);

function groupsOf(one) {
  return [...document.querySelectorAll(".grades")].filter((group) => nameOf(judgmentOf(group, null)) === nameOf(one));
}

function show(one, state) {
  for (const group of groupsOf(one)) {
    for (const button of group.querySelectorAll(".grade")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.grade) === one.grade));
    }
    group.querySelector(".kept")?.remove();
    group.querySelector(".saved").textContent = state;
  }
  const own = document.getElementById("own");
  if (own) own.textContent = document.querySelectorAll("#judging .grade[aria-pressed=true], #judging .kept").length;
}

function waiting() {
  const found = [];
  for (let number = 0; number < localStorage.length; number += 1) {
    const key = localStorage.key(number);
    if (key.startsWith(PREFIX)) found.push([key, localStorage.getItem(key)]);
  }
  return found;
}

async function problemOf(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.querySelector(".problem strong")?.textContent ?? `the server answered ${answer.status}`;
}

async function sendWaiting() {
  const rows = waiting().slice(0, AT_ONCE);
  if (!rows.length) return true;
  const judgments = rows.map(([, text]) => JSON.parse(text));
  const answer = await post("/judge/grades", JSON.stringify({ judgments }), "application/json");
  if (!answer.ok) {
    say(await problemOf(answer), `Judgments wait in this browser (${rows.length}) until this is mended.`);
    return answer.status < 500 && answer.status !== 401;
  }
  for (const [key, text] of rows) if (localStorage.getItem(key) === text) localStorage.removeItem(key);
  for (const one of judgments) {
    show(one, "kept");
    tabs.postMessage(one);
  }
  say("");
  announce("kept");
  return waiting().length === 0 || sendWaiting();
}

async function flush() {
  if (isSending) return;
  isSending = true;
  let isDone = false;
  try {
    isDone = await sendWaiting();
  } catch {
    say("The server of this page does not answer.", `Judgments wait in this browser (${waiting().length}); they are sent as soon as it does.`);
  } finally {
    isSending = false;
  }
  if (!isDone) setTimeout(flush, RETRY_MS);
}

function judge(group, grade) {
  const one = judgmentOf(group, grade);
  localStorage.setItem(nameOf(one), JSON.stringify(one));
  show(one, "…");
  flush();
}

tabs.addEventListener("message", (event) => show(event.data, "kept in another tab"));

document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".grade");
  if (!button || button.disabled) return;
  judge(button.closest(".grades"), button.getAttribute("aria-pressed") === "true" ? null : Number(button.dataset.grade));
});

function step(hit, by) {
  const all = [...document.querySelectorAll(".pool .hit")];
  all[all.indexOf(hit) + by]?.querySelector(".grade").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || !event.target.matches?.(".grade, .mark")) return;
  const hit = event.target.closest(".hit");
  const group = hit.querySelector(".grades");
  if (!group || group.querySelector(".grade").disabled) return;
  const isPool = hit.closest(".pool") !== null;
  if (group.querySelector(`.grade[data-grade="${CSS.escape(event.key)}"]`)) {
    judge(group, Number(event.key));
    if (isPool) step(hit, 1);
  } else if (event.key === "Backspace") {
    judge(group, null);
  } else if (isPool && event.key === "ArrowDown") {
    step(hit, 1);
  } else if (isPool && event.key === "ArrowUp") {
    step(hit, -1);
  } else {
    return;
  }
  event.preventDefault();
});

async function send(form, path, body, headers) {
  const answer = await post(path, body, "application/octet-stream", headers);
  if (!answer.ok) return say(await problemOf(answer));
  const found = await answer.json();
  sessionStorage.setItem("said", found.said);
  location.href = found.query ? `${form.dataset.here}&query=${encodeURIComponent(found.query)}` : location.href;
  if (!found.query) location.reload();
  return undefined;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.path) return;
  event.preventDefault();
  const file = form.elements.file?.files[0];
  const here = new URL(location.href);
  here.searchParams.delete("query");
  form.dataset.here = here.search ? here.pathname + here.search : `${here.pathname}?`;
  if (!file) {
    await send(form, form.dataset.path, JSON.stringify({ text: form.elements.text.value }), {});
    return;
  }
  const number = form.elements.number ? `&number=${encodeURIComponent(form.elements.number.value)}` : "";
  await send(form, form.dataset.path + number, await file.arrayBuffer(), { "X-File": encodeURIComponent(file.name) });
});

const said = sessionStorage.getItem("said");
if (said) announce(said);
sessionStorage.removeItem("said");
for (const [, text] of waiting()) show(JSON.parse(text), "waits");
document.querySelector(".pool .hit .grades:not(:has([aria-pressed=true])) .grade")?.focus();
flush();
