"use strict";
// Page of the service. All of its data come from /v1; only a token is stored, for the
// session of the browser.

const $ = (id) => document.getElementById(id);
const MAX_WORDS = 500; // Each word is left out once, at the cost of a prediction.
const state = { task: null, pending: [], queue: [], given: [], history: [] };

function status(message, wrong = false) {
  $("status").textContent = message;
  $("status").classList.toggle("wrong", wrong);
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function headers() {
  const token = sessionStorage.getItem("token");
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function ask(method, path, body) {
  const options = { method, headers: headers() };
  if (body !== undefined) options.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(`v1/tasks${path}`, options);
  } catch {
    throw new Error("the service cannot be reached; try again.");
  }
  if (answer.ok) return answer;
  $("access").hidden = answer.status !== 401;
  const content = await answer.json().catch(() => null);
  throw new Error(content?.error?.message ?? `the service answered ${answer.status}.`);
}

const json = async (...request) => (await ask(...request)).json();

// Runs the action of a control, which is disabled meanwhile, and shows errors.
async function during(control, message, work) {
  control.disabled = true;
  status(message);
  try {
    status((await work()) ?? "");
  } catch (error) {
    status(error.message, true);
  } finally {
    control.disabled = false;
  }
}

// Parsing of examples.

function unquoted(field) {
  const trimmed = field.trim();
  if (!/^".*"$/s.test(trimmed)) return trimmed;
  return trimmed.slice(1, -1).replaceAll('""', '"');
}

function example(line) {
  if (line.trimStart().startsWith("{")) {
    const row = JSON.parse(line);
    return { text: String(row.text ?? ""), label: String(row.label ?? "") };
  }
  const at = line.includes("\t") ? line.lastIndexOf("\t") : line.lastIndexOf(",");
  if (at < 0) throw new Error("has no tab or comma before a label");
  return { text: unquoted(line.slice(0, at)), label: unquoted(line.slice(at + 1)) };
}

function parsed(content) {
  const rows = [], problems = [];
  content.split(/\r?\n/).forEach((line, index) => {
    if (!line.trim()) return;
    try {
      const row = example(line);
      const isHeader = index === 0 && row.text === "text" && row.label === "label";
      if (isHeader) return;
      if (!row.text.trim() || !row.label.trim()) throw new Error("lacks a text or label");
      rows.push(row);
    } catch (error) {
      problems.push(`line ${index + 1} ${error instanceof SyntaxError ? "is no JSON" : error.message}`);
    }
  });
  return { rows, problems };
}

const lines = (content) => content.split(/\r?\n/).map((l) => l.trim()).filter(Boolean);

// Rendering.

function counted(rows) {
  const counts = new Map();
  for (const row of rows) counts.set(row.label, (counts.get(row.label) ?? 0) + 1);
  return counts;
}

function tableOf(id, rows) {
  $(id).hidden = !rows.length;
  $(id).tBodies[0].replaceChildren(...rows.map((cells) => {
    const row = element("tr");
    row.append(...cells.map((cell) => element("td", String(cell))));
    return row;
  }));
}

function showClasses() {
  const { rows, problems } = parsed($("examples").value);
  const fresh = counted(rows), learned = state.task?.classes ?? {};
  const names = [...new Set([...Object.keys(learned), ...fresh.keys()])].sort();
  tableOf("classes", names.map((n) => [n, learned[n] ?? 0, fresh.get(n) ?? 0]));
  const shown = problems.slice(0, 5);
  if (problems.length > 5) shown.push(`and ${problems.length - 5} more lines`);
  $("problems").replaceChildren(...shown.map((text) => element("li", text)));
}

function showTask() {
  for (const section of document.querySelectorAll(".taught")) section.hidden = !state.task;
  $("name").disabled = Boolean(state.task);
  if (state.task) {
    const token = sessionStorage.getItem("token") ? " -H 'Authorization: Bearer TOKEN'" : "";
    const address = new URL(`v1/tasks/${state.task.id}/predict`, location.href);
    $("curl").textContent = `curl -s${token} ${address} -d '{"texts": ["a text"]}'`;
  }
  showClasses();
}

async function listTasks() {
  const { tasks } = await json("GET", "");
  const options = [new Option("new task", "")];
  for (const task of tasks) options.push(new Option(task.name || task.id.slice(0, 8), task.id));
  $("task").replaceChildren(...options);
  $("task").value = state.task?.id ?? "";
}

async function measure() {
  const total = Object.values(state.task.classes).reduce((a, b) => a + b, 0);
  if (total > 200) return `learned from ${total} examples.`;
  const found = await json("POST", `/${state.task.id}/evaluate`, {});
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const [low, high] = found.interval;
  state.history.push([total, percent(found.accuracy), `${percent(low)} to ${percent(high)}`]);
  tableOf("history", state.history);
  const how = found.method.replaceAll("_", "-");
  return `learned from ${total} examples; accuracy by ${how} ${percent(found.accuracy)}.`;
}

async function learn(rows) {
  const id = state.task?.id;
  state.task = id
    ? await json("PATCH", `/${id}`, { examples: rows })
    : await json("POST", "", { examples: rows, name: $("name").value });
  showTask();
  await listTasks();
  return measure();
}

function predictionOf(text, prediction) {
  const item = element("li");
  item.append(element("div", text));
  item.append(element("strong", prediction.label));
  if (prediction.truncated) {
    const { tokens_read: read, tokens_total: total } = prediction.truncated;
    item.append(element("span", ` (read ${read} of ${total} tokens)`));
  }
  const bars = element("div", undefined, "bars");
  const shares = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  for (const [name, share] of shares) {
    const bar = element("span", undefined, "bar");
    bar.style.width = `${100 * share}%`;
    bars.append(element("span", name), bar, element("span", share.toFixed(3), "share"));
  }
  item.append(bars);
  const words = (prediction.words ?? []).filter((w) => Math.abs(w.effect) >= 0.005)
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, 5)
    .map((w) => `${w.word} ${w.effect > 0 ? "+" : "−"}${Math.abs(w.effect).toFixed(2)}`);
  if (words.length) item.append(element("p", `words that mattered: ${words.join(", ")}`, "words"));
  if (prediction.nearest?.length) {
    const near = element("ul", undefined, "near");
    near.append(...prediction.nearest.map((n) =>
      element("li", `${n.similarity.toFixed(2)} ${n.label}: ${n.text}`)));
    item.append(near);
  }
  return item;
}

// Labelling.

function showCurrent() {
  const [current] = state.queue;
  $("labelling").hidden = !current && !state.given.length;
  $("progress").textContent = `${state.queue.length} to label, ${state.given.length} labelled`;
  $("current").hidden = $("other").hidden = !current;
  $("relearn").disabled = !state.given.length;
  $("choices").replaceChildren();
  if (!current) return;
  $("current").textContent = current.text;
  Object.keys(state.task.classes).forEach((name, index) => {
    const button = element("button", index < 9 ? `${index + 1} ${name}` : name);
    button.type = "button";
    button.addEventListener("click", () => give(name));
    $("choices").append(button);
  });
  $("current").focus();
}

function give(label) {
  if (!label.trim() || !state.queue.length) return;
  state.given.push({ text: state.queue.shift().text, label: label.trim() });
  $("new-class").value = "";
  showCurrent();
  if (!state.queue.length) $("relearn").focus();
}

function download(content, name) {
  const link = element("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Controls.

$("examples").addEventListener("input", showClasses);
$("file").addEventListener("change", async () => {
  const [file] = $("file").files;
  if (file) $("examples").value = await file.text();
  showClasses();
});
$("pool-file").addEventListener("change", async () => {
  const [file] = $("pool-file").files;
  if (file) $("pool").value = await file.text();
});
$("learn").addEventListener("submit", (event) => {
  event.preventDefault();
  const { rows, problems } = parsed($("examples").value);
  if (problems.length) return status("mend the lines named below first.", true);
  if (!rows.length) return status("give some examples first.", true);
  during(event.submitter ?? $("learn").querySelector("button"), "learning…", async () => {
    const message = await learn(rows);
    $("examples").value = "";
    showClasses();
    return message;
  });
});
$("predict").addEventListener("submit", (event) => {
  event.preventDefault();
  const texts = lines($("texts").value);
  if (!texts.length) return status("give a text first.", true);
  during($("predict").querySelector("button"), "predicting…", async () => {
    const words = texts.join(" ").split(/\s+/).length <= MAX_WORDS;
    const body = { texts, explain: true, words };
    const { predictions } = await json("POST", `/${state.task.id}/predict`, body);
    $("predictions").replaceChildren(...predictions.map((p, i) => predictionOf(texts[i], p)));
  });
});
$("suggest").addEventListener("submit", (event) => {
  event.preventDefault();
  const texts = lines($("pool").value);
  if (!texts.length) return status("give unlabelled texts first.", true);
  during($("suggest").querySelector("button"), "looking…", async () => {
    const body = { texts, number: Number($("number").value), strategy: $("strategy").value };
    const found = await json("POST", `/${state.task.id}/suggest`, body);
    state.queue = found.suggestions;
    state.given = [];
    showCurrent();
    if (!state.queue.length) return "all of these texts are labelled already.";
  });
});
$("other").addEventListener("submit", (event) => {
  event.preventDefault();
  give($("new-class").value);
});
$("relearn").addEventListener("click", () => {
  during($("relearn"), "learning…", async () => {
    const message = await learn(state.given);
    state.given = [];
    showCurrent();
    return message;
  }).then(showCurrent);
});
$("model").addEventListener("click", () => {
  during($("model"), "writing the model…", async () => {
    const answer = await ask("GET", `/${state.task.id}/model`);
    download(await answer.blob(), "model.zip");
  });
});
$("data").addEventListener("click", () => {
  during($("data"), "reading the examples…", async () => {
    const task = await json("GET", `/${state.task.id}`);
    const rows = task.examples.map(({ text, label }) => JSON.stringify({ text, label }) + "\n");
    download(new Blob(rows, { type: "application/jsonl" }), "labelled.jsonl");
  });
});
$("copy").addEventListener("click", () => {
  during($("copy"), "", async () => {
    await navigator.clipboard.writeText($("curl").textContent);
    return "copied.";
  });
});
$("task").addEventListener("change", () => {
  during($("task"), "", async () => {
    const id = $("task").value;
    state.task = id ? await json("GET", `/${id}`) : null;
    state.history = state.queue = [];
    state.given = [];
    state.history = [];
    tableOf("history", []);
    $("predictions").replaceChildren();
    showCurrent();
    showTask();
  });
});
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  during($("access").querySelector("button"), "", listTasks);
});
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("form");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && form) {
    event.preventDefault();
    form.requestSubmit();
    return;
  }
  if (event.target !== $("current") || event.ctrlKey || event.metaKey || event.altKey) return;
  const names = Object.keys(state.task?.classes ?? {});
  const number = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
  if (number && names[number - 1] !== undefined) {
    event.preventDefault();
    give(names[number - 1]);
  } else if (event.key === "s" && state.queue.length) {
    state.queue.shift();
    showCurrent();
  } else if (event.key === "u" && state.given.length) {
    state.queue.unshift({ text: state.given.pop().text });
    showCurrent();
  }
});

during($("task"), "", listTasks);
