#!/bin/sh
# SPDX-License-Identifier: MIT
# PSNR of the denoiser beside the ndsafir package on the same noisy images. Arguments go to bench/quality.py.
set -e
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" bench/quality.py "$@"
