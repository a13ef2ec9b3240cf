"""The built-in rewards: the one list of them, for configs and for workers."""

#: Name in a config -> the function that a worker calls for it. A line here adds one.
BUILTIN_REWARDS = {
    "length": "worker.rewards.length:length",
    "vocabulary": "worker.rewards.vocabulary:vocabulary",
    "structure": "worker.rewards.structure:structure",
    "quality": "worker.rewards.quality:quality",
    "judge": "worker.rewards.judge:judge",
}
