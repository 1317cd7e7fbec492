#!/bin/sh
# SPDX-License-Identifier: MIT
# Speed, side by side with the tools that pellucid replaces: every bench/*speed*.py and bench/dog.py in turn.
set -e
cd "$(dirname "$0")/.."
for script in bench/*speed*.py bench/dog.py; do
    echo "== $script"
    "${PYTHON:-python3}" "$script"
done
