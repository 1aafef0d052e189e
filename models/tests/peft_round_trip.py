#!/usr/bin/env python3
"""Shows that a LoRA adapter means the same to cotune and to PEFT, in both directions.

    pip install torch transformers peft safetensors

An adapter trained by cotune (PEFT layout), scored by cotune, is loaded by PEFT and scored again:

    cotune model score --ids 5,17,3,9 BASE --adapter ADAPTER --json > scores.json
    python models/tests/peft_round_trip.py check BASE ADAPTER scores.json --ids 5,17,3,9

An adapter written by PEFT is scored by cotune, and then the same check applies; `write` prints the commands:

    python models/tests/peft_round_trip.py write BASE ADAPTER --targets q_proj v_proj

BASE is a checkpoint in Hugging Face layout. The scores are what `cotune model score --json` prints: `logprobs`, of
one sequence or a list of sequences, and optionally `ids`, which otherwise come from `--ids`. PEFT's side is
evaluated in float64 with eager attention, without the network.

Exit code 0: every log-probability agrees within the tolerance. 1: one does not, a tensor of the adapter is missing
or unexpected, or the adapter does not change anything, so that nothing was shown. 2: the command line is wrong.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path
from typing import NoReturn

os.environ["HF_HUB_OFFLINE"] = "1"  # the checkpoint is a directory; nothing is looked up

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoModelForCausalLM

TOLERANCE = 2e-4  # of a natural log-probability


def base_model(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    """The checkpoint in `folder`."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


@torch.no_grad()
def logprobs(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """ln p(ids[t + 1] | ids[..= t]), one value fewer than there are ids."""
    row = torch.tensor([ids])
    table = model(input_ids=row).logits.double().log_softmax(-1)
    return table[0, :-1].gather(1, row[0, 1:, None])[:, 0]


def misnamed(model: PeftModel, folder: Path) -> list[str]:
    """Tensors that PEFT wants and the file lacks, or the file has and PEFT passes over (it only warns)."""
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        found = set(file.keys())
    return [f"missing: {name}" for name in sorted(wanted - found)] + [
        f"unexpected: {name}" for name in sorted(found - wanted)
    ]


def refuse(reason: str) -> NoReturn:
    """Ends with exit code 2."""
    print(reason, file=sys.stderr)
    sys.exit(2)


def sequences(scores: dict, ids: list[int] | None) -> list[tuple[list[int], torch.Tensor]]:
    """The scored sequences with their ids."""
    values, ids = scores["logprobs"], ids or scores.get("ids")
    if ids is None:
        refuse("the scores carry no ids: say which with --ids")
    if not isinstance(values[0], list):
        values, ids = [values], [ids]
    if len(values) != len(ids):
        refuse(f"{len(values)} sequences of log-probabilities for {len(ids)} of ids")
    pairs = [(row, torch.tensor(scored, dtype=torch.float64)) for row, scored in zip(ids, values)]
    for row, scored in pairs:
        if len(scored) != len(row) - 1:
            refuse(f"{len(row)} ids have {len(row) - 1} log-probabilities, not {len(scored)}")
    return pairs


def check(args: argparse.Namespace) -> bool:
    """Compares cotune's scores with PEFT's; true when they agree and the adapter was at work."""
    model = PeftModel.from_pretrained(base_model(args.base, torch.float64), args.adapter).eval()
    wrong_names = misnamed(model, args.adapter)
    for line in wrong_names:
        print(line)
    worst, moved, count = 0.0, 0.0, 0
    for ids, theirs in sequences(json.loads(args.scores.read_text()), args.ids):
        ours = logprobs(model, ids)
        with model.disable_adapter():
            moved = max(moved, (ours - logprobs(model, ids)).abs().max().item())
        gap = (ours - theirs).abs()
        gap = torch.where(gap.isfinite(), gap, torch.inf)
        worst, count = max(worst, gap.max().item()), count + len(gap)
        for t in (gap > args.tolerance).nonzero()[:8, 0].tolist():
            print(f"position {t + 1}, id {ids[t + 1]}: PEFT {ours[t]:.6f}, cotune {theirs[t]:.6f}")
    print(f"{count} log-probabilities, largest difference {worst:.1e}, tolerance {args.tolerance:.0e}")
    print(f"the adapter moves them by up to {moved:.1e}")
    if moved <= 10 * args.tolerance:
        print("that is too little to show anything")
    return not wrong_names and worst <= args.tolerance and moved > 10 * args.tolerance


def write(args: argparse.Namespace) -> bool:
    """Writes an adapter with both factors random, and says how to score it."""
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=args.rank,
        lora_alpha=args.alpha,
        target_modules=args.targets,  # None: what PEFT adapts in this family by default
        use_rslora=args.rslora,
    )
    model = get_peft_model(base_model(args.base, torch.float32), config)
    stream = torch.Generator().manual_seed(args.seed)
    for _, value in sorted(model.named_parameters()):
        if value.requires_grad:
            value.data.copy_(torch.randn(value.shape, generator=stream) * args.spread)
    model.save_pretrained(args.adapter)
    vocab = model.config.vocab_size
    ids = args.ids or torch.randint(vocab, (16,), generator=stream).tolist()
    spelled = ",".join(map(str, ids))
    print(f"cotune model score --ids {spelled} {args.base} --adapter {args.adapter} --json > scores.json")
    print(f"python {sys.argv[0]} check {args.base} {args.adapter} scores.json --ids {spelled}")
    return True


def arguments() -> argparse.Namespace:
    """The command line."""

    def ids(text: str) -> list[int]:
        return [int(id) for id in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)

    one = commands.add_parser("check", help="compare cotune's scores of an adapter with PEFT's")
    one.add_argument("base", type=Path, help="checkpoint in Hugging Face layout")
    one.add_argument("adapter", type=Path, help="adapter in PEFT layout, cotune's or PEFT's")
    one.add_argument("scores", type=Path, help="what `cotune model score --json` printed")
    one.add_argument("--ids", type=ids, help="the ids that were scored, e.g. 5,17,3")
    one.add_argument("--tolerance", type=float, default=TOLERANCE, help="of a natural log-probability")
    one.set_defaults(run=check)

    two = commands.add_parser("write", help="write an adapter with PEFT for cotune to score")
    two.add_argument("base", type=Path, help="checkpoint in Hugging Face layout")
    two.add_argument("adapter", type=Path, help="directory to write")
    two.add_argument("--targets", nargs="+", help="module names as PEFT spells them")
    two.add_argument("--rank", type=int, default=4)
    two.add_argument("--alpha", type=float, default=8)
    two.add_argument("--rslora", action="store_true", help="scale by alpha / sqrt(rank)")
    two.add_argument("--spread", type=float, default=0.15, help="standard deviation of every factor")
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--ids", type=ids, help="ids to score; otherwise 16 drawn ones")
    two.set_defaults(run=write)
    return parser.parse_args()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    asked = arguments()
    sys.exit(0 if asked.run(asked) else 1)
