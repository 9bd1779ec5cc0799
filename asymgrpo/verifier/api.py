"""From responses to verdicts: extraction, fast path, cache, pool."""

import atexit
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable

from asymgrpo.verifier.extract import extract_boxed
from asymgrpo.verifier.pool import CPU_SECONDS, MEMORY_BYTES, WALL_SECONDS, Pool
from asymgrpo.verifier.verdict import Verdict

MAX_ANSWER_CHARS = 2000
"""A longer answer is unparsed: no gold of any benchmark has more than a few hundred characters."""
CACHE_PAIRS = 1 << 18

# No leading zero, no minus zero, at most 15 digits: where comparing strings and comparing numbers is the same.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,14}")


def fast_verdict(answer: str, gold: str) -> Verdict | None:
    """The verdict where it is plain without math-verify (both are integers), else None.

    >>> fast_verdict("12", "12"), fast_verdict("12", "-12"), fast_verdict("12", "12.0")
    (<Verdict.correct: 'correct'>, <Verdict.wrong: 'wrong'>, None)
    """
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(gold):
        return Verdict.correct if answer == gold else Verdict.wrong
    return None


class Verifier:
    """A pool of workers behind a cache of verdicts. Safe to call from several threads."""

    def __init__(
        self,
        workers: int,
        cpu_seconds: float = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        wall_seconds: float = WALL_SECONDS,
    ):
        self.pool = Pool(workers, cpu_seconds, memory_bytes, wall_seconds)
        self.cache: OrderedDict[tuple[str, str], Verdict] = OrderedDict()
        self.lock = threading.Lock()

    def verify_many(self, pairs: Iterable[tuple[str, str]]) -> list[Verdict]:
        """Verdicts of (response, gold) pairs, in their order; responses are complete, not truncated."""
        keys = [(extract_boxed(response), gold.strip()) for response, gold in pairs]
        with self.lock:
            verdicts: dict[tuple[str | None, str], Verdict] = {}
            hard: list[tuple[str, str]] = []
            for key in dict.fromkeys(keys):
                known = self._known(key)
                if known is not None:
                    verdicts[key] = known
                else:
                    hard.append(key)  # type: ignore[arg-type]
            for pair, verdict in zip(hard, self.pool.judge_many(hard), strict=True):
                verdicts[pair] = verdict
                self._remember(pair, verdict)
        return [verdicts[key] for key in keys]

    def _known(self, key: tuple[str | None, str]) -> Verdict | None:
        """The verdict if it needs no worker."""
        answer, gold = key
        if answer is None or not answer.strip() or len(answer) > MAX_ANSWER_CHARS:
            return Verdict.unparsed
        fast = fast_verdict(answer.strip(), gold)
        if fast is None and key in self.cache:
            self.cache.move_to_end(key)  # type: ignore[arg-type]
            return self.cache[key]  # type: ignore[index]
        return fast

    def _remember(self, pair: tuple[str, str], verdict: Verdict) -> None:
        self.cache[pair] = verdict
        if len(self.cache) > CACHE_PAIRS:
            self.cache.popitem(last=False)

    def close(self) -> None:
        """End the workers."""
        self.pool.close()

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_shared: dict[tuple[int, int], Verifier] = {}


def _shared_verifier(workers: int | None) -> Verifier:
    """The verifier of this process for so many workers; a forked child gets its own."""
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    key = (os.getpid(), count)
    if key not in _shared:
        _shared[key] = Verifier(count)
        atexit.register(_shared[key].close)
    return _shared[key]


def verify(response: str, gold: str, truncated: bool = False) -> Verdict:
    r"""Verdict on one response; `truncated` says that it ran into the token limit.

    The last complete ``\boxed{...}`` counts; without one the verdict is unparsed. Never raises on any pair of strings.

    >>> verify(r"so it is \boxed{42}", "42"), verify("so it is 42", "42")
    (<Verdict.correct: 'correct'>, <Verdict.unparsed: 'unparsed'>)
    """
    if truncated:
        return Verdict.truncated
    return _shared_verifier(None).verify_many([(response, gold)])[0]


def verify_many(pairs: Iterable[tuple[str, str]], workers: int | None = None) -> list[Verdict]:
    r"""Verdicts on (response, gold) pairs, in their order; `workers` None means one for each usable core.

    The workers start when a pair first needs one and are kept for the next call.

    >>> verify_many([(r"\boxed{1}", "1"), (r"\boxed{2}", "1")])
    [<Verdict.correct: 'correct'>, <Verdict.wrong: 'wrong'>]
    """
    return _shared_verifier(workers).verify_many(pairs)
