"""Tests of the limiters, against real Redis servers."""
