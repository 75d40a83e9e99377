"""Looks into videos: stills of them, and their content credentials. Nothing here knows jobs or stores.

Libraries that decode what strangers made run in processes of their own (`workshop.py` starts them, `child.py` is what
runs there); the gateway's process never loads them.
"""
