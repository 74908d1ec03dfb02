// The AI SDK against /v1. usage: node ai-sdk.mjs URL KIND; prints one line of JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateImage } from "ai";

const [url, kind] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "zimg", baseURL: `${url}/v1`, apiKey: "unused" });
const size = kind === "refused" ? "1000x1000" : "64x80";
try {
  const { images } = await generateImage({
    model: provider.imageModel("zimg"), prompt: "a fox", n: 2, size,
  });
  console.log(JSON.stringify(images.map((image) => image.base64)));
} catch (error) {
  console.log(JSON.stringify({ message: error.message, status: error.statusCode ?? error.lastError?.statusCode }));
}
