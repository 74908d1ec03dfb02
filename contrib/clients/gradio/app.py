"""A page for zimg with Gradio: prompt, negative prompt, a button, the image, over OpenAI's API of zimg-web.

pip install gradio openai; ZIMG_URL=http://127.0.0.1:7860 ZIMG_KEY=... python app.py
"""

import base64
import io
import os

import gradio
import openai
from PIL import Image

url = os.environ.get("ZIMG_URL", "http://127.0.0.1:7860")
client = openai.OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("ZIMG_KEY", "unused"))


def generate(prompt: str, negative: str):
    options = {"negative_prompt": negative} if negative else {}
    try:
        for event in client.images.generate(prompt=prompt, stream=True, partial_images=3, extra_body=options):
            yield Image.open(io.BytesIO(base64.b64decode(event.b64_json)))
    except openai.APIError as error:
        raise gradio.Error(error.message) from error


with gradio.Blocks(title="zimg") as page:
    prompt = gradio.Textbox(label="Prompt", lines=3)
    negative = gradio.Textbox(label="Negative prompt")
    button = gradio.Button("Generate", variant="primary")
    image = gradio.Image(label="Image", format="png")
    button.click(generate, [prompt, negative], image, api_name="generate")

if __name__ == "__main__":
    page.launch(server_port=int(os.environ.get("PORT", "7861")))
