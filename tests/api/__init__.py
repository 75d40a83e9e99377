"""Tests of gateway/api."""
