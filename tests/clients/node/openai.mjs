// openai-node against /v1. usage: node openai.mjs URL KIND; prints one line of JSON.
import OpenAI from "openai";

const [url, kind] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", timeout: 60_000 });
const generate = (more) => client.images.generate({ prompt: "a fox", size: "64x80", ...more });
const failed = (error) => ({
  name: error.constructor.name, status: error.status, code: error.code, param: error.param, message: error.message,
});

const kinds = {
  async models() {
    return (await client.models.list()).data.map((model) => model.id);
  },
  async images() {
    const answer = await generate({ n: 2, seed: 7 });
    return { images: answer.data.map((image) => image.b64_json), seeds: answer.zimg.seeds };
  },
  async stream() {
    const events = [];
    for await (const event of await generate({ stream: true, partial_images: 3, seed: 7 })) {
      events.push({ type: event.type, image: event.b64_json });
    }
    return events;
  },
  async refused() {
    return generate({ size: "1000x1000" }).catch(failed);
  },
  async crash() {
    return generate({}).catch(failed);
  },
  async broken_stream() {
    try {
      for await (const _ of await generate({ stream: true })) { /* until it fails */ }
      return null;
    } catch (error) {
      return failed(error);
    }
  },
  async hang_up() {
    const stream = await generate({ stream: true, partial_images: 3 });
    for await (const event of stream) {
      stream.controller.abort();
      return event.type;
    }
  },
};
console.log(JSON.stringify(await kinds[kind]()));
