"""Claims of speed as commands: each measures us beside a peer or a bound in the same run."""

import os

# As the command line does: one thread per process, so that processes can be compared.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
