// The picture's half of the page: where it comes from, what is seen of it, and the boxes over it.
import { drawBoxes } from "./boxes.js";
import { Camera, CameraError, hasCameras } from "./camera.js";
import { byId } from "./element.js";
import { PictureError, pictureFrom } from "./picture.js";

export class Look {
  #camera = new Camera(byId("live"), () => this.#lost());
  #picture = null;
  #isOpening = false;
  #canRemove = true;
  #canPick;
  #tell;

  // `tell.took(picture)`: there is a new one; `tell.removed()`: it was taken away. Without `canPick` only the camera gives any.
  constructor({ canPick, tell }) {
    this.#canPick = canPick;
    this.#tell = tell;
    this.#listen();
    this.#layOut();
  }

  get hasPicture() {
    return this.#picture !== null;
  }

  show(picture) {
    this.#picture = picture;
    byId("boxes").replaceChildren();
    byId("shown").removeAttribute("src");
    if (picture) {
      byId("shown").src = picture.url;
      byId("shown").alt = `The picture asked about: ${picture.name}`;
      byId("frame").style.setProperty("--ratio", String(picture.width / picture.height));
    }
    this.#layOut();
  }

  // Until something was asked about it, it can be taken away again.
  allowRemoval(isAllowed) {
    this.#canRemove = isAllowed;
    this.#layOut();
  }

  draw(text, pointed) {
    if (this.#picture) drawBoxes(byId("boxes"), text, this.#picture.width, this.#picture.height, pointed);
  }

  note(words) {
    byId("look-note").textContent = words;
  }

  closeCamera() {
    this.#camera.close();
    this.#layOut();
  }

  // `isOther`: not the one that is open.
  async openCamera(isOther = false) {
    if (this.#isOpening || (this.#camera.isOpen && !isOther)) return;
    this.#isOpening = true;
    this.note("Opening the camera …");
    try {
      await this.#camera.open();
      byId("turn-camera").hidden = !(await this.#camera.hasOthers());
      this.note("");
    } catch (fault) {
      this.#refuse(fault, CameraError);
    }
    this.#isOpening = false;
    const hadFocus = document.activeElement !== document.body; // else a screen nobody touched would show a focus
    this.#layOut();
    if (this.#camera.isOpen && hadFocus) byId("shoot").focus();
  }

  async take(files) {
    if (files.length === 0) return;
    try {
      const picture = await pictureFrom(files[0]);
      this.#camera.close();
      this.note(files.length > 1 ? "One picture at a time: the first one was taken." : "");
      this.#tell.took(picture);
    } catch (fault) {
      this.#refuse(fault, PictureError);
    }
  }

  async #shoot() {
    try {
      await this.take([await this.#camera.shot()]);
    } catch (fault) {
      this.#refuse(fault, CameraError);
    }
  }

  #refuse(fault, kind) {
    if (!(fault instanceof kind)) throw fault;
    this.note(fault.message);
  }

  #lost() {
    this.note("The camera went away. Plug it in again, then open it.");
    this.#layOut();
  }

  #layOut() {
    const [isLive, hasPicture] = [this.#camera.isOpen, this.#picture !== null];
    byId("live").hidden = !isLive;
    byId("frame").hidden = isLive || !hasPicture;
    byId("empty").hidden = isLive || hasPicture;
    byId("choose").hidden = isLive || !this.#canPick;
    byId("choose").textContent = hasPicture ? "Another picture" : "Choose a picture";
    byId("camera").hidden = isLive;
    byId("camera").classList.toggle("main", !this.#canPick);
    byId("camera").textContent = hasPicture && !this.#canPick ? "Take another picture" : "Use the camera";
    byId("shoot").hidden = !isLive;
    byId("close-camera").hidden = !isLive || !this.#canPick;
    if (!isLive) byId("turn-camera").hidden = true;
    byId("remove").hidden = isLive || !hasPicture || !this.#canRemove;
  }

  #listen() {
    byId("camera").addEventListener("click", () => this.#askCamera());
    byId("turn-camera").addEventListener("click", () => this.openCamera(true));
    byId("shoot").addEventListener("click", () => this.#shoot());
    byId("close-camera").addEventListener("click", () => this.closeCamera());
    byId("remove").addEventListener("click", () => this.#tell.removed());
    for (const id of ["choose", "empty"]) byId(id).addEventListener("click", () => this.#canPick && byId("file").click());
    for (const id of ["file", "photo"]) byId(id).addEventListener("change", (event) => this.#picked(event.target));
    document.addEventListener("paste", (event) => {
      // Offices put a picture of the text beside it.
      if (!event.clipboardData.types.includes("text/plain")) this.#given(event, event.clipboardData);
    });
    this.#listenToDrops();
  }

  // A phone's own camera takes pictures where the browser gives us none.
  #askCamera() {
    if (!hasCameras() && this.#canPick && matchMedia("(pointer: coarse)").matches) byId("photo").click();
    else this.openCamera();
  }

  async #picked(input) {
    await this.take([...input.files]);
    input.value = ""; // the same file may be chosen again
  }

  // Caught everywhere: a browser goes away to a file that is dropped beside.
  #listenToDrops() {
    const over = (isOver) => document.documentElement.classList.toggle("over", isOver && this.#canPick);
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(event.dataTransfer.types.includes("Files"));
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      over(false);
      this.#given(event, event.dataTransfer);
    });
  }

  #given(event, transfer) {
    const files = [...transfer.files];
    if (files.length === 0 || !this.#canPick) return;
    event.preventDefault();
    this.take(files);
  }
}
