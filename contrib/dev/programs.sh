#!/usr/bin/env bash
# Builds all programs with the dev profile, for the suites that drive them. The whole workspace, as
# `cargo test --workspace` does: a selection of packages has dependencies with other features,
# libtorch's bindings among them, and would build those again.
set -euo pipefail
cd "$(dirname "$0")/../.."
"${CARGO:-cargo}" build --locked --workspace --bins "$@"
