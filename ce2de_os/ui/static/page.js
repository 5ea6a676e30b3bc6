// What every page needs: the form secret, and messages when the server is away.
const meta = document.querySelector('meta[name="csrf"]');

export function say(text, action = "") {
  const place = document.getElementById("messages");
  place.replaceChildren();
  if (!text) return;
  const line = document.createElement("p");
  line.className = "problem";
  const strong = document.createElement("strong");
  strong.textContent = text;
  line.append(strong);
  if (action) {
    const more = document.createElement("span");
    more.textContent = action;
    line.append(more);
  }
  place.append(line);
}

export function announce(text) {
  document.getElementById("status").textContent = text;
}

export async function renew() {
  const answer = await fetch("/csrf", { cache: "no-store" });
  meta.content = (await answer.json()).csrf;
  for (const field of document.querySelectorAll('input[name="csrf"]')) field.value = meta.content;
}

// Send a form; after a restart of the server the secret is renewed, and the form sent once more.
export async function post(path, body, type = "application/x-www-form-urlencoded", more = {}) {
  for (let last = false; ; last = true) {
    const answer = await fetch(path, {
      method: "POST",
      body,
      headers: { "Content-Type": type, "X-CSRF-Token": meta.content, "HX-Request": "true", ...more },
    });
    if (last || !answer.headers.has("X-Stale")) return answer;
    await renew();
  }
}

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = meta.content;
});
document.addEventListener("htmx:sendError", () => {
  say("The server of this page does not answer.", "Start 'ce2de ui' again, then try once more; nothing on this page is lost.");
});
document.addEventListener("htmx:beforeRequest", () => say(""));
