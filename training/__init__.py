"""Trains the small demo model: see `training/demo.py`. No part of the wheel."""
