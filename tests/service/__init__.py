"""Tests of gateway/service."""
