#!/usr/bin/env bash
# Check and time everything on a GPU, in less than ten minutes: bash tests/on_card.sh [FOLDER] ($OUT by default). It needs the
# packages of pyproject.toml, in .venv or beside python3. A part that fails or takes too long leaves the others alone;
# FOLDER/summary.txt tells how each ended.
out=${1:-${OUT:?give a folder for the results}}
mkdir -p "$out"
export PYTHONPATH=.:tests/helpers PYTHONUNBUFFERED=1
python=$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)

part() { # NAME SECONDS COMMAND...
  local name=$1 most=$2 begun=$SECONDS
  shift 2
  timeout "$most" "$python" "$@" >"$out/$name.txt" 2>"$out/$name.err"
  echo "$name: status $? after $((SECONDS - begun)) s (124: out of time)" | tee -a "$out/summary.txt"
  tail -n 5 "$out/$name.txt" "$out/$name.err"
  [ -s "$out/$name.err" ] && cat "$out/$name.err" >>"$out/$name.txt"
  rm -f "$out/$name.err"
}

: >"$out/summary.txt"
part environment 20 -c 'import torch, triton; print(torch.__version__, triton.__version__, torch.cuda.get_device_name())'
part kernels 180 tests/kernels/triton/on_card.py 15
part runs 100 tests/training/on_card.py
part speed 180 -m carousel bench kernels --device cuda --cells lstm,lstm-v3,lstm-v4,gru,lstm-layer-norm --seconds 0.1 --json
"$python" - <<'TEXT' >"$out/text.txt"
import random

random.seed(1)  # as many words, about as often, as in the Penn Treebank's training text, which may not be on this machine
words, weights = [f"w{k}" for k in range(10_000)], [1 / (k + 10) for k in range(10_000)]
for _ in range(4_000):
    print(" ".join(random.choices(words, weights, k=22)))
TEXT
part words 80 -m carousel bench lm "$out/text.txt" --hidden 1024 --batch-size 64 --length 70 --device cuda --precision bfloat16 --seconds 2 --json
rm -f "$out/text.txt"
