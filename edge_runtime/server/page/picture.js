// Picture files from wherever they come: checked, named and readable for the server, every byte as it was.
const LARGEST_BYTES = 12_000_000; // in base64, with its question, what the server takes at once
const SIGNATURES = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]],
  ["image/jpeg", [0xff, 0xd8, 0xff]],
  ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["image/webp", [0x52, 0x49, 0x46, 0x46]],
  ["image/bmp", [0x42, 0x4d]],
];

// Words for people.
export class PictureError extends Error {}

// {url, name, bytes, width, height} of a file, or a PictureError.
export async function pictureFrom(file) {
  const name = file.name || "picture";
  if (file.size > LARGEST_BYTES) {
    const [size, limit] = [file.size, LARGEST_BYTES].map((bytes) => (bytes / 1e6).toFixed(1).replace(".0", ""));
    throw new PictureError(`${name} has ${size} MB, and ${limit} MB is the most. Save it smaller and add it again.`);
  }
  if (file.size === 0) throw new PictureError(`${name} is empty.`);
  const type = await typeOf(file);
  const url = type && (await urlOf(new Blob([file], { type })));
  const size = url && (await sizeOf(url));
  if (!size) throw new PictureError(`${name} is no picture that can be shown here: take a PNG, JPEG, WebP, BMP or GIF.`);
  return { url, name, bytes: file.size, ...size };
}

// By its content: names and what systems make of them mislead.
async function typeOf(file) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return SIGNATURES.find(([, bytes]) => bytes.every((byte, at) => head[at] === byte))?.[0];
}

function urlOf(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new PictureError("The file could not be read."));
    reader.readAsDataURL(blob);
  });
}

async function sizeOf(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return null; // broken, and the caller says so
  }
  return { width: image.naturalWidth, height: image.naturalHeight };
}
