"""What a finished run has to say: the closing words of the terminal and ``run.json``."""
