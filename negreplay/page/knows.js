// What the model knows: classes, confusions, bytes and lessons.

import { ask, at, bar, counted, make, question, say } from "./tools.js";

const MOST = 20;

/** Shows a model; `change` is called when the visitor has changed it. */
export function show(model, change) {
  at("knows").hidden = !model;
  at("empty").hidden = Boolean(model);
  at("known").replaceChildren(...(model?.classes ?? []).map((of) => make("option", { value: of.name })));
  if (!model) return;
  const head = ["Class", "Pictures", "Recognised, of those held back", ""].map((text, i) =>
    make("th", { scope: "col", className: i === 1 ? "number" : "" }, text));
  at("classes").replaceChildren(
    make("thead", {}, make("tr", {}, ...head)),
    make("tbody", {}, ...model.classes.map((of) => row(of, change))),
  );
  heat(model);
  at("bytes").replaceChildren(...model.bytes.flatMap(([kind, size]) => [make("dt", {}, kind), make("dd", {}, megabytes(size))]));
  at("network").textContent = `${model.network}; learner: ${model.learner}`;
  at("lessons").replaceChildren(...model.lessons.toReversed().map(lesson));
}

const megabytes = (size) => size < 1e5 ? `${Math.ceil(size / 1e3)} kB` : `${(size / 1e6).toFixed(1)} MB`;

function row(of, change) {
  const share = of.tested
    ? make("div", { className: "share" }, bar(of.tested[0] / of.tested[1]), `${of.tested[0]} of ${of.tested[1]}`)
    : make("span", { className: "quiet" }, "none held back yet");
  const button = (text, act) => make("button", { type: "button", className: "small", ariaLabel: `${text} ${of.name}`, onclick: act }, text);
  return make("tr", {},
    make("th", { scope: "row" }, of.name),
    make("td", { className: "number" }, String(of.pictures)),
    make("td", { className: "tested" }, share),
    make("td", { className: "does" }, button("Rename", () => rename(of.name, change)), button("Forget", () => forget(of, change))));
}

async function rename(old, change) {
  const name = await question(`A new name for “${old}”:`, "Rename", old);
  if (name !== null && name !== old) await change(ask("rename", { old, new: name }));
}

async function forget(of, change) {
  const text = `Forget “${of.name}”, ${counted(of.pictures, "picture")}? The other classes stay. Undo takes it back, until the next change.`;
  if (await question(text, "Forget")) await change(ask("forget", { name: of.name }));
}

/** The matrix of held-back pictures: all classes, or of many those in the most mistakes. */
function heat(model) {
  at("confused").hidden = !model.confusions.length;
  const mistakes = model.classes.map(() => 0);
  for (const [real, guess, count] of model.confusions) if (real !== guess) { mistakes[real] += count; mistakes[guess] += count; }
  const order = [...mistakes.keys()].sort((a, b) => mistakes[b] - mistakes[a]).slice(0, MOST).sort((a, b) => a - b);
  const counts = new Map(model.confusions.map(([real, guess, count]) => [`${real} ${guess}`, count]));
  const names = model.classes.map((of) => of.name);
  const cell = (real, guess) => {
    const [count, all] = [counts.get(`${real} ${guess}`) ?? 0, model.classes[real].tested?.[1] ?? 0];
    const text = count ? `${count} of ${all} of ${names[real]} taken for ${names[guess]}` : "";
    const td = make("td", { title: text, className: real !== guess && count ? "wrong" : "" }, count ? String(count) : "");
    td.style.setProperty("--v", all ? count / all : 0);
    td.classList.toggle("high", all > 0 && count / all > 0.5);
    return td;
  };
  const top = order.map((guess) => make("th", { scope: "col", title: names[guess] }, make("span", {}, names[guess])));
  at("heat").replaceChildren(
    make("thead", {}, make("tr", {}, make("td"), ...top)),
    make("tbody", {}, ...order.map((real) => make("tr", {},
      make("th", { scope: "row", title: names[real] }, names[real]), ...order.map((guess) => cell(real, guess))))),
  );
}

function lesson(of) {
  const when = new Date(of.when).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const result = of.of ? `; then ${Math.round(100 * of.right / of.of)}% of ${of.of} right` : "";
  const what = of.pictures ? `${counted(of.pictures, "picture")} of ${of.classes.join(", ")}${result}` : "nothing new";
  return make("li", {}, make("span", { className: "quiet" }, when), what);
}

/** Undo and load: what changes a model as a whole. */
export function listen(change) {
  at("undo").onclick = () => change(ask("undo", {}));
  at("load").onchange = async () => {
    const [file] = at("load").files;
    at("load").value = "";
    const text = `Load ${file.name}? It takes the place of the model here, which Undo brings back.`;
    if (!at("knows").hidden && !await question(text, "Load")) return;
    const form = new FormData();
    form.append("model", file);
    say("loading …");
    await change(ask("load", form));
  };
}
