// Mark a document in every column, and move between hits with the arrow keys.
import { announce, say } from "./page.js";

const hitOf = (node) => (node instanceof Element ? node.closest(".hit") : null);
const hits = (column) => [...column.querySelectorAll(".hit")];

function mark(hit, on) {
  for (const other of document.querySelectorAll(".hit")) {
    const same = on && other.dataset.key === hit.dataset.key;
    other.classList.toggle("is-marked", same);
    other.querySelector(".mark").setAttribute("aria-pressed", String(same));
  }
}

function across(hit, step) {
  const columns = [...document.querySelectorAll(".column")];
  const there = hits(columns[columns.indexOf(hit.closest(".column")) + step] ?? document.createElement("div"));
  const same = there.find((one) => one.dataset.key === hit.dataset.key);
  return same ?? there[Math.min(hit.dataset.rank, there.length) - 1];
}

function next(hit, key) {
  const own = hits(hit.closest(".column"));
  const place = own.indexOf(hit);
  if (key === "ArrowDown") return own[place + 1];
  if (key === "ArrowUp") return own[place - 1];
  if (key === "ArrowRight") return across(hit, 1);
  if (key === "ArrowLeft") return across(hit, -1);
  return undefined;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.(".mark");
  if (button) mark(hitOf(button), button.getAttribute("aria-pressed") !== "true");
});

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || !event.target.matches?.(".mark")) return;
  const found = next(hitOf(event.target), event.key);
  if (found) {
    event.preventDefault();
    found.querySelector(".mark").focus();
  }
});

// A link holds the question, so it has a limit.
function fits(form) {
  const most = Number(form.dataset.mostChars);
  const count = [...form.elements.q.value].length;
  if (count <= most) return true;
  const shown = count.toLocaleString("en");
  say(`The question has ${shown} characters, expected at most ${most.toLocaleString("en")}.`, "Shorten it.");
  return false;
}

document.addEventListener("htmx:confirm", (event) => {
  if (event.target.id === "ask" && !fits(event.target)) event.preventDefault();
});
document.addEventListener("htmx:afterSettle", () => {
  const columns = document.querySelectorAll(".column").length;
  announce(`${columns} columns, ${document.querySelectorAll(".hit").length} hits`);
});
