"""A package, so that configs and child processes can name `tests.custom_rewards` and the like."""
