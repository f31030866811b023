"use strict";

const at = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-choice]")];
let annotator = "";
let fixed = null;
let page = null;
let busy = false;
let seen = 0;
let visibleSince = null;

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let reply;
  try {
    reply = await fetch(path, options || {});
  } catch {
    throw new Error("The server does not answer, nothing was saved. Start seam annotate again, then choose once more.");
  }
  const value = await reply.json();
  if (!reply.ok) throw Object.assign(new Error(value.error), { status: reply.status });
  return value;
}

async function once(work) {
  if (busy) return;
  busy = true;
  buttons.forEach((button) => (button.disabled = true));
  try {
    await work();
    say("");
  } catch (error) {
    say(error.message);
    if (error.status === 409) show(await ask(of("next")));
  } finally {
    busy = false;
    buttons.forEach((button) => (button.disabled = false));
  }
}

function of(what, more = {}) {
  return `/api/${what}?${new URLSearchParams({ annotator, ...more })}`;
}

function say(text) {
  at("message").textContent = text;
  at("message").hidden = !text;
}

function show(next) {
  page = next;
  const item = next.item;
  at("start").hidden = true;
  at("change").hidden = Boolean(fixed);
  at("pair").hidden = at("choices").hidden = !item;
  at("end").hidden = Boolean(item);
  at("end-back").hidden = next.first;
  at("who").textContent = `${annotator}, ${next.done} of ${next.total} judged`;
  at("progress").max = next.total || 1;
  at("progress").value = next.done;
  document.title = `${next.done}/${next.total} Which answer is better?`;
  if (item) fill(item, next.first);
  seen = 0;
  visibleSince = document.hidden ? null : performance.now();
  window.scrollTo(0, 0);
}

function fill(item, first) {
  for (const part of ["instruction", "left", "right"]) at(part).innerHTML = item[part];
  for (const side of ["left", "right"]) at(`card-${side}`).classList.toggle("chosen", item.choice === side);
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(item.choice === button.dataset.choice)));
  at("back").disabled = first;
  at("on").hidden = !item.choice;
  at("earlier").textContent = item.choice ? "Judged before; choose again to change it." : "";
  at("comment").value = item.comment || "";
  at("more").open = Boolean(item.comment);
  if (document.activeElement) document.activeElement.blur();
}

function secondsSeen() {
  return (seen + (visibleSince === null ? 0 : performance.now() - visibleSince)) / 1000;
}

// A second press or click that was meant for the pair before comes sooner than anybody reads.
const TOO_SOON = 0.3;

const choose = (choice) => page && page.item && secondsSeen() > TOO_SOON && once(async () => show(await ask("/api/judge", {
  annotator, choice, position: page.item.position, token: page.item.token, seconds: secondsSeen(), comment: at("comment").value,
})));

const back = () => page && !page.first && once(async () =>
  show(await ask(of("before", { position: page.item ? page.item.position : page.total }))));

const goOn = () => page && page.item && page.item.choice && once(async () => show(await ask(of("next"))));

function comment() {
  at("more").open = true;
  at("comment").focus();
}

function begin(name) {
  return once(async () => {
    annotator = name.trim();
    show(await ask(of("next")));
    if (!fixed) sessionStorage.setItem("annotator", annotator);
  });
}

async function start() {
  const { annotator: only, people, total } = await ask("/api/people");
  fixed = only;
  const known = only || new URLSearchParams(location.search).get("annotator") || sessionStorage.getItem("annotator");
  if (known) return begin(known);
  at("start").hidden = false;
  at("who").textContent = `${total} pairs`;
  at("people").replaceChildren(...Object.entries(people).map(([name, done]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${name} (${done} of ${total})` });
    button.addEventListener("click", () => begin(name));
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }));
  at("name").focus();
}

const KEYS = { 1: () => choose("left"), 2: () => choose("right"), 0: () => choose("tie"), ArrowLeft: () => choose("left"),
  ArrowRight: () => choose("right"), u: back, n: goOn, c: comment };

document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "TEXTAREA"].includes(event.target.tagName);
  if (typing && event.key === "Escape") event.target.blur();
  if (typing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || !page) return;
  event.preventDefault();
  act();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && visibleSince !== null) seen += performance.now() - visibleSince;
  visibleSince = document.hidden ? null : performance.now();
});
buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.choice)));
at("back").addEventListener("click", back);
at("end-back").addEventListener("click", back);
at("on").addEventListener("click", goOn);
at("change").addEventListener("click", () => {
  sessionStorage.removeItem("annotator");
  location.replace("/");
});
at("start").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(at("name").value);
});
start().catch((error) => say(error.message));
