// Where pictures come from: files that are chosen or dropped, with their folders, and the camera.

import { at, say } from "./tools.js";

/** Calls `take` with [file, folder] pairs that are chosen or dropped; `folder` is empty for a file alone. */
export function receive(zone, input, take) {
  input.addEventListener("change", () => {
    take([...input.files].map((file) => [file, ""]));
    input.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  }
  zone.addEventListener("dragleave", (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove("over"); });
  zone.addEventListener("drop", async (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry);
    const files = entries.length ? await inside(entries, "") : [...event.dataTransfer.files].map((file) => [file, ""]);
    take(files);
  });
}

/** What lies in dropped folders, without what is hidden. */
async function inside(entries, folder) {
  const found = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    if (entry.isFile) found.push([await new Promise((resolve, reject) => entry.file(resolve, reject)), folder]);
    else found.push(...await inside(await listed(entry.createReader()), entry.name));
  }
  return found;
}

async function listed(reader) {
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return all;
    all.push(...some);
  }
}

/** Opens the camera; `take` gets each picture, and what it returns is said. */
export async function camera(title, take) {
  if (!navigator.mediaDevices?.getUserMedia) {
    say("A browser gives the camera only to pages of its own machine: choose a picture instead, or open the page on the machine itself.", true);
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const why = {
      NotAllowedError: "The camera was refused: allow it for this page in the browser’s settings, or choose a picture instead.",
      NotFoundError: "There is no camera: connect one, or choose a picture instead.",
      NotReadableError: "Another program has the camera: close that program, or choose a picture instead.",
    };
    say(why[error.name] ?? `The camera does not work (${error.name}): choose a picture instead.`, true);
    return;
  }
  const [dialog, video] = [at("camera"), at("video")];
  at("camera-title").textContent = title;
  at("camera-said").textContent = "";
  video.srcObject = stream;
  let count = 0;
  at("shoot").onclick = async () => {
    if (!video.videoWidth) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    count += 1;
    at("camera-said").textContent = await take(new File([blob], `camera ${count}.jpg`, { type: "image/jpeg" }), count);
  };
  at("camera-close").onclick = () => dialog.close();
  dialog.onclose = () => { for (const track of stream.getTracks()) track.stop(); };
  dialog.showModal();
  at("shoot").focus();
}
