// Writes a LoRA for the built-in model: large enough to be seen, with trigger words.

import { writeFileSync } from "node:fs";

/** The built-in model's width. */
const WIDTH = 240;
const RANK = 2;

/** A file of safetensors: text of the metadata, and matrices of float32 by name. @param {string} path @param {Record<string, string>} metadata @param {Record<string, [number[], Float32Array]>} tensors */
function write(path, metadata, tensors) {
  const header = { __metadata__: metadata };
  let end = 0;
  for (const [name, [shape, values]] of Object.entries(tensors)) header[name] = { dtype: "F32", shape, data_offsets: [end, (end += values.byteLength)] };
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(path, Buffer.concat([length, padded, ...Object.values(tensors).map(([, values]) => Buffer.from(values.buffer))]));
}

/** @param {string} path @param {{ words?: string[], title?: string, width?: number }} [of] another width fits no model */
export function writeLora(path, { words = [], title, width = WIDTH } = {}) {
  // The same numbers each time, from a linear congruence.
  let state = 7;
  const numbers = (count, scale) => Float32Array.from({ length: count }, () => (((state = (state * 1103515245 + 12345) % 2147483648) / 2147483648) * 2 - 1) * scale);
  const tensors = {};
  for (let layer = 0; layer < 6; layer++) {
    for (const map of ["to_q", "to_k", "to_v"]) {
      const name = `diffusion_model.layers.${layer}.attention.${map}`;
      tensors[`${name}.lora_A.weight`] = [[RANK, width], numbers(RANK * width, 1)];
      tensors[`${name}.lora_B.weight`] = [[width, RANK], numbers(width * RANK, 1)];
    }
  }
  write(path, { ...(title ? { "modelspec.title": title } : {}), ...(words.length ? { "modelspec.trigger_phrase": words.join(", ") } : {}) }, tensors);
}
