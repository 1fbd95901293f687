"""From traces to training rows: rejection sampling, with loss on exactly the tokens the policy wrote."""

import tempfile
from pathlib import Path

from tirage.testing.builders import Turn, decode_bytes, make_problem, make_rollout
from tirage.traces import TraceStore
from tirage.training.dataset import Dataset
from tirage.training.filters import HeldOut
from tirage.training.recipes import RFT, RFTConfig
from tirage.training.rows import IGNORED, decode_trainable

# Three problems with hand-made rollouts (byte-level tokens); a real run folder is read the same way.
tens, held = make_problem("What is 6 times 7?", "42"), make_problem("What is 2 plus 2?", "4")
done = Turn(text="It is \\boxed{42}.")
ROLLOUTS = [
    make_rollout(Turn(text="Compute. ", code="print(6 * 7)", output="42"), done, problem=tens, sample=0),
    make_rollout(Turn(text="By sum. ", code="print(sum([6] * 7))", output="42"), done, problem=tens, sample=1),
    make_rollout(Turn(text="Compute: ", code="print(6 * 7)", output="42"), done, problem=tens, sample=2),
    make_rollout(Turn(text="It is \\boxed{41}."), problem=tens, sample=3, correct=False, answer="41"),
    make_rollout(Turn(text="It is \\boxed{4}."), problem=held, sample=0, answer="4"),
]

with tempfile.TemporaryDirectory() as scratch:
    run, out = Path(scratch) / "run", Path(scratch) / "rows"
    with TraceStore(run) as store:
        for rollout in ROLLOUTS:
            store.append(rollout)
        recipe = RFT(RFTConfig(stage="sample", require_tool=True, per_problem=4))
        recipe.build(store, out, run=str(run), heldout=HeldOut([held.prompt]))

    dataset = Dataset(out)
    for count in dataset.manifest.counts:  # the manifest accounts for every rollout that was left out
        print(f"{count.step:<16} {count.entered} -> {count.left}  {dict(count.dropped) or ''}")
    for row in dataset.rows():
        trained = sum(label != IGNORED for label in row.labels)
        print(f"\nrow {row.id} from {row.meta['trace']}: {trained} of {len(row.input_ids)} tokens trained")
        print("reads:  ", repr(decode_bytes(row.input_ids)))
        print("trained:", repr(decode_trainable(row, decode_bytes)))
    print("\nsound:", dataset.check() == [])
