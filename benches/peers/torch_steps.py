"""What a step costs in PyTorch, at the sizes and with the work of `benches/benches/steps.rs`: processor time of one thread, or
time by the clock on the graphics card that the environment variable DEVICE names (cuda, cuda:N).

    torch_steps.py full|lora d64|d128|d256 [N]
    torch_steps.py stacked d64|d128 [N]      eight LoRA devices on one base, one after the other
    torch_steps.py mutual d128 [N]
    torch_steps.py generate 1|16 [N]
    torch_steps.py rouge FILE                texts, one a line; needs rouge-score
    torch_steps.py dtw FILE                  the tokens of one text as two tokenizers cut it, a line each
    torch_steps.py vocabulary TEACHER STUDENT [SAMPLE]      two tokenizer.json; the rest is extrapolated from the sample
    torch_steps.py device                    what it computes with and on
    torch_steps.py table FILE                the lines of both sides as a table
"""

import json
import math
import os
import statistics
import sys
import time
from importlib import metadata

DEVICE = os.environ.get("DEVICE", "cpu")
BATCH, TIME, WARM = 16, 128, 2
SIZES = {"d64": (512, 64, 2, 4), "d128": (2048, 128, 4, 4), "d256": (4096, 256, 6, 8)}
PROMPT, NEW = 32, 96
DEVICES, DEVICE_BATCH, DEVICE_TIME = 8, 8, 64


def model(size, vocab=None):
    """A LLaMA: RMSNorm, rotary positions, SwiGLU, no biases, a head of its own."""
    usual, width, layers, heads = SIZES[size]
    vocab, hidden = vocab or usual, width * 8 // 3 // 16 * 16

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
            self.q, self.k, self.v, self.o = (linear(width, width) for _ in range(4))
            self.gate, self.up, self.down = linear(width, hidden), linear(width, hidden), linear(hidden, width)

        def forward(self, x, angles, cache=None, start=0):
            batch, tokens, _ = x.shape
            y = self.attention_norm(x)

            def split(z):
                return z.view(batch, tokens, heads, width // heads).transpose(1, 2)

            def rotate(z):
                first, second = z.chunk(2, -1)
                return z * angles[0] + torch.cat([-second, first], -1) * angles[1]

            q, k, v = rotate(split(self.q(y))), rotate(split(self.k(y))), split(self.v(y))
            if cache is not None:
                end = start + tokens
                cache[0][:, :, start:end], cache[1][:, :, start:end] = k, v
                k, v = cache[0][:, :, :end], cache[1][:, :, :end]
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=tokens > 1)
            x = x + self.o(attended.transpose(1, 2).reshape(batch, tokens, width))
            y = self.mlp_norm(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(vocab, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.RMSNorm(width), linear(width, vocab)
            half = width // heads // 2
            angles = torch.arange(TIME + 64)[:, None] / 10000 ** (torch.arange(half) / half)[None]
            self.angles = [torch.cat([table] * 2, -1).to(DEVICE) for table in (angles.cos(), angles.sin())]

        def forward(self, ids, caches=None, start=0):
            end = start + ids.shape[1]
            angles = [table[start:end] for table in self.angles]
            x = self.embedding(ids)
            for i, block in enumerate(self.blocks):
                x = block(x, angles, None if caches is None else caches[i], start)
            return self.norm(x)

        def caches(self, batch):
            def empty():
                return torch.zeros(batch, heads, PROMPT + NEW, width // heads, device=DEVICE)

            return [(empty(), empty()) for _ in self.blocks]

    torch.manual_seed(1)
    return Decoder().to(DEVICE), vocab


def with_lora(decoder, rank=8, alpha=16):
    """A LoRA on query, key, value and output of every block; all else stands still."""

    class Lora(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base = base
            self.a = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
            self.b = nn.Parameter(torch.zeros(base.out_features, rank))

        def forward(self, x):
            return self.base(x) + F.linear(F.linear(x, self.a), self.b) * (alpha / rank)

    decoder.requires_grad_(False)
    for block in decoder.blocks:
        for name in "qkvo":
            setattr(block, name, Lora(getattr(block, name)))
    return decoder.to(DEVICE)


class Learner:
    """AdamW with clipping by the global norm, as cotune's."""

    def __init__(self, decoder):
        self.trained = [p for p in decoder.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, 1e-3)

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def tokens(vocab, batch, time):
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, vocab, (batch, time + 1), generator=generator).to(DEVICE)


def train(case, size, steps, lora):
    decoder, vocab = model(size)
    decoder = with_lora(decoder) if lora else decoder
    learner, ids = Learner(decoder), tokens(vocab, BATCH, TIME)

    def step():
        logits = decoder.head(decoder(ids[:, :-1]))
        F.cross_entropy(logits.reshape(-1, vocab), ids[:, 1:].reshape(-1)).backward()
        learner.step()

    measure(case, step, steps, BATCH * TIME)


def stacked(case, size, steps):
    decoder, vocab = model(size)
    decoder = with_lora(decoder)
    ids = [tokens(vocab, DEVICE_BATCH, DEVICE_TIME) for _ in range(DEVICES)]
    fresh = [p.detach().clone() for p in decoder.parameters() if p.requires_grad]
    learners = []
    for _ in range(DEVICES):
        learner = Learner(decoder)
        learner.own = [p.clone() for p in fresh]
        learners.append(learner)

    def step():
        # Every device has values of its own; they are put into the one model in turn.
        for learner, own in zip(learners, ids):
            for parameter, value in zip(learner.trained, learner.own):
                parameter.data = value
            logits = decoder.head(decoder(own[:, :-1]))
            F.cross_entropy(logits.reshape(-1, vocab), own[:, 1:].reshape(-1)).backward()
            learner.step()

    measure(case, step, steps, DEVICES * DEVICE_BATCH * DEVICE_TIME)


def mutual(case, steps, k=16):
    """Two models with vocabularies of their own, every position aligned; each learns cross-entropy and the divergence from
    the other's K largest entries, carried over by a map made beforehand."""
    (a, vocab_a), (b, vocab_b) = model("d128", 2048), model("d128", 1536)
    learner_a, learner_b = Learner(a), Learner(b)
    ids_a, ids_b = tokens(vocab_a, BATCH, TIME), tokens(vocab_b, BATCH, TIME)
    to_b, to_a = (torch.randint(0, to, (of,)).to(DEVICE) for to, of in ((vocab_b, vocab_a), (vocab_a, vocab_b)))

    def pull(student, teacher, carried):
        top = teacher.detach().topk(k, -1)
        p = top.values.softmax(-1)
        return (p * (p.log() - student.log_softmax(-1).gather(-1, carried[top.indices]))).sum(-1).mean()

    def step():
        logits_a, logits_b = a.head(a(ids_a[:, :-1])), b.head(b(ids_b[:, :-1]))
        loss = F.cross_entropy(logits_a.reshape(-1, vocab_a), ids_a[:, 1:].reshape(-1))
        loss = loss + F.cross_entropy(logits_b.reshape(-1, vocab_b), ids_b[:, 1:].reshape(-1))
        (loss + pull(logits_a, logits_b, to_a) + pull(logits_b, logits_a, to_b)).backward()
        learner_a.step()
        learner_b.step()

    measure(case, step, steps, 2 * BATCH * TIME)


def generate(case, batch, steps):
    decoder, vocab = model("d128")
    ids = tokens(vocab, batch, PROMPT)[:, :PROMPT]

    @torch.inference_mode()
    def step():
        caches = decoder.caches(batch)
        token = decoder.head(decoder(ids, caches)[:, -1]).argmax(-1, keepdim=True)
        for at in range(PROMPT, PROMPT + NEW - 1):
            token = decoder.head(decoder(token, caches, at)[:, -1]).argmax(-1, keepdim=True)

    measure(case, step, steps, batch * NEW)


def rouge(path):
    """Rouge-L with stems of every text of a file against every other, by rouge-score."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    with open(path) as file:
        texts = file.read().splitlines()

    def step():
        for prediction in texts:
            for reference in texts:
                scorer.score(reference, prediction)

    measure("rouge (pairs)", step, 2, len(texts) ** 2, time.process_time)


def edit_distance():
    """The package editdistance where it is there, or else plain Python; and which of them."""
    try:
        import editdistance
    except ImportError:
        return levenshtein, "plain Python"
    return editdistance.eval, "editdistance " + metadata.version("editdistance")


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def warp(a, b, distance):
    """Dynamic time warping as FedMKT aligns tokens: the edit distance of every token to every other, the least sums, and the
    path back; of equal sums diagonal before up before left."""
    costs = [[distance(x, y) for y in b] for x in a]
    sums = [[0] + [math.inf] * len(b)]
    for row in costs:
        above, line = sums[-1], [math.inf]
        for j, cost in enumerate(row):
            line.append(cost + min(above[j], above[j + 1], line[j]))
        sums.append(line)
    i, j, path = len(a), len(b), []
    while i and j:
        path.append((i - 1, j - 1))
        before = [sums[i - 1][j - 1], sums[i - 1][j], sums[i][j - 1]]
        least = before.index(min(before))
        i, j = i - (least != 2), j - (least != 1)
    return sums[-1][-1], path[::-1]


def dtw(path):
    with open(path) as file:
        a, b = (line.split(" ") for line in file.read().splitlines())
    distance, name = edit_distance()
    case = f"dtw of {len(a)} tokens (texts)"
    measure(case, lambda: warp(a, b, distance), 10, 1, time.process_time, distances=name)


def vocabulary(teacher, student, sample):
    """The map of a vocabulary into another as FedMKT makes it: the same token, or else the one at the least edit distance, for
    which all are looked at."""
    distance, name = edit_distance()

    def read(path):
        with open(path) as file:
            return list(json.load(file)["model"]["vocab"])

    def space(tokens):
        return max("Ġ▁", key=lambda marker: sum(token.startswith(marker) for token in tokens))

    teacher, student = read(teacher), read(student)
    spaces = space(teacher), space(student)
    before = forget_peak()
    begun = time.process_time()
    known = set(student)
    unmapped = [token for token in (token.replace(*spaces) for token in teacher) if token not in known]
    equal = time.process_time() - begun
    taken = min(sample, len(unmapped))
    chosen = [unmapped[n * len(unmapped) // taken] for n in range(taken)]
    begun = time.process_time()
    for token in chosen:
        min(student, key=lambda other: distance(token, other))
    seconds = equal + (time.process_time() - begun) / max(taken, 1) * len(unmapped)
    more = dict(sampled=taken, unmapped=len(unmapped)) if taken < len(unmapped) else {}
    report("vocabulary map (tokens)", seconds, len(teacher), before, distances=name, **more)


def now():
    """Processor time; on another device the time by the clock, once it has done all that it was given."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize(DEVICE)
    return time.perf_counter()


def mib(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024


def forget_peak():
    """Has the peak count from here, where memory is the host's: what it took to make a model is no part of a step."""
    if DEVICE != "cpu":
        return None
    with open("/proc/self/clear_refs", "w") as clear:
        clear.write("5")
    return mib("VmRSS")


def measure(case, step, steps, count, clock=now, **more):
    before = forget_peak()
    for _ in range(WARM):
        step()
    seconds = []
    for _ in range(steps):
        begun = clock()
        step()
        seconds.append(clock() - begun)
    report(case, statistics.median(seconds), count, before, **more)


def report(case, seconds, count, before, **more):
    line = dict(side="torch", case=case, ms=round(seconds * 1e3, 3), tokens_per_s=round(count / seconds, 1))
    added = None if before is None else round(mib("VmHWM") - before, 1)
    print(json.dumps(line | dict(step_mib=added) | more), flush=True)


def added(lines):
    """The median of the memory that steps added; none where it was not the host's."""
    known = [line["step_mib"] for line in lines if line["step_mib"] is not None]
    return f"{statistics.median(known):.0f}" if known else "–"


def table(path):
    """Medians over the runs of a file of lines; a ratio above 1 is cotune's advantage. A case that is another way to do the
    work of a case of PyTorch has that case's name before a comma; what has no peer is listed below."""
    runs = {}
    for line in open(path):
        line = json.loads(line)
        runs.setdefault(line["case"], {}).setdefault(line["side"], []).append(line)
    rows, alone = [], []
    for case, sides in runs.items():
        peers = sides.get("torch") or runs.get(case.split(",")[0], {}).get("torch")
        if peers is None:
            alone.append((case, sides["cotune"]))
            continue
        sides = {"torch": peers, "cotune": sides["cotune"]}
        rates = {side: [line["tokens_per_s"] for line in lines] for side, lines in sides.items()}
        torch_rate, own_rate = (statistics.median(rates[side]) for side in ("torch", "cotune"))
        # Runs of the two sides follow each other, so the ratio of neighbours is the steadiest figure there is.
        ratios = [own / other for own, other in zip(rates["cotune"], rates["torch"])]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        sampled = ", extrapolated" if any("sampled" in line for line in peers) else ""
        rows.append(f"| {case} | {torch_rate:,.0f}{sampled} | {own_rate:,.0f} | {statistics.median(ratios):.2f} "
                    f"| {spread} | {added(peers)} | {added(sides['cotune'])} |")
    if rows:
        print("| case | peer, tokens/s | cotune, tokens/s | ratio | lowest to highest | peer MiB | cotune MiB |")
        print("|---|---|---|---|---|---|---|", *rows, "", sep="\n")
    if alone:
        print("| cotune alone | ms | lowest to highest | tokens/s |\n|---|---|---|---|")
    for case, lines in alone:
        ms = [line["ms"] for line in lines]
        rate = statistics.median(line["tokens_per_s"] for line in lines)
        print(f"| {case} | {statistics.median(ms):.2f} | {min(ms):.2f} to {max(ms):.2f} | {rate:,.0f} |")
    lines = [line for sides in runs.values() for line in sides.get("torch", [])]
    if distances := sorted({line["distances"] for line in lines if "distances" in line}):
        print(f"\nThe peer's edit distances are those of {' and '.join(distances)}.", end="")
        for n, of in sorted({(line["sampled"], line["unmapped"]) for line in lines if "sampled" in line}):
            print(f" It mapped {n} of the {of:,} tokens that the other vocabulary lacks.", end="")
        print()


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "table":
        table(words[1])
        sys.exit()
    if words[0] == "rouge":
        rouge(words[1])
        sys.exit()
    if words[0] == "dtw":
        dtw(words[1])
        sys.exit()
    if words[0] == "vocabulary":
        vocabulary(words[1], words[2], int(words[3]) if len(words) > 3 else 100)
        sys.exit()
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    case = " ".join(words[:2])

    def repeats(default):
        return int(words[2]) if len(words) > 2 else default

    if words[0] == "device":
        card = "" if DEVICE == "cpu" else f" ({torch.cuda.get_device_name(DEVICE)})"
        print(f"PyTorch {torch.__version__} on {DEVICE}{card}")
    elif words[0] in ("full", "lora"):
        train(case, words[1], repeats(10), words[0] == "lora")
    elif words[0] == "stacked":
        stacked(case, words[1], repeats(10))
    elif words[0] == "mutual":
        mutual(case, repeats(8))
    else:
        generate(case, int(words[1]), repeats(5))
