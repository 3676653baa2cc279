// The page: what is being taught, what is asked, and the state of the server, which is asked for again and again.

import { camera, receive } from "./inputs.js";
import { listen, show } from "./knows.js";
import { ask, at, bar, counted, make, question, say, sentence } from "./tools.js";

const SHOWN = 14; // small pictures of a class
const staged = new Map(); // from a class to its pictures, each a file and the address of its small picture
let state = null;
let shownModel = null;
let isMine = false; // whether the lesson that is going on was begun here
let timer;

// Teaching

function add(pairs) {
  if (!state) return;
  const name = at("class").value.trim();
  const nameless = pairs.filter(([, folder]) => !name && !folder);
  if (nameless.length) {
    say("write the name of the class first, then add its pictures.", true);
    at("class").focus();
  }
  const { picture: largest, pictures: most } = state.limits;
  let [count, problem] = [total(), ""];
  for (const [file, folder] of pairs) {
    const of = folder || name;
    if (!of) continue;
    if (file.size > largest) problem = `${file.name} is larger than ${largest / 1e6} MB: make it smaller, or leave it out.`;
    else if (count >= most) problem = `a lesson has at most ${most} pictures: learn these first, then add the others.`;
    else {
      if (!staged.has(of)) staged.set(of, []);
      staged.get(of).push({ file, address: URL.createObjectURL(file) });
      count += 1;
    }
  }
  if (problem) say(problem, true);
  showStaged();
}

const total = () => [...staged.values()].reduce((sum, pictures) => sum + pictures.length, 0);

/** Takes pictures of a class away from those that are to be learned. */
function leaveOut(name, pictures) {
  const left = staged.get(name).filter((other) => !pictures.includes(other));
  if (left.length) staged.set(name, left);
  else staged.delete(name);
  showStaged();
  for (const { address } of pictures) URL.revokeObjectURL(address);
}

function showStaged() {
  at("staged").replaceChildren(...[...staged].map(([name, pictures]) => {
    const thumbs = pictures.slice(0, SHOWN).map((picture) => make("button",
      { type: "button", className: "thumb", title: `Leave out ${picture.file.name}`, ariaLabel: `Leave out ${picture.file.name}`, onclick: () => leaveOut(name, [picture]) },
      make("img", { src: picture.address, alt: "" })));
    const more = pictures.length > SHOWN ? [make("span", { className: "quiet" }, `and ${pictures.length - SHOWN} more`)] : [];
    return make("div", { className: "group" },
      make("div", { className: "row" },
        make("span", {}, make("strong", {}, name), ` – ${counted(pictures.length, "picture")}`),
        make("button", { type: "button", className: "small", ariaLabel: `Leave out all of ${name}`, onclick: () => leaveOut(name, pictures) }, "Leave out")),
      make("div", { className: "thumbs" }, ...thumbs, ...more));
  }));
  showButtons();
}

function showButtons() {
  const count = total();
  at("learn").disabled = !count || isBusy();
  at("learn").textContent = count ? `Learn ${counted(count, "picture")} of ${counted(staged.size, "class", "classes")}` : "Learn";
  at("undo").disabled = isBusy() || !state?.can_undo;
  at("download").inert = !state?.model;
}

const isBusy = () => state?.lesson?.state === "learning";

async function learn(event) {
  event.preventDefault();
  const form = new FormData();
  form.append("classes", JSON.stringify([...staged].flatMap(([name, pictures]) => pictures.map(() => name))));
  for (const pictures of staged.values()) for (const { file } of pictures) form.append("picture", file, file.name);
  at("learn").disabled = true;
  try {
    const taken = await ask("learn", form, (share) => { at("learn").textContent = `Sending … ${Math.round(100 * share)}%`; });
    isMine = true;
    update({ ...state, ...taken });
    await refresh();
  } catch (error) {
    say(error.message, true);
    showButtons();
  }
}

function showLesson(lesson) {
  at("lesson").hidden = lesson?.state !== "learning";
  at("outcome").hidden = !lesson?.sentence;
  if (!lesson) return;
  const isCounted = lesson.task === "learning"; // looking at the files is over soon, and a full bar would fall back
  at("task").textContent = `${sentence(`${lesson.task} `)}${isCounted ? `${lesson.done} of ${counted(lesson.pictures, "picture")}` : "…"}`;
  if (isCounted) at("progress").value = lesson.done / lesson.pictures;
  else at("progress").removeAttribute("value");
  at("outcome").classList.toggle("bad", lesson.state !== "learned");
  if (at("outcome").textContent !== sentence(lesson.sentence)) at("outcome").textContent = sentence(lesson.sentence);
  if (lesson.state !== "learning" && isMine) {
    isMine = false;
    if (lesson.state === "learned") for (const [name, pictures] of [...staged]) leaveOut(name, pictures);
  }
}

// Asking

async function predict(file) {
  const form = new FormData();
  form.append("picture", file, file.name);
  const answer = await ask("predict", form);
  URL.revokeObjectURL(at("shown").src);
  at("shown").src = URL.createObjectURL(file);
  at("verdict").replaceChildren(...answer.unknown
    ? ["Unknown", make("small", {}, "It fits none of the classes well; these are the nearest.")] : [answer.name]);
  at("bars").className = answer.unknown ? "doubtful" : "";
  at("bars").replaceChildren(...answer.best.map((of) => make("div", { className: "bar" },
    make("span", {}, of.name), bar(of.probability), make("span", {}, `${Math.round(100 * of.probability)}%`))));
  const { held_back: back, enough } = state.model ?? {};
  at("doubt").hidden = !(back < enough);
  at("doubt").textContent = `Percentages are guesses, and nothing is called unknown, until ${enough} pictures are held back (${back} so far): one in ten is.`;
  at("answer").hidden = false;
  return answer.unknown ? "Unknown" : `${answer.name}, ${Math.round(100 * answer.best[0].probability)}%`;
}

async function tell(file) {
  try {
    return await predict(file);
  } catch (error) {
    say(error.message, true);
    return sentence(error.message);
  }
}

// The state of the server

function update(next) {
  state = next;
  at("file").textContent = state.file;
  const classes = state.model?.classes ?? [];
  at("summary").textContent = classes.length
    ? ` knows ${counted(classes.length, "class", "classes")}, ${counted(classes.reduce((sum, of) => sum + of.pictures, 0), "picture")}` : " has learned nothing yet";
  at("problem").hidden = !state.problem;
  at("problem").textContent = sentence(state.problem);
  const text = JSON.stringify(state.model);
  if (text !== shownModel) show(state.model, change);
  shownModel = text;
  showLesson(state.lesson);
  showButtons();
}

async function refresh() {
  clearTimeout(timer);
  try {
    if (!document.hidden || isBusy()) update(await ask("state"));
  } catch (error) {
    say(error.message, true);
  }
  timer = setTimeout(refresh, isBusy() ? 400 : 3000);
}

/** Waits for a change, and shows what has become of it. */
async function change(answer) {
  const [text, isBad] = await answer.then((of) => [of.sentence, false], (error) => [error.message, true]);
  await refresh();
  say(text, isBad);
}

receive(at("teach-drop"), at("teach-files"), add);
receive(at("ask-drop"), at("ask-files"), ([first]) => first && tell(first[0]));
at("teach").addEventListener("submit", learn);
at("teach-camera").addEventListener("click", () => {
  const name = at("class").value.trim();
  if (!name) add([[null, ""]]);
  else camera(`Pictures of ${name}`, (file, count) => { add([[file, name]]); return `${counted(count, "picture")} of ${name}`; });
});
at("ask-camera").addEventListener("click", () => camera("What is it?", tell));
at("stop").addEventListener("click", async () => {
  if (await question("Stop the lesson? The model stays as it was before it.", "Stop it")) await ask("stop", {}).catch((error) => say(error.message, true));
  await refresh();
});
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault()); // a miss opens no picture
window.addEventListener("beforeunload", (event) => { if (total() && !isMine) event.preventDefault(); });
document.addEventListener("visibilitychange", refresh);
listen(change);
refresh();
