"""The batched forward passes equal the reference's, and the tokenizer folder the pipeline's."""

import torch

import parts
import wording
from forward import Denoiser, batch_ids, encode_text


def test_text_encoder_equals_transformers():
    torch.manual_seed(0)
    encoder = parts.text_encoder().eval()
    items = [list(range(5, 5 + n)) for n in (7, 32, 20)]
    ids, lengths = batch_ids(items, "cpu")
    with torch.no_grad():
        ours = encode_text(encoder, ids)
        for row, item in zip(ours, items):
            reference = encoder(torch.tensor([item]), output_hidden_states=True).hidden_states[-2][0]
            assert torch.allclose(row[: len(item)], reference, atol=1e-5)


def test_transformer_equals_diffusers():
    torch.manual_seed(0)
    model = parts.transformer().eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    latents, t = torch.randn(3, 16, 32, 32), torch.tensor([0.0, 0.3, 0.9])
    for longest, counts in ((32, (9, 32, 17)), (64, (33, 64, 40))):
        features = torch.randn(3, longest, 192)
        with torch.no_grad():
            ours = Denoiser(model)(latents, t, features, torch.tensor(counts))
            lists = [f[:n] for f, n in zip(features, counts)]
            reference = torch.stack(model(list(latents[:, :, None]), t, lists, return_dict=False)[0])[:, :, 0]
        assert (ours - reference).norm() < 1e-5 * reference.norm()


def test_tokenizer_folder(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = wording.learn_from_captions(5000)
    wording.save(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for prompt in ("a red circle on a white background", "", "Übermut 红色的圆 🎈!", "a  b\n\nc's 12345 <|im_end|> x"):
        text = loaded.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True)
        assert text == wording.TEMPLATE.format(prompt)
        assert loaded(text).input_ids == wording.ids(tokenizer, prompt)
        assert max(wording.ids(tokenizer, prompt)) < wording.VOCABULARY
    assert loaded.pad_token_id == wording.VOCABULARY - 3
