"""What must be said before torch is imported."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # more threads wait for each other on a busy machine
