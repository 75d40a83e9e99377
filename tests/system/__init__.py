"""Tests of the whole running system, mostly as processes of their own."""
