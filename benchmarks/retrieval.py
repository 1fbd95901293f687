"""Retrieval: how long 100,000 chunks take to index, and a hybrid query on them.

    python benchmarks/retrieval.py [--chunks 100000] [--queries 200] [--json]

Made-up text: 50,000 words with Zipf frequencies, 110 words per chunk; a query is five words of one chunk, the longest. The built-in
hashing embedder. Budgets: two minutes to index, 25 ms per hybrid query (median). Exit 1 when one is missed.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from tirage.tools.retrieval import Collection

INDEX_S, QUERY_MS = 120.0, 25.0


def documents(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Names and texts."""
    rng = random.Random(seed)
    words = ["".join(rng.choice("bcdfghklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 4))) for _ in range(50_000)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    for number in range(count):
        yield f"document-{number}", " ".join(rng.choices(words, cum_weights=weights, k=110))


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    texts = list(documents(arguments.chunks))
    rng = random.Random(1)
    times: dict[str, list[float]] = {"hybrid": [], "keywords": [], "vectors": []}
    found = 0
    with tempfile.TemporaryDirectory() as folder, Collection(Path(folder) / "collection.sqlite") as collection:
        began = time.monotonic()
        for _ in collection.add(texts):
            pass
        indexed = time.monotonic() - began
        began = time.monotonic()
        collection.search("warm up")
        first = time.monotonic() - began
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
        for _ in range(arguments.queries):
            name, text = rng.choice(texts)
            query = " ".join(sorted(set(text.split()), key=lambda word: (-len(word), word))[:5])
            for mode, spent in times.items():
                began = time.perf_counter()
                hits = collection.search(query, 5, mode=mode)  # type: ignore[arg-type]
                spent.append(1000 * (time.perf_counter() - began))
                found += mode == "hybrid" and any(hit.chunk.document == name for hit in hits)
        chunks = len(collection)
    report = {
        "chunks": chunks,
        "index_s": round(indexed, 1),
        "first_query_s": round(first, 2),
        "megabytes": round(size),
        "p50_ms": {mode: round(statistics.median(spent), 1) for mode, spent in times.items()},
        "p95_ms": {mode: round(sorted(spent)[int(0.95 * len(spent))], 1) for mode, spent in times.items()},
        "found": found / arguments.queries,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        print(f"{chunks:,} chunks indexed in {report['index_s']} s, {report['megabytes']} MB; first query {report['first_query_s']} s")
        print(f"per query, median {report['p50_ms']} ms, 95 % {report['p95_ms']} ms; source among the first five in {report['found']:.0%}")
    missed = indexed > INDEX_S or statistics.median(times["hybrid"]) > QUERY_MS
    print("MISSED" if missed else "budgets kept", file=sys.stderr)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
