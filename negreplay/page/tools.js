// What every part of the page uses. Texts reach the page as textContent only, whatever names are in them.

export const at = (id) => document.getElementById(id);

/** An element with properties and children; texts become text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A sentence with a capital; a file's name at its beginning stays as it is. */
export const sentence = (text) => text.replace(/^[a-z]+(?=[ ,])/, (word) => word[0].toUpperCase() + word.slice(1));

export const counted = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** A bar as long as a share of 1. */
export function bar(share) {
  const inside = make("i");
  inside.style.width = `${100 * share}%`;
  return make("span", { className: "track", ariaHidden: "true" }, inside);
}

let clearing;

/** Says something at the top of the page, for a while. */
export function say(text, isBad = false) {
  at("notice").textContent = sentence(text);
  at("notice").classList.toggle("bad", isBad);
  at("notice").hidden = false;
  clearTimeout(clearing);
  clearing = setTimeout(() => { at("notice").hidden = true; }, isBad ? 15000 : 7000);
}

/** Asks the server; whatever goes wrong becomes an Error with a sentence. `body` is a form, or values for JSON. */
export function ask(path, body, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(body === undefined ? "GET" : "POST", `/api/${path}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onerror = () => reject(new Error("The page has lost its server: see whether negreplay teach is still running."));
    request.onload = () => {
      if (request.status < 400 && request.response) resolve(request.response);
      else reject(new Error(request.response?.problem ?? `The server has failed (${request.status}): try again.`));
    };
    if (body === undefined || body instanceof FormData) request.send(body);
    else {
      request.setRequestHeader("Content-Type", "application/json");
      request.send(JSON.stringify(body));
    }
  });
}

/** Asks the visitor in the page; gives the name that was written, or true, or null if it was cancelled. */
export function question(text, yes, name) {
  const dialog = at("question");
  at("question-text").textContent = text;
  at("question-yes").textContent = yes;
  at("question-name").hidden = name === undefined;
  at("question-name").value = name ?? "";
  at("question-no").onclick = () => dialog.close("");
  dialog.returnValue = "";
  dialog.showModal();
  if (name === undefined) at("question-no").focus();
  else at("question-name").select();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes" ? (name === undefined ? true : at("question-name").value) : null);
  });
}
