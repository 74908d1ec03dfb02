# Everything a newcomer, a packager or CI asks for. `make` alone lists it.

PYTHON ?= python3
CARGO ?= cargo
# What `build` and `install` make: release, or dev for a quicker build.
PROFILE ?= release
PREFIX ?= /usr/local
DESTDIR ?=
# How long `soak` takes.
SOAK_SECONDS ?= 3600
# `make libtorch CUDA=1` or CPU=1: not to look for a GPU.
LIBTORCH_FLAGS = $(if $(CUDA),--cuda)$(if $(CPU),--cpu)

export PYTHON CARGO PROFILE PREFIX DESTDIR

.PHONY: help libtorch build demo test recording deny units disk-test users-test systemd-test fuzz soak gpu-test parity bench gpu-bench docs install uninstall clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

libtorch: ## bring libtorch 2.11.0 into ~/.cache/zimg unless LIBTORCH is set; CUDA=1 or CPU=1 chooses
	@contrib/dev/need.sh python
	@$(PYTHON) contrib/dev/libtorch/get.py $(LIBTORCH_FLAGS)

build: libtorch ## build zimg, zimaged and zimage-worker; PROFILE=release or dev
	@contrib/dev/need.sh cargo c++
	$(CARGO) build --locked --profile $(PROFILE) -p zimg -p zimaged -p zimage-worker

demo: libtorch ## build, start zimaged with the built-in model, draw demo.png, stop it
	@contrib/dev/demo.sh

test: libtorch ## formatting, lints, all tests that need no GPU
	@contrib/dev/test.sh

deny: ## ask cargo-deny for licences, sources and advisories of all crates (contrib/dev/deny.toml)
	@contrib/dev/deny.sh

recording: libtorch ## record docs/recording.svg and the images of docs/tour.md anew
	@contrib/lab/recording/make.sh

units: ## check the systemd units and how exposed the service is, with systemd-analyze
	@contrib/packaging/units.sh

disk-test: ## detached jobs on a full and on a read-only disk; needs root or user namespaces
	@contrib/dev/disk-test.sh

users-test: ## real users with one daemon, in its group and outside; needs root or a range in /etc/subuid
	@contrib/dev/users-test.sh

systemd-test: $(if $(SUDO_USER),,libtorch) ## boot a container with a real systemd and try the service there; as root
	@contrib/dev/systemd-test/run.sh

fuzz: ## try foreign bytes with cargo-fuzz and a nightly compiler, FUZZ_SECONDS (600) for each fuzzer
	@contrib/dev/fuzz.sh

soak: libtorch ## clients of all sorts, kills and restarts for SOAK_SECONDS (3600): nothing is lost and nothing grows
	ZIMG_SOAK_SECONDS=$(SOAK_SECONDS) $(CARGO) test --locked -p zimg-tests --test soak -- --nocapture

gpu-test: ## draw on an NVIDIA GPU with the CUDA tree of libtorch
	@contrib/dev/gpu-test.sh

parity: libtorch ## make the reference values anew with diffusers and compare
	@contrib/lab/parity.sh

bench: libtorch ## compare the CPU path with diffusers on the built-in model
	@contrib/lab/bench/bench.sh cpu $(BENCH_FLAGS)

gpu-bench: libtorch ## compare with diffusers on an NVIDIA GPU at the real size (20 GB of disk; 45 with float32)
	@contrib/lab/bench/bench.sh gpu $(BENCH_FLAGS)

docs: ## regenerate man pages, completions and docs/reference.md, after a change of an option of zimg
	@contrib/dev/docs.sh

# Under sudo nothing is built: what lies in target/ was built by the user.
install: $(if $(SUDO_USER),,build) ## install under DESTDIR/PREFIX: a tree that runs wherever it is put
	@contrib/packaging/install.sh

uninstall: ## remove what install put there
	@contrib/packaging/install.sh --remove

clean: ## remove what was built here; the libtorch in ~/.cache/zimg stays
	$(CARGO) clean
	rm -f demo.png
