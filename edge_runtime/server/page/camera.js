// The camera: opened, looked through, and one picture taken of it, pixel for pixel.
const WANTED = { width: { ideal: 1280 }, height: { ideal: 960 } };
const HAS_FRAME = 2; // HAVE_CURRENT_DATA
const NONE = "No camera was found.";
const TAKEN = "The camera is there but does not start. Another program may be using it.";
const WORDS = {
  NotFoundError: NONE,
  OverconstrainedError: NONE,
  NotAllowedError: "The camera may not be used: allow it for this page in the browser’s settings.",
  NotReadableError: TAKEN,
  AbortError: TAKEN,
};

// Words for people.
export class CameraError extends Error {}

// Browsers hand out cameras only to pages from this machine or over HTTPS.
export function hasCameras() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

export class Camera {
  #video;
  #gone;
  #stream = null;
  #attempts = 0;

  // `gone()`: it was unplugged while open.
  constructor(video, gone) {
    this.#video = video;
    this.#gone = gone;
  }

  get isOpen() {
    return this.#stream !== null;
  }

  // Opens the one that faces the world, or the next after the one that is open.
  async open() {
    if (!hasCameras()) throw new CameraError("The camera needs a page from this machine itself or over HTTPS.");
    const device = this.isOpen ? await this.#next() : null;
    this.close();
    const which = device ? { deviceId: { exact: device } } : { facingMode: "environment" };
    const attempt = ++this.#attempts;
    const stream = await streamOf({ ...WANTED, ...which });
    if (attempt === this.#attempts) this.#show(stream);
    else for (const track of stream.getTracks()) track.stop(); // closed while the user was being asked
  }

  close() {
    this.#attempts++;
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#stream = null;
    this.#video.srcObject = null;
  }

  async hasOthers() {
    return (await devices()).length > 1;
  }

  // Without loss: a PNG of the frame that is seen.
  async shot() {
    if (this.#video.readyState < HAS_FRAME) await new Promise((go) => this.#video.addEventListener("loadeddata", go, { once: true }));
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.#video.videoWidth, this.#video.videoHeight];
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!blob) throw new CameraError("The camera shows nothing yet. Try again.");
    return new File([blob], "camera.png", { type: "image/png" });
  }

  async #next() {
    const known = await devices();
    const now = this.#stream.getVideoTracks()[0].getSettings().deviceId;
    return known[(known.indexOf(now) + 1) % known.length];
  }

  #show(stream) {
    for (const track of stream.getTracks()) track.onended = () => this.#lose();
    this.#stream = stream;
    this.#video.srcObject = stream;
  }

  #lose() {
    this.close();
    this.#gone();
  }
}

async function streamOf(video) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video });
  } catch (fault) {
    throw new CameraError(WORDS[fault.name] ?? "The camera does not start.");
  }
}

async function devices() {
  const every = await navigator.mediaDevices.enumerateDevices();
  return every.filter((each) => each.kind === "videoinput").map((each) => each.deviceId);
}
