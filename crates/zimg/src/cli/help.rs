//! Examples and exit codes in the output of `--help`.

pub(super) const EXAMPLES: &str = "\
Examples:
  zimg \"a red fox in the snow\" -o fox.png
  zimg \"a red fox in the snow\" -n 4 --seed 7 --grid -o 'fox-{seed}.png'
  zimg redo fox.png --seed 8

`zimg --help` has all options, more examples and the exit codes.";

pub(super) const LONG_EXAMPLES: &str = "\
Examples:
  zimg \"a red fox in the snow\" -o fox.png
  zimg \"a red fox in the snow\" -n 4 --seed 7 --grid -o 'fox-{seed}.png'
  zimg \"a red fox in the snow\" --aspect 16:9 --show
  zimg \"a red fox in the snow\" --size 1280x720 -o - | display
  zimg - < prompt.txt -o '{date}-{prompt}.webp'
  zimg draw \"status\"        an image of the word; `zimg status` is the command
  zimg show fox.png         prints its metadata
  zimg redo fox.png --seed 8
  zimg --batch prompts.txt --seed 1 -o 'out/{index:04}-{prompt}.png'
  zimg \"a red fox in the snow\" --detach      prints the job's number
  zimg wait 7 -o fox.png    saves that job's image; `zimg jobs` lists them
  zimg status --json

Exit codes:
  0 done · 64 usage · 65 prompt or parameters refused · 66 not found · 69 no daemon or
  network · 70 internal or worker failure · 73 cannot create the output · 74 I/O · 75 busy, loading or shutting down (try again) ·
  76 version · 77 permission · 78 configuration · 130 interrupted";

pub(super) const DRAW: &str = "\
Examples:
  zimg draw \"a red fox in the snow\" -o fox.png
  zimg draw \"draw\" -n 4 --grid
  zimg draw --batch jobs.jsonl -o 'out/{index:04}.webp'

A line of jobs.jsonl:
  {\"prompt\": \"a red fox\", \"size\": \"1280x720\", \"seed\": 7, \"output\": \"fox.png\"}";

pub(super) const REDO: &str = "\
Examples:
  zimg redo fox.png                           the same image again
  zimg redo fox.png --seed 8 -o other.png     with another seed
  zimg redo fox.png --size 1536x1024          larger
  zimg redo a.png b.jpg -o 'again/{index}.webp'

Without -o the image is saved as fox-redo.png, and its path is on standard output.";

pub(super) const SHOW: &str = "\
Examples:
  zimg show fox.png
  zimg show --json *.png | jq -r .prompt";

pub(super) const JOBS: &str = "\
Examples:
  zimg jobs
  zimg jobs --json | jq -r 'select(.state == \"done\") | .job'";

pub(super) const STATUS: &str = "\
Examples:
  zimg status
  zimg status --watch
  zimg status --json | jq .worker.state";

pub(super) const METRICS: &str = "\
Examples:
  zimg metrics > zimg.prom.new; mv zimg.prom.new /var/lib/node_exporter/zimg.prom";

pub(super) const WEB: &str = "\
Ctrl-C ends it; jobs that it has submitted go on, and are there when it is started again.
Examples:
  zimg web
  zimg web --no-browser        over ssh -L 7860:127.0.0.1:7860 HOST, open the link there";

pub(super) const PULL: &str = "\
Examples:
  zimg pull                                        Tongyi-MAI/Z-Image-Turbo, 33 GB
  zimg pull Comfy-Org/z_image_turbo:nvfp4          with its text encoder and VAE
  zimg pull leejet/Z-Image-Turbo-GGUF:Q4_K
  zimg pull -n                                     lists files and sizes

The files go to the Hugging Face cache (HF_HUB_CACHE, HF_HOME), where other programs find them. Each
is verified; a pull that was interrupted continues. HF_ENDPOINT names a mirror, HF_TOKEN a token.

Exit codes:
  0 fetched · 64 the variant is missing · 65 the server sends something else · 66 not found · 69 no
  connection · 73 the cache is not writable · 74 the disk is full · 75 too many requests ·
  77 no access · 130 interrupted";

pub(super) const MODELS: &str = "\
Examples:
  zimg models
  zimg models --json | jq -r 'select(.state == \"usable\") | .model'
  ZIMG_MODEL_DIRS=~/ComfyUI/models zimg models

They are looked for in the Hugging Face cache and in the folders of the setting model_dirs, with
`:` between them. The last column is what the daemon's setting `model` takes.";

pub(super) const LORAS: &str = "\
Examples:
  zimg loras
  zimg --lora styles/ink:0.8 --lora pixel 'a lighthouse at dusk'
  zimg loras --json | jq -r 'select(.message == null) | .lora'

They lie in the directories that the daemon's lora_dirs name. MAPS is how many of the model's linear
maps a LoRA changes.";

pub(super) const PREPARE: &str = "\
Examples:
  zimg prepare Tongyi-MAI/Z-Image-Turbo -o turbo.safetensors
  zimg prepare ~/ComfyUI/models --dtype float8 -o turbo-float8.safetensors
  zimg prepare --verify turbo.safetensors       compares its checksums

The file appears when it is complete. It is a safetensors file in ComfyUI's names, which
zimaged takes as its model.

Exit codes:
  0 written, or whole · 64 usage · 73 it exists or cannot be created · 74 the disk is full ·
  78 the checkpoint is wrong, or the file is damaged · 130 interrupted, nothing was written";

pub(super) const DOCTOR: &str = "\
Examples:
  zimg doctor
  zimg doctor --json | jq -r 'select(.level != \"ok\") | .fix'

It needs no daemon and changes nothing. The exit code is 0 unless a check fails: 78 for a setting
or a file, else 69.";

pub(super) const WAIT: &str = "\
Examples:
  job=$(zimg \"a red fox in the snow\" --detach)
  zimg wait \"$job\" -o fox.png
  zimg wait 7 8 9 -o '{prompt}-{seed}.webp'

The daemon deletes a job when all its images are saved, unless --keep is given.";

pub(super) const CONFIG: &str = "\
Every long option of `zimg draw` except --force is a key of the file and a variable:

  # ~/.config/zimg/config.toml
  aspect = \"16:9\"
  output = \"~/Pictures/{date}-{prompt}-{seed}.png\"
  show = true
  metadata = false

  ZIMG_STEPS=4 zimg \"a red fox\"

Options override ZIMG_*, which override the file: --metadata, --no-round, --no-wait, --no-quiet and
--show=none undo what is set there. ZIMG_CONFIG names another file; empty, it means no file.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  zimg completions bash > ~/.local/share/bash-completion/completions/zimg
  zimg completions zsh > ~/.zfunc/_zimg
  zimg completions fish > ~/.config/fish/completions/zimg.fish

`make install` installs them.";

pub(super) const MCP: &str = "\
In the configuration of an agent:
  {\"mcpServers\": {\"zimg\": {\"command\": \"zimg\", \"args\": [\"mcp\", \"--save\", \"/home/me/images\"]}}}

The tools are draw, status and cancel. The answer of draw has the images.";
