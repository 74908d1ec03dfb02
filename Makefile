# Targets for building, testing, measuring and packaging. `make` alone lists them.

PYTHON ?= python3
CARGO ?= cargo
# What `build` and `install` make: release, or dev for a quicker build.
PROFILE ?= release
PREFIX ?= /usr/local
DESTDIR ?=
# How long `soak` takes.
SOAK_SECONDS ?= 3600
# `make libtorch CUDA=1` or CPU=1 does not look for a GPU.
LIBTORCH_FLAGS = $(if $(CUDA),--cuda)$(if $(CPU),--cpu)

export PYTHON CARGO PROFILE PREFIX DESTDIR

.PHONY: help libtorch build demo test recording deny units disk-test hub-test web-test users-test limits-test page-test systemd-test verify fuzz web-load web-proxy-test soak gpu-test nvrtc-test parity bench gpu-bench memory-bench docs install uninstall clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

libtorch: ## download libtorch 2.11.0 to ~/.cache/zimg unless LIBTORCH is set; CUDA=1 or CPU=1 chooses
	@contrib/dev/need.sh python
	@$(PYTHON) contrib/dev/libtorch/get.py $(LIBTORCH_FLAGS)

build: libtorch ## build zimg, zimaged, zimg-web and zimage-worker; PROFILE=release or dev
	@contrib/dev/need.sh cargo c++
	$(CARGO) build --locked --profile $(PROFILE) -p zimg -p zimaged -p zimg-web -p zimage-worker

demo: libtorch ## build, start zimaged with the built-in model, generate demo.png, stop it
	@contrib/dev/demo.sh

test: libtorch ## formatting, lints, all tests that need no GPU
	@contrib/dev/test.sh

deny: ## check licences, sources and advisories of all crates with cargo-deny (contrib/dev/deny.toml)
	@contrib/dev/deny.sh

recording: libtorch ## record docs/recording.svg and the images of docs/tour.md again
	@contrib/lab/recording/make.sh

units: ## check the systemd units and the exposure of the service, with systemd-analyze
	@contrib/packaging/units.sh

disk-test: ## images and detached jobs on full, read-only and odd file systems; needs root or user namespaces
	@contrib/dev/disk-test.sh

hub-test: ## zimg pull and huggingface_hub with one cache, on full and read-only disks; needs Python
	@contrib/dev/hub-test/run.sh

web-test: libtorch ## programs that people use (openai, Open WebUI, SillyTavern, MCP) against zimg-web; CLIENTS=quick or open-webui
	@tests/clients/run.sh $(CLIENTS)

users-test: ## real users of one daemon, in its group and outside; needs root or a range in /etc/subuid
	@contrib/dev/users-test.sh

limits-test: libtorch ## zimaged in control groups that limit memory, processes and CPUs; as root, with writable groups
	@contrib/dev/limits-test.sh

page-test: libtorch ## the web page in headless Chromium, against the built-in model; needs Node 20 and Chromium
	@contrib/dev/page-test.sh

systemd-test: $(if $(SUDO_USER),,libtorch) ## run the service under a real systemd in a container; as root
	@contrib/dev/systemd-test/run.sh

verify: libtorch ## every heavy suite that this machine can run, and a table of verdicts; SUITES="units disks" chooses
	@contrib/dev/verify/run.sh

fuzz: ## fuzz all input formats with cargo-fuzz and a nightly compiler, FUZZ_SECONDS (600) a target, TARGET=name one
	@contrib/dev/fuzz.sh

web-load: libtorch ## zimg-web with 200 readers of events and 50 drawing clients for a minute: memory, lost events, times
	@contrib/dev/web-load.sh

web-proxy-test: libtorch ## zimg-web behind nginx and Caddy with the blocks of docs/web.md; needs them, openssl and curl
	@contrib/dev/web-proxy-test.sh

soak: libtorch ## clients of all kinds, kills and restarts for SOAK_SECONDS (3600): no job is lost, no memory grows
	@SOAK_SECONDS=$(SOAK_SECONDS) contrib/dev/soak.sh

nvrtc-test: libtorch ## compile every kernel for every compute capability, with NVRTC from PyPI; needs no GPU
	@contrib/dev/nvrtc-test.sh

gpu-test: ## kernels, memory and images on an NVIDIA GPU, with the CUDA tree of libtorch
	@contrib/dev/gpu-test.sh

parity: libtorch ## regenerate the reference values with diffusers and compare
	@contrib/lab/parity.sh

bench: libtorch ## compare the CPU path with diffusers on the built-in model
	@contrib/lab/bench/bench.sh cpu $(BENCH_FLAGS)

memory-bench: libtorch ## measure memory budgets beside diffusers' modes on an NVIDIA GPU (60 GB of disk)
	@contrib/lab/bench/bench.sh memory $(BENCH_FLAGS)

gpu-bench: libtorch ## compare with diffusers on an NVIDIA GPU at the real size (20 GB of disk; 45 with float32)
	@contrib/lab/bench/bench.sh gpu $(BENCH_FLAGS)

docs: ## regenerate man pages, completions and docs/reference.md, after a change of an option of zimg
	@contrib/dev/docs.sh

# Under sudo nothing is built: the programs in target/ were built by the user.
install: $(if $(SUDO_USER),,build) ## install under DESTDIR/PREFIX: a tree that runs from any folder
	@contrib/packaging/install.sh

uninstall: ## remove what install installed
	@contrib/packaging/install.sh --remove

clean: ## remove build outputs; the libtorch in ~/.cache/zimg stays
	$(CARGO) clean
	rm -f demo.png
